"""From readings to committed history: the one door beside COPY, executemany and bulk_create. [bench]

PostgreSQL first; then it starts itself again for the embedded database, SQLite. COPY and executemany commit every 20,000 rows,
the door when it has written what waits (up to 50,000), bulk_create every 5,000.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from itertools import count

from django.core.management import call_command
from django.db import connection, models, transaction

from pilots.acquisition import ingest as ingest_module
from pilots.acquisition.ingest import ingest
from pilots.domain.measurement import RawReading
from pilots.domain.moments import microseconds
from pilots.history.services import ensure_partitions
from pilots.management.roles import spare_the_collector
from pilots.models import Connection, Device, Pilot, Point
from tests.bench import plant
from tests.bench.field_104 import flood
from tests.bench.figures import Goal, note, report
from tests.bench.memory_104 import station_code, station_driver
from tests.bench.peers_104 import OBJECTS
from tests.bench.yardsticks import packed

DEVICES, TURNS, ROUNDS = 100, 24, 3
POINTS = DEVICES * plant.POINTS
ROWS, POLLED, ORM_ROWS = POINTS * TURNS, 4 * POINTS, 4 * POINTS
#: Rows of a commit of the yardsticks; ours takes what waits, up to FLUSH_BOUND.
COMMIT = 20_000
#: IEC 104 stations, the frames of each, and their floats; each float has a time of its own.
STATIONS, FRAMES = 50, 1200
FROM_SOCKETS = STATIONS * FRAMES * OBJECTS
CODES = [f"es-M{index:04d}" for index in range(DEVICES)]
BEGIN, _seconds = datetime.now(UTC) - timedelta(minutes=10), count()
Cost = tuple[float, float]  # rows/s, CPU µs/row


class OrmSample(models.Model):
    """What a Django project would use for samples."""

    point = models.IntegerField()
    source_time = models.DateTimeField()
    received_ms = models.IntegerField()
    value = models.FloatField(null=True)
    quality = models.SmallIntegerField()

    class Meta:
        app_label = "bench"
        indexes = [models.Index(fields=["point", "source_time"], name="orm_sample_by_point")]

    def __str__(self) -> str:
        return f"{self.point} {self.source_time}"


def main() -> None:
    sqlite = connection.vendor == "sqlite"
    if sqlite:
        call_command("migrate", verbosity=0)
    ensure_partitions(datetime.now(UTC))
    _make_stations(plant.make_meters(DEVICES))
    spare_the_collector()  # as the product does at its start
    with connection.schema_editor() as editor:
        editor.create_model(OrmSample)
    ids = list(Point.objects.filter(device__kind="meter").order_by("pk").values_list("pk", flat=True))
    ingest().directory.refresh(force=True)
    _one_by_one(1)
    ours, sockets, polled, raw, orm, puts = [], [], [], [], [], []
    for turn in range(ROUNDS):
        note(f"ingest: {connection.vendor}, round {turn + 1}")
        raw.append(_cost(lambda: _executemany(ids) if sqlite else _copy(ids), ROWS))
        ours.append(_cost(lambda: puts.append(_flood()), ROWS))
        sockets.append(asyncio.run(_from_sockets(turn)))
        polled.append(_cost(lambda: _one_by_one(POLLED // POINTS), POLLED))
        _make_even()
        orm.append(_cost(lambda: _bulk_create(ids), ORM_ROWS))
    ingest().stop()
    assert _rows_stored() == POINTS + ROUNDS * (2 * ROWS + FROM_SOCKETS + POLLED)
    prefix, plain = ("ingest.sqlite_", "raw executemany") if sqlite else ("ingest.", "COPY BINARY into the same table")
    of_copy, of_orm = (None, Goal("ratio", ">=", 8)) if sqlite else (Goal("ratio", ">=", 0.6), None)
    _report(f"{prefix}rows_s", f"rows/s, {plain}", "rows/s", 0, ours, raw, of_copy)
    _report(f"{prefix}rows_s_vs_orm", "rows/s, bulk_create", "rows/s", 0, ours, orm, of_orm)
    _report(f"{prefix}socket_rows_s", f"rows/s, {plain}", "rows/s, IEC 104 socket to commit", 0, sockets, raw, of_copy)
    _report(f"{prefix}polled_rows_s", f"rows/s, {plain}", "rows/s, each a latest value", 0, polled, raw)
    _report(f"{prefix}cpu_per_row", f"µs, {plain}", "µs CPU/row, all of the door", 1, ours, raw)
    _report(f"{prefix}cpu_per_row_vs_orm", "µs, bulk_create", "µs CPU/row, all of the door", 1, ours, orm)
    if not sqlite:
        both = [(put, cpu) for put, (_, cpu) in zip(puts, ours, strict=True)]
        report("ingest.put", "µs CPU/value, put alone", "µs, all of the door", both, Goal("value", "<=", 2))
        environment = os.environ | {"DATABASE_URL": ""}
        subprocess.run([sys.executable, "-m", "tests.bench.part", "ingest"], env=environment, check=True)


def _report(
    name: str, yardstick: str, unit: str, column: int, ours: list[Cost], theirs: list[Cost], goal: Goal | None = None
) -> None:
    report(name, unit, yardstick, [(a[column], b[column]) for a, b in zip(ours, theirs, strict=True)], goal)


def _cost(work: Callable[[], object], rows: int) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return rows / (time.perf_counter() - wall), (time.process_time() - cpu) / rows * 1e6


def _flood() -> float:
    """Faster than the database takes it: every point changes many times before the last is stored. CPU of `put`, µs a value."""
    cpu = 0.0
    for _ in range(TURNS):
        readings, received = _turn()
        started = time.thread_time()
        last = _put(readings, received)
        cpu += time.thread_time() - started
    last.result(60)
    return cpu / ROWS * 1e6


def _make_stations(pilot: Pilot) -> None:
    line = Connection.objects.create(pilot=pilot, name="es-rtus", protocol="iec104", host="127.0.0.1", port=2404)
    stations = [Device(pilot=pilot, code=station_code(index), kind="rtu", connection=line) for index in range(STATIONS)]
    Device.objects.bulk_create(stations)
    Point.objects.bulk_create(
        Point(device=station, name=f"p{ioa:02d}", kind="measurement", unit="W")
        for station in stations
        for ioa in range(1, OBJECTS + 1)
    )


async def _from_sockets(turn: int) -> Cost:
    """Stations that send as fast as they are acknowledged, which they are when their values are committed.

    Each turn's time tags lie after those of the last: what comes late would cost history a search.
    """
    committed, done = 0, asyncio.Event()

    async def sink(device: str, readings: Sequence[RawReading]) -> None:
        nonlocal committed
        await asyncio.wrap_future(ingest().put(device, readings, datetime.now(UTC)))
        committed += len(readings)
        if committed == FROM_SOCKETS:
            done.set()

    with flood(FRAMES, OBJECTS, after_s=turn * FRAMES * 0.02) as (port, _):
        drivers = [station_driver(index, port, sink) for index in range(STATIONS)]
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(driver.open() for driver in drivers))
        async with asyncio.timeout(100):
            await done.wait()
        cost = FROM_SOCKETS / (time.perf_counter() - wall), (time.process_time() - cpu) / FROM_SOCKETS * 1e6
        for driver in drivers:
            await driver.close()
    return cost


def _one_by_one(turns: int) -> None:
    """The next turn comes when the last one is stored: each row is written as its point's latest value, too.

    Without the window in which an idle writer gathers, which would be all that is measured.
    """
    window_s, ingest_module.WINDOW_S = ingest_module.WINDOW_S, 0.0
    for _ in range(turns):
        _put(*_turn()).result(60)
    ingest_module.WINDOW_S = window_s


def _turn() -> tuple[list[RawReading], datetime]:
    """What each device says and when: every value new, a second later than the last."""
    turn = next(_seconds)
    return [RawReading(name, turn + index / 7) for index, name in enumerate(plant.NAMES)], BEGIN + timedelta(seconds=turn)


def _put(readings: list[RawReading], received: datetime) -> Future[None]:
    """As a poller puts them, device by device. The acknowledgement of the last."""
    put = ingest().put
    return [put(code, readings, received) for code in CODES][-1]


def _copy(ids: list[int]) -> None:
    turns = COMMIT // POINTS
    with connection.cursor() as cursor:
        for _ in range(TURNS // turns):
            moments = [BEGIN.timestamp() + next(_seconds) for _ in range(turns)]
            body = packed(
                ids * turns, [moment / 7 for moment in moments for _ in ids], [moment for moment in moments for _ in ids]
            )
            with transaction.atomic(), cursor.copy("COPY sample FROM STDIN (FORMAT binary)") as copy:
                copy.write(body)


def _executemany(ids: list[int]) -> None:
    sql = "INSERT OR REPLACE INTO sample (point, source_time, received_ms, value, quality) VALUES (?, ?, ?, ?, ?)"
    turns = COMMIT // POINTS
    for _ in range(TURNS // turns):
        moments = [microseconds(BEGIN + timedelta(seconds=next(_seconds))) for _ in range(turns)]
        rows = [(point, moment, 0, moment / 7, 0) for moment in moments for point in ids]
        with transaction.atomic():
            assert connection.connection is not None
            connection.connection.executemany(sql, rows)


def _rows_stored() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sample")
        return int(cursor.fetchone()[0])


def _make_even() -> None:
    """The ORM's table has as many rows as ours before it takes more."""
    moment = "source_time" if connection.vendor == "postgresql" else "datetime(source_time / 1000000, 'unixepoch')"
    newer = f"{moment} > coalesce((SELECT max(source_time) FROM bench_ormsample), '1970-01-01')"
    columns = "point, {}, received_ms, value, quality"
    with connection.cursor() as cursor:
        old, new = columns.format("source_time"), columns.format(moment)
        cursor.execute(f"INSERT INTO bench_ormsample ({old}) SELECT {new} FROM sample WHERE {newer}")


def _bulk_create(ids: list[int]) -> None:
    for _ in range(ORM_ROWS // len(ids)):
        moment = BEGIN + timedelta(seconds=next(_seconds))
        OrmSample.objects.bulk_create(
            OrmSample(point=point, source_time=moment, received_ms=0, value=moment.timestamp() / 7, quality=0) for point in ids
        )
