"""What waits for the writer and what one flush writes. [station]"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

import numpy as np

from pilots.acquisition.directory import PointTable
from pilots.alarms.evaluation import Judged
from pilots.domain.columns import Bools, Floats, Ints, Measurements
from pilots.domain.errors import FieldError
from pilots.domain.measurement import Measurement, RawReading
from pilots.domain.moments import microseconds
from pilots.live.frames import Change, point_rows


class IngestFull(FieldError):
    """The queue is at its bound (the database is away): nothing was taken, the sender keeps what it has."""

    code = "overloaded"


class Unstorable(FieldError):
    """The database will never take these values: they were set aside and counted, sending them again is useless."""

    code = "unstorable"
    permanent = True


@dataclass(slots=True)
class Entry:
    """What one `put` (readings) or `mark_old` (values) brought, with the acknowledgement its sender awaits."""

    device: str = ""
    readings: Sequence[RawReading] = ()
    received_us: int = 0
    old: Mapping[int, Measurement] = field(default_factory=dict)
    urgent: bool = False
    done: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        # A sender that stops waiting must not cancel what the writer is going to answer.
        self.done.set_running_or_notify_cancel()

    def __str__(self) -> str:
        return f"{self.device}/{self.readings[0].point}" if self.readings else f"points {list(self.old)}"

    def source_us(self, time: datetime | None) -> int:
        """A device without a clock is stamped on receipt."""
        return self.received_us if time is None else microseconds(time)

    @property
    def size(self) -> int:
        return len(self.readings) + len(self.old)

    def halves(self) -> list[Entry]:
        """Two entries with the same contents; only for those of more than one value."""
        middle = self.size // 2
        if self.readings:
            parts = self.readings[:middle], self.readings[middle:]
            return [Entry(self.device, part, self.received_us) for part in parts]
        values = iter(self.old.items())
        return [Entry(old=dict(islice(values, middle))), Entry(old=dict(values))]


@dataclass(slots=True)
class Counters:
    """Since the process started; shown on /metrics."""

    readings: int = 0
    samples: int = 0
    late: int = 0
    repeated: int = 0
    unknown: int = 0
    refused: int = 0
    poisoned: int = 0
    alarms_failed: int = 0
    flushes: int = 0
    flush_seconds: float = 0.0


class Rows(Mapping[int, Measurement]):
    """Measurements as columns, with the slots of their points in the table.

    As a mapping, by the points' keys: only for rows that hold each point once.
    """

    def __init__(self, points: PointTable, slots: Ints, measurements: Measurements) -> None:
        self.points, self.slots, self.measurements = points, slots, measurements

    @property
    def ids(self) -> Ints:
        """The points' keys."""
        return self.points.ids[self.slots]

    def take(self, rows: Ints | Bools) -> Rows:
        """Those of the rows (indices or a mask)."""
        if rows.dtype == bool and rows.all():
            return self
        return Rows(self.points, self.slots[rows], self.measurements.take(rows))

    def joined(self, others: Rows) -> Rows:
        """These, then the others."""
        if not len(others):
            return self
        slots = np.concatenate([self.slots, others.slots])
        return Rows(self.points, slots, self.measurements.joined(others.measurements))

    def __getitem__(self, point_id: int) -> Measurement:
        (found,) = np.nonzero(self.ids == point_id)
        if not found.size:
            raise KeyError(point_id)
        return self.measurements.at(int(found[0]))

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids.tolist())

    def __len__(self) -> int:
        return int(self.slots.size)


@dataclass(slots=True)
class Batch:
    """What one flush writes. `latest` and `kept` hold each point once: the newest of all its rows, and of its samples."""

    latest: Rows
    kept: Rows
    samples: Rows
    #: Which samples' point and instant may stand in the history already.
    doubtful: Bools
    late: int
    repeated: int
    #: Numbers of counters: the newest of each, and those that are lower than the one before (`fallen_from`).
    counted: Rows
    fallen: Rows
    fallen_from: Floats
    unknown: int = 0
    #: What goes into the latest values now, and what pages see.
    written: Rows = field(init=False)
    shown: Rows = field(init=False)
    setpoints: list[Change] = field(default_factory=list)
    alarms: Judged = field(default_factory=Judged)


def changes_of(shown: Rows) -> list[Change]:
    """What pages see, by pilot."""
    points, pilots = shown.points, shown.points.pilots[shown.slots]
    changes = []
    for pilot in np.unique(pilots).tolist():
        rows = shown.take(pilots == pilot)
        code = points.entries[int(rows.slots[0])].pilot
        changes.append(Change(code, points=point_rows(points.references[rows.slots].tolist(), rows.measurements)))
    return changes
