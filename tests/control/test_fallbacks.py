"""Fallback plans: begun by silence, a lost link or stale data, bumpless when they end, told and audited."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pilots.control import fallbacks
from pilots.control.fallbacks import note_heard
from pilots.control.guards import GuardRefused, guard_state
from pilots.domain.schedule import Curve
from pilots.domain.setpoint import Issuer
from pilots.models import AuditEvent, Connection, Device, FallbackRun, Pilot, PlatformWatch, Setpoint
from tests.builders import make_device, make_point
from tests.conftest import Battery
from tests.control.conftest import NOW, after
from tests.control.test_schedules import Plant, create_schedule

pytestmark = pytest.mark.django_db
Wish = Callable[..., Setpoint]
PLATFORM: dict[str, Any] = {"issuer": Issuer.PLATFORM, "requested_by": "platform"}


@pytest.fixture
def pilot(battery: Battery) -> Pilot:
    """The battery's pilot, whose platform is heard every second and may be silent for a minute."""
    battery.pilot.heartbeat_s = 60
    battery.pilot.save()
    note_heard([battery.pilot], "platform", now=NOW)
    return battery.pilot


@pytest.fixture
def plant(battery: Battery, pilot: Pilot) -> Plant:
    plant = Plant(battery)
    plant.clocks.append(fallbacks.run_fallbacks)
    return plant


def declare(battery: Battery, **plan: Any) -> None:
    Device.objects.filter(pk=battery.device.pk).update(fallback=plan)


def in_force() -> list[tuple[str, float]]:
    return [(run.cause, run.value) for run in FallbackRun.objects.filter(removed_at=None)]


def test_a_silent_platform_brings_the_plan_within_two_seconds_of_its_deadline(plant: Plant, wish: Wish) -> None:
    wish(**PLATFORM, valid_until=after(600))
    plant.run(1, 59, every_s=1)
    assert in_force() == []
    plant.run(60, 62, every_s=1)
    run = FallbackRun.objects.get()
    assert (run.cause, run.value) == ("platform_lost", 0.0)
    assert run.set_at - (NOW + timedelta(seconds=60)) <= timedelta(seconds=2)
    fallback = Setpoint.objects.get(issuer="fallback")
    assert (fallback.priority, fallback.value, fallback.state) == (2, 0.0, "executed")
    assert "Nothing heard from the platform since 2026-11-23 08:00:00 UTC, heartbeat 60 s." in fallback.reason
    assert plant.written == [-20_000.0, 0.0]


def test_the_return_of_the_platform_is_bumpless(plant: Plant, pilot: Pilot, wish: Wish, battery: Battery) -> None:
    """From the plan's value straight to the one that is wanted now: none of the writes is the default in between."""
    declare(battery, value=-5_000)
    wish(**PLATFORM, valid_until=after(600))
    plant.run(0, 60, every_s=10)
    assert plant.written == [-20_000.0, -5_000.0]
    note_heard([pilot], "platform", now=after(100))
    assert in_force() == []
    plant.run(101, 110, every_s=3)
    assert plant.written == [-20_000.0, -5_000.0, -20_000.0]
    resumed = Setpoint.objects.filter(issuer="platform").order_by("-received_at")[0]
    assert (resumed.valid_until, resumed.requested_by) == (after(600), "platform")


def test_a_schedule_waits_for_the_platform_and_goes_on_with_its_value_for_now(
    plant: Plant, pilot: Pilot, battery: Battery
) -> None:
    declare(battery, value=-5_000)
    curve = Curve(start=NOW, resolution_s=60, values=(-1_000.0, -2_000.0, -3_000.0, -4_000.0))
    form: dict[str, Any] = {"point": battery.p_set, "unit": "W", "curve": curve}
    create_schedule(**form, **PLATFORM, now=NOW)
    plant.run(0, 170, every_s=10)
    assert plant.written == [-1_000.0, -5_000.0]
    note_heard([pilot], "platform", now=after(175))
    plant.run(176, 179, every_s=1)
    assert plant.written == [-1_000.0, -5_000.0, -3_000.0]


def test_what_the_platform_sends_with_its_first_call_is_taken(plant: Plant, pilot: Pilot, wish: Wish) -> None:
    wish(**PLATFORM, valid_until=after(600))
    plant.run(0, 60, every_s=10)
    note_heard([pilot], "platform", now=after(70))
    newest = wish(7_000.0, **PLATFORM, now=after(70), valid_until=after(600))
    assert newest.state == "validated"
    plant.run(71, 77, every_s=3)
    assert plant.written == [-20_000.0, 0.0, 7_000.0]


