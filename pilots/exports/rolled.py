"""Rolled-up rows of an export: intervals of the zone's clock, aggregated from the samples a window at a time. [operation]"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from pilots.domain.export import Resolution, interval_edges
from pilots.domain.moments import microseconds
from pilots.history.selectors import Interval, Samples, aggregate_between, first_sample
from pilots.models import Point

#: Rows of intervals as columns: times in µs since 1970 UTC, NaN where no good value holds.
ROLLED = np.dtype(
    [
        *(("time", "i8"), ("until", "i8"), ("point", "i8"), ("mean", "f8"), ("min", "f8"), ("max", "f8"), ("last", "f8")),
        *(("count", "i8"), ("good_share", "f8")),
    ]
)
ROWS_A_PAGE = 20_000
#: A window reads every sample in it: a day of seconds of one point is 1.5 MB.
LONGEST_US = 86_400_000_000


def rolled_pages(
    points: Sequence[Point], start: datetime, end: datetime, resolution: Resolution, zone: ZoneInfo
) -> Iterator[Samples]:
    """Pages of `ROLLED` ordered by (time, place of the point); nothing stands before the oldest sample or after `end`."""
    oldest = [found for found in map(first_sample, points) if found is not None]
    begin = max(start, min(oldest, default=end))
    if begin >= end:
        return
    for edges in _windows(interval_edges(begin, end, resolution, zone), microseconds(end), max(1, ROWS_A_PAGE // len(points))):
        columns = [aggregate_between(point, edges) for point in points]
        yield _page(points, edges, columns)


def _windows(edges: Iterable[int], end: int, most: int) -> Iterator[list[int]]:
    """The edges in runs of at most `most` intervals and a day, each run beginning with the last edge of the one before."""
    run: list[int] = []
    for edge in edges:
        run.append(min(edge, end))
        if len(run) > 1 and (len(run) > most or run[-1] - run[0] >= LONGEST_US):
            yield run
            run = run[-1:]
    if len(run) > 1:
        yield run


def _page(points: Sequence[Point], edges: list[int], columns: list[list[Interval]]) -> Samples:
    rows = [
        (edges[place], edges[place + 1], point.pk, *map(_number, (found.mean, found.min, found.max, found.last)), *_shares(found))
        for place, instant in enumerate(zip(*columns, strict=True))
        for point, found in zip(points, instant, strict=True)
    ]
    return np.array(rows, dtype=ROLLED)


def _shares(found: Interval) -> tuple[int, float]:
    return found.count, found.good_share


def _number(value: float | None) -> float:
    return np.nan if value is None else value
