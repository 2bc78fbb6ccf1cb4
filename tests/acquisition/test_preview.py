"""What pages see ahead of a commit, and what no longer waits for one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.db import OperationalError

import pilots.acquisition.ingest as ingest_module
from pilots.acquisition.batch import Entry
from pilots.acquisition.gathering import gather
from pilots.acquisition.ingest import Ingest
from pilots.control.services import request_setpoint
from pilots.domain.measurement import RawReading
from pilots.domain.moments import microseconds
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.live.hub import hub
from pilots.models import Alarm, Setpoint
from tests.acquisition.puts import announce, at, latest, locked_database, power, put
from tests.alarms.builders import make_rule
from tests.conftest import Battery
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shown() -> list[float]:
    """The values of the battery's power as pages get them."""
    values: list[float] = []

    def take(_number: int, text: str, _gap: bool) -> None:
        values.extend(row[1] for row in orjson.loads(text).get("points", ()))

    hub(settings.REDIS_URL).subscribe("es", take)
    return values


def make_dispatched(battery: Battery, value: float) -> Setpoint:
    """A set-point that was sent to the battery just now."""
    now = datetime.now(UTC)
    form: dict[str, Any] = {"unit": "W", "issuer": Issuer.OPERATOR, "requested_by": "ana", "now": now}
    setpoint = request_setpoint(point=battery.p_set, value=value, valid_until=now + timedelta(minutes=5), **form)
    Setpoint.objects.filter(pk=setpoint.pk).update(state=SetpointState.DISPATCHED, claimed_at=now)
    return setpoint


def test_pages_see_a_value_when_it_comes_and_once(
    battery: Battery, door: Ingest, shown: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    power(door, 1.0, 0)
    monkeypatch.setattr(ingest_module, "WINDOW_S", 30.0)
    waiting = door.put("es-STO01", [RawReading("active_power", 2000.0)], datetime.now(UTC))
    until(lambda: 2000.0 in shown)
    assert not waiting.done()
    assert latest(battery.power).value == 1.0
    door.stop()
    waiting.result(10)
    assert latest(battery.power).value == 2000.0
    assert shown == [1.0, 2000.0]


def test_while_the_database_is_away_pages_stand_still(
    battery: Battery, door: Ingest, shown: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "WINDOW_S", 0.0)
    power(door, 1.0, 0)
    until(lambda: shown == [1.0])
    with locked_database():
        first = door.put("es-STO01", [RawReading("active_power", 2000.0)], datetime.now(UTC))
        until(lambda: door.queued == 0)
        second = door.put("es-STO01", [RawReading("active_power", 3000.0)], datetime.now(UTC))
        assert shown == [1.0]
    first.result(10)
    second.result(10)
    until(lambda: shown == [1.0, 2000.0, 3000.0])


def test_an_alarm_is_there_before_the_value_that_raised_it_and_once(
    battery: Battery, door: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule(battery.power, limit=5_000.0)
    announce(door, battery)
    power(door, 1.0, 0)
    monkeypatch.setattr(ingest_module, "WINDOW_S", 30.0)
    waiting = door.put("es-STO01", [RawReading("active_power", 6_000.0)], datetime.now(UTC))
    until(lambda: Alarm.objects.filter(rule__point=battery.power).exists())
    alarm = Alarm.objects.get(rule__point=battery.power)
    assert not waiting.done()
    assert latest(battery.power).value == 1.0
    door.stop()
    waiting.result(10)
    again = Alarm.objects.get(rule__point=battery.power)
    assert (again.pk, again.times, again.value, again.returned_at) == (alarm.pk, 1, 6_000.0, None)


def test_the_delay_of_an_alarm_does_not_see_a_value_twice(
    battery: Battery, door: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rate has no second value to be one of; told twice of the same it would have gone back."""
    make_rule(battery.power, kind="rate", limit=1.0, on_delay_s=0.5)
    make_rule(battery.power, limit=5_000.0)
    announce(door, battery)
    power(door, 1.0, 0)
    monkeypatch.setattr(ingest_module, "WINDOW_S", 30.0)
    waiting = door.put("es-STO01", [RawReading("active_power", 6_000.0)], datetime.now(UTC))
    until(lambda: Alarm.objects.filter(rule__kind="high").exists())
    monkeypatch.setattr(ingest_module, "WINDOW_S", 0.1)
    put(door, "es-STO01", RawReading("reactive_power", 1.0))  # the window ends
    waiting.result(10)
    until(lambda: Alarm.objects.filter(rule__kind="rate").exists())


def test_a_set_point_is_executed_before_the_value_that_proves_it(
    battery: Battery, door: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    power(door, 1.0, 0)
    setpoint = make_dispatched(battery, -20_000.0)
    door.note_pending_setpoint()
    monkeypatch.setattr(ingest_module, "WINDOW_S", 30.0)
    waiting = door.put("es-STO01", [RawReading("active_power", -20_000.0)], datetime.now(UTC))
    until(lambda: Setpoint.objects.get(pk=setpoint.pk).state == SetpointState.EXECUTED)
    assert not waiting.done()
    assert latest(battery.power).value == 1.0
    door.stop()
    waiting.result(10)
    assert list(setpoint.events.values_list("state", flat=True)).count(SetpointState.EXECUTED) == 1


def test_what_cannot_be_decided_ahead_is_decided_with_the_value(
    battery: Battery, door: Ingest, shown: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("no")

    make_rule(battery.power, limit=5_000.0)
    announce(door, battery)
    power(door, 1.0, 0)
    monkeypatch.setattr(door.alarms, "turn_ahead", refuse)
    monkeypatch.setattr(ingest_module, "WINDOW_S", 30.0)
    waiting = door.put("es-STO01", [RawReading("active_power", 6_000.0)], datetime.now(UTC))
    until(lambda: shown == [1.0, 6_000.0])
    assert not Alarm.objects.exists()
    door.stop()
    waiting.result(10)
    assert Alarm.objects.filter(rule__point=battery.power).exists()


def test_what_is_shown_ahead_is_never_older_than_what_is_stored_or_shown(battery: Battery, door: Ingest) -> None:
    power(door, 1.0, 100)
    preview, image = door.preview, door.image

    def news(value: float, seconds: float, received: float) -> list[float]:
        reading = RawReading("active_power", value, source_time=at(seconds))
        arrived = gather([Entry("es-STO01", [reading], microseconds(at(received)))], door.directory.table)
        return list(preview.news(arrived, image.latest).measurements.value)

    assert news(2.0, 99, 101) == []
    assert news(3.0, 102, 103) == [3.0]
    assert news(4.0, 101, 104) == []
    # Renewed, of the same instant: pages must not let it grow old.
    assert news(3.0, 102, 105) == [3.0]
