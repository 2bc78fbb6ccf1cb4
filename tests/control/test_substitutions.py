"""Values by hand: who may put which, and what they never prove."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from pilots.control.circumstances import circumstances_for_anyone
from pilots.control.feedback import settle
from pilots.control.guards import guard_state
from pilots.control.substitutions import SubstitutionRefused, substitute
from pilots.domain.quality import Quality, Source
from pilots.domain.setpoint import SetpointState
from pilots.models import LatestValue, Point, Setpoint, Substitution
from pilots.models.values import reading_of
from tests.builders import make_latest, make_point
from tests.conftest import Battery
from tests.control.conftest import NOW, after

pytestmark = pytest.mark.django_db
BY_HAND = Quality(source=Source.SUBSTITUTED)


def put(point: Point, value: float = 1000.0, *, reason: str = "seen at the meter", minutes: float = 15) -> Substitution:
    return substitute(point, value, owner="ana", reason=reason, until=NOW + timedelta(minutes=minutes), now=NOW)


def test_pages_learn_who_put_it_why_and_until_when(battery: Battery) -> None:
    put(battery.power)
    (told,) = guard_state(battery.pilot, after(1))["substitutions"]
    assert (told["device"], told["point"], told["value"]) == ("es-STO01", "active_power", 1000.0)
    assert (told["owner"], told["reason"], told["until_ms"]) == ("ana", "seen at the meter", int(after(900).timestamp() * 1000))
    assert guard_state(battery.pilot, after(901))["substitutions"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [({"reason": " "}, "reason"), ({"minutes": 0}, "minutes"), ({"minutes": 1441}, "minutes"), ({"value": 1e9}, "value")],
)
def test_without_reason_or_end_or_outside_the_plausible_it_is_refused(battery: Battery, change: dict, field: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(SubstitutionRefused) as refused:
        put(battery.power, **change)
    assert refused.value.field == field
    assert not Substitution.objects.exists()


def test_set_points_and_who_may_command_are_never_substituted(battery: Battery) -> None:
    mode = make_point(battery.device, "control_mode", kind="status", unit="", labels={"0": "local", "1": "remote"})
    for point in (battery.p_set, mode):
        with pytest.raises(SubstitutionRefused):
            put(point, 1.0)


def test_one_value_by_hand_at_a_time(battery: Battery) -> None:
    put(battery.power)
    with pytest.raises(SubstitutionRefused, match="already"):
        put(battery.power, 2000.0)


def test_s15_no_guard_takes_it_for_a_fresh_measurement(battery: Battery) -> None:
    row = make_latest(battery.power, 5000.0, at=NOW, quality=BY_HAND)
    assert reading_of(row, NOW).fault == "is a value by hand"
    assert circumstances_for_anyone(battery.p_set, after(1)).link_up is False


def test_it_proves_no_set_point(battery: Battery, wish: Callable[..., Setpoint]) -> None:
    setpoint = wish(20_000.0)
    Setpoint.objects.filter(pk=setpoint.pk).update(state=SetpointState.DISPATCHED, claimed_at=NOW)
    setpoint.refresh_from_db()
    LatestValue.objects.all().delete()
    row = make_latest(battery.power, 20_000.0, at=after(2), quality=BY_HAND)
    assert not settle(setpoint, now=after(3))
    LatestValue.objects.filter(pk=row.pk).update(quality=0)
    assert settle(setpoint, now=after(3))
