"""Reads the history: raw rows for lists and exports, series for plots, intervals for the API. [operation]

Samples are kept on change, so a good sample holds until the next one or until its point became old; a gap has no value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from django.db import connection

from pilots.domain.moments import microseconds
from pilots.domain.quality import Flag, Quality, Validity
from pilots.history.stored import marks, sample_columns, stored
from pilots.history.trends import thinned
from pilots.models import Point

#: The window of a page is cut while it is longer than this.
_LEAST_STEP = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Rows of kept samples as columns: times in µs since 1970 UTC, a value of NaN is missing, quality as `Quality.pack` has it.
SAMPLE = np.dtype([("time", "i8"), ("received", "i8"), ("value", "f8"), ("point", "i8"), ("quality", "i8")])
Samples = np.ndarray[Any, np.dtype[np.void]]


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
    where = f"point IN ({marks(points)}) AND source_time >= %s AND source_time < %s"
    arguments: list[datetime | int] = [*(point.pk for point in points), stored(microseconds(start)), stored(microseconds(end))]
    if after is not None:
        where += " AND (source_time, point) > (%s, %s)"
        arguments += [stored(microseconds(after[0])), after[1]]
    columns = "point, source_time, received_ms, value, quality"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM sample WHERE {where} ORDER BY source_time, point LIMIT {int(limit)}", arguments)
        return [_row(*found) for found in cursor.fetchall()]


def stream_samples(points: Sequence[Point], start: datetime, end: datetime, *, page: int = 50_000) -> Iterator[Samples]:
    """Every sample of [start, end) ordered by (time, point), in pages of about `page` rows at most.

    A page is a window of time, of which the length follows what was found: no page sorts what the next one reads, and no
    transaction waits for a slow reader.
    """
    at, step = start, timedelta(minutes=1)  # the first rows come at once, and longer windows soon
    while points and at < end:
        until = min(at + step, end)
        found = _samples([point.pk for point in points], at, until, most=page)
        if len(found) == page:
            # Some of the window are missing. Where no shorter one will do, the page is to be larger.
            page, step = (page, step / 2) if step > _LEAST_STEP else (2 * page, step)
            continue
        if len(found) < page // 4:
            step *= 2
        if len(found):
            yield found
        at = until


def _samples(points: Sequence[int], start: datetime, end: datetime, *, most: int = 0) -> Samples:
    """Samples of [start, end) ordered by (time, point, received); with `most`, any so many of them."""
    columns = sample_columns(points, microseconds(start), microseconds(end), most=most)
    order = np.lexsort((columns["received_ms"], columns["point"], columns["source_time"]))
    found = np.empty(len(order), dtype=SAMPLE)
    found["time"], found["point"] = columns["source_time"][order], columns["point"][order]
    found["value"], found["quality"] = columns["value"][order], columns["quality"][order]
    found["received"] = found["time"] + 1000 * columns["received_ms"][order]
    return found


def series(point: Point, start: datetime, end: datetime, *, max_points: int = 2000) -> Series:
    """The curve of a point over [start, end) in at most about `max_points` values, min and max kept per drawn value."""
    times, values, _ = _arrays(point, start, end)
    if len(times) > max_points:
        firsts, drawn, low, high, _at = thinned(times, values, max_points)
        return Series([_moment(us) for us in firsts.tolist()], _drawn(drawn), _drawn(low), _drawn(high))
    whole = _drawn(values)
    return Series([_moment(us) for us in times.tolist()], whole, list(whole), list(whole))


def aggregate(point: Point, start: datetime, end: datetime, resolution_s: float) -> list[Interval]:
    """One interval each `resolution_s` of [start, end); intervals without any sample that holds in them are empty."""
    step, last = int(resolution_s * 1_000_000), microseconds(end)
    return aggregate_between(point, [*range(microseconds(start), last, step), last])


def aggregate_between(point: Point, edges: Sequence[int]) -> list[Interval]:
    """One interval between each two edges (µs since 1970 UTC, ascending), empty where no sample holds."""
    times, values, good = _arrays(point, _moment(edges[0]), _moment(edges[-1]), with_previous=True)
    bounds = np.append(times, edges[-1]) if len(times) else times
    return [_interval(low, high, bounds, values, good) for low, high in pairwise(edges)]


def first_sample(point: Point) -> datetime | None:
    """The source time of the oldest sample that is kept of a point."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(source_time) FROM sample WHERE point = %s", [point.pk])
        found = cursor.fetchone()[0]
    return None if found is None else _loaded(found)


def _interval(low: int, high: int, bounds: np.ndarray, values: np.ndarray, good: np.ndarray) -> Interval:
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
    rows = _samples([point.pk], _previous(point, start) if with_previous else start, end)
    rows = rows[np.append(rows["time"][1:] != rows["time"][:-1], True)] if len(rows) else rows  # the last received of an instant
    times, values, quality = rows["time"].copy(), rows["value"].copy(), rows["quality"]
    usable = ((quality & 3) == Validity.GOOD) & ~np.isnan(values)
    values[((quality >> 5) & Flag.OLD != 0) | ((quality & 3) == Validity.INVALID)] = np.nan
    return times, values, usable


def _previous(point: Point, start: datetime) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(source_time) FROM sample WHERE point = %s AND source_time < %s", [point.pk, stored(microseconds(start))]
        )
        found = cursor.fetchone()[0]
    return start if found is None else _loaded(found)


def _drawn(values: np.ndarray) -> list[float | None]:
    return [None if gap else value for value, gap in zip(values.tolist(), np.isnan(values).tolist(), strict=True)]


def _row(point: int, source: object, received_ms: int, value: float | None, quality: int) -> SampleRow:
    source_time = _loaded(source)
    return SampleRow(point, source_time, source_time + timedelta(milliseconds=received_ms), value, Quality.unpack(quality))


def _loaded(stored: object) -> datetime:
    return stored if isinstance(stored, datetime) else _moment(int(str(stored)))


def _moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)
