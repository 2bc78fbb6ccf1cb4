"""A ramp is a guard when a set-point comes and again when it is written, and steps while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilots.control import dispatch, guards
from pilots.control.ramps import claim_step, steps_of
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import AuditEvent, LatestValue, Point, Setpoint
from pilots.models.leases import HeldLease, give_up_lease
from tests.builders import make_latest
from tests.conftest import Battery
from tests.control.conftest import NOW, after
from tests.tampering import trail_out_of_order

pytestmark = pytest.mark.django_db
Wish = Callable[..., Setpoint]
S = SetpointState


@pytest.fixture
def at_rest(battery: Battery) -> LatestValue:
    """The battery at 0 W, which its plant lets change by 5 kW/s."""
    battery.p_set.capability = {**(battery.p_set.capability or {}), "ramp": 5_000.0}
    battery.p_set.save()
    return make_latest(battery.power, 0.0, at=NOW)


def told(setpoint: Setpoint) -> tuple[str, str]:
    setpoint.refresh_from_db()
    return setpoint.state, setpoint.code


def test_a_step_within_the_ramp_passes_and_a_larger_one_is_told_what_to_send(wish: Wish, at_rest: LatestValue) -> None:
    assert wish(-5_000.0).state == S.VALIDATED
    refused = wish(-20_000.0, now=after(1))
    assert told(refused) == (S.REJECTED, "out_of_range")
    sentence = "From 0 to -20000 W is a step of more than 5000 W: send a ramp of at most 5000 W/s."
    assert refused.explanation == sentence


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"ramp": 5_001.0}, "out_of_range", "5001 W/s is more than the 5000 W/s that p_set may change by."),
        ({"ramp": 0.0}, "out_of_range", "The ramp is not a number above 0."),
        ({"ramp": float("nan")}, "out_of_range", "The ramp is not a number above 0."),
        ({"ramp": 10.0}, "out_of_range", "The ramp would last 2000 s, longer than the set-point is valid (300 s)."),
    ],
)
def test_a_ramp_that_cannot_be_is_refused(
    wish: Wish, at_rest: LatestValue, fields: dict[str, Any], code: str, words: str
) -> None:
    refused = wish(-20_000.0, **fields)
    assert told(refused) == (S.REJECTED, code) and refused.explanation == words


def test_an_engineers_ramp_is_the_stricter_one_and_a_device_with_its_own_takes_any_step(
    battery: Battery, wish: Wish, at_rest: LatestValue
) -> None:
    Point.objects.filter(pk=battery.p_set.pk).update(operating_ramp=1_000)
    battery.p_set.refresh_from_db()
    assert "more than 1000 W" in wish(-5_000.0).explanation
    battery.p_set.capability = {**(battery.p_set.capability or {}), "ramp_by": "device"}
    battery.p_set.save()
    assert wish(-50_000.0).state == S.VALIDATED


def test_without_knowing_where_it_stands_no_ramp_begins(battery: Battery, wish: Wish, at_rest: LatestValue) -> None:
    LatestValue.objects.update(received_time=after(-31))
    make_latest(Point.objects.create(device=battery.device, name="soc", kind="measurement"), 5.0, at=NOW)
    assert wish(-1_000.0).explanation == "A ramp begins where active_power is, and that is 31 s old."
    LatestValue.objects.filter(point=battery.power).delete()
    assert wish(-1_000.0).explanation == "A ramp begins where active_power is, and that was never received."


def test_only_a_target_has_a_ramp(battery: Battery, wish: Wish, at_rest: LatestValue) -> None:
    battery.p_set.capability = {"minimum": 0, "maximum": 11_000, "modes": ["limit"]}
    battery.p_set.save()
    assert wish(6_000.0, mode="limit", ramp=100.0).code == "not_capable"


def test_what_gives_the_point_back_goes_at_once_whatever_the_ramp(wish: Wish, at_rest: LatestValue) -> None:
    LatestValue.objects.update(value=90_000.0)
    assert wish(0.0, issuer=Issuer.FALLBACK).state == S.VALIDATED


def test_a_step_that_grew_too_large_meanwhile_is_not_written(wish: Wish, at_rest: LatestValue, lease: HeldLease) -> None:
    setpoint = wish(-5_000.0)
    LatestValue.objects.update(value=1_000.0)
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(1))
    assert told(setpoint) == (S.REJECTED, "out_of_range")


# Steps


@pytest.fixture
def walking(wish: Wish, at_rest: LatestValue, lease: HeldLease) -> Setpoint:
    """A set-point whose first step of 5 kW the device has confirmed."""
    setpoint = wish(-20_000.0, ramp=5_000.0)
    assert dispatch.claim_setpoint(setpoint, lease, now=after(1))
    steps, lasts_s = steps_of(setpoint)
    assert (list(steps), lasts_s) == ([-5_000.0, -10_000.0, -15_000.0, -20_000.0], 4.0)
    dispatch.note_dispatched(setpoint, raw="ok", actor="gateway-1", now=after(1), lasts_s=lasts_s)
    return setpoint


def step(setpoint: Setpoint, lease: HeldLease, seconds: float = 2) -> bool:
    return claim_step(setpoint, lease, value=-10_000.0, now=after(seconds))


def test_a_step_is_audited_and_awaits_the_end_of_the_ramp(walking: Setpoint, lease: HeldLease) -> None:
    assert step(walking, lease)
    row = AuditEvent.objects.get(action="claim step of ramp")
    assert (row.actor, row.details["value"], row.details["limits"]) == ("gateway-1", -10_000, [-100_000, 100_000])
    assert walking.feedback_deadline == after(1 + 4 + 15)


def test_a_newer_set_point_ends_the_ramp_and_waits_for_the_rest_of_the_point(
    walking: Setpoint, wish: Wish, lease: HeldLease
) -> None:
    assert step(walking, lease)
    newer = wish(-1_000.0, now=after(2.5))
    assert not step(walking, lease, 3)
    assert not dispatch.claim_setpoint(newer, lease, now=after(2.9))
    assert dispatch.claim_setpoint(newer, lease, now=after(3))


def test_a_ramp_ends_with_its_time_and_with_the_lease(walking: Setpoint, lease: HeldLease) -> None:
    assert not step(walking, lease, 300)
    give_up_lease(lease, now=after(2))
    assert not step(walking, lease, 3)
    assert told(walking) == (S.DISPATCHED, "")


def test_a_guard_in_mid_ramp_ends_it_and_gives_the_device_back(walking: Setpoint, battery: Battery, lease: HeldLease) -> None:
    guards.switch_commands_off(battery.pilot, by="ana", reason="storm", now=after(1.5))
    assert not step(walking, lease)
    assert told(walking) == (S.REJECTED, "commands_off")
    assert Setpoint.objects.get(issuer=Issuer.FALLBACK).value == 0.0


def test_steps_within_the_tolerance_go_on_after_the_proof(walking: Setpoint, battery: Battery, lease: HeldLease) -> None:
    Setpoint.objects.update(state=S.EXECUTED)
    assert step(walking, lease)
    tag = guards.set_tag(battery.device, owner="ana", reason="crew", now=after(2.5))
    assert not step(walking, lease, 3)
    assert told(walking) == (S.EXECUTED, "") and Setpoint.objects.count() == 1
    guards.remove_tag(tag, by="ana", reason="", now=after(3.5))
    Setpoint.objects.update(released_at=after(4))
    assert not step(walking, lease, 5)


def test_s25_a_step_that_cannot_be_audited_is_not_written(walking: Setpoint, lease: HeldLease) -> None:
    with trail_out_of_order():
        assert not step(walking, lease)
    assert step(walking, lease, 3)
