"""From readings to committed history: the one door beside COPY, executemany and bulk_create. [bench]

PostgreSQL first; then it starts itself again for the embedded database, SQLite.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.core.management import call_command
from django.db import connection, models, transaction

from pilots.acquisition.ingest import ingest
from pilots.domain.measurement import RawReading
from pilots.history.services import ensure_partitions, microseconds
from pilots.management.roles import spare_the_collector
from pilots.models import Point
from tests.bench import plant
from tests.bench.figures import Goal, note, report
from tests.bench.yardsticks import packed

DEVICES, TURNS, ROUNDS = 100, 4, 3
ROWS = DEVICES * plant.POINTS * TURNS
CHUNK, ORM_ROWS = 5_000, 2_500
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
    plant.make_meters(DEVICES)
    spare_the_collector()  # as the product does at its start
    with connection.schema_editor() as editor:
        editor.create_model(OrmSample)
    ids = list(Point.objects.order_by("pk").values_list("pk", flat=True))
    ours, raw, orm = [], [], []
    for turn in range(ROUNDS):
        note(f"ingest: {connection.vendor}, round {turn + 1}")
        ours.append(_cost(_through_the_door, ROWS))
        raw.append(_cost(lambda: _executemany(ids) if sqlite else _copy(ids), ROWS))
        orm.append(_cost(lambda: _bulk_create(ids), ORM_ROWS))
    ingest().stop()
    prefix = "ingest.sqlite_" if sqlite else "ingest."
    plain = "raw executemany" if sqlite else "COPY BINARY into the same table"
    _report(f"{prefix}rows_s", f"rows/s, {plain}", "rows/s", 0, ours, raw, None if sqlite else Goal("ratio", ">=", 0.6))
    _report(f"{prefix}rows_s_vs_orm", "rows/s, bulk_create", "rows/s", 0, ours, orm, Goal("ratio", ">=", 8) if sqlite else None)
    _report(f"{prefix}cpu_per_row", f"µs, {plain}", "µs CPU/row, all of the door", 1, ours, raw)
    _report(f"{prefix}cpu_per_row_vs_orm", "µs, bulk_create", "µs CPU/row, all of the door", 1, ours, orm)
    if not sqlite:
        environment = os.environ | {"DATABASE_URL": ""}
        subprocess.run([sys.executable, "-m", "tests.bench.part", "ingest"], env=environment, check=True)


def _report(
    name: str, yardstick: str, unit: str, column: int, ours: list[Cost], theirs: list[Cost], goal: Goal | None = None
) -> None:
    report(name, unit, yardstick, [(a[column], b[column]) for a, b in zip(ours, theirs, strict=True)], goal)


def _cost(work: Callable[[], None], rows: int) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return rows / (time.perf_counter() - wall), (time.process_time() - cpu) / rows * 1e6


def _through_the_door() -> None:
    """Readings as a poller puts them: 50 a device, all changed, each turn a second later."""
    door, base = ingest(), time.monotonic()
    codes = [f"es-M{index:04d}" for index in range(DEVICES)]
    door.directory.refresh(force=True)
    for turn in range(TURNS):
        received = datetime.now(UTC)
        readings = [RawReading(name, base + turn + index) for index, name in enumerate(plant.NAMES)]
        last = [door.put(code, readings, received) for code in codes][-1]
    last.result(60)


def _copy(ids: list[int]) -> None:
    now = time.time()
    with connection.cursor() as cursor:
        for turn in range(TURNS):
            for first in range(0, len(ids), CHUNK):
                points = ids[first : first + CHUNK]
                with transaction.atomic(), cursor.copy("COPY sample FROM STDIN (FORMAT binary)") as copy:
                    copy.write(packed(points, [float(turn)] * len(points), [now + turn] * len(points)))


def _executemany(ids: list[int]) -> None:
    now = microseconds(datetime.now(UTC))
    sql = "INSERT OR REPLACE INTO sample (point, source_time, received_ms, value, quality) VALUES (?, ?, ?, ?, ?)"
    for turn in range(TURNS):
        with transaction.atomic():
            assert connection.connection is not None
            connection.connection.executemany(sql, [(point, now + turn, 0, float(turn), 0) for point in ids])


def _bulk_create(ids: list[int]) -> None:
    now = datetime.now(UTC)
    chosen = [ids[index % len(ids)] for index in range(ORM_ROWS)]
    OrmSample.objects.bulk_create(
        OrmSample(point=point, source_time=now + timedelta(seconds=index), received_ms=0, value=1.0, quality=0)
        for index, point in enumerate(chosen)
    )
