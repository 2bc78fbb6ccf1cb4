"""Alarms as CSV: what the page's filters find, all of it, streamed."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from typing import cast

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from pilots.alarms.selectors import seen_at
from pilots.audit.services import record_event
from pilots.domain.alarm import Priority
from pilots.exports.sample_csv import Echo, harmless
from pilots.models import Alarm, User
from pilots.northbound.messages import rfc3339
from pilots.ui.access import signed_in
from pilots.ui.alarm_views import CONDITIONS, chosen
from pilots.ui.filters import BadFilter
from pilots.ui.trend_views import off_the_loop

ROWS_A_CHUNK = 500

COLUMNS = [
    *("id", "pilot", "device", "subject", "kind", "priority", "what", "detail", "value", "limit", "unit", "state", "hidden"),
    *("raised_at", "returned_at", "acknowledged_at", "acknowledged_by", "comment", "closed_at", "times", "first_out", "cause"),
]


@signed_in
@require_safe
def alarms_export(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Newest first, stored SI units, times in UTC. Exporting stands in the audit trail."""
    user, now = cast(User, request.user), timezone.now()
    try:
        alarms, shown = chosen(request.GET, seen_at(user.visible_pilots()))
    except BadFilter as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    rows = alarms.filter(CONDITIONS[shown]).order_by("-raised_at", "pk")
    asked = {name: value for name, value in request.GET.items() if value}
    record_event(at=now, actor=user.get_username(), action="export alarms", details={"filter": asked})
    response = StreamingHttpResponse(off_the_loop(csv_lines(rows)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="alarms-{now:%Y%m%dT%H%M%SZ}.csv"'
    return response


def csv_lines(rows: QuerySet[Alarm]) -> Iterator[str]:
    """CSV in chunks, cells no spreadsheet takes for formulas."""
    writer = csv.writer(Echo())
    chunk = [writer.writerow(COLUMNS)]
    for alarm in rows.iterator(chunk_size=ROWS_A_CHUNK):
        chunk.append(writer.writerow(_cell(alarm, name) for name in COLUMNS))
        if len(chunk) >= ROWS_A_CHUNK:
            yield "".join(chunk)
            chunk = []
    yield "".join(chunk)


def _cell(alarm: Alarm, name: str) -> object:
    own = {
        "pilot": alarm.pilot.code,
        "device": alarm.device.code if alarm.device is not None else "",
        "priority": Priority(alarm.priority).name.lower(),
        "cause": str(alarm.cause_id or ""),
    }
    value = own[name] if name in own else getattr(alarm, name)
    if isinstance(value, datetime):
        return rfc3339(value)
    return "" if value is None else harmless(value) if isinstance(value, str) else value
