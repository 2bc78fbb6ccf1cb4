"""Which plan a device has, and when its default is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations, product
from typing import Any

import pytest

from pilots.domain.fallback import (
    Answer,
    Cause,
    FallbackError,
    Plan,
    cause_due,
    check_plan,
    fallback_value,
    is_lost,
    plan_of,
    plan_point,
    released_value,
)
from pilots.domain.point import Capability, PointKind, PointSpec

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
BATTERY = PointSpec(name="p_set", kind=PointKind.SETPOINT, unit="W", capability=Capability(minimum=-1e5, maximum=1e5))
CHARGER = PointSpec(
    name="p_limit", kind=PointKind.SETPOINT, unit="W", capability=Capability(minimum=0, maximum=11e3, modes=("limit",))
)


def test_a_default_is_never_due_without_a_cause_and_nothing_is_held_for_ever() -> None:
    """The whole matrix: every set of causes, every answer, held or not."""
    sets = [set(chosen) for count in range(4) for chosen in combinations(Cause, count)]
    for causes, answers, held in product(sets, product(Answer, repeat=3), (True, False)):
        plan = plan_of(dict(zip(Cause, answers, strict=True)))
        due = cause_due(plan, causes, held=held)
        if due is None:
            assert not causes or (held and all(plan.answers[cause] is Answer.HOLD for cause in causes))
        else:
            assert due in causes
            assert not held or plan.answers[due] is Answer.DEFAULT


def test_without_a_declaration_storage_goes_to_zero_and_a_limit_to_none() -> None:
    assert (fallback_value(Plan(), BATTERY), fallback_value(Plan(), CHARGER)) == (0.0, 11e3)
    assert plan_of({}).answers == {
        Cause.PLATFORM_LOST: Answer.DEFAULT,
        Cause.LINK_LOST: Answer.HOLD,
        Cause.DATA_STALE: Answer.HOLD,
    }


def test_what_gives_a_point_back_lies_in_its_range() -> None:
    assert released_value(Capability(minimum=18, maximum=24), "absolute") == 18
    assert released_value(Capability(minimum=-5, maximum=-2), "absolute") == -2


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"platform_lost": "hold_for_ever"}, "platform_lost is hold (till the set-point ends, then the default) or default"),
        ({"link_lost": None}, "link_lost is hold"),
        ({"value": "0"}, "value is a finite number"),
        ({"value": True}, "value is a finite number"),
        ({"value": float("nan")}, "value is a finite number"),
        ({"point": "soc"}, "point is p_set or p_limit"),
        ({"colour": 1}, "not colour"),
        ({"value": 2e5}, "200000 W is outside -100000 to 100000 W of p_set"),
        ({"point": "p_limit"}, "the device has no p_limit"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(form: dict[str, Any], words: str) -> None:
    with pytest.raises(FallbackError) as caught:
        check_plan(form, {"p_set": BATTERY})
    assert words in str(caught.value)


def test_a_device_without_such_a_point_declares_nothing() -> None:
    check_plan({}, {})
    with pytest.raises(FallbackError, match="no p_set and no p_limit"):
        check_plan({"value": 0}, {})
    with pytest.raises(FallbackError, match="takes no set-points"):
        fallback_value(Plan(), PointSpec(name="p_set", kind=PointKind.MEASUREMENT))
    assert plan_point(Plan(point="p_limit"), ["p_set", "p_limit"]) == "p_limit"


def test_the_deadline_counts_from_the_call_or_from_when_somebody_looked_again() -> None:
    minute = timedelta(seconds=60)
    assert not is_lost(NOW, NOW, 60, NOW + minute - timedelta(milliseconds=1))
    assert is_lost(NOW, NOW, 60, NOW + minute)
    assert not is_lost(NOW, NOW + minute, 60, NOW + minute)
