"""What a list's page reads from its address: words, times, choices. A filter that cannot be meant is told in a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils.translation import gettext as _

from pilots.ui.time_zones import BadClock, given_zone, moment_of_wall, page_zone


class BadFilter(Exception):
    """A filter that cannot be meant, in a sentence."""


def texts(query: QueryDict, names: Iterable[str]) -> dict[str, str]:
    """These fields as short texts. Raises BadFilter for what a database cannot look for."""
    found = {name: query.get(name, "").strip()[:200] for name in names}
    if any("\0" in text for text in found.values()):
        raise BadFilter(_("Write words without control characters."))
    return found


def choice(text: str, among: Iterable[str], what: str) -> str:
    """The text if it is one of these, or nothing. Raises BadFilter."""
    if text and text not in {str(each) for each in among}:
        raise BadFilter(_("%(text)s is no %(what)s.") % {"text": text[:40], "what": what})
    return text


def window(query: QueryDict) -> tuple[datetime | None, datetime | None]:
    """`from` and `to`, each None when it is not given; wall clocks of `zone`, else of the page. Raises BadFilter."""
    zone = _zone(query)
    start, end = (moment_of_form(query.get(name, ""), zone) for name in ("from", "to"))
    if start is not None and end is not None and end <= start:
        raise BadFilter(_("The end must be after the beginning."))
    return start, end


def _zone(query: QueryDict) -> ZoneInfo:
    try:
        return given_zone(query.get("zone"), page_zone())
    except BadClock as error:
        raise BadFilter(str(error)) from error


def moment_of_form(text: str, zone: ZoneInfo) -> datetime | None:
    """Wall clock of the zone, or ISO 8601 with an offset; None for nothing."""
    if not text:
        return None
    try:
        return moment_of_wall(text, zone)
    except BadClock as error:
        raise BadFilter(str(error)) from error
    except (ValueError, OverflowError) as error:
        raise BadFilter(_("Give times as date and time.")) from error


def in_page_zone(query: QueryDict) -> QueryDict:
    """The form once more by the page's clock: its wall clocks mean the same moments as by the clock they were typed by."""
    form, zone = query.copy(), page_zone()
    for name in ("from", "to"):
        try:
            moment = moment_of_form(form.get(name, ""), _zone(form))
        except BadFilter:
            continue
        if moment is not None:
            form[name] = f"{moment.astimezone(zone):{'%Y-%m-%dT%H:%M:%S' if moment.second else '%Y-%m-%dT%H:%M'}}"
    if any(form.get(name) for name in ("from", "to")):
        form["zone"] = zone.key
    else:
        form.pop("zone", None)
    return form
