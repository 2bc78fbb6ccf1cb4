"""The one door for values: what is stored, when, and when the sender hears of it."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pytest
from django.db import DatabaseError, connection

import pilots.acquisition.ingest as ingest_module
from pilots.acquisition.batch import IngestFull, Rows, Unstorable
from pilots.acquisition.ingest import Ingest
from pilots.acquisition.process_image import WRITE_EVERY_S, write_latest_values
from pilots.catalogue.services import note_change
from pilots.domain.measurement import RawReading
from pilots.domain.quality import Flag, Quality, Validity
from pilots.models import AuditEvent, LatestValue, OutboxMessage, OutboxState, Point
from pilots.northbound.messages import written_values
from tests.acquisition.puts import announce, at, end_waiting, latest, locked_database, power, put, samples
from tests.builders import make_device, make_pilot, make_point
from tests.conftest import Battery
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_reading_is_scaled_and_signed_into_unit_and_load_convention(battery: Battery, door: Ingest) -> None:
    Point.objects.filter(pk=battery.power.pk).update(scale=1000, sign=-1)
    announce(door, battery)
    power(door, 4.5, 0)
    assert latest(battery.power).value == -4500


@pytest.mark.parametrize("wire", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_becomes_a_missing_value(battery: Battery, door: Ingest, wire: float) -> None:
    power(door, wire, 0)
    row = latest(battery.power)
    assert (row.value, row.unpacked_quality.validity) == (None, Validity.INVALID)


def test_a_stamp_from_the_future_does_not_pin_the_latest_value(battery: Battery, door: Ingest) -> None:
    ahead = RawReading("active_power", 1.0, source_time=at(0) + timedelta(days=1))
    put(door, "es-STO01", ahead, received=at(0))
    assert Flag.CLOCK_UNSYNCED in latest(battery.power).unpacked_quality.flags
    power(door, 2.0, 1)
    assert latest(battery.power).value == 2.0


def test_an_implausible_value_is_kept_and_marked(battery: Battery, door: Ingest) -> None:
    power(door, 1e6, 0)
    row = latest(battery.power)
    assert row.value == 1e6
    assert row.unpacked_quality == Quality(Validity.QUESTIONABLE, flags=Flag.OUT_OF_RANGE)


def test_an_older_reading_goes_to_history_only(battery: Battery, door: Ingest) -> None:
    power(door, 100.0, 10)
    power(door, 900.0, 5)
    assert latest(battery.power).value == 100.0
    assert [row.value for row in samples(battery.power)] == [900.0, 100.0]
    assert door.counters.late == 1


def test_a_repeated_reading_is_stored_once(battery: Battery, door: Ingest) -> None:
    for _ in range(3):
        power(door, 100.0, 10)
    assert len(samples(battery.power)) == 1
    assert door.counters.repeated == 2


def test_a_whole_sequence_sent_again_is_stored_once(battery: Battery, door: Ingest) -> None:
    for _ in range(2):
        for second in (1, 2, 3):
            power(door, second * 100.0, second)
    assert [row.value for row in samples(battery.power)] == [100.0, 200.0, 300.0]


@pytest.fixture
def counter(battery: Battery, door: Ingest) -> Point:
    point = make_point(battery.device, "energy_import", kind="counter", unit="Wh", deadband=10)
    announce(door, battery)
    return point


def energy(door: Ingest, value: float | None, seconds: float, **fields: Any) -> None:
    put(door, "es-STO01", RawReading("energy_import", value, source_time=at(seconds), **fields), received=at(seconds))


def resets() -> list[tuple[float, float]]:
    found = AuditEvent.objects.filter(action="counter_reset").order_by("id")
    return [(event.details["before"], event.details["after"]) for event in found]


def test_a_counter_that_falls_is_an_event_of_the_audit_trail(battery: Battery, door: Ingest, counter: Point) -> None:
    for seconds, value in enumerate((5000.0, 5100.0, 20.0, 30.0, 4.0, 3.0)):
        energy(door, value, seconds)
    assert resets() == [(5100.0, 20.0), (30.0, 4.0)]  # the last fall lies within the deadband
    event = AuditEvent.objects.filter(action="counter_reset").latest("-id")
    assert (event.pilot, event.subject) == ("es", "es/es-STO01/energy_import")
    assert event.details == {"before": 5100.0, "after": 20.0, "unit": "Wh", "source_time": at(2).isoformat()}
    assert [row.value for row in samples(counter)] == [5000.0, 5100.0, 20.0, 4.0]


def test_a_counter_set_back_while_it_could_not_be_read_is_an_event_too(battery: Battery, door: Ingest, counter: Point) -> None:
    energy(door, 5000.0, 0)
    energy(door, None, 1)
    energy(door, 0.0, 2, quality=Quality(Validity.INVALID))
    energy(door, 20.0, 3)
    assert resets() == [(5000.0, 20.0)]


def test_several_falls_of_one_flush_are_told_each_and_once(battery: Battery, door: Ingest, counter: Point) -> None:
    sent = [RawReading("energy_import", value, source_time=at(n)) for n, value in enumerate((900.0, 20.0, 950.0, 30.0))]
    put(door, "es-STO01", *sent, received=at(9))
    put(door, "es-STO01", *sent, received=at(10))
    assert resets() == [(900.0, 20.0), (950.0, 30.0)]


def test_what_is_late_or_no_counter_or_of_a_transaction_is_no_reset(battery: Battery, door: Ingest, counter: Point) -> None:
    of_a_charge = {"kind": "counter", "unit": "Wh", "address": {"transaction": "session_energy"}}
    make_point(battery.device, "session_energy", **of_a_charge)
    announce(door, battery)
    energy(door, 5000.0, 10)
    energy(door, 20.0, 5)
    power(door, 5000.0, 1)
    power(door, 20.0, 2)
    for seconds, value in enumerate((900.0, 0.0)):
        put(door, "es-STO01", RawReading("session_energy", value, source_time=at(seconds)), received=at(seconds))
    assert resets() == []


def test_a_reset_is_noticed_by_a_writer_that_started_in_between(battery: Battery, door: Ingest, counter: Point) -> None:
    energy(door, 5000.0, 0)
    newcomer = Ingest()
    newcomer.start()
    energy(newcomer, 20.0, 1)
    newcomer.stop()
    assert resets() == [(5000.0, 20.0)]


def test_small_changes_leave_no_sample_but_a_minute_does(battery: Battery, door: Ingest) -> None:
    for second, value in ((0, 1000.0), (10, 1040.0), (20, 1060.0), (30, 1050.0), (79, 1051.0), (80, 1051.0)):
        power(door, value, second)
    assert [row.source_time for row in samples(battery.power)] == [at(0), at(20), at(80)]
    assert latest(battery.power).value == 1051.0


def test_a_changed_quality_leaves_a_sample_though_the_value_stands_still(battery: Battery, door: Ingest) -> None:
    power(door, 1000.0, 0)
    power(door, 1000.0, 1, quality=Quality(Validity.QUESTIONABLE))
    assert len(samples(battery.power)) == 2


def test_text_points_keep_their_words(battery: Battery, door: Ingest) -> None:
    serial = make_point(battery.device, "serial_number", kind="text", unit="")
    announce(door, battery)
    put(door, "es-STO01", RawReading("serial_number", "SN\0 7\ud800"))
    assert latest(serial).text == "SN 7?"


def test_batches_with_and_without_missing_values_are_read_back_as_they_came(battery: Battery, door: Ingest) -> None:
    points = [make_point(battery.device, f"p{number}") for number in range(6)]
    announce(door, battery)
    missing = [RawReading(point.name, None) for point in points[:3]]
    mixed = [RawReading(point.name, None if index == 1 else float(index)) for index, point in enumerate(points[3:])]
    put(door, "es-STO01", *missing)
    put(door, "es-STO01", *mixed)
    values = {row.point_id: row.value for row in samples(*points)}
    assert [values[point.pk] for point in points] == [None, None, None, 0.0, None, 2.0]


def test_the_acknowledgement_waits_for_the_commit(battery: Battery, door: Ingest) -> None:
    power(door, 1.0, 0)
    with locked_database():
        waiting = door.put("es-STO01", [RawReading("active_power", 2000.0)], datetime.now(UTC))
        until(lambda: door.queued == 0)
        assert not waiting.done()
    waiting.result(10)
    assert latest(battery.power).value == 2000.0


@pytest.mark.parametrize("written", ["pilots_latestvalue", "sample"])
def test_an_outage_of_the_database_loses_nothing(battery: Battery, door: Ingest, written: str) -> None:
    power(door, 1.0, 0)
    reading = RawReading("active_power", 2000.0, source_time=at(5))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with locked_database(written):
                waiting = door.put("es-STO01", [reading], at(5))
                until(lambda: end_waiting(cursor))
        else:
            cursor.execute("ALTER TABLE sample RENAME TO sample_away")
            waiting = door.put("es-STO01", [reading], at(5))
            until(lambda: door.queued == 0)
            assert not waiting.done()
            cursor.execute("ALTER TABLE sample_away RENAME TO sample")
    waiting.result(15)
    assert [row.value for row in samples(battery.power)] == [1.0, 2000.0]
    assert door.counters.poisoned == 0


def test_a_stop_while_the_database_is_away_tells_the_sender_that_nothing_was_stored(battery: Battery, door: Ingest) -> None:
    power(door, 1.0, 0)
    if connection.vendor == "postgresql":
        with locked_database(), connection.cursor() as cursor:
            waiting = door.put("es-STO01", [RawReading("active_power", 5.0)], datetime.now(UTC))
            door._stopping = True
            until(lambda: end_waiting(cursor))
            with pytest.raises(DatabaseError):
                waiting.result(10)
    else:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE sample RENAME TO sample_away")
            try:
                waiting = door.put("es-STO01", [RawReading("active_power", 5.0)], datetime.now(UTC))
                until(lambda: door.queued == 0)
                door.stop()
                with pytest.raises(DatabaseError, match="sample"):
                    waiting.result(10)
            finally:
                cursor.execute("ALTER TABLE sample_away RENAME TO sample")


def test_one_poisonous_value_is_set_aside_and_the_others_are_stored(battery: Battery, door: Ingest) -> None:
    doomed = make_point(battery.device, "doomed")
    announce(door, battery)
    power(door, 1.0, 0)
    put(door, "es-STO01", RawReading("doomed", 1.0))
    with locked_database():
        Point.objects.filter(pk=doomed.pk).delete()
        readings = [RawReading("active_power", 2000.0), RawReading("doomed", 2.0)]
        mixed = door.put("es-STO01", readings, datetime.now(UTC))
        alone = door.put("es-STO01", [RawReading("doomed", 3.0)], datetime.now(UTC))
    mixed.result(10)
    with pytest.raises(Unstorable):
        alone.result(10)
    assert latest(battery.power).value == 2000.0
    assert door.counters.poisoned == 2


def test_a_full_queue_refuses_before_it_takes_anything(battery: Battery, door: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    power(door, 1.0, 0)
    monkeypatch.setattr(ingest_module, "QUEUE_BOUND", 1)
    with pytest.raises(IngestFull):
        door.put("es-STO01", [RawReading("active_power", float(n)) for n in range(2)], datetime.now(UTC))
    assert (door.queued, door.counters.refused) == (0, 2)


def test_a_sender_that_stops_waiting_does_not_end_the_writer(battery: Battery, door: Ingest) -> None:
    async def impatient() -> None:
        future = door.put("es-STO01", [RawReading("active_power", 7.0)], datetime.now(UTC))
        waiting = asyncio.ensure_future(asyncio.wrap_future(future))
        await asyncio.sleep(0)
        waiting.cancel()

    with locked_database():
        asyncio.run(impatient())
    power(door, 8.0, 3600)
    assert latest(battery.power).value is not None


def test_readings_of_points_that_do_not_exist_are_counted(battery: Battery, door: Ingest) -> None:
    put(door, "es-STO01", RawReading("no_such_point", 1.0))
    put(door, "no-such-device", RawReading("active_power", 1.0))
    assert door.counters.unknown == 2


def test_what_comes_right_after_its_point_was_commissioned_is_stored(battery: Battery, door: Ingest) -> None:
    power(door, 1.0, 0)  # the writer has just looked at the configuration
    soc = make_point(battery.device, "soc")
    note_change(battery.pilot)
    put(door, "es-STO01", RawReading("soc", 50.0), RawReading("no_such_point", 1.0), RawReading("active_power", 2.0))
    assert (latest(soc).value, latest(battery.power).value, door.counters.unknown) == (50.0, 2.0, 1)


def test_readings_that_come_before_the_configuration_was_read_are_not_lost(battery: Battery) -> None:
    early = Ingest()
    waiting = early.put("es-STO01", [RawReading("active_power", 5.0)], datetime.now(UTC))
    assert not waiting.done()
    early.start()
    waiting.result(10)
    early.stop()
    assert latest(battery.power).value == 5.0
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sample")


def test_a_changed_configuration_is_noticed(battery: Battery, door: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.acquisition.directory.CHECK_EVERY_S", 0.0)
    power(door, 1.0, 0)
    added = make_point(battery.device, "soc", unit="%")
    note_change(battery.pilot)
    put(door, "es-STO01", RawReading("soc", 55.0))
    assert latest(added).value == 55.0


def test_of_two_writers_the_newest_by_source_time_wins(battery: Battery, door: Ingest) -> None:
    other = Ingest()
    other.start()
    try:
        power(door, 1.0, 0)
        power(other, 2.0, 20)
        power(door, 3.0, 10)
    finally:
        other.stop()
    assert latest(battery.power).value == 2.0


def test_two_writers_number_the_outbox_without_gaps(battery: Battery, door: Ingest) -> None:
    other = Ingest()
    other.start()

    def feed(writer: Ingest, offset: int) -> None:
        for number in range(15):
            power(writer, 1000.0 * number, 2 * number + offset)

    threads = [threading.Thread(target=feed, args=(writer, offset)) for offset, writer in enumerate((door, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.stop()
    numbers = list(OutboxMessage.objects.order_by("sequence").values_list("sequence", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
    assert OutboxState.objects.get(pilot=battery.pilot).next_sequence == len(numbers) + 1
    assert (
        sum(len(orjson.loads(written_values(body))) for body in OutboxMessage.objects.values_list("values_json", flat=True)) == 30
    )


def test_every_sample_waits_for_the_platform(battery: Battery, door: Ingest) -> None:
    power(door, 4500.0, 0)
    (value,) = orjson.loads(written_values(OutboxMessage.objects.get().values_json))
    assert (value["device"], value["point"], value["value"], value["unit"]) == ("es-STO01", "active_power", 4500.0, "W")


def test_a_value_that_was_not_renewed_is_marked_old(battery: Battery, door: Ingest) -> None:
    power(door, 4500.0, 0)
    newest = {battery.power.pk: door.image.newest(battery.power.pk)}
    door.mark_old(newest).result(10)  # type: ignore[arg-type]
    row = latest(battery.power)
    assert (row.value, Flag.OLD in row.unpacked_quality.flags) == (4500.0, True)
    assert row.source_time == at(0)


def test_a_value_renewed_meanwhile_is_not_marked_old(battery: Battery, door: Ingest) -> None:
    power(door, 4500.0, 0)
    newest = {battery.power.pk: door.image.newest(battery.power.pk)}
    power(door, 4600.0, 5)
    door.mark_old(newest).result(10)  # type: ignore[arg-type]
    assert latest(battery.power).unpacked_quality.flags == Flag.NONE


def test_a_device_of_another_pilot_keeps_its_own_numbering(battery: Battery, door: Ingest) -> None:
    make_point(make_device(make_pilot("nl"), "nl-EVSE01"), "active_power")
    announce(door, battery)
    put(door, "nl-EVSE01", RawReading("active_power", 1.0))
    power(door, 1.0, 0)
    assert sorted(OutboxMessage.objects.values_list("pilot__code", "sequence")) == [("es", 1), ("nl", 1)]


def test_a_great_batch_is_stored_in_one_flush(battery: Battery, door: Ingest) -> None:
    points = [Point(device=battery.device, name=f"p{number}", kind="measurement") for number in range(2000)]
    Point.objects.bulk_create(points)
    announce(door, battery)
    flushed = door.counters.flushes
    put(door, "es-STO01", *(RawReading(point.name, 1.0) for point in points))
    assert LatestValue.objects.count() == 2000
    assert door.counters.flushes == flushed + 1


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The keys of all rows of latest values that were written, in turn."""
    keys: list[int] = []

    def write(rows: Rows) -> None:
        keys.extend(rows)
        write_latest_values(rows)

    monkeypatch.setattr(ingest_module, "write_latest_values", write)
    return keys


