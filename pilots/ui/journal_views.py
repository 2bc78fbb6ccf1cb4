"""The event journal's page: search, filter, walk back, follow, export. What a person may read stands in `pilots.journal`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from pilots.audit.services import record_event
from pilots.domain.alarm import Priority
from pilots.domain.journal import JournalKind, device_and_point
from pilots.exports.sample_csv import Echo, harmless
from pilots.journal.selectors import Entry, Key, Wanted, entries, newest_rows, reach_of, stream
from pilots.models import Pilot, User
from pilots.northbound.messages import rfc3339
from pilots.ui.access import signed_in
from pilots.ui.filters import BadFilter, choice, in_page_zone, texts, window
from pilots.ui.journal_rows import KIND_WORDS, rows_of
from pilots.ui.time_zones import speak_for
from pilots.ui.trend_views import off_the_loop
from pilots.ui.words import page_words

ROWS_A_PAGE = 100
ROWS_A_CHUNK = 500
COLUMNS = [
    *("time", "local_time", "pilot", "device", "point", "subject", "kind", "event", "what", "value", "limit", "unit"),
    *("priority", "state", "who", "reason", "id"),
]


@signed_in
@require_safe
def journal_page(request: HttpRequest) -> HttpResponse:
    """Newest entries first; `before` is the entry that the page before ended with."""
    user = cast(User, request.user)
    pilots = list(user.visible_pilots())
    _speak(request, pilots)
    context = _found(request, pilots) | {"page": "journal", "pilots": pilots, "words": page_words()}
    context["kinds"] = KIND_WORDS.items()
    return render(request, "pilots/journal.html", context, status=400 if context["refusal"] else 200)


@signed_in
@require_safe
def journal_rows(request: HttpRequest) -> HttpResponse:
    """The newest rows once more, or 204 while the page that asks has all there is (`seen`)."""
    user = cast(User, request.user)
    if request.GET.get("seen") == newest_rows():
        return HttpResponse(status=204)
    pilots = list(user.visible_pilots())
    _speak(request, pilots)
    context = _found(request, pilots)
    return render(request, "pilots/journal_rows.html", context, status=400 if context["refusal"] else 200)


@signed_in
@require_safe
def journal_export(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """All entries that the page's filters find, newest first, streamed. Exporting stands in the audit trail."""
    user, now = cast(User, request.user), timezone.now()
    pilots = list(user.visible_pilots())
    _speak(request, pilots)
    try:
        wanted = _wanted(request.GET)
    except BadFilter as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    asked = {name: value for name, value in request.GET.items() if value and name != "before"}
    record_event(at=now, actor=user.get_username(), action="export journal", details={"filter": asked})
    zones = {pilot.code: ZoneInfo(pilot.time_zone) for pilot in pilots}
    lines = csv_lines(stream(reach_of(user), wanted), zones)
    response = StreamingHttpResponse(off_the_loop(lines), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="journal-{now:%Y%m%dT%H%M%SZ}.csv"'
    return response


def csv_lines(found: Iterable[Entry], zones: dict[str, ZoneInfo]) -> Iterator[str]:
    """CSV in chunks: SI units, times in UTC and on the pilot's clock, cells no spreadsheet takes for formulas."""
    writer = csv.writer(Echo())
    chunk = [writer.writerow(COLUMNS)]
    for entry in found:
        chunk.append(writer.writerow(_cells(entry, zones)))
        if len(chunk) >= ROWS_A_CHUNK:
            yield "".join(chunk)
            chunk = []
    yield "".join(chunk)


def _cells(entry: Entry, zones: dict[str, ZoneInfo]) -> list[object]:
    zone = zones.get(entry.pilot)
    local = "" if zone is None else entry.at.astimezone(zone).isoformat(timespec="milliseconds")
    priority = "" if entry.priority is None else Priority(entry.priority).name.lower()
    row: list[object] = [rfc3339(entry.at), local, entry.pilot, *device_and_point(entry.subject), entry.subject, entry.kind]
    row += [entry.event, entry.what, entry.value, entry.limit, entry.unit, priority, entry.state, entry.who, entry.why]
    row.append(entry.reference)
    return ["" if cell is None else harmless(cell) if isinstance(cell, str) else cell for cell in row]


def _found(request: HttpRequest, pilots: list[Pilot]) -> dict[str, Any]:
    form, user, refusal = in_page_zone(request.GET), cast(User, request.user), ""
    found: list[Entry] = []
    before = seen = ""
    try:
        seen = newest_rows()  # first: what comes while the rows are read is asked for again
        before, wanted = form.get("before", ""), _wanted(form)
        found = entries(reach_of(user), wanted, limit=ROWS_A_PAGE + 1, after=_key(before))
    except BadFilter as error:
        refusal = str(error)
    for name in ("before", "seen"):
        form.pop(name, None)
    return {
        "rows": rows_of(found[:ROWS_A_PAGE], pilots),
        "older": str(found[ROWS_A_PAGE - 1].key) if len(found) > ROWS_A_PAGE else "",
        "seen": seen,
        "is_newest": not before,
        "refusal": refusal,
        "form": form,
        "query": form.urlencode(),
        "asked": any(form.values()),
    }


def _wanted(query: QueryDict) -> Wanted:
    """Raises BadFilter."""
    start, end = window(query)
    words = texts(query, ("text", "pilot", "device", "kind", "who"))
    choice(words["kind"], JournalKind, _("kind of entry"))
    return Wanted(**words, start=start, end=end)


def _key(text: str) -> Key | None:
    try:
        return Key.parse(text) if text else None
    except (ValueError, OverflowError) as error:
        raise BadFilter(_("This address is not one of ours: start from the newest rows.")) from error


def _speak(request: HttpRequest, pilots: list[Pilot]) -> None:
    """A pilot that is asked for makes this a page of one pilot."""
    speak_for(request, next((pilot for pilot in pilots if pilot.code == request.GET.get("pilot")), None))
