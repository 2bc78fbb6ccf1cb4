"""From what senders put to columns: names to points, objects to numbers, wire values to measurements. [station]"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from pilots.acquisition.batch import Entry, Rows
from pilots.acquisition.directory import NO_SLOTS, UNKNOWN, PointTable
from pilots.domain.columns import Ints, normalise_all
from pilots.domain.quality import Quality


class Runs:
    """A column in which mostly all readings of a sender have one value: kept as values and how often each follows itself."""

    def __init__(self) -> None:
        self._values: list[int] = []
        self._lengths: list[int] = []

    def add(self, value: int, length: int) -> None:
        """The value stands at the end, so many times."""
        self._values.append(value)
        self._lengths.append(length)

    def add_each(self, code: Callable[[Any], int], objects: Sequence[Any]) -> None:
        """The code of each of the objects stands at the end."""
        if objects.count(objects[0]) == len(objects):
            self.add(code(objects[0]), len(objects))
        else:
            self._values += map(code, objects)
            self._lengths += repeat(1, len(objects))

    def column(self) -> Ints:
        return np.repeat(np.array(self._values, dtype=np.int64), self._lengths)


def gather(entries: Sequence[Entry], points: PointTable) -> Rows:
    """The readings of points that are known, normalised, in the order they came."""
    slots: list[int] = []
    values: list[float | str | None] = []
    qualities, source_us, received_us = Runs(), Runs(), Runs()
    for entry in entries:
        if not entry.readings or not points.entries:
            continue
        names, its_values, its_qualities, times = zip(*entry.readings, strict=True)
        slots += map(points.slots.get(entry.device, NO_SLOTS).__getitem__, names)
        values += its_values
        qualities.add_each(Quality.pack, its_qualities)
        source_us.add_each(entry.source_us, times)
        received_us.add(entry.received_us, len(times))
    where = np.array(slots, dtype=np.int64)
    columns = normalise_all(values, qualities.column(), source_us.column(), received_us.column(), points.rules.take(where))
    return Rows(points, where, columns).take(where != UNKNOWN)
