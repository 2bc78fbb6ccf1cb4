"""What a plot of one point needs for a window of any length: samples where few, roll-ups where many. [operation]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from pilots.domain.columns import Bools, Floats, Ints
from pilots.domain.moments import microseconds
from pilots.domain.quality import Flag, Validity
from pilots.domain.rollup import HELD, LEVELS, MINUTE, SECOND_US, Rows, coarser, ends_of, hold_us
from pilots.history.rollups import has_rollups, minutes_of, rolled_until
from pilots.history.stored import read_rollups, samples_of
from pilots.models import Point

#: A window is read raw while all its curves together would have so many samples, one a second each.
RAW_SAMPLES = 200_000
#: A curve has at most about so many values where its level can be chosen.
MOST_ROWS = 4_000
#: Fewer where many curves share a plot.
MOST_VALUES = 64_000
#: What a drawn value is worth: good, in parts not or doubtful, nothing known.
GOOD, DOUBTFUL, NOTHING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Trend:
    """A curve: times in µs since 1970 UTC, NaN where nothing is known; each value holds until the next one.

    `step_s` is the length of its intervals, 0 for samples; `low` and `high` bound what one drawn value stands for; `worth`
    is one of the above; `count` how many samples or intervals were read.
    """

    step_s: int
    times: Ints
    values: Floats
    low: Floats
    high: Floats
    worth: Ints
    count: int


def level_for(start: datetime, end: datetime, curves: int, kept_since: datetime) -> int:
    """The step in s of a window's curves, 0 for samples. Samples and minutes older than `kept_since` are gone.

    >>> from datetime import UTC, timedelta
    >>> end = datetime(2026, 1, 1, tzinfo=UTC)
    >>> old = end - timedelta(days=30)
    >>> [level_for(end - timedelta(days=days), end, curves, old) for days, curves in ((1, 1), (1, 20), (31, 1), (365, 1))]
    [0, 60, 900, 21600]
    """
    span_s = (end - start).total_seconds()
    if start >= kept_since and span_s * curves <= RAW_SAMPLES:
        return 0
    most = min(MOST_ROWS, MOST_VALUES // max(curves, 1))
    levels = LEVELS if start >= kept_since else LEVELS[1:]
    return next((level for level in levels if span_s / level <= most), levels[-1])


def chosen_level(points: Sequence[Point], start: datetime, end: datetime, kept_since: datetime) -> int:
    """`level_for` these points; where nothing old was rolled up, the samples are all there is, and they are read."""
    wished = level_for(start, end, len(points), start)
    # What is coarser does not go with the samples.
    at_stake = start < kept_since and wished <= MINUTE
    if at_stake and has_rollups([point.pk for point in points], microseconds(start), microseconds(end)):
        return level_for(start, end, len(points), kept_since)
    return wished


def read_trend(point: Point, start: datetime, end: datetime, *, step_s: int, most: int = 2_000) -> Trend:
    """The curve of [start, end), with what held at its beginning."""
    first, last, hold = microseconds(start), microseconds(end), hold_us(point.spec.max_age_s)
    if step_s == 0:
        return _of_samples(samples_of([point.pk], first, last), hold, first, last, most)
    return _of_rollups(_rows(point.pk, hold, first, last, step_s), step_s, last)


def _of_samples(samples: Rows, hold: int, start: int, end: int, most: int) -> Trend:
    ends = ends_of(samples, np.full(len(samples), hold), end)
    held = ends > start
    samples, ends = samples[held], ends[held]
    count = len(samples)
    samples = _with_gaps(samples, ends, end)
    validity, values = samples["quality"] & 3, samples["value"]
    unknown = (samples["quality"] >> 5 & Flag.OLD != 0) | (validity == Validity.INVALID) | np.isnan(values)
    values = np.where(unknown, np.nan, values)
    worth: Ints = np.where(unknown, NOTHING, np.where(validity == Validity.GOOD, GOOD, DOUBTFUL))
    if len(samples) <= most:
        return Trend(0, samples["time"], values, values, values, worth, count)
    times, drawn, low, high, at = thinned(samples["time"], values, most)
    return Trend(0, times, drawn, low, high, np.maximum.reduceat(worth, at), count)


def _with_gaps(samples: Rows, ends: Ints, end: int) -> Rows:
    """With a sample of nothing wherever one may no longer be believed before the next came: nobody marked it old."""
    following = np.append(samples["time"][1:], end)
    lapsed = np.flatnonzero(ends < following)
    if not lapsed.size:
        return samples
    gaps = np.empty(lapsed.size, dtype=HELD)
    gaps["point"], gaps["time"], gaps["value"] = samples["point"][lapsed], ends[lapsed], np.nan
    gaps["quality"] = Validity.INVALID
    merged: Rows = np.insert(samples, lapsed + 1, gaps)
    return merged


def thinned(times: Ints, values: Floats, most: int) -> tuple[Ints, Floats, Floats, Floats, Ints]:
    """Times, drawn values, lows, highs of `most` chunks, and where each begins. A chunk with a gap in it is a gap."""
    edges = np.linspace(0, len(times), most + 1).astype(int)
    firsts, lasts = edges[:-1], edges[1:] - 1
    # NaN passes through minimum: a hidden hole would be a lie.
    low, high = np.minimum.reduceat(values, firsts), np.maximum.reduceat(values, firsts)
    return times[firsts], np.where(np.isnan(low), np.nan, values[lasts]), low, high, firsts


def _rows(point: int, hold: int, start: int, end: int, step_s: int) -> Rows:
    """Roll-ups of the level up to where they are kept, minutes and samples made into the same behind."""
    step = step_s * SECOND_US
    start -= start % step
    until = rolled_until()
    until = start if until is None else min(max(until, start), end)
    whole = until - until % step
    kept = read_rollups([point], step_s, start, whole)
    minutes = read_rollups([point], MINUTE, whole, until) if whole < until else kept[:0]
    newest = minutes_of([point], [hold], until, end) if until < end else kept[:0]
    tail = coarser(np.concatenate([minutes, newest]), step_s)
    rows: Rows = np.concatenate([kept, tail])
    return rows


def _of_rollups(rows: Rows, step_s: int, end: int) -> Trend:
    """An interval without a row, and the end of the last, is a gap."""
    step = step_s * SECOND_US
    starts, values = rows["start"], rows["mean"]
    past = starts + step
    open_ended = np.flatnonzero(np.append(past[:-1] < starts[1:], True)[: len(rows)])
    places = open_ended + 1
    partly = (rows["good_s"] < step_s * 0.999) | (rows["quality"] & 3 != Validity.GOOD)
    worth: Ints = np.where(np.isnan(values), NOTHING, np.where(partly, DOUBTFUL, GOOD))
    if len(worth):
        worth[-1] = NOTHING if np.isnan(values[-1]) else GOOD  # it may not be over yet

    def gapped(column: Any, filler: Any) -> Any:
        return np.insert(column, places, filler)

    return Trend(
        step_s,
        gapped(starts, np.minimum(past[open_ended], end)),
        gapped(values, np.nan),
        gapped(rows["low"], np.nan),
        gapped(rows["high"], np.nan),
        gapped(worth, NOTHING),
        len(rows),
    )


def runs_of(trend: Trend, end: int) -> list[tuple[int, int, int]]:
    """(from, to, worth) of each stretch that is not good, in µs."""
    worth, times = trend.worth, np.append(trend.times, max(end, int(trend.times[-1]) if len(trend.times) else end))
    new: Bools = np.ones(len(worth), dtype=bool)
    new[1:] = worth[1:] != worth[:-1]
    at = np.flatnonzero(new)
    spans = zip(times[at].tolist(), times[np.append(at[1:], len(worth))].tolist(), worth[at].tolist(), strict=True)
    return [(begin, over, int(kind)) for begin, over, kind in spans if kind != GOOD and over > begin]
