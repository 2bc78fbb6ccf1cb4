"""Limits against values as they come through the one door: when an alarm stands in the table, and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.db import DataError

from pilots.acquisition.ingest import Ingest
from pilots.alarms.evaluation import LimitWatch
from pilots.catalogue.services import note_change
from pilots.domain.columns import Measurements
from pilots.domain.measurement import Measurement, RawReading
from pilots.domain.quality import GOOD
from pilots.live.hub import Hub
from pilots.models import Alarm, AlarmRule, LatestValue, Point
from tests.alarms.builders import make_rule
from tests.builders import make_device, make_latest, make_point
from tests.conftest import Battery
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class Clocked:
    """A watch as a flush feeds it, by a clock of the test's own."""

    def __init__(self, *points: Point) -> None:
        self.ids = np.array(sorted(point.pk for point in points))
        self.latest = np.full(self.ids.size, np.nan)
        self.watch = LimitWatch()
        self.watch.follow(self.ids)

    def take(self, point: Point, value: float, second: float) -> None:
        values = Measurements.of([Measurement(value, GOOD, after(second), after(second))])
        slot = np.flatnonzero(self.ids == point.pk)
        self.watch.keep(self.watch.evaluate(slot, values, self.latest, now=after(second)))
        self.latest[slot] = value

    def elapse(self, second: float) -> None:
        self.watch.keep(self.watch.elapse(self.latest, now=after(second)))


def states() -> list[tuple[str, bool]]:
    return [(alarm.state, alarm.closed_at is None) for alarm in Alarm.objects.order_by("raised_at")]


def test_f30_a_value_that_dithers_on_its_limit_for_ten_minutes_is_at_most_two_alarms(battery: Battery) -> None:
    make_rule(battery.power, limit=80.0, deadband=8.0)
    clocked = Clocked(battery.power)
    for second in range(600):
        clocked.take(battery.power, 80 + (0.5 if second % 2 else -0.5), second)
    assert Alarm.objects.count() <= 2
    assert states() == [("unacknowledged", True)]


def test_dithering_without_a_deadband_is_chatter_and_shelves_itself(battery: Battery) -> None:
    rule = make_rule(battery.power, limit=80.0)
    clocked = Clocked(battery.power)
    for second in range(600):
        clocked.take(battery.power, 80 + (0.5 if second % 2 else -0.5), second)
    rule.refresh_from_db()
    assert (rule.hidden, rule.hidden_by) == ("shelved", "chatter")
    assert Alarm.objects.count() <= 2


def test_an_alarm_tells_the_value_and_the_limit_it_was_raised_by(battery: Battery) -> None:
    make_rule(battery.power, limit=80.0)
    Clocked(battery.power).take(battery.power, 91.5, 3)
    alarm = Alarm.objects.get()
    assert (alarm.value, alarm.limit, alarm.unit, alarm.raised_at) == (91.5, 80.0, "W", after(3))
    assert (alarm.subject, alarm.first_out) == ("es-STO01/active_power", True)


def test_what_comes_back_within_a_minute_is_the_same_alarm(battery: Battery) -> None:
    make_rule(battery.power, limit=80.0)
    clocked = Clocked(battery.power)
    for second, value in enumerate((81, 79, 81)):
        clocked.take(battery.power, value, second)
    assert states() == [("unacknowledged", True)]
    assert Alarm.objects.get().times == 2


def test_a_delay_runs_out_while_no_value_comes(battery: Battery) -> None:
    make_rule(battery.power, limit=80.0, on_delay_s=30)
    clocked = Clocked(battery.power)
    clocked.take(battery.power, 90, 0)
    clocked.elapse(29)
    assert not Alarm.objects.exists()
    clocked.elapse(31)
    assert (Alarm.objects.get().raised_at, Alarm.objects.get().value) == (after(30), 90)


def test_a_restart_neither_forgets_nor_repeats_an_alarm(battery: Battery) -> None:
    make_rule(battery.power, limit=80.0)
    Clocked(battery.power).take(battery.power, 90, 0)
    restarted = Clocked(battery.power)
    restarted.take(battery.power, 91, 1)
    assert states() == [("unacknowledged", True)]
    restarted.take(battery.power, 50, 2)
    assert states() == [("returned", True)]


def test_two_workers_that_see_the_same_value_raise_one_alarm(battery: Battery) -> None:
    make_rule(battery.power, limit=80.0)
    one, other = Clocked(battery.power), Clocked(battery.power)
    one.take(battery.power, 90, 0)
    other.take(battery.power, 90, 0)
    assert Alarm.objects.count() == 1


def test_what_one_worker_raised_another_ends(battery: Battery) -> None:
    make_rule(battery.power, limit=80.0)
    one, other = Clocked(battery.power), Clocked(battery.power)
    one.take(battery.power, 90, 0)
    other.watch.sync()
    other.take(battery.power, 20, 1)
    assert states() == [("returned", True)]


