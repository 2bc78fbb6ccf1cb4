"""Alarms of devices, connections, pilots and set-points: one cause is one alarm, its members stand inside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from pilots.alarms.occurrences import Going, turn
from pilots.alarms.states import StateAlarms
from pilots.control.transitions import move
from pilots.domain.quality import Flag, Quality, Validity
from pilots.domain.setpoint import SetpointState
from pilots.models import Alarm, AlarmRule, Connection, Device, LatestValue, Pilot, Point, Setpoint
from tests.alarms.builders import make_pilot_rule, make_rule
from tests.builders import make_connection, make_pilot
from tests.conftest import Battery

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
OLD = Quality(Validity.QUESTIONABLE, flags=Flag.OLD).pack()
GROUP_DELAY_S, DEVICE_DELAY_S = 5, 10


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def line_rule(line: Connection) -> AlarmRule:
    form = {"subject": f"connection {line.name}", "kind": "connection_lost", "on_delay_s": GROUP_DELAY_S}
    return AlarmRule.objects.create(pilot=line.pilot, connection=line, priority=2, what="Link down", **form)


def meters(pilot: Pilot, line: Connection, count: int, *, prefix: str = "es-M") -> list[Device]:
    """Devices with a value each, and their rules."""
    codes = [f"{prefix}{number:04}" for number in range(count)]
    found = Device.objects.bulk_create(Device(pilot=pilot, code=code, kind="meter", connection=line) for code in codes)
    points = Point.objects.bulk_create(Point(device=each, name="active_power", kind="measurement", period_s=10) for each in found)
    moments = {"source_time": NOW, "received_time": NOW}
    LatestValue.objects.bulk_create(LatestValue(point=point, value=1, quality=0, **moments) for point in points)
    form: dict[str, Any] = {"kind": "device_lost", "priority": 3, "what": "Device not reachable", "on_delay_s": DEVICE_DELAY_S}
    AlarmRule.objects.bulk_create(AlarmRule(pilot=pilot, device=each, subject=each.code, **form) for each in found)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as the database does by itself where rows stay for longer than a test
    return found


def lose(*devices: Device, quality: int = OLD) -> None:
    points = list(Point.objects.filter(device__in=devices).values_list("pk", flat=True))
    LatestValue.objects.filter(pk__in=points).update(quality=quality)


def renew(*devices: Device) -> None:
    lose(*devices, quality=0)


def look(states: StateAlarms, *seconds: float) -> None:
    for second in seconds:
        states.look(after(second))


def announced() -> list[str]:
    return sorted(alarm.subject for alarm in Alarm.objects.filter(closed_at=None, hidden=""))


@pytest.fixture
def states(db: None) -> StateAlarms:
    return StateAlarms()


@pytest.fixture
def line(db: None) -> Connection:
    line = make_connection(make_pilot(), "es-rtu01")
    line_rule(line)
    make_pilot_rule(line.pilot)
    return line


def test_a_silent_device_is_an_alarm_after_its_delay_and_returns(states: StateAlarms, line: Connection) -> None:
    device, _ = meters(line.pilot, line, 2)
    lose(device)
    look(states, 0, 9)
    assert announced() == []
    look(states, 10)
    assert announced() == ["es-M0000"]
    renew(device)
    look(states, 11)
    assert [alarm.state for alarm in Alarm.objects.all()] == ["returned"]


def test_f29_a_thousand_devices_lost_at_once_are_at_most_three_announced(states: StateAlarms, line: Connection) -> None:
    devices = meters(line.pilot, line, 1000)
    lose(*devices)
    Connection.objects.update(state="down", last_error="No route to host")
    seen = set()
    for second in range(0, 61, 5):
        look(states, second)
        seen |= set(announced())
    assert seen == {"connection es-rtu01"}
    cause = Alarm.objects.get(kind="connection_lost")
    assert (cause.members.count(), cause.detail, cause.first_out) == (1000, "No route to host", True)
    assert cause.raised_at - NOW <= timedelta(seconds=10)


def test_a_thousand_that_fall_silent_one_after_the_other_are_at_most_three_too(states: StateAlarms, line: Connection) -> None:
    devices, seen = meters(line.pilot, line, 1000), set()
    for second in range(40):
        lose(*devices[second * 100 : (second + 1) * 100])
        look(states, second)
        seen |= set(announced())
    assert len(seen) <= 3
    assert "connection es-rtu01" in seen


def test_many_connections_of_a_pilot_are_one_alarm_of_the_pilot(states: StateAlarms, line: Connection) -> None:
    lines = [make_connection(line.pilot, f"es-gw{number}") for number in range(8)]
    for number, own in enumerate(lines):
        line_rule(own)
        lose(*meters(line.pilot, own, 1, prefix=f"es-G{number}-"))
    Connection.objects.filter(pk__in=[own.pk for own in lines]).update(state="down")
    look(states, 0, 5, 10, 15)
    assert announced() == [""]
    assert Alarm.objects.get(kind="pilot_lost").members.count() == 16


def test_members_end_by_themselves_and_only_their_cause_is_acknowledged(states: StateAlarms, line: Connection) -> None:
    devices = meters(line.pilot, line, 6)
    lose(*devices)
    look(states, 0, 5, 10)
    renew(*devices)
    look(states, 11)
    assert [alarm.subject for alarm in Alarm.objects.filter(closed_at=None)] == ["connection es-rtu01"]


def test_who_is_still_lost_a_while_after_the_cause_speaks_for_itself(states: StateAlarms, line: Connection) -> None:
    devices = meters(line.pilot, line, 6)
    lose(*devices)
    look(states, 0, 5, 10)
    renew(*devices[1:])
    look(states, 11, 40)
    assert announced() == ["connection es-rtu01"]
    look(states, 42)
    assert announced() == ["connection es-rtu01", "es-M0000"]


def test_who_spoke_before_the_cause_was_known_becomes_a_member(states: StateAlarms, line: Connection) -> None:
    devices = meters(line.pilot, line, 8)
    lose(devices[0])
    look(states, 0, 10)
    assert announced() == ["es-M0000"]
    lose(*devices)
    look(states, 11, 16, 22)
    assert announced() == ["connection es-rtu01"]


def test_a_rule_that_is_switched_off_ends_its_alarm(states: StateAlarms, line: Connection) -> None:
    (device,) = meters(line.pilot, line, 1)
    lose(device)
    look(states, 0, 10)
    AlarmRule.objects.filter(device=device).update(enabled=False)
    look(states, 11)
    assert announced() == []


def test_an_acknowledged_alarm_that_stays_asks_again(battery: Battery, states: StateAlarms) -> None:
    rule = make_rule(battery.power, realarm_s=600)
    form = {"subject": rule.subject, "kind": rule.kind, "priority": 3, "what": "x", "state": "acknowledged"}
    times = {"raised_at": NOW, "recent_since": NOW, "changed_at": NOW, "acknowledged_at": NOW}
    Alarm.objects.create(rule=rule, pilot=battery.pilot, **form, **times)
    look(states, 599)
    assert Alarm.objects.get().state == "acknowledged"
    look(states, 600)
    assert Alarm.objects.get().state == "unacknowledged"


def dispatched(setpoint: Setpoint) -> Setpoint:
    Setpoint.objects.filter(pk=setpoint.pk).update(state="dispatched", claimed_at=NOW)
    setpoint.refresh_from_db()
    return setpoint


def test_a_failed_setpoint_is_an_alarm_at_once(battery: Battery, wish: Callable[..., Setpoint]) -> None:
    make_rule(battery.p_set, kind="setpoint_failed")
    setpoint = dispatched(wish())
    reason = "The device has not followed: active_power shows 0 W."
    assert move(setpoint, [SetpointState.DISPATCHED], SetpointState.FAILED, now=after(15), actor="feedback", reason=reason)
    alarm = Alarm.objects.get()
    assert (alarm.state, alarm.detail, alarm.raised_at) == ("unacknowledged", reason, after(15))


def test_a_failed_setpoint_is_over_when_a_later_one_is_executed(
    battery: Battery, wish: Callable[..., Setpoint], states: StateAlarms
) -> None:
    make_rule(battery.p_set, kind="setpoint_failed")
    move(dispatched(wish()), [SetpointState.DISPATCHED], SetpointState.FAILED, now=after(15), actor="feedback", reason="no")
    look(states, 16)
    assert Alarm.objects.get().state == "unacknowledged"
    later = wish(now=after(20))
    Setpoint.objects.filter(pk=later.pk).update(state="executed")
    look(states, 21)
    assert Alarm.objects.get().state == "returned"


def test_an_unknown_setpoint_is_an_alarm_once_reading_has_not_resolved_it(
    battery: Battery, wish: Callable[..., Setpoint], states: StateAlarms
) -> None:
    make_rule(battery.p_set, kind="setpoint_failed")
    setpoint = dispatched(wish())
    Setpoint.objects.filter(pk=setpoint.pk).update(state="unknown")
    look(states, 5)
    assert not Alarm.objects.exists()
    look(states, 31)
    assert Alarm.objects.get().state == "unacknowledged"
    Setpoint.objects.filter(pk=setpoint.pk).update(state="executed")
    look(states, 32)
    assert Alarm.objects.get().state == "returned"


def test_what_is_gone_twice_is_gone_once(battery: Battery) -> None:
    rule = make_rule(battery.power)
    turn([], [Going(rule.pk, NOW)], now=NOW)
    assert not Alarm.objects.exists()


def test_a_point_may_have_no_such_rule(wish: Callable[..., Setpoint]) -> None:
    assert move(dispatched(wish()), [SetpointState.DISPATCHED], SetpointState.FAILED, now=NOW, actor="x", reason="no")
    assert not Alarm.objects.exists()
