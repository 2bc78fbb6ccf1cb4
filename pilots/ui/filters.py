"""What a list's page reads from its address: words, times, choices. A filter that cannot be meant is told in a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _


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
    """`from` and `to`, each None when it is not given. Raises BadFilter."""
    start, end = (moment_of_form(query.get(name, "")) for name in ("from", "to"))
    if start is not None and end is not None and end <= start:
        raise BadFilter(_("The end must be after the beginning."))
    return start, end


def moment_of_form(text: str) -> datetime | None:
    """Wall clock of the reader's zone, or ISO 8601 with an offset; None for nothing."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else timezone.make_aware(moment)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadFilter(_("Give times as date and time.")) from error
