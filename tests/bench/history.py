"""A day of one point as a plot, and a whole pilot at a moment, beside plain SQL. [bench]"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
from django.db import connection, transaction

from pilots.history.selectors import series
from pilots.history.services import ensure_partitions
from pilots.models import Pilot, Point
from pilots.ui.replay_views import frame
from tests.bench import plant
from tests.bench.figures import Goal, note, report
from tests.bench.yardsticks import packed

DAY_S, ALIKE, ROUNDS = 86_400, 3, 3
METERS = 10


def fill(points: int, seconds: int) -> tuple[datetime, list[int]]:
    """A day's samples of so many points in the order a poller brings them; its start and the points' keys."""
    now = datetime.now(UTC)
    ensure_partitions(now)
    start = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)  # one partition, and not today's
    plant.make_meters(METERS)
    ids = list(Point.objects.order_by("pk").values_list("pk", flat=True)[:points])
    for first in range(0, seconds, 7200):
        span = np.arange(first, min(first + 7200, seconds), dtype=np.float64)
        copy_in(ids, span + start.timestamp(), 230 + np.sin(span / 600))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sample")
    return start, ids


def copy_in(ids: list[int], instants: np.ndarray, curve: np.ndarray) -> None:
    """Every point has the curve's value at each instant, one decimal of it."""
    times, values = np.repeat(instants, len(ids)), np.repeat(curve, len(ids)).round(1)
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy("COPY sample FROM STDIN (FORMAT binary)") as copy:
        copy.write(packed(np.tile(ids, len(instants)), values, times))  # type: ignore[arg-type]


def main() -> None:
    note("history: filling a day")
    start, ids = fill(ALIKE, DAY_S)
    end, point = start + timedelta(days=1), Point.objects.get(pk=ids[0])
    binned = f"""SELECT date_bin('{DAY_S / 2000} s', source_time, %s) AS bin, min(value), max(value), avg(value)
FROM sample WHERE point = %s AND source_time >= %s AND source_time < %s GROUP BY bin ORDER BY bin"""
    plain = """SELECT source_time, value, quality FROM sample
WHERE point = %s AND source_time >= %s AND source_time < %s ORDER BY source_time"""
    ours, bins, rows = [], [], []
    for _ in range(ROUNDS):
        ours.append(_ms(lambda: series(point, start, end)))
        bins.append(_ms(lambda: _fetch(binned, [start, point.pk, start, end])))
        rows.append(_ms(lambda: _fetch(plain, [point.pk, start, end])))
    unit = "ms, 86,400 samples to 2,000"
    report("history.series_1d", unit, "SQL date_bin min, max, avg", list(zip(ours, bins, strict=True)), Goal("value", "<=", 60))
    report("history.series_1d_vs_rows", unit, "plain fetchall of the rows", list(zip(ours, rows, strict=True)))
    replay(start)


def replay(start: datetime) -> None:
    """A moment of the evening of that day, when every point has a sample a minute."""
    note("history: filling the minutes of all points")
    ids = list(Point.objects.order_by("pk").values_list("pk", flat=True))
    minutes = np.arange(0, DAY_S, 60, dtype=np.float64)
    copy_in(ids, minutes + start.timestamp(), np.sin(minutes / 600))
    pilot, at = Pilot.objects.get(), start + timedelta(hours=20)
    newest = """SELECT DISTINCT ON (point) point, source_time, value, quality FROM sample
WHERE point = ANY(%s) AND source_time > %s AND source_time <= %s ORDER BY point, source_time DESC"""
    rounds = [
        (_ms(lambda: orjson.dumps(frame(pilot, at))), _ms(lambda: _fetch(newest, [ids, at - timedelta(days=1), at])))
        for _ in range(ROUNDS)
    ]
    unit = f"ms, {len(ids)} points of a moment, whole frame"
    report("history.replay_frame_ms", unit, "SQL DISTINCT ON, values alone", rounds, Goal("value", "<=", 60))


def _fetch(sql: str, arguments: list[object]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        cursor.fetchall()


def _ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)