def test_under_load_a_latest_value_is_written_once_a_second_and_the_last_one_always(
    battery: Battery, door: Ingest, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    soc = make_point(battery.device, "soc", unit="%")
    announce(door, battery)
    power(door, 0.0, 0)
    monkeypatch.setattr(ingest_module, "FLUSH_BOUND", 1)
    flushed, started = door.counters.flushes, time.monotonic()
    with locked_database():
        readings = [RawReading("active_power", 1000.0 * n, source_time=at(n)) for n in range(1, 20)]
        futures = [door.put("es-STO01", [reading], at(20)) for reading in (*readings, RawReading("soc", 55.0))]
    for future in futures:
        future.result(10)
    until(lambda: door.counters.flushes == flushed + 20)
    assert (latest(battery.power).value, latest(soc).value) == (19_000.0, 55.0)
    assert len(samples(battery.power)) == 20
    # The first, the one that was on its way when the others came, the last, and one for each rest between.
    assert written.count(battery.power.pk) <= 3 + int((time.monotonic() - started) / WRITE_EVERY_S)


def test_under_load_words_are_written_at_once(battery: Battery, door: Ingest) -> None:
    serial = make_point(battery.device, "serial_number", kind="text", unit="")
    announce(door, battery)
    put(door, "es-STO01", RawReading("serial_number", "A"), RawReading("active_power", 1.0))
    values = door.image.owed(np.array([], dtype=np.int64))
    assert not values  # nothing waits, so nothing is owed
    newest = Rows(door.image.points, np.arange(3), door.image.latest)
    assert list(door.image.due(newest, time.monotonic())) == [battery.p_set.pk, serial.pk]


def test_under_load_what_may_prove_a_set_point_is_written_at_once(
    battery: Battery, door: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who notes the write looks for the proof in the database, and a value that comes on change comes once."""
    power(door, 0.0, 0)
    monkeypatch.setattr(ingest_module, "FLUSH_BOUND", 1)
    monkeypatch.setattr("pilots.acquisition.awaited.pending_points", lambda: {battery.power.pk})
    door.awaited.ask()
    with locked_database():
        futures = [door.put("es-STO01", [RawReading("active_power", 1000.0 * n, source_time=at(n))], at(n)) for n in range(1, 4)]
        stored: list[float | None] = []
        for future in futures:  # in the writer's thread, between this flush and the next
            future.add_done_callback(lambda _: stored.append(latest(battery.power).value))
    for future in futures:
        future.result(10)
    until(lambda: stored == [1000.0, 2000.0, 3000.0])


def test_a_deleted_point_whose_row_is_owed_takes_no_other_value_with_it(
    battery: Battery, door: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed = make_point(battery.device, "doomed")
    announce(door, battery)
    put(door, "es-STO01", RawReading("active_power", 1.0), RawReading("doomed", 1.0))
    monkeypatch.setattr(ingest_module, "FLUSH_BOUND", 1)
    with locked_database():
        flushing = door.put("es-STO01", [RawReading("active_power", 2000.0)], datetime.now(UTC))
        until(lambda: door.queued == 0)
        waiting = [door.put("es-STO01", [RawReading(name, 3000.0)], datetime.now(UTC)) for name in ("doomed", "active_power")]
        Point.objects.filter(pk=doomed.pk).delete()
    for future in (flushing, *waiting):
        future.result(10)
    assert latest(battery.power).value == 3000.0
    assert door.counters.poisoned == 0
