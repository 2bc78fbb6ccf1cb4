"""Keeps the roll-ups: every settled hour once, and anew where samples came late. [operation]

The unit of work is an hour of some points: read raw, written in one transaction that replaces what stood there. So a crash at
any moment costs a repetition and nothing else. Late samples leave a row in `rollup_due` in their own transaction
(`services.record_samples`); it goes in the transaction after its hour was rolled up anew.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import numpy as np
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from pilots.domain.moments import microseconds, moment_of
from pilots.domain.point import PointKind
from pilots.domain.rollup import (
    FOR_EVER_US,
    HOUR,
    LEVELS,
    MINUTE,
    QUARTER,
    ROLLUP,
    SECOND_US,
    SIX_HOURS,
    VALUES,
    Rows,
    coarser,
    hold_us,
    intervals,
)
from pilots.history.arrays import PG_EPOCH_US
from pilots.history.services import HOUR_US, copy_rows, insert_rows
from pilots.history.stored import marks, read_rollups, samples_of, stored
from pilots.models import Point

#: An hour is rolled up when it ended this long ago: twice what makes a sample late, so none falls between the two.
SETTLED_US = 600 * SECOND_US
#: Points of one transaction: SQLite's other writers wait for no longer than a moment.
POINTS_AT_ONCE = 100
DUE_AT_ONCE = 5_000
#: Another program's locks have other numbers.
_LOCK = 0x726F6C6C
_alone_here = threading.Lock()
Due = tuple[int, int, int]


def roll_up(*, now: datetime, kept_since: datetime, budget_s: float = 20.0) -> int:
    """Late hours are rolled up anew, then those that settled; returns how many hours. What is left comes with the next call.

    Samples older than `kept_since` are gone or go: their hours stay as they were rolled up.
    """
    stop, oldest = time.monotonic() + budget_s, -(-microseconds(kept_since) // HOUR_US) * HOUR_US
    with _alone() as mine:
        if not mine:
            return 0
        holds = _holds()
        until = rolled_until()
        at = until if until is not None else _first_hour(holds, oldest)
        done = 0
        # Half of the time at most: a flood of late samples must not hold up the newest hours.
        while at is not None and time.monotonic() < stop - budget_s / 2 and (due := _due()):
            done += _redo(due, holds, at, oldest)
        while at is not None and at + HOUR_US + SETTLED_US <= microseconds(now) and time.monotonic() < stop:
            roll_hour(at, holds)
            at += HOUR_US
            _set_until(at)
            done += 1
    return done


def rolled_until() -> int | None:
    """Everything before is rolled up (µs since 1970 UTC, a whole hour); None before the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT until FROM rollup_state WHERE id = 1")
        found = cursor.fetchone()
    return None if found is None else int(found[0])


def roll_hour(hour: int, holds: Mapping[int, int]) -> None:
    """The roll-ups of these points for the hour are what its samples say."""
    keys = sorted(holds)
    for first in range(0, len(keys), POINTS_AT_ONCE):
        chunk = keys[first : first + POINTS_AT_ONCE]
        minutes = minutes_of(chunk, [holds[key] for key in chunk], hour, hour + HOUR_US)
        with transaction.atomic():
            for level in (MINUTE, QUARTER, HOUR):
                _replace(chunk, level, hour, hour + HOUR_US, minutes if level == MINUTE else coarser(minutes, level))
            begin = hour - hour % (SIX_HOURS * SECOND_US)
            end = begin + SIX_HOURS * SECOND_US
            _replace(chunk, SIX_HOURS, begin, end, coarser(read_rollups(chunk, HOUR, begin, end), SIX_HOURS))


def minutes_of(points: Sequence[int], holds: Sequence[int], start: int, end: int) -> Rows:
    """One-minute roll-ups of [start, end) out of the samples, in order of (point, start)."""
    samples = samples_of(points, start, end)
    by_point = np.array(holds, dtype=np.int64)
    of = np.searchsorted(np.array(points, dtype=np.int64), samples["point"])
    return intervals(samples, by_point[of], start, end, MINUTE)


def has_rollups(points: Sequence[int], start: int, end: int) -> bool:
    """Whether anything of [start, end) is rolled up."""
    # The planner may collect every row before it gives the first: of six hours those are few.
    sql = f"SELECT 1 FROM rollup WHERE level = %s AND point IN ({marks(points)}) AND start > %s AND start < %s LIMIT 1"
    with connection.cursor() as cursor:
        cursor.execute(sql, [SIX_HOURS, *points, stored(start - SIX_HOURS * SECOND_US), stored(end)])
        return cursor.fetchone() is not None


