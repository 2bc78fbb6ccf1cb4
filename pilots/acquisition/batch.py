"""What waits for the writer and what one flush writes. [station]"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

from pilots.acquisition.directory import PointEntry
from pilots.domain.errors import FieldError
from pilots.domain.measurement import Measurement, RawReading
from pilots.live.frames import Change


class IngestFull(FieldError):
    """The queue is at its bound (the database is away): nothing was taken, the sender keeps what it has."""

    code = "overloaded"


class Unstorable(FieldError):
    """The database will never take these values: they were set aside and counted, sending them again is useless."""

    code = "unstorable"
    permanent = True


@dataclass(slots=True)
class Entry:
    """What one `put` or `mark_old` brought, with the acknowledgement its sender awaits.

    `unknown` are readings of points that nobody had heard of yet when they came: the flush looks again.
    """

    items: list[tuple[PointEntry, Measurement]]
    done: Future[None] = field(default_factory=Future)
    unknown: list[tuple[str, RawReading, datetime]] = field(default_factory=list)
    urgent: bool = False
    marks_old: bool = False

    def __post_init__(self) -> None:
        # A sender that stops waiting must not cancel what the writer is going to answer.
        self.done.set_running_or_notify_cancel()

    @property
    def size(self) -> int:
        return len(self.items) + len(self.unknown)


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
    flushes: int = 0
    flush_seconds: float = 0.0
    queue_seconds: float = 0.0


@dataclass(slots=True)
class Batch:
    """What one flush is about to write."""

    latest: dict[int, Measurement] = field(default_factory=dict)
    kept: dict[int, Measurement] = field(default_factory=dict)
    samples: list[tuple[PointEntry, Measurement]] = field(default_factory=list)
    changed: list[tuple[PointEntry, Measurement]] = field(default_factory=list)
    #: Samples whose point and instant may stand in the history already.
    doubtful: list[tuple[PointEntry, Measurement]] = field(default_factory=list)
    setpoints: list[Change] = field(default_factory=list)
    late: int = 0
    repeated: int = 0
