"""Values by hand from the faceplate: parse and call `pilots.control.substitutions`; operators only."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import cast

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_POST

from pilots.control import substitutions
from pilots.control.substitutions import SubstitutionRefused
from pilots.models import Point, Role, Substitution, User
from pilots.ui.access import requires
from pilots.ui.quantities import shown_unit
from pilots.ui.views import pilot_of


@requires(Role.OPERATOR)
@require_POST
def substitute(request: HttpRequest, **_route: str) -> HttpResponse:
    chosen = {"device__code": request.POST.get("device", ""), "name": request.POST.get("point", "")}
    point = get_object_or_404(Point.objects.select_related("device__pilot"), device__pilot=pilot_of(request), **chosen)
    minutes, now = request.POST.get("minutes", ""), timezone.now()
    until = now + timedelta(minutes=int(minutes) if minutes.isdecimal() and len(minutes) < 6 else 0)
    try:
        value = _value(point, request.POST.get("value", ""))
        substitutions.substitute(point, value, owner=_name(request), reason=_reason(request), until=until, now=now)
    except SubstitutionRefused as refusal:
        return _refused(refusal)
    return HttpResponse(status=204)


@requires(Role.OPERATOR)
@require_POST
def withdraw(request: HttpRequest, number: int, **_route: str) -> HttpResponse:
    rows = Substitution.objects.select_related("point__device__pilot")
    made = get_object_or_404(rows, pk=number, point__device__pilot=pilot_of(request))
    try:
        substitutions.withdraw(made, by=_name(request), reason=_reason(request), now=timezone.now())
    except SubstitutionRefused as refusal:
        return _refused(refusal)
    return HttpResponse(status=204)


def _value(point: Point, typed: str) -> float:
    """In the point's own unit; people type the shown one, or a label. Raises SubstitutionRefused."""
    words = typed.strip().replace("−", "-").replace(",", ".")
    for code, label in point.labels.items():
        if words.casefold() == label.casefold():
            return float(code)
    try:
        value = float(words)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SubstitutionRefused("The value is not a number.", "value")
    return value * shown_unit(point.unit)[1]


def _refused(refusal: SubstitutionRefused) -> JsonResponse:
    return JsonResponse({"code": refusal.code, "reason": str(refusal), "field": refusal.field}, status=409)


def _name(request: HttpRequest) -> str:
    return cast(User, request.user).get_username()


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "")[:300].replace("\0", "")
