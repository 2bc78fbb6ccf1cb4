"""Writes samples: whole batches as arrays, never one object per value. [operation]

PostgreSQL takes a COPY in its binary format packed by numpy (PostgreSQL manual, COPY, "Binary Format"); SQLite an
executemany into an integer table.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from django.db import connection
from django.db.backends.utils import CursorWrapper

#: Microseconds between 1970 and PostgreSQL's epoch, 2000-01-01.
PG_EPOCH_US = 946_684_800_000_000
_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
_COPY_TRAILER = b"\xff\xff"
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("time_size", ">i4"),
        ("time", ">i8"),
        ("value_size", ">i4"),
        ("value", ">f8"),
        ("point_size", ">i4"),
        ("point", ">i4"),
        ("received_size", ">i4"),
        ("received", ">i4"),
        ("quality_size", ">i4"),
        ("quality", ">i2"),
    ]
)
#: The outer bounds let the planner leave out every partition but those of these samples.
_FORGET_SAME = """DELETE FROM sample USING unnest(%s::integer[], %s::timestamptz[]) AS repeated (point, source_time)
WHERE sample.source_time BETWEEN %s AND %s AND sample.point = repeated.point AND sample.source_time = repeated.source_time"""
_INT32_MAX = 2**31 - 1
PARTITION_DAYS_AHEAD = 7


class NewSample(NamedTuple):
    """One sample to keep: integer point key, microseconds since 1970 UTC, receive offset in ms, value or None, quality."""

    point: int
    source_us: int
    received_ms: int
    value: float | None
    quality: int


@lru_cache(maxsize=4096)  # a poll's values share their times
def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exact (a float would lose the last digits)."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def moment_of(us: int) -> datetime:
    """The inverse of `microseconds`."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def new_sample(point: int, *, source_time: datetime, received_time: datetime, value: float | None, quality: int) -> NewSample:
    """The sample of a measurement; an absurd receive offset is kept at the edge of its column."""
    source_us = microseconds(source_time)
    offset = (microseconds(received_time) - source_us) // 1000
    return NewSample(point, source_us, max(-_INT32_MAX, min(_INT32_MAX, offset)), value, quality)


def record_samples(samples: Sequence[NewSample], *, may_repeat: Sequence[NewSample] | None = None) -> None:
    """Every sample stands in the history once the caller's transaction commits.

    A sample of the same point and instant is replaced: devices repeat what they believe was lost. `may_repeat` are those
    of `samples` that may stand there already (None: any of them); looking for them costs PostgreSQL a query.
    """
    if not samples:
        return
    if connection.vendor == "postgresql":
        samples = list({(sample.point, sample.source_us): sample for sample in samples}.values())
        _forget_same(samples if may_repeat is None else may_repeat)
        _copy(samples)
    else:
        sql = "INSERT OR REPLACE INTO sample (point, source_time, received_ms, value, quality) VALUES (%s, %s, %s, %s, %s)"
        with connection.cursor() as cursor:
            cursor.executemany(sql, samples)


def _forget_same(samples: Sequence[NewSample]) -> None:
    if not samples:
        return
    points = [sample.point for sample in samples]
    moments = [moment_of(sample.source_us) for sample in samples]
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_SAME, [points, moments, min(moments), max(moments)])


def _copy(samples: Sequence[NewSample]) -> None:
    missing = np.array([sample.value is None for sample in samples])
    payload = _COPY_HEADER + (_pack(samples) if not missing.any() else _pack_with_nulls(samples, missing)) + _COPY_TRAILER
    with connection.cursor() as cursor, cursor.copy("COPY sample FROM STDIN (FORMAT binary)") as copy:
        copy.write(payload)


def _pack(samples: Sequence[NewSample]) -> bytes:
    rows = np.empty(len(samples), dtype=_ROW)
    rows["fields"], rows["time_size"], rows["value_size"] = 5, 8, 8
    rows["point_size"], rows["received_size"], rows["quality_size"] = 4, 4, 2
    points, times, received, values, qualities = zip(*samples, strict=True)
    rows["time"] = np.asarray(times, dtype=np.int64) - PG_EPOCH_US
    rows["value"] = [0.0 if value is None else value for value in values]
    rows["point"], rows["received"], rows["quality"] = points, received, qualities
    return rows.tobytes()


def _pack_with_nulls(samples: Sequence[NewSample], missing: np.ndarray) -> bytes:
    # A NULL is a size of -1 and no bytes, so these rows are eight bytes shorter than the array's.
    packed = _pack(samples)
    size, start = _ROW.itemsize, _ROW.fields["value_size"][1]  # type: ignore[index]
    rows = []
    for index, null in enumerate(missing):
        row = packed[index * size : (index + 1) * size]
        rows.append(row[:start] + b"\xff\xff\xff\xff" + row[start + 12 :] if null else row)
    return b"".join(rows)


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