def _replace(points: Sequence[int], level: int, start: int, end: int, rows: Rows) -> None:
    columns: dict[str, np.ndarray[Any, Any]] = {name: rows[name] for name in ROLLUP.names or ()}
    columns["level"] = np.full(len(rows), level)
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            sql = f"DELETE FROM rollup WHERE level = %s AND point IN ({marks(points)}) AND start >= %s AND start < %s"
            cursor.execute(sql, [level, *points, start, end])
            insert_rows(cursor, "rollup", columns)
        return
    columns["start"] = columns["start"] - PG_EPOCH_US
    with connection.cursor() as cursor:
        sql = "DELETE FROM rollup WHERE level = %s AND point = ANY(%s) AND start >= %s AND start < %s"
        cursor.execute(sql, [level, list(points), moment_of(start), moment_of(end)])
        _copy(cursor, columns)


def _copy(cursor: CursorWrapper, columns: Mapping[str, np.ndarray[Any, Any]]) -> None:
    empty = np.isnan(columns["mean"])
    # A row without a good value has no fields for them.
    copy_rows(cursor, "rollup", {name: column[empty] for name, column in columns.items() if name not in VALUES})
    copy_rows(cursor, "rollup", {name: column[~empty] for name, column in columns.items()})


def _holds() -> dict[int, int]:
    """How long a sample of each point holds, in µs; points without numbers are left out."""
    rows = Point.objects.exclude(kind__in=[PointKind.TEXT, PointKind.NAMEPLATE])
    return {point.pk: hold_us(point.spec.max_age_s) for point in rows.iterator(chunk_size=2000)}


def _first_hour(points: Iterable[int], oldest: int) -> int | None:
    """The hour of the first sample from `oldest` on; each point's by the index, since nothing has one by time alone."""
    found = [moment for point in points if (moment := _next_sample(point, oldest)) is not None]
    return min(found) // HOUR_US * HOUR_US if found else None


def _next_sample(point: int, moment: int) -> int | None:
    with connection.cursor() as cursor:
        sql = "SELECT min(source_time) FROM sample WHERE point = %s AND source_time >= %s"
        cursor.execute(sql, [point, stored(moment)])
        found = cursor.fetchone()[0]
    return None if found is None else microseconds(found) if isinstance(found, datetime) else int(found)


def _due() -> list[Due]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, point, hour FROM rollup_due ORDER BY id LIMIT %s", [DUE_AT_ONCE])
        found: list[Due] = cursor.fetchall()
    return found


def _redo(due: Sequence[Due], holds: Mapping[int, int], until: int, oldest: int) -> int:
    """Hours that late samples changed are rolled up anew; one that is not yet comes by itself. Returns how many hours."""
    hours: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for point, hour in {(point, hour) for _id, point, hour in due if point in holds}:
        for changed in _changed_hours(point, hour, holds[point], until):
            if changed >= oldest:
                hours[changed][point] = holds[point]
    for hour in sorted(hours):
        roll_hour(hour, hours[hour])
    with transaction.atomic(), connection.cursor() as cursor:
        # Only those taken: one that came meanwhile has another id.
        cursor.executemany("DELETE FROM rollup_due WHERE id = %s", [[number] for number, _point, _hour in due])
    return len(hours)


def _changed_hours(point: int, hour: int, hold: int, until: int) -> range:
    """From the late sample's hour to the one where the point's next sample takes over."""
    end = hour + HOUR_US
    if end < until:
        following = _next_sample(point, end)
        held = until if hold == FOR_EVER_US else min(until, end + hold)
        end = held if following is None else min(held, following)
    return range(hour, min(until, -(-end // HOUR_US) * HOUR_US), HOUR_US)


def _set_until(until: int) -> None:
    with connection.cursor() as cursor:
        sql = "INSERT INTO rollup_state (id, until) VALUES (1, %s) ON CONFLICT (id) DO UPDATE SET until = excluded.until"
        cursor.execute(sql, [until])


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether nobody else rolls up meanwhile: an older reading must not replace a newer one."""
    if connection.vendor != "postgresql":
        mine = _alone_here.acquire(blocking=False)
        try:
            yield mine
        finally:
            if mine:
                _alone_here.release()
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        mine = bool(cursor.fetchone()[0])
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def forget_rollups(*, samples_before: datetime, rollups_before: datetime) -> None:
    """Minutes go with the samples they were made of, longer intervals stay until `rollups_before`."""
    postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        for level in LEVELS:
            before = samples_before if level == MINUTE else rollups_before
            # Named points let SQLite go by its key; PostgreSQL finds the few by the index over time.
            some = "" if postgresql else "AND point IN (SELECT DISTINCT point FROM rollup WHERE level = 21600)"
            sql = f"DELETE FROM rollup WHERE level = %s {some} AND start < %s"
            cursor.execute(sql, [level, before if postgresql else microseconds(before)])
