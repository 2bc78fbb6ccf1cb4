"""Roll-ups: what a point did in each interval, from the samples that held in it. Pure arrays, no clock. [operation]

Samples are kept on change, so a mean is weighted by time: a good sample holds until the next one of its point, or as long as
it may be believed. An interval in which nothing held and nothing came has no row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pilots.domain.columns import Floats, Ints
from pilots.domain.quality import Validity

#: Lengths of the intervals, in s; each divides the next.
LEVELS = (60, 900, 3600, 21_600)
MINUTE, QUARTER, HOUR, SIX_HOURS = LEVELS
SECOND_US = 1_000_000
#: A sample that is worth keeping is kept once a minute: so much longer than its age limit a value may stand unrenewed.
KEPT_EVERY_US = 60 * SECOND_US
FOR_EVER_US = 2**61
#: Samples in order of (point, time): times in µs since 1970 UTC, NaN for a missing value, quality packed.
HELD = np.dtype([("point", "i8"), ("time", "i8"), ("value", "f8"), ("quality", "i8")])
#: One interval: `low` to `last` are of good samples (NaN without any), `good_s` is how long one held, `samples` how many
#: came; `quality` has the worst validity, all flags and the newest source.
ROLLUP = np.dtype(
    [
        ("point", "i8"),
        ("start", "i8"),
        ("low", "f8"),
        ("high", "f8"),
        ("mean", "f8"),
        ("first", "f8"),
        ("last", "f8"),
        ("good_s", "f8"),
        ("samples", "i8"),
        ("quality", "i8"),
    ]
)
VALUES = ("low", "high", "mean", "first", "last")
Rows = np.ndarray[Any, np.dtype[np.void]]


def hold_us(max_age_s: float | None) -> int:
    """How long a sample holds when none follows it, in µs.

    >>> hold_us(30), hold_us(None) == FOR_EVER_US
    (90000000, True)
    """
    return FOR_EVER_US if max_age_s is None else KEPT_EVERY_US + int(max_age_s * SECOND_US)


def ends_of(samples: Rows, holds: Ints, end: int) -> Ints:
    """When each sample stopped holding: at its point's next, at its own limit, at `end` at the latest."""
    ends = np.full(len(samples), end, dtype=np.int64)
    same = samples["point"][1:] == samples["point"][:-1]
    ends[:-1][same] = samples["time"][1:][same]
    limits: Ints = np.minimum(ends, samples["time"] + holds)
    return np.minimum(limits, end)


def intervals(samples: Rows, holds: Ints, start: int, end: int, step_s: int) -> Rows:
    """Roll-ups each `step_s` from `start` to `end`; `samples` begin with the one that held before, `holds` has each one's µs."""
    step = step_s * SECOND_US
    begins, ends = np.maximum(samples["time"], start), ends_of(samples, holds, end)
    held = np.flatnonzero(ends > begins)
    if not held.size:
        return np.empty(0, dtype=ROLLUP)
    begins, ends = begins[held], ends[held]
    first, past = (begins - start) // step, (ends - 1 - start) // step + 1
    # A sample that holds over several intervals is a piece of each.
    pieces = past - first
    of = np.repeat(np.arange(held.size), pieces)
    ordinal = np.arange(of.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    begin = start + (first[of] + ordinal) * step
    lasted = (np.minimum(ends[of], begin + step) - np.maximum(begins[of], begin)) / SECOND_US
    rows = samples[held[of]]
    good = ((rows["quality"] & 3) == Validity.GOOD) & ~np.isnan(rows["value"])
    piece = np.empty(of.size, dtype=ROLLUP)
    piece["point"], piece["start"], piece["quality"] = rows["point"], begin, rows["quality"]
    for name in VALUES:
        piece[name] = np.where(good, rows["value"], np.nan)
    piece["good_s"] = np.where(good, lasted, 0.0)
    piece["samples"] = (ordinal == 0) & (rows["time"] >= start)
    return _joined(piece)


def coarser(rows: Rows, step_s: int) -> Rows:
    """The same in longer intervals; `rows` in order of (point, start)."""
    pieces = rows.copy()
    pieces["start"] -= pieces["start"] % (step_s * SECOND_US)
    return _joined(pieces) if len(pieces) else pieces


def _joined(pieces: Rows) -> Rows:
    """One row for each run of pieces with the same point and start."""
    new = np.ones(len(pieces), dtype=bool)
    new[1:] = (np.diff(pieces["point"]) != 0) | (np.diff(pieces["start"]) != 0)
    at = np.flatnonzero(new)
    rows = np.empty(at.size, dtype=ROLLUP)
    rows["point"], rows["start"] = pieces["point"][at], pieces["start"][at]
    rows["low"], rows["high"] = np.fmin.reduceat(pieces["low"], at), np.fmax.reduceat(pieces["high"], at)
    rows["good_s"], rows["samples"] = np.add.reduceat(pieces["good_s"], at), np.add.reduceat(pieces["samples"], at)
    rows["mean"] = _means(pieces, at, rows)
    rows["first"], rows["last"] = _first_and_last(pieces, at)
    rows["quality"] = _qualities(pieces["quality"], at, len(pieces))
    kept: Rows = rows[(rows["good_s"] > 0) | (rows["samples"] > 0)]
    return kept


def _means(pieces: Rows, at: Ints, rows: Rows) -> Floats:
    weighed = np.add.reduceat(np.where(pieces["good_s"] > 0, pieces["mean"] * pieces["good_s"], 0.0), at)
    means = np.divide(weighed, rows["good_s"], out=np.full(at.size, np.nan), where=rows["good_s"] > 0)
    # A mean of equal values must not fall beside them by rounding.
    clipped: Floats = np.clip(means, rows["low"], rows["high"])
    return clipped


def _first_and_last(pieces: Rows, at: Ints) -> tuple[Floats, Floats]:
    """Of each run's good pieces; NaN without one."""
    good = np.flatnonzero(~np.isnan(pieces["mean"]))
    bounds = np.searchsorted(good, np.append(at, len(pieces)))
    some = bounds[1:] > bounds[:-1]
    firsts, lasts = np.full(at.size, np.nan), np.full(at.size, np.nan)
    firsts[some] = pieces["first"][good[bounds[:-1][some]]]
    lasts[some] = pieces["last"][good[bounds[1:][some] - 1]]
    return firsts, lasts


def _qualities(packed: Ints, at: Ints, size: int) -> Ints:
    newest = np.append(at[1:], size) - 1
    worst: Ints = np.maximum.reduceat(packed & 3, at) | np.bitwise_or.reduceat(packed >> 5, at) << 5
    source: Ints = packed[newest] & 7 << 2
    return np.bitwise_or(worst, source)
