"""The audit trail's page: search, filter, read, export. What a person may read stands in `pilots.audit.selectors`."""

from __future__ import annotations

from typing import cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from pilots.audit.selectors import Wanted, head, in_order, last_verification, may_read, pilots_of, readable_by, reads_all, search
from pilots.audit.services import record_event
from pilots.models import AuditEvent, User
from pilots.ui.access import signed_in
from pilots.ui.audit_export import KINDS, export_lines
from pilots.ui.filters import BadFilter, in_page_zone, texts, window
from pilots.ui.trend_views import off_the_loop

ROWS_A_PAGE = 100


@signed_in
@require_safe
def audit_page(request: HttpRequest) -> HttpResponse:
    """Newest rows first; `before` is the number that the page before ended with."""
    user = _reader(request)
    rows, before, refusal = AuditEvent.objects.none(), None, ""
    try:
        before = _number(request.GET.get("before", ""))
        rows = search(readable_by(user), _wanted(request.GET))
    except BadFilter as error:
        refusal = str(error)
    if before is not None:
        rows = rows.filter(number__lt=before)
    found = list(rows.order_by("-number")[: ROWS_A_PAGE + 1])
    form = in_page_zone(request.GET)
    form.pop("before", None)
    context = {
        "page": "audit",
        "rows": found[:ROWS_A_PAGE],
        "older": found[ROWS_A_PAGE - 1].number if len(found) > ROWS_A_PAGE else None,
        "refusal": refusal,
        "form": form,
        "asked": any(form.values()),
        "query": form.urlencode(),
        "is_newest": before is None,
        "pilots": pilots_of(user),
        "newest": head()[0],
        "verdict": last_verification(),
    }
    return render(request, "pilots/audit.html", context, status=400 if refusal else 200)


@signed_in
@require_safe
def audit_export(request: HttpRequest, kind: str) -> HttpResponse | StreamingHttpResponse:
    """The rows that the page's filters find, all of them, as a signed file. Exporting is a deed of its own in the trail."""
    user, now = _reader(request), timezone.now()
    try:
        rows = search(readable_by(user), _wanted(request.GET))
    except BadFilter as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    asked = {name: value for name, value in request.GET.items() if value and name != "before"}
    number, newest = head()
    reach = "all" if reads_all(user) else list(pilots_of(user).values_list("code", flat=True))
    about = {"made_at": now, "made_by": user.get_username(), "filter": asked, "reach": reach, "head": number}
    record_event(at=now, actor=user.get_username(), action="export audit trail", details={"kind": kind, "filter": asked})
    lines = export_lines(in_order(rows, up_to=number), kind, about | {"head_hash": newest})
    response = StreamingHttpResponse(off_the_loop(lines), content_type=KINDS[kind][3])
    response["Content-Disposition"] = f'attachment; filename="audit-{now:%Y%m%dT%H%M%SZ}.{kind}"'
    return response


def _reader(request: HttpRequest) -> User:
    user = cast(User, request.user)
    if not may_read(user):
        raise PermissionDenied(_("The audit trail is for operators, engineers and security people."))
    return user


def _wanted(query: QueryDict) -> Wanted:
    """Raises BadFilter."""
    start, end = window(query)
    return Wanted(**texts(query, ("text", "pilot", "actor", "action")), start=start, end=end)


def _number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadFilter(_("This address is not one of ours: start from the newest rows."))
    return int(text)
