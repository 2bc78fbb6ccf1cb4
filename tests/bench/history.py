"""What plots cost the server (a day of samples, a year of roll-ups, twenty curves of a month) and a pilot at a moment. [bench]"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
from django.db import connection, transaction

from pilots.domain.moments import microseconds
from pilots.domain.rollup import HOUR, QUARTER, ROLLUP, SIX_HOURS, VALUES
from pilots.history.rollups import roll_up
from pilots.history.selectors import series
from pilots.history.services import HOUR_US, PG_EPOCH_US, copy_rows, ensure_partitions
from pilots.models import Pilot, Point
from pilots.ui.replay_views import frame
from pilots.ui.trend_figure import trend_figure
from pilots.ui.trend_query import Shown, Window
from tests.bench import plant
from tests.bench.figures import Goal, note, report
from tests.bench.yardsticks import packed

DAY_S, ALIKE, ROUNDS = 86_400, 3, 3
METERS = 10
#: Curves of the month's plot, and how many points lie between their rows as in a plant.
CURVES, NEIGHBOURS = 20, 100


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
    analyse()
    return start, ids


def analyse() -> None:
    """The planner knows the samples, as it does where autovacuum has had its time."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sample")


def copy_in(ids: list[int], instants: np.ndarray, curve: np.ndarray) -> None:
    """Every point has the curve's value at each instant, one decimal of it."""
    times, values = np.repeat(instants, len(ids)), np.repeat(curve, len(ids)).round(1)
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy("COPY sample FROM STDIN (FORMAT binary)") as copy:
        copy.write(packed(np.tile(ids, len(instants)), values, times))  # type: ignore[arg-type]


