"""Writes samples: whole batches as arrays, never one object per value. [operation]

PostgreSQL takes a COPY in its binary format packed by numpy (PostgreSQL manual, COPY, "Binary Format"); SQLite an
executemany into an integer table.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection
from django.db.backends.utils import CursorWrapper

from pilots.domain.columns import Bools, Ints, Measurements
from pilots.domain.moments import microseconds, moment_of
from pilots.domain.rollup import HOUR, SECOND_US, VALUES
from pilots.history.arrays import PG_EPOCH_US, execute, packed

_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
_COPY_TRAILER = b"\xff\xff"
_KINDS = {"source_time": ">i8", "value": ">f8", "point": ">i4", "received_ms": ">i4", "quality": ">i2", "hour": ">i8"}
_KINDS |= {"start": ">i8", "samples": ">i4", "level": ">i2"} | dict.fromkeys((*VALUES, "good_s"), ">f8")  # of roll-ups
#: The outer bounds let the planner leave out every partition but those of these samples.
_FORGET_SAME = """DELETE FROM sample USING (SELECT point, timestamptz 'epoch' + us * interval '1 us' AS source_time
FROM unnest(%s::bigint[], %s::bigint[]) AS repeated (point, us)) AS repeated
WHERE sample.source_time BETWEEN %s AND %s AND sample.point = repeated.point AND sample.source_time = repeated.source_time"""
#: SQLite spends as much on a statement as on a row, so a statement takes so many.
_ROWS_A_STATEMENT = 100
_INT32_MAX = 2**31 - 1
PARTITION_DAYS_AHEAD = 7
HOUR_US = HOUR * SECOND_US
#: A sample this old may belong to an hour that is rolled up; hours are rolled up only well after that (`rollups.SETTLED_US`).
LATE_AFTER_US = 300 * SECOND_US


def record_samples(points: Ints, samples: Measurements, *, now: datetime, may_repeat: Bools | None = None) -> None:
    """Every sample stands in the history, under its point's key, once the caller's transaction commits.

    A sample of the same point and instant is replaced: devices repeat what they believe was lost. `may_repeat` tells which
    may stand there already (None: any of them); looking for them costs PostgreSQL a query. An absurd receive offset is
    kept at the edge of its column. What comes late makes its hour due for roll-up.
    """
    order = np.lexsort((samples.source_us, points))
    newest = np.ones(order.size, dtype=bool)
    newest[:-1] = (np.diff(points[order]) != 0) | (np.diff(samples.source_us[order]) != 0)
    rows = order[newest]
    if not rows.size:
        return
    columns = {
        "point": points[rows],
        "source_time": samples.source_us[rows],
        "received_ms": np.clip((samples.received_us - samples.source_us)[rows] // 1000, -_INT32_MAX, _INT32_MAX),
        "value": samples.value[rows],
        "quality": samples.quality[rows],
    }
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            doubtful = slice(None) if may_repeat is None else may_repeat[rows]
            _forget_same(columns["point"][doubtful], columns["source_time"][doubtful])
            _copy(cursor, columns)
        else:
            insert_rows(cursor, "sample", columns)
        _mark_late(cursor, columns["point"], columns["source_time"], now)


def _mark_late(cursor: CursorWrapper, points: Ints, times: Ints, now: datetime) -> None:
    """The hours that may be rolled up already are rolled up anew; in the samples' own transaction, so that none is missed."""
    late = times < microseconds(now) - LATE_AFTER_US
    if not late.any():
        return
    places = np.unique(times[late] // HOUR_US << 32 | points[late])  # a point's key is an int4
    columns = {"point": places & 0xFFFFFFFF, "hour": (places >> 32) * HOUR_US}
    if connection.vendor == "postgresql":
        copy_rows(cursor, "rollup_due", columns)
    else:
        rows = np.column_stack(list(columns.values())).tolist()
        cursor.executemany("INSERT INTO rollup_due (point, hour) VALUES (%s, %s)", rows)


def _forget_same(points: Ints, times: Ints) -> None:
    if points.size:
        bounds = moment_of(int(times.min())), moment_of(int(times.max()))
        execute(_FORGET_SAME, [packed(points), packed(times), *bounds])


def insert_rows(cursor: CursorWrapper, table: str, columns: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """SQLite has these rows; NaN becomes NULL."""
    width, size = len(columns), len(columns["point"])
    flat = [None] * (width * size)
    for index, column in enumerate(columns.values()):
        flat[index::width] = column.tolist()
    whole = size - size % _ROWS_A_STATEMENT
    for first, end, rows in ((0, whole, _ROWS_A_STATEMENT), (whole, size, 1)):
        places = ", ".join([f"({', '.join(['%s'] * width)})"] * rows)
        sql = f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES {places}"
        cursor.executemany(sql, [flat[at : at + rows * width] for at in range(first * width, end * width, rows * width)])


def _copy(cursor: CursorWrapper, columns: Mapping[str, np.ndarray[Any, Any]]) -> None:
    columns = dict(columns, source_time=columns["source_time"] - PG_EPOCH_US)
    missing = np.isnan(columns["value"])
    if missing.any():
        # A row without a value has a field less.
        copy_rows(cursor, "sample", {name: column[missing] for name, column in columns.items() if name != "value"})
        columns = {name: column[~missing] for name, column in columns.items()}
    copy_rows(cursor, "sample", columns)


def copy_rows(cursor: CursorWrapper, table: str, columns: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """PostgreSQL has these rows; what its table keeps as a time is µs since its own epoch."""
    if columns["point"].size:
        sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
        # Django passes psycopg's errors of a COPY through as they are: a lost database would look like a bad value.
        with connection.wrap_database_errors, cursor.copy(sql) as copy:
            copy.write(_COPY_HEADER + _packed(columns) + _COPY_TRAILER)


def _packed(columns: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """Each row: the number of its fields, then each field's length and octets."""
    layout = [("fields", ">i2")]
    for name in columns:
        layout += [(f"{name}_size", ">i4"), (name, _KINDS[name])]
    rows = np.empty(len(columns["point"]), dtype=np.dtype(layout))
    rows["fields"] = len(columns)
    for name, column in columns.items():
        rows[f"{name}_size"], rows[name] = rows[name].itemsize, column
    return rows.tobytes()


def ensure_partitions(today: datetime) -> None:
    """On PostgreSQL every UTC day from today to a week ahead has its partition; other days fall into the default one."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for ahead in range(PARTITION_DAYS_AHEAD + 1):
            day = (today + timedelta(days=ahead)).date()
            _create_partition(cursor, day.isoformat(), (day + timedelta(days=1)).isoformat())


def _create_partition(cursor: CursorWrapper, day: str, next_day: str) -> None:
    name = f"sample_{day.replace('-', '')}"
    cursor.execute("SELECT to_regclass(%s)", [name])
    if cursor.fetchone()[0] is not None:
        return
    sql = "SELECT 1 FROM sample_default WHERE source_time >= %s AND source_time < %s LIMIT 1"
    cursor.execute(sql, [f"{day}T00:00Z", f"{next_day}T00:00Z"])
    if cursor.fetchone() is None:
        cursor.execute(f"CREATE TABLE {name} PARTITION OF sample FOR VALUES FROM ('{day}T00:00Z') TO ('{next_day}T00:00Z')")


def forget_samples(before: datetime) -> int:
    """Samples older than `before` are gone; returns how many rows, or partitions on PostgreSQL, went."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            return _drop_partitions(cursor, before)
        cursor.execute("DELETE FROM sample WHERE source_time < %s", [microseconds(before)])
        return int(cursor.rowcount)


def _drop_partitions(cursor: CursorWrapper, before: datetime) -> int:
    # Dropping a day is instant and leaves no dead rows; the DELETE only ever meets the default partition.
    cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'sample'::regclass")
    names = [name for (name,) in cursor.fetchall() if name != "sample_default"]
    old = [name for name in names if name.removeprefix("sample_") < f"{before.date():%Y%m%d}"]
    for name in old:
        cursor.execute(f"DROP TABLE {name}")
    cursor.execute("DELETE FROM sample_default WHERE source_time < %s", [before])
    return len(old)
