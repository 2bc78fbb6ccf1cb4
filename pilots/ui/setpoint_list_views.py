"""All set-points a person may see: found by filters, paged by key, followed live, exported."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from pilots.audit.services import record_event
from pilots.control.search import ACTIVE, Key, Wanted, in_order, key_of, page_of, search, seen_at
from pilots.domain.moments import microseconds, moment_of
from pilots.domain.point import PointKind
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.exports.sample_csv import Echo, harmless
from pilots.models import Pilot, Point, Setpoint, User
from pilots.northbound.messages import rfc3339
from pilots.ui.access import rights_of, signed_in
from pilots.ui.filters import BadFilter, choice, in_page_zone, texts, window
from pilots.ui.group_form import group_pilots
from pilots.ui.quantities import point_name
from pilots.ui.setpoint_story import issuer_name, story
from pilots.ui.trend_views import off_the_loop
from pilots.ui.words import page_words, setpoint_words

ROWS_A_PAGE = 50
ROWS_A_CHUNK = 500
WORDS = ("text", "device", "point", "who")
COLUMNS = [
    *("id", "received_at", "pilot", "device", "point", "kind", "mode", "value", "unit", "before", "state", "code", "explanation"),
    *("issuer", "requested_by", "reason", "service", "priority", "on_expiry", "valid_from", "valid_until", "claimed_at"),
    *("dispatched_at", "finished_at", "released_at", "superseded_by", "correlation_id", "group"),
]


@signed_in
@require_safe
def setpoints_page(request: HttpRequest) -> HttpResponse:
    """Newest first; `before` is the key that the page before ended with."""
    pilots = list(cast(User, request.user).visible_pilots())
    seen = seen_at(pilots)
    context = _found(request, seen) | {
        "page": "setpoints",
        "pilots": pilots,
        "words": page_words(),
        "states": [(state, cast(dict[str, str], setpoint_words()["state"])[state]) for state in _listed_states()],
        "issuers": [(issuer, issuer_name(issuer)) for issuer in Issuer],
        "points": [(name, point_name(name)) for name in _commandable(pilots)],
        "active": seen.filter(ACTIVE).count(),
        "group_pilots": group_pilots(rights_of(request), pilots),
    }
    return render(request, "pilots/setpoints.html", context, status=400 if context["refusal"] else 200)


@signed_in
@require_safe
def setpoint_rows(request: HttpRequest) -> HttpResponse:
    """The rows of the same page once more, for a page that has heard of a change."""
    seen = seen_at(cast(User, request.user).visible_pilots())
    context = _found(request, seen) | {"active": seen.filter(ACTIVE).count()}
    return render(request, "pilots/setpoint_rows.html", context, status=400 if context["refusal"] else 200)


@signed_in
@require_safe
def setpoints_export(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """What the filters find, all of it, as CSV: stored SI units, times in UTC. Exporting stands in the audit trail."""
    user, now = cast(User, request.user), timezone.now()
    try:
        rows = search(seen_at(user.visible_pilots()), wanted_of(request.GET)).filter(received_at__lte=now)
    except BadFilter as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    asked = {name: value for name, value in request.GET.items() if value and name != "before"}
    record_event(at=now, actor=user.get_username(), action="export set-points", details={"filter": asked})
    response = StreamingHttpResponse(off_the_loop(csv_lines(rows)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="set-points-{now:%Y%m%dT%H%M%SZ}.csv"'
    return response


def csv_lines(rows: QuerySet[Setpoint]) -> Iterator[str]:
    """CSV in chunks, newest first, cells no spreadsheet takes for formulas."""
    writer = csv.writer(Echo())
    chunk = [writer.writerow(COLUMNS)]
    for setpoint in in_order(rows):
        chunk.append(writer.writerow(_cell(setpoint, name) for name in COLUMNS))
        if len(chunk) >= ROWS_A_CHUNK:
            yield "".join(chunk)
            chunk = []
    yield "".join(chunk)


def wanted_of(query: QueryDict) -> Wanted:
    """Raises BadFilter."""
    start, end = window(query)
    chosen = texts(query, (*WORDS, "pilot", "state", "issuer", "active"))
    choice(chosen["state"], SetpointState, _("state of a set-point"))
    choice(chosen["issuer"], Issuer, _("issuer"))
    active = bool(chosen.pop("active"))
    return Wanted(**chosen, active=active, group=_group(query.get("group", "")), start=start, end=end)


def _found(request: HttpRequest, seen: QuerySet[Setpoint]) -> dict[str, Any]:
    rows: list[Setpoint] = []
    after, refusal = None, ""
    try:
        after = _key(request.GET.get("before", ""))
        rows = page_of(search(seen, wanted_of(request.GET)), after, ROWS_A_PAGE + 1)
    except BadFilter as error:
        refusal = str(error)
    form = in_page_zone(request.GET)
    form.pop("before", None)
    more = len(rows) > ROWS_A_PAGE
    return {
        "rows": [story(setpoint) for setpoint in rows[:ROWS_A_PAGE]],
        "older": _written(key_of(rows[ROWS_A_PAGE - 1])) if more else "",
        "refusal": refusal,
        "form": form,
        "asked": any(form.values()),
        "query": form.urlencode(),
        "is_newest": after is None,
    }


def _commandable(pilots: list[Pilot]) -> list[str]:
    points = Point.objects.filter(device__pilot__in=pilots, kind__in=[PointKind.SETPOINT, PointKind.COMMAND])
    return list(points.order_by("name").values_list("name", flat=True).distinct())


def _listed_states() -> list[SetpointState]:
    return [state for state in SetpointState if state is not SetpointState.RECEIVED]


def _cell(setpoint: Setpoint, name: str) -> object:
    device = setpoint.point.device
    own = {"pilot": device.pilot.code, "device": device.code, "point": setpoint.point.name}
    own |= {"superseded_by": str(setpoint.superseded_by_id or ""), "group": str(setpoint.group_id or "")}
    value = own[name] if name in own else getattr(setpoint, name)
    if isinstance(value, datetime):
        return rfc3339(value)
    return "" if value is None else harmless(value) if isinstance(value, str) else value


def _group(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise BadFilter(_("%(text)s is no %(what)s.") % {"text": text[:40], "what": _("id of a group")}) from error


def _written(key: Key) -> str:
    return f"{microseconds(key.received_at)}-{key.id.hex}"


def _key(text: str) -> Key | None:
    if not text:
        return None
    us, _dash, number = text.partition("-")
    try:
        return Key(moment_of(int(us)), UUID(number))
    except (ValueError, OverflowError) as error:
        raise BadFilter(_("This address is not one of ours: start from the newest set-points.")) from error