def test_while_it_is_in_force_weaker_ones_are_refused_and_the_plan_is_named(plant: Plant, wish: Wish) -> None:
    plant.run(0, 60, every_s=10)
    refused = wish(now=after(71))
    assert (refused.state, refused.code) == ("rejected", "conflict_priority")
    assert "fallback plan (Nothing heard from the platform" in refused.explanation


def test_an_operator_takes_over_and_it_does_not_begin_again_before_the_platform_was_back(
    plant: Plant, pilot: Pilot, wish: Wish
) -> None:
    plant.run(0, 60, every_s=10)
    with pytest.raises(GuardRefused):
        fallbacks.take_from_fallback(FallbackRun.objects.get(), by="ana", reason=" ", now=after(71))
    fallbacks.take_from_fallback(FallbackRun.objects.get(), by="ana", reason="I see to it", now=after(71))
    with pytest.raises(GuardRefused):
        fallbacks.take_from_fallback(FallbackRun.objects.get(), by="ana", reason="again", now=after(72))
    wish(9_000.0, now=after(73))
    plant.run(75, 95, every_s=10)
    assert (in_force(), plant.written) == ([], [9_000.0])
    note_heard([pilot], "platform", now=after(96))
    plant.run(97, 170, every_s=10)
    assert in_force() == [("platform_lost", 0.0)]


def test_with_hold_the_set_point_in_force_goes_on_till_it_expires(plant: Plant, wish: Wish, battery: Battery) -> None:
    declare(battery, platform_lost="hold", value=-5_000)
    wish(**PLATFORM, valid_until=after(100))
    plant.run(0, 95, every_s=5)
    assert (in_force(), plant.written) == ([], [-20_000.0])
    plant.run(100, 110, every_s=5)
    assert (in_force(), plant.written[-1]) == ([("platform_lost", -5_000.0)], -5_000.0)


def test_time_in_which_we_did_not_look_is_not_held_against_the_platform(plant: Plant, pilot: Pilot) -> None:
    plant.run(0, 10, every_s=5)
    fallbacks.run_fallbacks(now=after(4 * 3600))
    assert in_force() == []
    for second in range(10, 60, 5):
        fallbacks.run_fallbacks(now=after(4 * 3600 + second))
    assert in_force() == []
    fallbacks.run_fallbacks(now=after(4 * 3600 + 62))
    assert in_force() == [("platform_lost", 0.0)]


def test_a_pilot_that_is_not_watched_any_more_has_lost_nothing(plant: Plant, pilot: Pilot) -> None:
    plant.run(0, 60, every_s=10)
    Pilot.objects.filter(pk=pilot.pk).update(heartbeat_s=None)
    plant.run(80, 90, every_s=10)
    assert in_force() == []
    assert PlatformWatch.objects.get().lost_at is None


def test_s19_a_lost_link_holds_till_expiry_and_then_the_default_waits_for_the_link(
    plant: Plant, wish: Wish, battery: Battery, pilot: Pilot
) -> None:
    """S19: link lost, hold: the value outlives its set-point nowhere, and `on_expiry: hold` does not make it stay for ever."""
    Pilot.objects.filter(pk=pilot.pk).update(heartbeat_s=None)
    battery.p_set.capability = battery.p_set.capability | {"watchdog_s": 3600}  # or no hold is taken at all
    battery.p_set.save()
    wish(valid_until=after(100), on_expiry="hold")
    plant.run(0, 20, every_s=5)
    Connection.objects.filter(pk=battery.connection.pk).update(state="down", state_since=after(20))
    plant.run(25, 95, every_s=5, up=False)
    assert in_force() == []
    plant.run(100, 110, every_s=5, up=False)
    assert in_force() == [("link_lost", 0.0)]
    Connection.objects.filter(pk=battery.connection.pk).update(state="up", state_since=after(200))
    plant.run(200, 215, every_s=5)
    assert (in_force(), plant.written) == ([], [-20_000.0, 0.0])


