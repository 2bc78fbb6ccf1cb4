"""The pilots on a map without tiles: a grid of degrees, each pilot at its place, its state as a shape and in words.

Equirectangular: a degree of longitude is drawn as long as it is at the middle of the picture. Labels give way to one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, cos, floor, radians
from typing import Any

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pilots.alarms.selectors import counts
from pilots.domain.topology import LinkState
from pilots.models import Alarm, Link, Pilot
from pilots.ui.alarm_rows import PRIORITY_WORDS, glyph

#: Size of the picture, and its room at the edges for markers and labels.
WIDTH, MARGIN = 300.0, 26.0
LABEL_HEIGHT, LETTER = 28.0, 6.6
#: Degrees between the lines, the first that gives at most so many.
STEPS, MOST_LINES = (1, 2, 5, 10, 30), 8
#: One pilot alone has still something around it.
LEAST_SPAN = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A pilot in the picture: its marker, its label and what stands there."""

    pilot: Pilot
    x: float
    y: float
    label_x: float
    label_y: float
    anchor: str
    alarms: list[dict[str, Any]]
    said: str
    words: str

    @property
    def label(self) -> tuple[float, float]:
        """From where to where its texts reach, about."""
        width = LETTER * max(len(self.pilot.name) + 3, len(self.said))
        return (self.label_x - width, self.label_x) if self.anchor == "end" else (self.label_x, self.label_x + width)

    @property
    def worst(self) -> dict[str, Any] | None:
        return self.alarms[0] if self.alarms else None


@dataclass(frozen=True, slots=True)
class Line:
    """A meridian or a parallel with its degrees."""

    x1: float
    y1: float
    x2: float
    y2: float
    words: str


@dataclass(frozen=True, slots=True)
class PilotMap:
    """What the template draws."""

    width: float
    height: float
    lines: list[Line]
    places: list[Place]


class _Projection:
    """From degrees to the picture."""

    def __init__(self, pilots: Sequence[Pilot]) -> None:
        self.south, self.north = _widened([pilot.latitude for pilot in pilots])
        self.west, self.east = _widened([pilot.longitude for pilot in pilots])
        self._stretch = max(cos(radians((self.south + self.north) / 2)), 0.1)
        self._scale = (WIDTH - 2 * MARGIN) / ((self.east - self.west) * self._stretch)
        self.height = min((self.north - self.south) * self._scale, 1.5 * WIDTH) + 2 * MARGIN

    def x(self, longitude: float) -> float:
        return round(MARGIN + (longitude - self.west) * self._stretch * self._scale, 1)

    def y(self, latitude: float) -> float:
        share = (self.north - latitude) / (self.north - self.south)
        return round(MARGIN + share * (self.height - 2 * MARGIN), 1)


def map_of(pilots: Sequence[Pilot]) -> PilotMap | None:
    """The pilots as they stand now; None without any."""
    if not pilots:
        return None
    onto = _Projection(pilots)
    places = _places(pilots, onto)
    height = max(onto.height, *(place.label_y + LABEL_HEIGHT for place in places))
    return PilotMap(WIDTH, round(height, 1), [*_lines(onto)], places)


def alarm_cells(pilot: Pilot) -> list[dict[str, Any]]:
    """A glyph and a count for each priority that asks for attention, most urgent first."""
    alarms = Alarm.objects.filter(pilot=pilot)
    found = [tally for tally in counts(alarms) if tally.all]
    return [
        {
            "all": tally.all,
            "new": tally.new,
            "words": PRIORITY_WORDS[tally.priority],
            "glyph": glyph(tally.priority, "unack" if tally.new else "active", _("new") if tally.new else _("seen")),
        }
        for tally in found
    ]


def _places(pilots: Sequence[Pilot], onto: _Projection) -> list[Place]:
    lost = _links_not_up(pilots)
    places: list[Place] = []
    for pilot in sorted(pilots, key=lambda each: (-each.latitude, each.longitude)):
        place = _place(pilot, onto, lost.get(pilot.pk, {}))
        while any(_overlap(place, other) for other in places):
            place = replace(place, label_y=place.label_y + LABEL_HEIGHT / 2)
        places.append(place)
    return places


def _place(pilot: Pilot, onto: _Projection, lost: dict[str, int]) -> Place:
    x, y, cells = onto.x(pilot.longitude), onto.y(pilot.latitude), alarm_cells(pilot)
    label_x, anchor = (x - 14, "end") if x > WIDTH / 2 else (x + 14, "start")
    alarms, links = _alarm_words(cells), _link_words(lost)
    words = ", ".join([*alarms, *links]) or _("no alarm")
    said = (alarms[0] + (_(", more") if len(alarms) > 1 else "")) if alarms else words
    return Place(pilot=pilot, x=x, y=y, label_x=label_x, label_y=y, anchor=anchor, alarms=cells, said=said, words=words)


def _overlap(one: Place, other: Place) -> bool:
    (start, end), (theirs, its_end) = one.label, other.label
    return abs(one.label_y - other.label_y) < LABEL_HEIGHT and start < its_end and theirs < end


def _alarm_words(cells: list[dict[str, Any]]) -> list[str]:
    return [f"{cell['all']} {cell['words']}" for cell in cells]


def _link_words(lost: dict[str, int]) -> list[str]:
    told = []
    if down := lost.get(LinkState.DOWN, 0):
        told.append(ngettext("%(n)d link down", "%(n)d links down", down) % {"n": down})
    if weak := lost.get(LinkState.DEGRADED, 0):
        told.append(ngettext("%(n)d link weak", "%(n)d links weak", weak) % {"n": weak})
    return told


def _links_not_up(pilots: Iterable[Pilot]) -> dict[int, dict[str, int]]:
    rows = Link.objects.filter(pilot__in=pilots, state__in=[LinkState.DOWN, LinkState.DEGRADED]).order_by()
    found: dict[int, dict[str, int]] = {}
    for pilot, state, count in rows.values_list("pilot", "state").annotate(n=Count("pk")):
        found.setdefault(pilot, {})[state] = count
    return found


def _lines(onto: _Projection) -> Iterable[Line]:
    for degree in _degrees(onto.west, onto.east):
        x = onto.x(degree)
        yield Line(x, 0, x, onto.height, f"{abs(degree)}°{_('E') if degree >= 0 else _('W')}")
    for degree in _degrees(onto.south, onto.north):
        y = onto.y(degree)
        yield Line(0, y, WIDTH, y, f"{abs(degree)}°{_('N') if degree >= 0 else _('S')}")


def _degrees(low: float, high: float) -> range:
    """The round degrees between.

    >>> list(_degrees(41.6, 59.0))
    [45, 50, 55]
    """
    step = next((step for step in STEPS if (high - low) / step <= MOST_LINES), STEPS[-1])
    return range(ceil(low / step) * step, floor(high) + 1, step)


def _widened(degrees: Sequence[float]) -> tuple[float, float]:
    low, high = min(degrees), max(degrees)
    missing = max(LEAST_SPAN - (high - low), 0) / 2
    return low - missing, high + missing