def fill_rollups(ids: Sequence[int], end: datetime) -> None:
    """A year of quarters, hours and six hours of every point before `end`, in the order of time as the job writes them."""
    last = microseconds(end)
    for level in (QUARTER, HOUR, SIX_HOURS):
        starts = np.arange(last - 366 * DAY_S * 1_000_000, last, level * 1_000_000)
        for some in np.array_split(starts, max(1, len(starts) * len(ids) // 400_000)):
            rows = np.empty(len(some) * len(ids), dtype=ROLLUP)
            rows["start"], rows["point"] = np.repeat(some, len(ids)) - PG_EPOCH_US, np.tile(ids, len(some))
            for number, name in enumerate(VALUES):
                rows[name] = 230 + 10 * np.sin(rows["start"] / 3.6e10) + number / 7
            rows["good_s"], rows["samples"], rows["quality"] = level, level, 0
            columns = {name: rows[name] for name in ROLLUP.names or ()} | {"level": np.full(len(rows), level)}
            with transaction.atomic(), connection.cursor() as cursor:
                copy_rows(cursor, "rollup", columns)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO rollup_state (id, until) VALUES (1, %s)", [last])
        cursor.execute("ANALYZE rollup")


def main() -> None:
    note("history: filling a day")
    start, ids = fill(ALIKE, DAY_S)
    end, point = start + timedelta(days=1), Point.objects.get(pk=ids[0])
    _a_day(point, start, end)
    note("history: filling a year of roll-ups")
    points = list(Point.objects.select_related("device__pilot").order_by("pk")[:NEIGHBOURS])
    fill_rollups([each.pk for each in points], start)
    _long_windows(points, start)
    _rolling(point, start)
    replay(start)


def _a_day(point: Point, start: datetime, end: datetime) -> None:
    binned = f"""SELECT date_bin('{DAY_S / 2000} s', source_time, %s) AS bin, min(value), max(value), avg(value)
FROM sample WHERE point = %s AND source_time >= %s AND source_time < %s GROUP BY bin ORDER BY bin"""
    plain = """SELECT source_time, value, quality FROM sample
WHERE point = %s AND source_time >= %s AND source_time < %s ORDER BY source_time"""
    ours, bins, rows, figures = [], [], [], []
    for _ in range(ROUNDS):
        ours.append(_ms(lambda: series(point, start, end)))
        figures.append(_ms(lambda: _figure([point], start, end, end)))
        bins.append(_ms(lambda: _fetch(binned, [start, point.pk, start, end])))
        rows.append(_ms(lambda: _fetch(plain, [point.pk, start, end])))
    unit, goal = "ms, 86,400 samples to 2,000", Goal("value", "<=", 60)
    report("history.series_1d", unit, "SQL date_bin min, max, avg", list(zip(ours, bins, strict=True)), goal)
    report("history.series_1d_vs_rows", unit, "plain fetchall of the rows", list(zip(ours, rows, strict=True)))
    report("history.day_ms", f"{unit}, as the page's JSON", "SQL date_bin", list(zip(figures, bins, strict=True)), goal)


def _long_windows(points: Sequence[Point], end: datetime) -> None:
    """A year is plotted up to half an hour after the last roll-up, so that its newest part comes from samples."""
    now = end + timedelta(minutes=30)
    year, month = now - timedelta(days=365), now - timedelta(days=31)
    plain = "SELECT start, low, high, mean FROM rollup WHERE level = %s AND point = ANY(%s) AND start >= %s ORDER BY point, start"
    keys = [point.pk for point in points[:CURVES]]
    years, months, plain_years, plain_months = [], [], [], []
    for _ in range(ROUNDS):
        years.append(_ms(lambda: _figure(points[:1], year, now, now)))
        plain_years.append(_ms(lambda: _fetch(plain, [SIX_HOURS, keys[:1], year])))
        months.append(_ms(lambda: _figure(points[:CURVES], month, now, now)))
        plain_months.append(_ms(lambda: _fetch(plain, [QUARTER, keys, month])))
    limit = "plain fetchall of the roll-ups"
    report("history.year_ms", "ms, one point's JSON", limit, list(zip(years, plain_years, strict=True)), Goal("value", "<=", 20))
    unit = f"ms, {CURVES} curves' JSON"
    report("history.month20_ms", unit, limit, list(zip(months, plain_months, strict=True)), Goal("value", "<=", 500))


def _rolling(point: Point, start: datetime) -> None:
    """What the job costs: three points of a sample a second, a day of hours."""
    now = start + timedelta(days=1, minutes=10)
    aggregated = """SELECT point, date_bin('60 s', source_time, %s) AS bin, min(value), max(value), avg(value), count(*)
FROM sample WHERE source_time >= %s AND source_time < %s GROUP BY point, bin"""
    sql = _ms(lambda: _fetch(aggregated, [start, start, start + timedelta(days=1)]))
    hours: list[int] = []
    took = _ms(lambda: hours.append(roll_up(now=now, kept_since=start, budget_s=120)))
    assert hours == [DAY_S * 1_000_000 // HOUR_US]
    samples = ALIKE * DAY_S / 1000
    report(
        "history.rollup_samples_ms",
        "ms per 1,000 samples, four levels",
        "SQL date_bin, minutes alone",
        [(took / samples, sql / samples)],
    )


def replay(start: datetime) -> None:
    """A moment of the evening of that day, when every point has a sample a minute."""
    note("history: filling the minutes of all points")
    ids = list(Point.objects.order_by("pk").values_list("pk", flat=True))
    minutes = np.arange(0, DAY_S, 60, dtype=np.float64)
    copy_in(ids, minutes + start.timestamp(), np.sin(minutes / 600))
    analyse()
    pilot, at = Pilot.objects.get(), start + timedelta(hours=20)
    newest = """SELECT DISTINCT ON (point) point, source_time, value, quality FROM sample
WHERE point = ANY(%s) AND source_time > %s AND source_time <= %s ORDER BY point, source_time DESC"""
    frame(pilot, at)  # a process compiles its queries and templates once
    rounds = [
        (_ms(lambda: orjson.dumps(frame(pilot, at))), _ms(lambda: _fetch(newest, [ids, at - timedelta(days=1), at])))
        for _ in range(ROUNDS)
    ]
    unit = f"ms, {len(ids)} points of a moment, whole frame"
    report("history.replay_frame_ms", unit, "SQL DISTINCT ON, values alone", rounds, Goal("value", "<=", 60))


def _figure(points: Sequence[Point], start: datetime, end: datetime, now: datetime) -> bytes:
    pilot: Pilot = points[0].device.pilot
    body = trend_figure(pilot, points, Window(start, end), Shown(), now)
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _fetch(sql: str, arguments: list[object]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        cursor.fetchall()


def _ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)
