"""The time axis of figures: wall clock of the page's zone, true on days when clocks change. [operation]

Plotly knows no zones, and a wall clock that is set back would make a curve run back. So positions are UTC plus the offset at
the window's beginning; where clocks change inside the window, its ticks carry the right hours and a line marks the change.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from django.utils.translation import gettext as _

from pilots.domain.columns import Ints
from pilots.domain.moments import microseconds
from pilots.ui.time_zones import offset_words, zone_label

_MOST_TICKS = 9
_HOURS = (1, 2, 3, 6, 12)
_DAYS = (1, 2, 7, 14, 30, 91, 365)


class TrendAxis:
    """Positions of moments of one window."""

    def __init__(self, zone: ZoneInfo, start: datetime, end: datetime) -> None:
        self.zone, self.start, self.end = zone, start, end
        self.offset: timedelta = _offset(start, zone)
        self.changes = list(clock_changes(zone, start, end))

    def positions(self, times: Ints) -> list[str]:
        """`2026-03-29T01:30:00.000` for each moment in µs since 1970 UTC."""
        shifted = (times + self.offset // timedelta(microseconds=1)).astype("datetime64[us]")
        found: list[str] = np.datetime_as_string(shifted, unit="ms").tolist()
        return found

    def position(self, moment: datetime) -> str:
        return self.positions(np.array([microseconds(moment)]))[0]

    def layout(self) -> dict[str, Any]:
        """What Plotly needs for the axis."""
        span = [self.position(moment) for moment in (self.start, self.end)]
        axis: dict[str, Any] = {
            "range": span,
            "type": "date",
            "anchor": "free",
            "position": 0,
            "title": {"text": self._title(), "standoff": 4},
        }
        if self.changes:
            ticks = list(self._ticks())
            axis |= {"tickmode": "array", "tickvals": [self.position(tick) for tick in ticks]}
            axis["ticktext"] = [self._tick_words(tick) for tick in ticks]
        return axis

    def words(self, moment: datetime) -> str:
        """The moment by the clock of then, with its offset."""
        local = moment.astimezone(self.zone)
        return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d} {offset_words(moment, self.zone)}"

    def change_words(self, moment: datetime) -> str:
        return _("clocks change: %(time)s") % {"time": f"{moment.astimezone(self.zone):%H:%M} {offset_words(moment, self.zone)}"}

    def _title(self) -> str:
        return zone_label(self.zone, self.start, *self.changes)

    def _ticks(self) -> Iterator[datetime]:
        hours = (self.end - self.start).total_seconds() / 3600
        step = next((step for step in _HOURS if hours / step <= _MOST_TICKS), None)
        days = next((step for step in _DAYS if hours / 24 / step <= _MOST_TICKS), _DAYS[-1])
        at = self.start.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        while at < self.end:
            local = at.astimezone(self.zone)
            if local.hour % step == 0 if step else local.hour == 0 and local.toordinal() % days == 0:
                yield at
            at += timedelta(hours=1)

    def _tick_words(self, tick: datetime) -> str:
        local = tick.astimezone(self.zone)
        return f"{local:%H:%M}" if local.hour or local.minute else f"{local:%d %b}"


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def clock_changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """When the zone's offset changes inside the window, to the minute.

    >>> year = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    >>> [f"{moment:%m-%d %H:%M}" for moment in clock_changes(ZoneInfo("Europe/Madrid"), *year)]
    ['03-29 01:00', '10-25 01:00']
    """
    at = start.astimezone(UTC)
    while at < end:
        following = min(at + timedelta(days=1), end)
        if _offset(following, zone) != _offset(at, zone):
            yield _change_between(zone, at, following)
        at = following


def _change_between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    before = _offset(low, zone)
    while high - low > timedelta(minutes=1):
        middle = low + (high - low) / 2
        low, high = (low, middle) if _offset(middle, zone) != before else (middle, high)
    return high.replace(second=0, microsecond=0)
