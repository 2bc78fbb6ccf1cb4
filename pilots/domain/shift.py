"""Shifts of a control room on its own wall clock: three a day, or any window a report is asked for. [operation]"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

#: A report of more would be no report of a shift.
LONGEST = timedelta(days=7)


class Preset(StrEnum):
    """The usual shifts, named by their hours."""

    EARLY = "06-14"
    LATE = "14-22"
    NIGHT = "22-06"


_BEGINS = {Preset.EARLY: time(6), Preset.LATE: time(14), Preset.NIGHT: time(22)}
_ENDS = {Preset.EARLY: time(14), Preset.LATE: time(22), Preset.NIGHT: time(6)}


@dataclass(frozen=True, slots=True)
class Shift:
    """From `start`, of it, to `end`, no longer of it; both UTC."""

    start: datetime
    end: datetime

    def standing_at(self, now: datetime) -> datetime:
        """The moment whose state is handed over: its end, or now while it runs."""
        return min(self.end, now)


def shift_of(day: date, preset: Preset, zone: ZoneInfo) -> Shift:
    """The shift that begins on that day. On the days the clocks change the night has seven or nine hours.

    >>> night = shift_of(date(2024, 3, 30), Preset.NIGHT, ZoneInfo("Europe/Madrid"))
    >>> night.end - night.start
    datetime.timedelta(seconds=25200)
    """
    last = day + timedelta(days=1) if preset is Preset.NIGHT else day
    ends = (datetime.combine(day, _BEGINS[preset], zone), datetime.combine(last, _ENDS[preset], zone))
    start, end = (moment.astimezone(UTC) for moment in ends)
    return Shift(start, end)


def running_at(now: datetime, zone: ZoneInfo) -> tuple[date, Preset]:
    """The shift that runs at the moment: the day it began, and which.

    >>> running_at(datetime(2024, 6, 12, 3, tzinfo=UTC), ZoneInfo("Europe/Madrid"))
    (datetime.date(2024, 6, 11), <Preset.NIGHT: '22-06'>)
    """
    local = now.astimezone(zone)
    if local.time() < _BEGINS[Preset.EARLY]:
        return local.date() - timedelta(days=1), Preset.NIGHT
    return local.date(), max((preset for preset in Preset if _BEGINS[preset] <= local.time()), key=_BEGINS.__getitem__)
