"""Schedules at the one door: steps by the clock, overlap, revisions, outages, handing over without a step through zero."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from pilots.control import dispatch, expiry, schedules, stepping
from pilots.control.feedback import check_feedback
from pilots.control.releases import cancel_setpoint
from pilots.control.schedule_records import step_records
from pilots.control.schedules import create_schedule
from pilots.domain.errors import SetpointRejected
from pilots.domain.measurement import Measurement
from pilots.domain.quality import GOOD
from pilots.domain.schedule import Curve, OnExpiry
from pilots.domain.setpoint import Issuer
from pilots.models import AuditEvent, Connection, LatestValue, Schedule, Setpoint
from pilots.models.leases import HeldLease, take_lease
from tests.conftest import Battery
from tests.control.conftest import NOW, after

pytestmark = pytest.mark.django_db
Wish = Callable[..., Setpoint]
STEP = 300


@pytest.fixture
def plan(battery: Battery) -> Callable[..., Schedule]:
    """A schedule of the battery in steps of 5 min from 08:00 UTC, unless told otherwise."""

    def make(*values: float | None, **fields: Any) -> Schedule:
        grid = {name: fields.pop(name) for name in ("start", "resolution_s", "on_expiry", "fallback_value") if name in fields}
        curve = Curve(**({"start": NOW, "resolution_s": STEP, "values": values} | grid))
        form: dict[str, Any] = {"point": battery.p_set, "unit": "W", "issuer": Issuer.PLATFORM, "requested_by": "platform"}
        return create_schedule(**(form | {"curve": curve, "now": NOW} | fields))

    return make


Plan = Callable[..., Schedule]


class Plant:
    """The gateway and the device: writes what is due, measures what was written."""

    def __init__(self, battery: Battery) -> None:
        self.battery = battery
        self.clocks: list[Callable[..., int]] = [stepping.run_schedules, expiry.expire_setpoints]
        lease = take_lease("connection:es-rtu01", "gateway-1", ttl_s=40 * 3600, now=NOW - timedelta(hours=1))
        assert lease is not None
        self.lease: HeldLease = lease
        self.written: list[float] = []

    def tick(self, now: datetime, *, up: bool = True) -> None:
        """One second of the clocks, and of the gateway if the link is up."""
        for clock in self.clocks:
            clock(now=now)
        if up:
            self.serve(now)

    def serve(self, now: datetime) -> None:
        for setpoint in list(
            Setpoint.objects.filter(state="validated", claimed_at=None, valid_from__lte=now).order_by("received_at")
        ):
            if dispatch.claim_setpoint(setpoint, self.lease, now=now):
                self.written.append(setpoint.value)
                dispatch.note_dispatched(setpoint, raw="", actor="gateway-1", now=now)
                self.measure(setpoint.value, now + timedelta(milliseconds=1))

    def measure(self, value: float, moment: datetime) -> None:
        form = {"value": value, "quality": GOOD.pack(), "source_time": moment, "received_time": moment}
        LatestValue.objects.update_or_create(point=self.battery.power, defaults=form)
        check_feedback({self.battery.power.pk: Measurement(value, GOOD, moment, moment)}, now=moment)

    def run(self, start_s: float, end_s: float, *, every_s: float = 30.0, up: bool = True) -> None:
        second = start_s
        while second <= end_s:
            if up:  # the device reports by itself
                newest = LatestValue.objects.filter(point=self.battery.power).first()
                self.measure(0.0 if newest is None or newest.value is None else newest.value, after(second))
            self.tick(after(second), up=up)
            second += every_s


@pytest.fixture
def plant(battery: Battery) -> Plant:
    return Plant(battery)


def link(battery: Battery, state: str) -> None:
    Connection.objects.filter(pk=battery.connection.pk).update(state=state)
    battery.connection.refresh_from_db()


def state(schedule: Schedule) -> str:
    schedule.refresh_from_db()
    return schedule.state


def test_every_step_becomes_a_set_point_a_minute_ahead_and_follows_without_a_step_through_zero(plan: Plan, plant: Plant) -> None:
    schedule = plan(-10_000.0, -20_000.0, 5_000.0, start=after(120))
    plant.run(0, 59)
    assert (Setpoint.objects.count(), state(schedule)) == (0, "accepted")
    plant.run(60, 100)
    first = Setpoint.objects.get()
    assert (first.issuer, first.priority, first.schedule_id, first.step) == ("schedule", 6, schedule.pk, 0)
    assert (first.valid_from, first.valid_until, first.state) == (after(120), after(120 + STEP), "validated")
    plant.run(120, 120 + 3 * STEP + 40)
    assert plant.written == [-10_000.0, -20_000.0, 5_000.0, 0.0]
    assert state(schedule) == "completed"
    assert set(schedule.setpoints.values_list("state", flat=True)) == {"executed"}


def test_s6_after_a_gap_of_four_hours_there_is_one_write_the_value_for_now(plan: Plan, plant: Plant, battery: Battery) -> None:
    """S6: schedules are curves: after an outage only the value for now is applied, missed steps are never replayed."""
    plan(*[-1_000.0 * number for number in range(1, 25)], resolution_s=900)
    plant.run(0, 100)
    assert plant.written == [-1_000.0]
    link(battery, "down")
    plant.run(120, 4 * 3600 + 100, every_s=300, up=False)
    link(battery, "up")
    plant.run(4 * 3600 + 120, 4 * 3600 + 400)
    assert plant.written == [-1_000.0, -17_000.0]


def test_s6_after_our_own_outage_of_four_hours_there_is_one_write(plan: Plan, plant: Plant) -> None:
    """S6, our side: nothing ran for four hours, no beat, no gateway."""
    plan(*[-1_000.0 * number for number in range(1, 25)], resolution_s=900)
    plant.run(0, 100)
    plant.run(4 * 3600 + 60, 4 * 3600 + 400)
    assert plant.written == [-1_000.0, -17_000.0]
    assert set(Setpoint.objects.filter(issuer="schedule").values_list("step", flat=True)) == {0, 16}


def test_a_gap_is_released_and_a_held_gap_is_not(plan: Plan, plant: Plant) -> None:
    plan(-10_000.0, None, -20_000.0)
    plant.run(0, 3 * STEP + 40)
    assert plant.written == [-10_000.0, 0.0, -20_000.0, 0.0]
    plant.written.clear()
    later = after(4 * STEP)
    plan(-10_000.0, None, -20_000.0, start=later, on_expiry=OnExpiry.HOLD, now=later)
    plant.run(4 * STEP, 7 * STEP + 40)
    assert plant.written == [-10_000.0, -20_000.0, 0.0]


def test_a_gap_and_the_end_have_the_fallback_value(plan: Plan, plant: Plant) -> None:
    schedule = plan(None, -10_000.0, None, on_expiry=OnExpiry.FALLBACK, fallback_value=5_000.0)
    plant.run(0, 2 * STEP + 40)
    assert plant.written == [5_000.0, -10_000.0, 5_000.0]
    assert [(step["value"], step["state"]) for step in step_records(schedule, after(2 * STEP + 40))] == [
        (5_000.0, "executed"), (-10_000.0, "executed"), (5_000.0, "executed"),
    ]  # fmt: skip
    later = after(4 * STEP)
    plant.run(2 * STEP + 60, 3 * STEP + 40)
    plan(-20_000.0, start=later, on_expiry=OnExpiry.FALLBACK, fallback_value=5_000.0, now=later)
    plant.run(4 * STEP, 5 * STEP + 40)
    assert plant.written == [5_000.0, -10_000.0, 5_000.0, -20_000.0, 5_000.0]


def test_among_equals_the_later_schedule_has_the_point_and_then_the_other_again(plan: Plan, plant: Plant) -> None:
    plan(-10_000.0, -11_000.0, -12_000.0)
    plant.run(0, 40)
    second = plan(-30_000.0, -31_000.0, now=after(60))
    plant.run(60, STEP + 100)
    assert plant.written == [-10_000.0, -30_000.0, -31_000.0]
    schedules.cancel_schedule(second, actor="ana", reason="no need", now=after(STEP + 110))
    plant.run(STEP + 120, 2 * STEP + 40)
    assert plant.written == [-10_000.0, -30_000.0, -31_000.0, -11_000.0, -12_000.0]


def test_a_stronger_schedule_goes_before_a_later_one(plan: Plan, plant: Plant) -> None:
    plan(-10_000.0, priority=5)
    plan(-30_000.0, now=after(1))
    plant.run(2, 100)
    assert plant.written == [-10_000.0]


def test_a_step_that_waited_gives_way_to_a_later_schedule(plan: Plan, plant: Plant) -> None:
    plan(-10_000.0, start=after(60))
    plant.run(0, 20)
    plan(-20_000.0, start=after(60), now=after(30))
    plant.run(40, 100)
    assert plant.written == [-20_000.0]


def test_an_operators_set_point_goes_before_and_the_schedule_resumes_without_a_step_through_zero(
    plan: Plan, plant: Plant, wish: Wish
) -> None:
    plan(-10_000.0, -11_000.0)
    plant.run(0, 40)
    wish(30_000.0, now=after(50), valid_until=after(200))
    plant.run(60, 280)
    assert plant.written == [-10_000.0, 30_000.0, -10_000.0]


def test_back_to_automatic_is_the_schedules_value_at_once(plan: Plan, plant: Plant, wish: Wish) -> None:
    plan(-10_000.0)
    plant.run(0, 40)
    by_hand = wish(30_000.0, now=after(50), valid_until=after(290))
    plant.run(60, 80)
    cancel_setpoint(Setpoint.objects.get(pk=by_hand.pk), actor="ana", reason="back", now=after(90))
    plant.run(100, 140)
    assert plant.written == [-10_000.0, 30_000.0, -10_000.0]


def test_a_step_cancelled_by_hand_is_not_asked_again_but_the_next_is(plan: Plan, plant: Plant) -> None:
    plan(-10_000.0, -11_000.0)
    plant.run(0, 40)
    cancel_setpoint(Setpoint.objects.select_related("point__device__pilot").get(), actor="ana", reason="stop", now=after(50))
    plant.run(60, STEP + 40)
    assert plant.written == [-10_000.0, 0.0, -11_000.0]


def test_a_step_that_comes_to_nothing_does_not_leave_the_device_on_the_one_before(
    plan: Plan, plant: Plant, battery: Battery
) -> None:
    plan(-10_000.0, -11_000.0)
    plant.run(0, STEP - 40)
    type(battery.p_set).objects.filter(pk=battery.p_set.pk).update(operating_minimum=-10_500)
    plant.run(STEP, STEP + 60)
    assert plant.written == [-10_000.0, 0.0]
    assert Setpoint.objects.get(step=1).code == "out_of_range"


def test_a_revision_replaces_only_what_is_not_dispatched_yet(plan: Plan, plant: Plant) -> None:
    schedule = plan(-10_000.0, -11_000.0, -12_000.0)
    plant.run(0, STEP - 40)
    assert Setpoint.objects.get(step=1).state == "validated"
    curve = Curve(start=NOW, resolution_s=STEP, values=(1_000.0, 2_000.0, 3_000.0, 4_000.0))
    schedules.revise_schedule(schedule, revision=2, curve=curve, actor="platform", now=after(STEP - 30))
    assert Setpoint.objects.get(step=1).code == "superseded"
    plant.run(STEP - 20, 4 * STEP + 40)
    schedule.refresh_from_db()
    assert (schedule.revision, schedule.values) == (2, [-10_000.0, 2_000.0, 3_000.0, 4_000.0])
    assert plant.written == [-10_000.0, 2_000.0, 3_000.0, 4_000.0, 0.0]


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"revision": 1}, "revision_conflict", "revision"),
        ({"revision": 3}, "revision_conflict", "revision"),
        ({"start": after(60)}, "out_of_range", "start"),
        ({"resolution_s": 60}, "out_of_range", "resolution"),
        ({"values": (0.0, 9e9)}, "out_of_range", "values[1]"),
    ],
)
def test_a_wrong_revision_changes_nothing(plan: Plan, fields: dict[str, Any], code: str, field: str) -> None:
    schedule = plan(-10_000.0, -11_000.0)
    revision = fields.pop("revision", 2)
    curve = Curve(**({"start": NOW, "resolution_s": STEP, "values": (0.0, 0.0)} | fields))
    with pytest.raises(SetpointRejected) as caught:
        schedules.revise_schedule(schedule, revision=revision, curve=curve, actor="platform", now=after(1))
    assert (caught.value.code, caught.value.field) == (code, field)
    schedule.refresh_from_db()
    assert (schedule.revision, schedule.values) == (1, [-10_000.0, -11_000.0])


def test_a_cancelled_schedule_gives_the_point_back_and_asks_for_nothing(plan: Plan, plant: Plant) -> None:
    schedule = plan(-10_000.0, -11_000.0)
    plant.run(0, STEP - 40)
    schedules.cancel_schedule(schedule, actor="ana", reason="storm", now=after(STEP - 30))
    plant.run(STEP - 20, STEP + 60)
    assert plant.written == [-10_000.0, 0.0]
    assert (state(schedule), schedule.explanation) == ("cancelled", "storm")
    with pytest.raises(SetpointRejected, match="already cancelled"):
        schedules.cancel_schedule(schedule, actor="ana", reason="", now=after(STEP))


def test_a_draft_asks_for_nothing_until_it_is_accepted(plan: Plan, plant: Plant) -> None:
    schedule = plan(-10_000.0, draft=True)
    plant.run(0, 40)
    assert (plant.written, state(schedule)) == ([], "draft")
    schedules.accept_schedule(schedule, actor="ana", now=after(50))
    plant.run(60, 100)
    assert (plant.written, state(schedule)) == ([-10_000.0], "running")
    with pytest.raises(SetpointRejected, match="already running"):
        schedules.accept_schedule(schedule, actor="ana", now=after(110))


def test_a_schedule_of_which_nothing_was_executed_has_failed(plan: Plan, plant: Plant, battery: Battery) -> None:
    schedule = plan(-10_000.0)
    link(battery, "down")
    plant.run(0, STEP + 40, every_s=100, up=False)
    assert (state(schedule), schedule.explanation) == ("failed", "No step of it was executed.")
    assert Setpoint.objects.get().code == "link_down"


def test_every_change_stands_in_the_audit_trail(plan: Plan, plant: Plant) -> None:
    schedule = plan(-10_000.0, -11_000.0, reason="day ahead")
    plant.run(0, 20)
    curve = Curve(start=NOW, resolution_s=STEP, values=(0.0, 0.0))
    schedules.revise_schedule(schedule, revision=2, curve=curve, actor="platform", now=after(30))
    schedules.cancel_schedule(schedule, actor="ana", reason="storm", now=after(40))
    rows = AuditEvent.objects.filter(details__id=str(schedule.pk)).order_by("id")
    assert [(row.action, row.actor) for row in rows] == [
        ("create schedule", "platform"),
        ("schedule running", "clock"),
        ("revise schedule", "platform"),
        ("cancel schedule", "ana"),
    ]
    assert rows[2].details["before"] == [-10_000.0, -11_000.0]
    assert rows[2].details["values"] == [-10_000.0, 0.0]


def test_one_schedule_that_cannot_be_read_stops_no_other(plan: Plan, plant: Plant) -> None:
    broken = plan(-10_000.0)
    Schedule.objects.filter(pk=broken.pk).update(values=["x"], priority=7)
    plan(-20_000.0)
    plant.run(0, 20)
    assert plant.written == [-20_000.0]


def test_a_point_has_a_bounded_number_of_open_schedules(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "MOST_OPEN", 2)
    plan(0.0), plan(0.0)
    with pytest.raises(SetpointRejected) as caught:
        plan(0.0)
    assert caught.value.code == "rate_limited"


def test_a_point_with_a_ramp_and_an_interlock_takes_a_schedule_and_its_steps_bear_the_ramp(plan: Plan, battery: Battery) -> None:
    capability = battery.p_set.capability | {"ramp": 1_000, "interlock": "active_power < 150000"}
    type(battery.p_set).objects.filter(pk=battery.p_set.pk).update(capability=capability)
    battery.p_set.refresh_from_db()
    plan(-10_000.0)
    Plant(battery).measure(0.0, NOW)
    stepping.run_schedules(now=after(1))
    setpoint = Setpoint.objects.get()
    assert (setpoint.state, setpoint.ramp, setpoint.step) == ("validated", 1_000.0, 0)
