"""Exports of the history: states, formats and the edges of rolled-up intervals. [operation]"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from pilots.domain.moments import microseconds


class ExportState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_open(self) -> bool:
        return self in (ExportState.QUEUED, ExportState.RUNNING)


class ExportFormat(StrEnum):
    CSV_LONG = "csv_long"
    CSV_WIDE = "csv_wide"
    XLSX = "xlsx"
    PARQUET = "parquet"

    @property
    def suffix(self) -> str:
        return "csv" if self in (ExportFormat.CSV_LONG, ExportFormat.CSV_WIDE) else self.value


class ExportFailure(StrEnum):
    """Why there is no file."""

    DISK_FULL = "disk_full"
    WORKER_LOST = "worker_lost"
    POINTS_GONE = "points_gone"
    FAULT = "fault"


class Resolution(StrEnum):
    """The samples as kept, or one row an interval; ISO 8601 durations, as the API has them."""

    RAW = "raw"
    MINUTE = "PT1M"
    QUARTER = "PT15M"
    HOUR = "PT1H"
    DAY = "P1D"


_STEP_US = {Resolution.MINUTE: 60_000_000, Resolution.QUARTER: 900_000_000, Resolution.HOUR: 3_600_000_000}


def interval_edges(start: datetime, end: datetime, resolution: Resolution, zone: ZoneInfo) -> Iterator[int]:
    """Edges, in µs since 1970 UTC, of the whole intervals of the zone's clock that cover [start, end).

    Days are the zone's, so they have 23 or 25 hours where its clock changes:

    >>> madrid, spring = ZoneInfo("Europe/Madrid"), datetime(2026, 3, 29, 12, tzinfo=UTC)
    >>> first, last = interval_edges(spring, spring + timedelta(hours=1), Resolution.DAY, madrid)
    >>> (last - first) / 3.6e9
    23.0
    """
    if resolution is Resolution.DAY:
        yield from _midnights(start, end, zone)
        return
    step = _STEP_US[resolution]
    shift = microseconds(start) + (start.astimezone(zone).utcoffset() or timedelta()) // timedelta(microseconds=1)
    edge, stop = microseconds(start) - shift % step, microseconds(end)
    yield edge
    while edge < stop:
        edge += step
        yield edge


def _midnights(start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[int]:
    day = start.astimezone(zone).date()
    while True:
        edge = microseconds(_midnight(day, zone))
        yield edge
        if edge >= microseconds(end):
            return
        day += timedelta(days=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def share_done(start: datetime, end: datetime, until: datetime) -> float:
    """How much of the window [start, end) lies before `until`, 0 to 1.

    >>> noon = datetime(2026, 3, 29, 12, tzinfo=UTC)
    >>> share_done(noon, noon + timedelta(hours=10), noon + timedelta(hours=4))
    0.4
    """
    return min(1.0, max(0.0, (until - start) / (end - start)))
