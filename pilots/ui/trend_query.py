"""What the trends page is asked for: its address holds the whole state, and is read here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils.translation import gettext as _

from pilots.models import Pilot, Point
from pilots.ui.time_zones import UNIVERSAL, BadClock, given_zone, moment_of_wall, zone_named

#: Of the page; an export of samples is for a shorter one.
LONGEST = timedelta(days=1830)
LONGEST_EXPORT = timedelta(days=31)
SHORTEST = timedelta(seconds=1)
MOST_EXPORTED = 200
COMPARED = {"day": 1, "week": 7}
HIDABLE = ("band", "quality", "alarms", "setpoints", "forecasts")
#: Hours that a window back from now may go on ahead of it, and that a forecast may be looked at as it was known before.
MOST_AHEAD, MOST_BEFORE = 168, 2160
#: What a saved view may hold.
FIELDS = ("points", "hours", "seconds", "ahead", "from", "to", "zone", "follow", "compare", "known", "price", "axes", "hide")


class BadWindow(ValueError):
    """The request asks for points or times that cannot be; the message says which, `field` names it."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) in aware UTC."""

    start: datetime
    end: datetime

    def days_before(self, days: int, zone: ZoneInfo) -> Window:
        """As long, and beginning at the same wall clock so many days ago."""
        start = (self.start.astimezone(zone) - timedelta(days=days)).astimezone(UTC)
        return Window(start, start + (self.end - self.start))


@dataclass(frozen=True, slots=True)
class Shown:
    """How it is drawn: days back to compare with (0: none), one chart or a lane a unit, what is hidden, by which clock.

    `known_h`: forecasts as they were known so many hours before now, or before the end of a window of the past.
    """

    days_back: int = 0
    axes: Literal["lanes", "one"] = "lanes"
    hidden: frozenset[str] = frozenset()
    known_h: int = 0
    prices: bool = False
    zone: ZoneInfo = UNIVERSAL


def points_of(pilot: Pilot, query: QueryDict, most: int) -> list[Point]:
    """The points named, in their order. Raises BadWindow for none, too many, or one that is not there."""
    wanted = references(query)
    if not wanted:
        raise BadWindow(_("Choose at least one point."), "points")
    if len(wanted) > most:
        raise BadWindow(_("%(n)d points at most.") % {"n": most}, "points")
    devices = {name.partition("/")[0] for name in wanted}
    rows = Point.objects.filter(device__pilot=pilot, device__code__in=devices).select_related("device")
    known = {f"{point.device.code}/{point.name}": point for point in rows}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise BadWindow(_("%(point)s is no point here.") % {"point": missing[0][:80]}, "points")
    return [known[name] for name in wanted]


def references(query: QueryDict) -> list[str]:
    return list(dict.fromkeys(name for each in query.getlist("points") for name in each.split(",") if name))


def window_of(pilot: Pilot, query: QueryDict, now: datetime, longest: timedelta = LONGEST) -> Window:
    """`hours` or `seconds` back from now and `ahead` hours on, or `from` and `to`.

    These are wall clock of `zone`, else of the pilot, or ISO 8601 with an offset. Raises BadWindow.
    """
    for name, unit in (("hours", timedelta(hours=1)), ("seconds", timedelta(seconds=1))):
        if name in query:
            ahead = _hours("ahead", query, MOST_AHEAD)
            return Window(now - _count(name, query.get(name, ""), longest // unit) * unit, now + timedelta(hours=ahead))
    start, end = (_moment(query.get(name, ""), name, pilot, query.get("zone")) for name in ("from", "to"))
    if end <= start:
        raise BadWindow(_("The end must be after the beginning."), "to")
    if end - start > longest:
        raise BadWindow(_("%(n)d days at most.") % {"n": longest.days}, "to")
    return Window(start, max(end, start + SHORTEST))


def shown_of(query: QueryDict) -> Shown:
    """Raises BadWindow for a word that is none of those there are."""
    compare, axes, price = query.get("compare", ""), query.get("axes", ""), query.get("price", "")
    hidden = frozenset(word for word in query.get("hide", "").split(",") if word)
    for field, words, known in (
        ("compare", {compare}, {"", *COMPARED}),
        ("axes", {axes}, {"", "lanes", "one"}),
        ("price", {price}, {"", "1"}),
        ("hide", hidden, HIDABLE),
    ):
        unknown = sorted(set(words) - set(known))
        if unknown:
            raise BadWindow(_("%(text)s is no %(what)s.") % {"text": unknown[0][:40], "what": field}, field)
    known_h = _hours("known", query, MOST_BEFORE)
    return Shown(COMPARED.get(compare, 0), "one" if axes == "one" else "lanes", hidden, known_h, bool(price))


def _hours(name: str, query: QueryDict, most: int) -> int:
    given = query.get(name, "")
    return _count(name, given, most) if given else 0


def _count(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or not 1 <= int(text) <= most:
        raise BadWindow(_("%(name)s is a whole number from 1 to %(most)d.") % {"name": name, "most": most}, name)
    return int(text)


def _moment(text: str, field: str, pilot: Pilot, zone: str | None) -> datetime:
    try:
        found = moment_of_wall(text, given_zone(zone, zone_named(pilot.time_zone)))
    except BadClock as error:
        raise BadWindow(str(error), field) from error
    except (ValueError, OverflowError) as error:
        raise BadWindow(_("Give both times as date and time."), field) from error
    if not 1971 <= found.year <= 2200:
        raise BadWindow(_("Give both times as date and time."), field)
    return found
