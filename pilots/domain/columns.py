"""Many measurements at once, a column each: the rules of `measurement` for whole arrays. [field -> station]"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pilots.domain.measurement import FUTURE_TOLERANCE, PAST_TOLERANCE, Measurement, storable
from pilots.domain.moments import microseconds, moment_of
from pilots.domain.point import PointSpec
from pilots.domain.quality import Flag, Quality, Source, Validity

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Objects = NDArray[np.object_]

#: The source time of a point that has no measurement yet: every other is newer, and differences to it do not overflow.
NEVER = -(2**61)
_AHEAD_US, _BEHIND_US = FUTURE_TOLERANCE.total_seconds() * 1e6, PAST_TOLERANCE.total_seconds() * 1e6
_SOURCE_BITS, _SIMULATED = 7 << 2, Source.SIMULATED << 2


class Measurements(NamedTuple):
    """Measurements as columns of one length; of a single row (`rows`), its plain numbers.

    value: float, NaN when missing; quality: packed; source_us, received_us: since 1970 UTC; text: None but for text points.
    """

    value: Floats
    quality: Ints
    source_us: Ints
    received_us: Ints
    text: Objects

    @classmethod
    def none_yet(cls, size: int) -> Self:
        """Of points that have no measurement: whatever comes is newer and differs."""
        none = np.full(size, np.nan), np.full(size, -1), np.full(size, NEVER), np.full(size, NEVER), np.empty(size, dtype=object)
        return cls._make(none)

    @classmethod
    def of(cls, measurements: Sequence[Measurement]) -> Self:
        rows = [(m.value, m.quality.pack(), microseconds(m.source_time), microseconds(m.received_time)) for m in measurements]
        value, quality, source_us, received_us = zip(*rows, strict=True) if rows else ((), (), (), ())
        texts = np.array([m.text for m in measurements], dtype=object)
        return cls(np.array(value, dtype=float), _ints(quality), _ints(source_us), _ints(received_us), texts)

    @property
    def size(self) -> int:
        return int(self.value.size)

    @property
    def missing(self) -> Bools:
        return np.isnan(self.value)

    def take(self, rows: Ints | Bools | slice) -> Measurements:
        """Those of the rows (indices, a mask or a slice)."""
        return Measurements._make(column[rows] for column in self)

    def put(self, rows: Ints, measurements: Measurements) -> None:
        """These rows are now those measurements."""
        for column, new in zip(self, measurements, strict=True):
            column[rows] = new

    def joined(self, others: Measurements) -> Measurements:
        """These, then the others."""
        return Measurements._make(map(np.concatenate, zip(self, others, strict=True)))

    def rows(self) -> Iterator[Measurements]:
        """One after the other."""
        return map(Measurements._make, zip(*(column.tolist() for column in self), strict=True))

    def at(self, row: int) -> Measurement:
        """One of them as an object."""
        value, quality, source_us, received_us, text = (column[row] for column in self)
        present = None if np.isnan(value) else float(value)
        return Measurement(present, Quality.unpack(int(quality)), moment_of(int(source_us)), moment_of(int(received_us)), text)


class Rules(NamedTuple):
    """What the specifications of points ask of their values, a column each."""

    gain: Floats
    bias: Floats
    low: Floats
    high: Floats
    deadband: Floats
    simulated: Bools
    accumulates: Bools

    @classmethod
    def of(cls, specs: Sequence[PointSpec], *, simulated: Sequence[bool]) -> Rules:
        rows = [
            (
                spec.sign * spec.scale,
                spec.sign * spec.offset,
                -np.inf if spec.low is None else spec.low,
                np.inf if spec.high is None else spec.high,
                spec.deadband,
            )
            for spec in specs
        ]
        columns = np.array(rows, dtype=float).reshape(len(rows), 5).T.copy()
        accumulates = np.array([spec.accumulates for spec in specs], dtype=bool)
        return cls._make([*columns, np.array(simulated, dtype=bool), accumulates])

    def take(self, rows: Ints) -> Rules:
        return Rules._make(column[rows] for column in self)


class WireValues(NamedTuple):
    """Values as drivers saw them: number (NaN where there is none), text (None but of text), whether there is neither."""

    number: Floats
    text: Objects
    absent: Bools

    @classmethod
    def of(cls, values: Sequence[float | str | None] | Floats) -> Self:
        text, absent = np.empty(len(values), dtype=object), np.zeros(len(values), dtype=bool)
        if not isinstance(values, np.ndarray) and not set(map(type, values)) <= {float, int, bool}:
            text[:] = [storable(value) if isinstance(value, str) else None for value in values]
            absent[:] = [value is None for value in values]
            values = [math.nan if value is None or isinstance(value, str) else value for value in values]
        return cls(np.array(values, dtype=float), text, absent)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after the other."""
        return parts[0] if len(parts) == 1 else cls._make(map(np.concatenate, zip(*parts, strict=True)))


def normalise_all(wire: WireValues, quality: Ints, source_us: Ints, received_us: Ints, rules: Rules) -> Measurements:
    """What `normalise` says of each; all columns and `rules` are of one length."""
    text, absent = wire.text, wire.absent
    with np.errstate(over="ignore", invalid="ignore"):
        value = rules.gain * wire.number + rules.bias
    quality = np.where(rules.simulated & (quality & _SOURCE_BITS == 0), quality | _SIMULATED, quality)
    ahead_us = source_us - received_us
    wrong_clock = (ahead_us > _AHEAD_US) | (ahead_us < -_BEHIND_US)
    quality = _worse(quality, wrong_clock, Validity.QUESTIONABLE, Flag.CLOCK_UNSYNCED)
    quality = _worse(quality, absent, Validity.INVALID)
    no_number = ~(np.isfinite(value) | absent | (text != None))  # noqa: E711
    quality = _worse(quality, no_number, Validity.INVALID, Flag.NOT_AVAILABLE)
    value[no_number] = np.nan
    beyond = (value < rules.low) | (value > rules.high)
    quality = _worse(quality, beyond, Validity.QUESTIONABLE, Flag.OUT_OF_RANGE)
    return Measurements(value, quality, np.where(wrong_clock, received_us, source_us), received_us, text)


def same(new: Measurements, old: Measurements) -> Bools:
    """Whether each says what the old one of its row says, of the same instant: only the time of receipt may differ."""
    values = (new.value == old.value) | (new.missing & old.missing)
    unchanged: Bools = values & (new.quality == old.quality) & (new.text == old.text) & (new.source_us == old.source_us)
    return unchanged


def is_significant(new: Measurements, kept: Measurements, *, deadband: Floats | float, min_interval_s: float) -> Bools:
    """Whether each of `new` deserves a sample of its own beside the last one kept of its point; also of single rows.

    Always when quality, text or presence changed, when the value left the deadband, or after `min_interval_s`.
    """
    presence = (new.value != new.value) != (kept.value != kept.value)  # NaN, the missing value, differs from itself
    words = (new.quality != kept.quality) | (new.text != kept.text)
    moved = abs(new.value - kept.value) > deadband
    significant: Bools = moved | presence | words | (new.source_us - kept.source_us >= min_interval_s * 1e6)
    return significant


def _worse(quality: Ints, where: Bools, validity: Validity, flags: Flag = Flag.NONE) -> Ints:
    """`Quality.worse` of the packed qualities in these rows."""
    if not where.any():
        return quality
    worse = np.maximum(quality & 3, validity) | quality & ~3 | flags << 5
    return np.where(where, worse, quality)


def _ints(column: Sequence[int]) -> Ints:
    return np.array(column, dtype=np.int64)
