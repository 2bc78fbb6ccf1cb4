"""What becomes of a set-point in force when its time is over: release, hold or fallback, once, and said why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilots.control import dispatch, expiry, releases
from pilots.control.ending import ending_of
from pilots.control.selectors import record
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import AuditEvent, Setpoint
from pilots.models.leases import HeldLease
from tests.conftest import Battery
from tests.control.conftest import NOW, after, narrowed
from tests.control.test_life import ACTOR, dispatched, measure, state

pytestmark = pytest.mark.django_db
Wish = Callable[..., Setpoint]
S = SetpointState


def in_force(wish: Wish, lease: HeldLease, battery: Battery, value: float = -20_000.0, **fields: Any) -> Setpoint:
    setpoint = wish(value, **fields)
    assert setpoint.state == S.VALIDATED, setpoint.explanation
    assert dispatch.claim_setpoint(setpoint, lease, now=NOW)
    dispatch.note_dispatched(setpoint, raw="written", actor=ACTOR, now=after(1))
    measure(battery, value, after(2))
    assert state(setpoint) == S.EXECUTED
    return setpoint


def written() -> list[tuple[float, str]]:
    """What the ends of set-points have asked for, with its state."""
    return list(Setpoint.objects.filter(issuer=Issuer.FALLBACK).order_by("received_at").values_list("value", "state"))


@pytest.mark.parametrize(
    ("rules", "fields", "asked", "action"),
    [
        ({}, {}, [(0.0, S.VALIDATED)], "release"),
        ({"default": 5000.0}, {}, [(5000.0, S.VALIDATED)], "release"),
        ({"watchdog_s": 60}, {"on_expiry": "hold"}, [], "hold"),
        ({"self_expiring": True}, {"on_expiry": "hold"}, [], "hold"),
        ({"self_expiring": True}, {}, [], "lets_go"),
        ({}, {"on_expiry": -4000.0}, [(-4000.0, S.VALIDATED)], "fallback"),
    ],
    ids=["release", "default", "hold on a watchdog", "hold on a validity", "the device's own validity", "fallback"],
)
def test_the_end_of_a_set_point_is_what_its_on_expiry_says(
    wish: Wish, lease: HeldLease, battery: Battery, rules: dict[str, Any], fields: dict[str, Any], asked: Any, action: str
) -> None:
    narrowed(battery.p_set, **rules)
    setpoint = in_force(wish, lease, battery, **fields)
    assert record(setpoint)["then"]["action"] == action
    expiry.expire_setpoints(now=after(299))
    assert written() == []
    expiry.expire_setpoints(now=after(300))
    assert written() == asked
    setpoint.refresh_from_db()
    assert (setpoint.state, setpoint.released_at) == (S.EXECUTED, after(300))
    assert setpoint.release_reason.startswith("Its time was over:")
    assert AuditEvent.objects.filter(action="end set-point").count() == 1


def test_the_end_is_acted_once_however_often_the_clock_looks(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    in_force(wish, lease, battery)
    for seconds in (300, 301, 302, 900):
        expiry.expire_setpoints(now=after(seconds))
    assert len(written()) == 1


def test_an_end_that_came_while_nothing_ran_is_acted_late_and_says_so(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = in_force(wish, lease, battery)
    expiry.expire_setpoints(now=after(642))
    setpoint.refresh_from_db()
    assert "342 s late" in setpoint.release_reason
    assert written() == [(0.0, S.VALIDATED)]


def test_a_set_point_in_force_counts_down(
    wish: Wish, lease: HeldLease, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    setpoint = in_force(wish, lease, battery, on_expiry=-4000.0)
    monkeypatch.setattr("pilots.control.selectors.timezone.now", lambda: after(240))
    form = record(setpoint)
    assert (form["active"], form["ends_in_s"]) == (True, 60.0)
    assert form["then"] == {"action": "fallback", "value": -4000.0}
    expiry.expire_setpoints(now=after(300))
    setpoint.refresh_from_db()
    form = record(setpoint)
    assert (form["active"], form["ends_in_s"], form["released_at"]) == (False, None, "2026-11-23T08:05:00.000Z")


@pytest.mark.parametrize(
    ("rules", "fields", "field"),
    [
        ({}, {"on_expiry": "hold"}, "on_expiry"),
        ({"minimum": -90_000, "maximum": -10_000}, {}, "on_expiry"),
        ({}, {"on_expiry": "fallback"}, "fallback_value"),
        ({}, {"on_expiry": 1e6}, "fallback_value"),
        ({}, {"on_expiry": 1234.5}, "fallback_value"),
        ({}, {"on_expiry": float("nan")}, "fallback_value"),
    ],
    ids=["hold for ever", "no default", "no fallback value", "beyond the range", "between steps", "not a number"],
)
def test_s19_no_value_holds_for_ever(
    wish: Wish, battery: Battery, rules: dict[str, Any], fields: dict[str, Any], field: str
) -> None:
    narrowed(battery.p_set, **rules)
    setpoint = wish(**fields)
    assert setpoint.state == S.REJECTED
    assert setpoint.code == ("not_capable" if field == "on_expiry" else "out_of_range")


def test_a_point_without_a_default_is_given_back_by_its_fallback(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    narrowed(battery.p_set, minimum=-90_000, maximum=-10_000)
    setpoint = in_force(wish, lease, battery, on_expiry=-10_000.0)
    releases.cancel_setpoint(setpoint, actor="ana", reason="enough", now=after(3))
    assert written() == [(-10_000.0, S.VALIDATED)]


def test_a_fallback_holds_a_day_and_is_then_released(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    in_force(wish, lease, battery, on_expiry=-4000.0)
    measure(battery, -20_000.0, after(299))
    expiry.expire_setpoints(now=after(300))
    fallback = Setpoint.objects.get(issuer=Issuer.FALLBACK)
    assert dispatch.claim_setpoint(fallback, lease, now=after(301))
    dispatch.note_dispatched(fallback, raw="written", actor=ACTOR, now=after(302))
    measure(battery, -4000.0, after(303))
    fallback.refresh_from_db()
    assert (fallback.state, fallback.released_at) == (S.EXECUTED, None)
    expiry.expire_setpoints(now=after(300 + 86_400))
    assert [value for value, _ in written()] == [-4000.0, 0.0]


def test_a_fallback_that_is_refused_becomes_a_release(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    in_force(wish, lease, battery, on_expiry=-4000.0)
    battery.p_set.operating_minimum, battery.p_set.operating_maximum = -2000.0, 2000.0
    battery.p_set.save()
    expiry.expire_setpoints(now=after(300))
    assert [value for value, state_ in written() if state_ == S.VALIDATED] == [0.0]


def test_a_fallback_that_is_refused_right_before_the_write_becomes_a_release(
    wish: Wish, lease: HeldLease, battery: Battery
) -> None:
    in_force(wish, lease, battery, on_expiry=-4000.0)
    measure(battery, -20_000.0, after(299))
    expiry.expire_setpoints(now=after(300))
    battery.p_set.operating_minimum, battery.p_set.operating_maximum = -2000.0, 2000.0
    battery.p_set.save()
    fallback = Setpoint.objects.get(issuer=Issuer.FALLBACK)
    assert not dispatch.claim_setpoint(fallback, lease, now=after(301))
    assert [value for value, state_ in written() if state_ == S.VALIDATED] == [0.0]


def test_a_ceiling_without_a_watchdog_is_taken_away_at_its_end(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    battery.p_set.capability = {"minimum": 0, "maximum": 11_000, "response_time_s": 5, "modes": ["limit"]}
    battery.p_set.save()
    in_force(wish, lease, battery, 6000.0, mode="limit")
    expiry.expire_setpoints(now=after(300))
    assert written() == [(11_000.0, S.VALIDATED)]


def test_a_dispatched_set_point_that_expires_takes_its_fallback(wish: Wish, lease: HeldLease) -> None:
    setpoint = wish(valid_until=after(10), on_expiry=-4000.0)
    assert dispatch.claim_setpoint(setpoint, lease, now=NOW)
    dispatch.note_dispatched(setpoint, raw="", actor=ACTOR, now=after(1))
    expiry.expire_setpoints(now=after(10))
    assert state(setpoint) == S.EXPIRED
    assert written() == [(-4000.0, S.VALIDATED)]


def test_what_is_superseded_says_by_whom_and_writes_nothing(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    older = in_force(wish, lease, battery)
    wish(-5000.0, now=after(3))
    older.refresh_from_db()
    assert older.release_reason == "Superseded by ana."
    expiry.expire_setpoints(now=after(300))
    assert written() == []


def test_a_command_has_no_end(wish: Wish, lease: HeldLease) -> None:
    setpoint = dispatched(wish, lease)
    setpoint.kind = "command"
    assert ending_of(setpoint).action == "hold"
