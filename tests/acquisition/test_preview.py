"""What pages see ahead of a commit, and what no longer waits for one."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest
from django.conf import settings

import pilots.acquisition.ingest as ingest_module
from pilots.acquisition.batch import Entry
from pilots.acquisition.gathering import gather
from pilots.acquisition.ingest import Ingest
from pilots.acquisition.preview import SHOWN_S
from pilots.domain.columns import Ints
from pilots.domain.measurement import RawReading
from pilots.domain.moments import microseconds
from pilots.live.hub import hub
from pilots.models import Alarm, Point
from tests.acquisition.puts import announce, at, latest, locked_database, power, samples
from tests.alarms.builders import make_rule
from tests.builders import make_device, make_point
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


def test_what_nothing_renews_soon_is_told_again_once_it_is_stored(
    battery: Battery, door: Ingest, shown: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    Point.objects.filter(pk=battery.power.pk).update(period_s=None, max_interval_s=None)
    announce(door, battery)
    power(door, 1.0, 0)
    monkeypatch.setattr(ingest_module, "WINDOW_S", 30.0)
    door.put("es-STO01", [RawReading("active_power", 2000.0)], datetime.now(UTC))
    until(lambda: 2000.0 in shown)
    door.stop()
    assert shown == [1.0, 2000.0, 2000.0]


def test_a_delay_runs_out_while_other_values_come_all_the_time(battery: Battery, door: Ingest) -> None:
    make_rule(battery.power, limit=5_000.0, on_delay_s=1.0)
    announce(door, battery)
    power(door, 6_000.0, (datetime.now(UTC) - at(0)).total_seconds())
    feeding = threading.Event()

    def feed() -> None:
        while not feeding.is_set():
            if door.queued < 2_000:
                door.put("es-STO01", [RawReading("soc", 50.0)], datetime.now(UTC))

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        until(lambda: Alarm.objects.filter(rule__point=battery.power, returned_at=None).exists())
    finally:
        feeding.set()
        feeder.join()


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


def test_an_alarm_does_not_wait_for_the_window(battery: Battery, door: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    make_rule(battery.power, limit=5_000.0)
    announce(door, battery)
    power(door, 1.0, 0)
    monkeypatch.setattr(ingest_module, "WINDOW_S", 30.0)
    waiting = door.put("es-STO01", [RawReading("active_power", 6_000.0)], datetime.now(UTC))
    waiting.result(10)
    assert Alarm.objects.get(rule__point=battery.power).returned_at is None


def test_an_alarm_takes_what_its_own_device_told_along_and_nothing_else(
    battery: Battery, door: Ingest, shown: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule(battery.power, limit=5_000.0)
    other = make_point(make_device(battery.pilot, "es-STO02"))
    announce(door, battery)
    power(door, 1.0, 0)
    monkeypatch.setattr(ingest_module, "WINDOW_S", 30.0)
    told = [("es-STO02", 7_000.0, 1), ("es-STO01", 2_000.0, 1), ("es-STO01", 6_000.0, 2), ("es-STO02", 8_000.0, 2)]
    futures = [door.put(device, [RawReading("active_power", value, source_time=at(s))], at(s)) for device, value, s in told]
    futures[2].result(10)
    assert [future.done() for future in futures] == [False, True, True, False]
    assert [row.value for row in samples(battery.power)] == [1.0, 2_000.0, 6_000.0]
    assert samples(other) == []
    assert latest(battery.power).value == 6_000.0, "also under load: who hears of the alarm finds the value"
    until(lambda: 8_000.0 in shown)
    time.sleep(0.1)  # several looks
    assert shown.count(6_000.0) == 1
    door.stop()
    assert [row.value for row in samples(other)] == [7_000.0, 8_000.0]
    assert all(future.done() for future in futures)


def test_a_look_rests_nine_times_as_long_as_it_cost(battery: Battery, door: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a flood it would cost as much as storing."""
    power(door, 1.0, 0)
    door.stop()
    looks = []

    def dear(*_: object) -> Ints:
        looks.append(time.thread_time())
        while time.thread_time() < looks[-1] + 0.02:
            pass
        return np.empty(0, dtype=np.int64)

    monkeypatch.setattr(door.alarms, "turning", dear)
    for _ in range(3):
        door.put("es-STO01", [RawReading("active_power", 2.0)], datetime.now(UTC))
        door._look_ahead()
    assert len(looks) == 1
    until(lambda: door._look_ahead() or len(looks) == 2)


def test_what_was_stored_alone_is_not_shown_ahead_any_more(battery: Battery, door: Ingest) -> None:
    """The others of its window still wait to be shown."""
    other = make_point(make_device(battery.pilot, "es-STO02"))
    announce(door, battery)
    power(door, 1.0, 100)
    door.stop()
    entries = [Entry(device, [RawReading("active_power", 2.0)], microseconds(at(101))) for device in ("es-STO01", "es-STO02")]
    arrived = gather(entries, door.directory.table)
    door.preview.add(arrived)
    assert len(door.preview.unseen(arrived.take(np.array([0])))) == 1
    time.sleep(SHOWN_S)
    news = door.preview.due_news(door.image.latest)
    assert news is not None and list(news) == [other.pk]


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