def test_s19_a_lost_link_with_default_ends_the_set_point_and_hands_back_when_the_link_is_there_again(
    plant: Plant, wish: Wish, battery: Battery, pilot: Pilot
) -> None:
    """S19: link lost, default: after twice the response time; what is still valid comes again without a bump."""
    Pilot.objects.filter(pk=pilot.pk).update(heartbeat_s=None)
    declare(battery, link_lost="default")
    wish(valid_until=after(600))
    plant.run(0, 20, every_s=5)
    Connection.objects.filter(pk=battery.connection.pk).update(state="down", state_since=after(20))
    plant.run(21, 29, every_s=2, up=False)
    assert in_force() == []
    plant.run(30, 40, every_s=5, up=False)
    assert in_force() == [("link_lost", 0.0)]
    Connection.objects.filter(pk=battery.connection.pk).update(state="up", state_since=after(100))
    plant.run(100, 115, every_s=5)
    assert (in_force(), plant.written) == ([], [-20_000.0, -20_000.0])


def test_s19_stale_data_with_default_brings_the_device_to_it(plant: Plant, wish: Wish, battery: Battery, pilot: Pilot) -> None:
    """S19: data stale: the link is up, and the feedback was not renewed in three of its intervals."""
    Pilot.objects.filter(pk=pilot.pk).update(heartbeat_s=None)
    declare(battery, data_stale="default")
    wish(valid_until=after(600))
    plant.run(0, 20, every_s=5)
    for second in range(25, 60, 5):
        plant.tick(after(second))
    assert in_force() == [("data_stale", 0.0)]
    assert plant.written == [-20_000.0, 0.0]


def test_s19_each_device_has_its_own_plan_and_what_takes_nothing_has_none(plant: Plant, pilot: Pilot) -> None:
    """S19: the matrix is per device; by default storage goes to 0 and a limit to no limit."""
    charger = make_device(pilot, "es-EVSE01", kind="charge_point", fallback={"value": 6_000})
    roof = make_device(pilot, "es-PV01", kind="generating_unit")
    make_device(pilot, "es-PM01", kind="meter")
    limit = {"minimum": 0, "maximum": 11_000, "modes": ["limit"]}
    for device in (charger, roof):
        make_point(device, "p_limit", kind="setpoint", capability=limit)
    plant.run(0, 60, every_s=10)
    found = {run.point.device.code: run.value for run in FallbackRun.objects.all()}
    assert found == {"es-STO01": 0.0, "es-EVSE01": 6_000.0, "es-PV01": 11_000.0}
    # Only what differs from what the device was told last is written: the battery and the roof are at their default.
    assert {setpoint.point.device.code for setpoint in Setpoint.objects.all()} == {"es-EVSE01"}


def test_one_device_that_fails_leaves_the_others_their_plan(plant: Plant, pilot: Pilot) -> None:
    odd = make_device(pilot, "es-EVSE01", kind="charge_point", fallback={"value": 99_000})
    make_point(odd, "p_limit", kind="setpoint", capability={"minimum": 0, "maximum": 11_000, "modes": ["limit"]})
    plant.run(0, 60, every_s=10)
    assert [run.point.device.code for run in FallbackRun.objects.all()] == ["es-STO01"]


def test_pages_and_the_audit_trail_say_what_happened(plant: Plant, pilot: Pilot, wish: Wish) -> None:
    wish(**PLATFORM, valid_until=after(65))
    plant.run(0, 60, every_s=10)
    (row,) = guard_state(pilot, after(70))["fallbacks"]
    assert (row["device"], row["point"], row["value"], row["unit"]) == ("es-STO01", "p_set", 0.0, "W")
    assert row["since_ms"] == int(after(60).timestamp() * 1000)
    note_heard([pilot], "platform", now=after(100))
    assert guard_state(pilot, after(100))["fallbacks"] == []
    told = AuditEvent.objects.filter(action__in=["platform lost", "begin fallback", "platform back", "end fallback"])
    assert [row.action for row in told.order_by("id")] == ["platform lost", "begin fallback", "platform back", "end fallback"]


def test_a_plan_does_not_begin_anew_while_the_return_of_the_platform_is_being_noted(plant: Plant, pilot: Pilot) -> None:
    """A clock that looked before the call, and acts after it."""
    plant.run(0, 60, every_s=10)
    FallbackRun.objects.all().delete()
    PlatformWatch.objects.update(heard_at=after(61))
    fallbacks.run_fallbacks(now=after(62))
    assert in_force() == []
