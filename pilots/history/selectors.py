"""Reads the history: raw rows for lists and exports, series for plots, intervals for the API. [operation]

Samples are kept on change, so a good sample holds until the next one or until its point became old; a gap has no value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from django.db import connection

from pilots.domain.quality import Flag, Quality, Validity
from pilots.history.services import microseconds
from pilots.models import Point

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SampleRow(NamedTuple):
    """One kept sample, both times aware UTC, the value in the point's unit."""

    point_id: int
    source_time: datetime
    received_time: datetime
    value: float | None
    quality: Quality


@dataclass(frozen=True, slots=True)
class Series:
    """A plottable curve: None in `values` is a gap; `minimum` and `maximum` bound each drawn value's neighbourhood."""

    times: list[datetime]
    values: list[float | None]
    minimum: list[float | None]
    maximum: list[float | None]


@dataclass(frozen=True, slots=True)
class Interval:
    """One interval labelled by its start; `mean` and `good_share` are weighted by time, all None without a good value."""

    start: datetime
    mean: float | None
    min: float | None
    max: float | None
    last: float | None
    count: int
    good_share: float


def read_samples(
    points: Sequence[Point], start: datetime, end: datetime, *, limit: int, after: tuple[datetime, int] | None = None
) -> list[SampleRow]:
    """At most `limit` samples of [start, end) ordered by (source time, point), those after the cursor `after`."""
    if not points:
        return []
    marks = ", ".join(["%s"] * len(points))
    where = f"point IN ({marks}) AND source_time >= %s AND source_time < %s"
    arguments: list[datetime | int] = [point.pk for point in points] + [_stored(start), _stored(end)]
    if after is not None:
        where += " AND (source_time, point) > (%s, %s)"
        arguments += [_stored(after[0]), after[1]]
    sql = f"SELECT point, source_time, received_ms, value, quality FROM sample WHERE {where} ORDER BY source_time, point LIMIT {int(limit)}"
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return [_row(*columns) for columns in cursor.fetchall()]


def stream_samples(points: Sequence[Point], start: datetime, end: datetime, *, page: int = 20_000) -> Iterator[SampleRow]:
    """Every sample of [start, end) in order, in constant memory."""
    after: tuple[datetime, int] | None = None
    while rows := read_samples(points, start, end, limit=page, after=after):
        yield from rows
        after = (rows[-1].source_time, rows[-1].point_id)


def series(point: Point, start: datetime, end: datetime, *, max_points: int = 2000) -> Series:
    """The curve of a point over [start, end) in at most about `max_points` values, min and max kept per drawn value."""
    times, values, _ = _arrays(point, start, end)
    if len(times) > max_points:
        return _thinned(times, values, max_points)
    drawn = [None if np.isnan(value) else float(value) for value in values]
    return Series([_moment(int(us)) for us in times], drawn, list(drawn), list(drawn))


def aggregate(point: Point, start: datetime, end: datetime, resolution_s: float) -> list[Interval]:
    """One interval each `resolution_s` of [start, end); intervals without any sample that holds in them are empty."""
    step = int(resolution_s * 1_000_000)
    first = microseconds(start)
    count = -(-(microseconds(end) - first) // step)
    times, values, good = _arrays(point, start, end, with_previous=True)
    bounds = np.append(times, microseconds(end)) if len(times) else times
    return [_interval(index, first, step, bounds, values, good, microseconds(end)) for index in range(count)]


def _interval(
    index: int, first: int, step: int, bounds: np.ndarray, values: np.ndarray, good: np.ndarray, end: int
) -> Interval:
    low, high = first + index * step, min(first + (index + 1) * step, end)
    start = _moment(low)
    if len(bounds) < 2:
        return Interval(start, None, None, None, None, 0, 0.0)
    # Samples first..last hold somewhere in [low, high): the one before `low` still does until the next.
    a = max(int(np.searchsorted(bounds[:-1], low, side="right")) - 1, 0)
    b = int(np.searchsorted(bounds[:-1], high, side="left"))
    held = np.minimum(bounds[a + 1 : b + 1], high) - np.maximum(bounds[a:b], low)
    usable = good[a:b] & (held > 0)
    count = int(np.count_nonzero(bounds[a:b] >= low))
    if not usable.any():
        return Interval(start, None, None, None, None, count, 0.0)
    weights, kept = held[usable], values[a:b][usable]
    mean = float(np.average(kept, weights=weights))
    share = float(weights.sum()) / (high - low)
    return Interval(start, mean, float(kept.min()), float(kept.max()), float(kept[-1]), count, round(share, 6))


def _arrays(
    point: Point, start: datetime, end: datetime, *, with_previous: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times in µs, values (NaN where missing or old) and goodness of one point's samples, oldest first."""
    if connection.vendor == "postgresql":
        stamp = "(extract(epoch FROM source_time) * 1000000)::bigint"
    else:
        stamp = "source_time"
    sql = f"SELECT {stamp}, value, quality, received_ms FROM sample WHERE point = %s AND source_time >= %s AND source_time < %s"
    begin = _previous(point, start) if with_previous else start
    with connection.cursor() as cursor:
        cursor.execute(sql + " ORDER BY source_time, received_ms", [point.pk, _stored(begin), _stored(end)])
        rows = cursor.fetchall()
    rows = [row for row, following in pairwise([*rows, (None,)]) if row[0] != following[0]]  # the last received wins
    times = np.array([row[0] for row in rows], dtype=np.int64)
    quality = np.array([row[2] for row in rows], dtype=np.int64)
    values = np.array([np.nan if row[1] is None else row[1] for row in rows], dtype=np.float64)
    usable = ((quality & 3) == Validity.GOOD) & ~np.isnan(values)
    values[((quality >> 5) & Flag.OLD != 0) | ((quality & 3) == Validity.INVALID)] = np.nan
    return times, values, usable


def _previous(point: Point, start: datetime) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(source_time) FROM sample WHERE point = %s AND source_time < %s", [point.pk, _stored(start)])
        found = cursor.fetchone()[0]
    return start if found is None else _loaded(found)


def _thinned(times: np.ndarray, values: np.ndarray, max_points: int) -> Series:
    edges = np.linspace(0, len(times), max_points + 1).astype(int)
    chunks = [values[a:b] for a, b in pairwise(edges)]
    moments = [_moment(int(times[a])) for a in edges[:-1]]
    # A chunk with a gap in it shows the gap: a hidden hole would be a lie.
    whole = [not np.isnan(chunk).any() for chunk in chunks]
    values_out = [float(chunk[-1]) if ok else None for chunk, ok in zip(chunks, whole, strict=True)]
    lows = [float(chunk.min()) if ok else None for chunk, ok in zip(chunks, whole, strict=True)]
    highs = [float(chunk.max()) if ok else None for chunk, ok in zip(chunks, whole, strict=True)]
    return Series(moments, values_out, lows, highs)


def _row(point: int, source: object, received_ms: int, value: float | None, quality: int) -> SampleRow:
    source_time = _loaded(source)
    return SampleRow(point, source_time, source_time + timedelta(milliseconds=received_ms), value, Quality.unpack(quality))


def _stored(moment: datetime) -> datetime | int:
    return moment if connection.vendor == "postgresql" else microseconds(moment)


def _loaded(stored: object) -> datetime:
    return stored if isinstance(stored, datetime) else _moment(int(str(stored)))


def _moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)