def test_a_limit_is_taken_from_another_point(battery: Battery) -> None:
    bound = make_point(battery.device, "power_setting_max")
    make_rule(battery.power, limit=80.0, limit_point=bound)
    clocked = Clocked(battery.power, bound)
    clocked.take(bound, 1000.0, 0)
    clocked.take(battery.power, 900, 1)
    assert not Alarm.objects.exists()
    clocked.take(battery.power, 1001, 2)
    assert Alarm.objects.get().limit == 1000


def test_a_rule_that_is_off_raises_nothing(battery: Battery) -> None:
    make_rule(battery.power, limit=80.0, enabled=False)
    Clocked(battery.power).take(battery.power, 90, 0)
    assert not Alarm.objects.exists()


def test_five_thousand_alarms_of_ten_seconds_all_stand_in_the_table(battery: Battery) -> None:
    devices = [make_device(battery.pilot, f"es-M{number:04}", kind="meter") for number in range(250)]
    points = Point.objects.bulk_create(
        Point(device=device, name=f"p{number}", kind="measurement", unit="W") for device in devices for number in range(20)
    )
    subjects = [(point, f"{point.device.code}/{point.name}") for point in points]
    AlarmRule.objects.bulk_create(
        AlarmRule(
            pilot=battery.pilot, point=point, device=point.device, subject=subject, kind="high", limit=1, priority=3, what="x"
        )
        for point, subject in subjects
    )
    clocked = Clocked(*points)
    for second in range(10):
        slots = np.arange(second * 500, (second + 1) * 500)
        values = Measurements.of([Measurement(2.0, GOOD, after(second), after(second))] * 500)
        clocked.watch.keep(clocked.watch.evaluate(slots, values, clocked.latest, now=after(second)))
    assert Alarm.objects.filter(closed_at=None).count() == 5000


def test_a_value_through_the_door_is_an_alarm_in_its_own_flush(door: Ingest, battery: Battery) -> None:
    make_rule(battery.power, limit=80.0)
    make_latest(battery.power, 10.0, at=NOW)
    note_change(battery.pilot)
    door.directory.refresh(force=True)
    received = datetime.now(UTC)
    door.put("es-STO01", [RawReading("active_power", 90.0, source_time=received)], received).result(10)
    alarm = Alarm.objects.get()
    assert (alarm.value, alarm.raised_at) == (90.0, received)


def test_a_page_that_cannot_be_told_does_not_undo_what_is_stored(
    door: Ingest, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Hub, changes: object) -> None:
        raise ConnectionError("the live channel is away")

    make_rule(battery.power, limit=80.0)
    note_change(battery.pilot)
    door.directory.refresh(force=True)
    monkeypatch.setattr(Hub, "publish", refuse)
    received = datetime.now(UTC)
    door.put("es-STO01", [RawReading("active_power", 90.0, source_time=received)], received).result(10)
    assert Alarm.objects.count() == 1
    assert door.counters.poisoned == 0


@pytest.mark.parametrize("error", [ValueError("no such priority"), DataError("value out of range")])
def test_alarms_that_cannot_be_told_refuse_no_value_and_come_with_the_next(
    door: Ingest, battery: Battery, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object, **__: object) -> None:
        Alarm.objects.update(detail="half done")
        raise error

    make_rule(battery.power, limit=80.0)
    note_change(battery.pilot)
    door.directory.refresh(force=True)
    with monkeypatch.context() as patch:
        patch.setattr("pilots.alarms.evaluation.turn", refuse)
        received = datetime.now(UTC)
        door.put("es-STO01", [RawReading("active_power", 90.0, source_time=received)], received).result(10)
    assert LatestValue.objects.get(point=battery.power).value == 90.0
    assert (door.counters.alarms_failed, door.counters.poisoned, Alarm.objects.count()) == (1, 0, 0)
    later = received + timedelta(seconds=1)
    door.put("es-STO01", [RawReading("active_power", 91.0, source_time=later)], later).result(10)
    assert Alarm.objects.get().value == 91.0


def test_a_delay_whose_alarm_cannot_be_told_does_not_end_the_writer(
    door: Ingest, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("no such priority")

    make_rule(battery.power, limit=80.0, on_delay_s=0.2)
    note_change(battery.pilot)
    door.directory.refresh(force=True)
    received = datetime.now(UTC)
    with monkeypatch.context() as patch:
        patch.setattr("pilots.alarms.evaluation.turn", refuse)
        door.put("es-STO01", [RawReading("active_power", 90.0, source_time=received)], received).result(10)
        until(lambda: door.counters.alarms_failed)
    until(Alarm.objects.exists)


def test_the_door_raises_what_is_delayed_although_nothing_more_comes(door: Ingest, battery: Battery) -> None:
    make_rule(battery.power, limit=80.0, on_delay_s=0.3)
    note_change(battery.pilot)
    door.directory.refresh(force=True)
    received = datetime.now(UTC)
    door.put("es-STO01", [RawReading("active_power", 90.0, source_time=received)], received).result(10)
    until(Alarm.objects.exists)
    alarm = Alarm.objects.get()
    assert abs(alarm.raised_at - received - timedelta(seconds=0.3)) < timedelta(milliseconds=1)
