"""From what senders put to columns: names to points, objects to numbers, wire values to measurements. [station]"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from pilots.acquisition.batch import Entry, Rows
from pilots.acquisition.directory import NO_SLOTS, UNKNOWN, PointTable
from pilots.domain.columns import NEVER, Floats, Ints, WireValues, normalise_all
from pilots.domain.quality import Quality
from pilots.domain.readings import ReadingColumns


class Runs:
    """A column in which mostly all readings of a sender have one value: kept as values and how often each follows itself."""

    def __init__(self) -> None:
        self._columns: list[Ints] = []
        self._values: list[int] = []
        self._lengths: list[int] = []

    def add(self, value: int, length: int) -> None:
        """The value stands at the end, so many times."""
        self._values.append(value)
        self._lengths.append(length)

    def add_all(self, values: Ints) -> None:
        """These stand at the end."""
        self._close()
        self._columns.append(values)

    def add_each(self, code: Callable[[Any], int], objects: Sequence[Any]) -> None:
        """The code of each of the objects stands at the end."""
        if objects.count(objects[0]) == len(objects):
            self.add(code(objects[0]), len(objects))
        else:
            self._values += map(code, objects)
            self._lengths += repeat(1, len(objects))

    def column(self) -> Ints:
        self._close()
        return np.concatenate(self._columns) if self._columns else np.empty(0, dtype=np.int64)

    def _close(self) -> None:
        if self._values:
            self._columns.append(np.repeat(np.array(self._values, dtype=np.int64), self._lengths))
            self._values, self._lengths = [], []


class Values:
    """The column of what drivers saw."""

    def __init__(self) -> None:
        self._parts: list[WireValues] = []
        self._values: list[float | str | None] = []

    def add(self, values: Sequence[float | str | None] | Floats) -> None:
        """These stand at the end."""
        if isinstance(values, np.ndarray):
            self._close()
            self._parts.append(WireValues.of(values))
        else:
            self._values += values

    def column(self) -> WireValues:
        self._close()
        return WireValues.joined(self._parts)

    def _close(self) -> None:
        if self._values or not self._parts:
            self._parts.append(WireValues.of(self._values))
            self._values = []


def gather(entries: Sequence[Entry], points: PointTable) -> Rows:
    """The readings of points that are known, normalised, in the order they came."""
    slots: list[int] = []
    values, qualities, source_us, received_us = Values(), Runs(), Runs(), Runs()
    for entry in entries:
        readings = entry.readings
        if not readings or not points.entries:
            continue
        if isinstance(readings, ReadingColumns):
            names: Sequence[str] = readings.points
            values.add(readings.value)
            qualities.add_all(readings.quality)
            source_us.add_all(np.where(readings.source_us == NEVER, entry.received_us, readings.source_us))
        else:
            names, its_values, its_qualities, times = zip(*readings, strict=True)
            values.add(its_values)
            qualities.add_each(Quality.pack, its_qualities)
            source_us.add_each(entry.source_us, times)
        slots += map(points.slots.get(entry.device, NO_SLOTS).__getitem__, names)
        received_us.add(entry.received_us, len(names))
    where = np.array(slots, dtype=np.int64)
    rules = points.rules.take(where)
    columns = normalise_all(values.column(), qualities.column(), source_us.column(), received_us.column(), rules)
    return Rows(points, where, columns).take(where != UNKNOWN)
