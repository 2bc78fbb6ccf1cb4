"""Who holds a device's points, until when, what comes then, and what "back to automatic" does: told before it is done."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.control.handover import Handover, NothingHeld, back_to_automatic, handovers
from pilots.control.selectors import in_force, with_record_data
from pilots.domain.errors import AuditUnavailable
from pilots.domain.point import PointKind
from pilots.models import Device, Pilot, Point, Role, Setpoint, User
from pilots.ui.access import requires
from pilots.ui.quantities import point_name
from pilots.ui.setpoint_story import issuer_name, story, value_words
from pilots.ui.views import pilot_of


def holding_context(points: Iterable[Point], pilot: Pilot, user: User, now: datetime) -> dict[str, Any]:
    """For `holding.html`: the set-points in force of these points, and how operators give them up. Four queries at most."""
    writable = [point for point in points if PointKind(point.kind).writable]
    held = with_record_data(Setpoint.objects.filter(in_force(now), point__in=writable)).order_by("priority", "-received_at")
    may_operate = user.has_role(Role.OPERATOR, pilot)
    return {
        "pilot": pilot,
        "may_operate": may_operate,
        "held": [story(setpoint) for setpoint in held] if writable else [],
        "automatic": [automatic_words(each) for each in handovers(writable, now)] if may_operate and writable else [],
    }


def automatic_words(handover: Handover) -> dict[str, Any]:
    """The button's point and the sentence of what happens next; `only`: the set-point that is all there is to give up."""
    point = handover.point
    only = handover.setpoints[0].pk if len(handover.setpoints) == 1 and not handover.holds else None
    words = {"device": point.device.code, "point": point.name, "label": point_name(point.name), "next": _next(handover)}
    return words | {"only": only}


def _next(handover: Handover) -> str:
    point = handover.point
    if handover.written is not None:
        value = value_words(point, handover.written, point.unit)
        first = _("%(value)s is written to %(device)s now.") % {"value": value, "device": point.device.code}
    elif handover.setpoints:
        first = _("Nothing is written: the device keeps its value until somebody writes another.")
    else:
        first = _("Nothing is written.")
    return f"{first} {_following(handover)}"


def _following(handover: Handover) -> str:
    then = handover.following
    if then is None:
        return _("Then INVADE, schedules and control centres may command it again.")
    told = {
        "who": f"{issuer_name(then.issuer)} {then.requested_by}".strip(),
        "value": value_words(handover.point, then.value, then.unit),
        "time": timezone.localtime(then.valid_from).strftime("%H:%M"),
    }
    if then.valid_from > timezone.now():
        return _("Next is %(value)s of %(who)s from %(time)s.") % told
    return _("Then %(who)s holds it with %(value)s.") % told


@requires(Role.VIEWER)
@require_safe
def holding(request: HttpRequest, device: str, **_route: str) -> HttpResponse:
    """The same part of a faceplate once more, for a page that has heard of a change."""
    pilot = pilot_of(request)
    points = list(Point.objects.filter(device__pilot=pilot, device__code=device).select_related("device"))
    if not points and not Device.objects.filter(pilot=pilot, code=device).exists():
        raise Http404
    return render(request, "pilots/holding.html", holding_context(points, pilot, cast(User, request.user), timezone.now()))


@requires(Role.OPERATOR)
@require_POST
def automatic(request: HttpRequest, **_route: str) -> HttpResponse:
    """204 once no operator holds the point, 409 with a sentence when none did, 503 while nothing can be recorded."""
    chosen = {"device__code": request.POST.get("device", ""), "name": request.POST.get("point", "")}
    points = Point.objects.select_related("device__pilot", "device__connection")
    point = get_object_or_404(points, device__pilot=pilot_of(request), **chosen)
    actor, reason = cast(User, request.user).get_username(), request.POST.get("reason", "")[:200].replace("\0", "")
    try:
        back_to_automatic(point, actor=actor, reason=reason, now=timezone.now())
    except NothingHeld as refusal:
        return JsonResponse(
            {"code": refusal.code, "reason": _("No operator holds this point any more."), "field": ""}, status=409
        )
    except AuditUnavailable as error:
        return JsonResponse({"code": error.code, "reason": str(error), "field": ""}, status=503)
    return HttpResponse(status=204)
