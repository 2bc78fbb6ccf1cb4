"""Which clock a page speaks, what it is called, and how a wall clock that was typed by it is read. [operation]"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from pilots.models import Clock, Pilot, User

UNIVERSAL = ZoneInfo("UTC")


class BadClock(ValueError):
    """A zone that there is not, or a wall clock that it never shows because clocks are put forward; in a sentence."""


def zone_of(user: Any, pilot: Pilot | None = None) -> ZoneInfo:
    """What a page of `pilot` speaks to this person; None is a page of several pilots, or of none.

    Several pilots have no clock in common: with pilot time such a page speaks the person's own zone, without one UTC.
    """
    return zone_named(_spoken(user, pilot)[0])


def _spoken(user: Any, pilot: Pilot | None) -> tuple[str, str]:
    """A zone's name, and in words whose it is."""
    clock, own = getattr(user, "clock", Clock.PILOT), getattr(user, "time_zone", "")
    if clock == Clock.UTC:
        return "UTC", "UTC"
    if pilot is not None and (clock == Clock.PILOT or not own):
        return pilot.time_zone, _("Pilot time")
    if clock == Clock.OWN and own:
        return own, _("Own time")
    return own, _("Several pilots, own time") if own else _("Several pilots")


def zone_named(name: str) -> ZoneInfo:
    """UTC for what is no zone's name."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UNIVERSAL


def speak_for(request: HttpRequest, pilot: Pilot | None) -> None:
    """From here on the request speaks the clock of a page of this pilot."""
    request.clock_pilot = pilot  # type: ignore[attr-defined]
    timezone.activate(zone_of(request.user, pilot))


def page_zone() -> ZoneInfo:
    """The zone that `speak_for` chose."""
    zone = timezone.get_current_timezone()
    return zone if isinstance(zone, ZoneInfo) else UNIVERSAL


def clock_choice(user: Any) -> str:
    """The person's choice as one word for a cookie; nothing for nobody and for a machine."""
    return f"{user.clock}.{zone_named(user.time_zone).key.replace('/', '.')}" if isinstance(user, User) else ""


def clock_of(request: HttpRequest) -> dict[str, Any]:
    """What every page says of its clock, and the choices beside it."""
    user, pilot = request.user, getattr(request, "clock_pilot", None)
    zone, now = zone_of(user, pilot), timezone.now()
    return {
        "pilot": pilot,
        "choice": clock_choice(user),
        "key": zone.key,
        "label": zone_label(zone, now),
        "named": zone_now(zone, now),
        "words": _spoken(user, pilot)[1],
        "choices": [(value, short, words, value == getattr(user, "clock", "")) for value, short, words in _choices()],
        "back": request.get_full_path() if request.method in ("GET", "HEAD") else request.headers.get("Referer", ""),
    }


def _choices() -> list[tuple[str, str, str]]:
    return [
        (Clock.PILOT, pgettext("clock", "Pilot"), _("Pilot time")),
        (Clock.OWN, pgettext("clock", "Own"), _("Own time")),
        (Clock.UTC, "UTC", "UTC"),
    ]


def zone_place(zone: ZoneInfo) -> str:
    """The zone's name for people.

    >>> zone_place(ZoneInfo("America/Argentina/Buenos_Aires"))
    'Buenos Aires'
    """
    return zone.key.rpartition("/")[2].replace("_", " ")


def offset_words(moment: datetime, zone: ZoneInfo) -> str:
    """How far the zone's clock was from UTC at the moment.

    >>> offset_words(datetime(2026, 7, 1, tzinfo=UTC), ZoneInfo("Europe/Sofia"))
    'UTC+3'
    >>> offset_words(datetime(2026, 7, 1, tzinfo=UTC), ZoneInfo("America/St_Johns"))
    'UTC−2:30'
    """
    minutes = round((moment.astimezone(zone).utcoffset() or timedelta()).total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return "UTC" + (f"{'+' if minutes > 0 else '−'}{hours}" + (f":{rest:02d}" if rest else "") if minutes else "")


def zone_label(zone: ZoneInfo, *moments: datetime) -> str:
    """The zone by name and by each offset that it has at these moments.

    >>> zone_label(ZoneInfo("Europe/Sofia"), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
    'Sofia, UTC+2 → UTC+3'
    """
    return zone.key if zone.key == "UTC" else f"{zone_place(zone)}, {_offsets(zone, moments)}"


def zone_now(zone: ZoneInfo, now: datetime) -> str:
    """The zone beside times of any season: its offset is said to be that of now."""
    if zone.key == "UTC":
        return zone.key
    return _("%(place)s, now %(offset)s") % {"place": zone_place(zone), "offset": offset_words(now, zone)}


def _offsets(zone: ZoneInfo, moments: Iterable[datetime]) -> str:
    return " → ".join(dict.fromkeys(offset_words(moment, zone) for moment in moments))


def moment_of_wall(text: str, zone: ZoneInfo) -> datetime:
    """In UTC, a wall clock of the zone or ISO 8601 with an offset; of an hour that comes twice a wall clock means the first.

    Raises ValueError or OverflowError for what is no time, and BadClock for one that never is.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    found = moment.replace(tzinfo=zone).astimezone(UTC)
    shown = found.astimezone(zone).replace(tzinfo=None)
    if shown != moment:
        told = {"given": f"{moment:%Y-%m-%d %H:%M}", "place": zone_place(zone), "shown": f"{shown:%H:%M}"}
        raise BadClock(_("There is no %(given)s in %(place)s: clocks are put forward, it is %(shown)s then.") % told)
    return found


def given_zone(name: str | None, otherwise: ZoneInfo) -> ZoneInfo:
    """The zone by which a form was filled, as it says itself: a page that speaks another by now still means the same.

    Raises BadClock.
    """
    if not name:
        return otherwise
    zone = zone_named(name)
    if zone.key != name:
        raise BadClock(_("%(text)s is no time zone.") % {"text": name[:40]})
    return zone
