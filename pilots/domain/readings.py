"""Readings of one device as columns: what a flooded link brings costs no object a value. [field -> station]"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import overload

import numpy as np

from pilots.domain.columns import NEVER, Bools, Floats, Ints
from pilots.domain.measurement import RawReading
from pilots.domain.moments import moment_of
from pilots.domain.quality import Quality


class ReadingColumns(Sequence[RawReading]):
    """A sequence of readings whose numbers stand in columns of one length; an element is made for who asks for it.

    points: names; value: as the device says it, all numbers; quality: packed; source_us: since 1970 UTC, NEVER where the
    device gave no time.
    """

    __slots__ = ("points", "quality", "source_us", "value")

    def __init__(self, points: Sequence[str], value: Floats, quality: Ints, source_us: Ints) -> None:
        self.points, self.value, self.quality, self.source_us = points, value, quality, source_us

    def take(self, rows: Bools) -> ReadingColumns:
        """Those of the rows (a mask)."""
        points = list(compress(self.points, rows))
        return ReadingColumns(points, self.value[rows], self.quality[rows], self.source_us[rows])

    def __len__(self) -> int:
        return len(self.points)

    @overload
    def __getitem__(self, row: int) -> RawReading: ...

    @overload
    def __getitem__(self, row: slice) -> ReadingColumns: ...

    def __getitem__(self, row: int | slice) -> RawReading | ReadingColumns:
        if isinstance(row, slice):
            return ReadingColumns(self.points[row], self.value[row], self.quality[row], self.source_us[row])
        us = int(self.source_us[row])
        time = None if us == NEVER else moment_of(us)
        return RawReading(self.points[row], float(self.value[row]), Quality.unpack(int(self.quality[row])), time)


def joined(parts: Sequence[Sequence[RawReading]]) -> Sequence[RawReading]:
    """One after the other, as columns where all are."""
    if len(parts) == 1:
        return parts[0]
    columns = [part for part in parts if isinstance(part, ReadingColumns)]
    if len(columns) < len(parts):
        return [reading for part in parts for reading in part]
    points = [point for part in columns for point in part.points]
    return ReadingColumns(
        points,
        np.concatenate([part.value for part in columns]),
        np.concatenate([part.quality for part in columns]),
        np.concatenate([part.source_us for part in columns]),
    )
