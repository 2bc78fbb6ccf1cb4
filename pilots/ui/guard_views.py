"""Tags, holds and the commands-off switch from the pages: parse and call `pilots.control.guards`; operators only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import cast

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from pilots.control import fallbacks, guards
from pilots.control.guards import GuardRefused
from pilots.control.handover import NothingHeld, back_to_automatic
from pilots.models import BlockingTag, CommandsOff, Device, FallbackRun, OperatorHold, Point, Role, User
from pilots.ui.access import requires, signed_in
from pilots.ui.views import pilot_of


@requires(Role.OPERATOR)
@require_POST
def set_tag(request: HttpRequest, **_route: str) -> HttpResponse:
    device = get_object_or_404(Device, pilot=pilot_of(request), code=request.POST.get("device", ""))
    return _done(lambda: guards.set_tag(device, owner=_name(request), reason=_reason(request), now=timezone.now()))


@requires(Role.OPERATOR)
@require_POST
def remove_tag(request: HttpRequest, number: int, **_route: str) -> HttpResponse:
    tag = get_object_or_404(BlockingTag, pk=number, device__pilot=pilot_of(request))
    return _done(lambda: guards.remove_tag(tag, by=_name(request), reason=_reason(request), now=timezone.now()))


@requires(Role.OPERATOR)
@require_POST
def hold_point(request: HttpRequest, **_route: str) -> HttpResponse:
    chosen = {"device__code": request.POST.get("device", ""), "name": request.POST.get("point", "")}
    point = get_object_or_404(Point, device__pilot=pilot_of(request), **chosen)
    minutes, now = request.POST.get("minutes", ""), timezone.now()
    until = now + timedelta(minutes=int(minutes) if minutes.isdecimal() and len(minutes) < 6 else 0)
    return _done(lambda: guards.hold_point(point, owner=_name(request), reason=_reason(request), until=until, now=now))


@requires(Role.OPERATOR)
@require_POST
def hand_back(request: HttpRequest, number: int, **_route: str) -> HttpResponse:
    hold = get_object_or_404(OperatorHold, pk=number, point__device__pilot=pilot_of(request))
    return _done(lambda: guards.hand_back(hold, by=_name(request), reason=_reason(request), now=timezone.now()))


@requires(Role.OPERATOR)
@require_POST
def automatic(request: HttpRequest, **_route: str) -> HttpResponse:
    """What operators hold of the point is given up: 204, or 409 when there was nothing."""
    chosen = {"device__code": request.POST.get("device", ""), "name": request.POST.get("point", "")}
    points = Point.objects.select_related("device__pilot", "device__connection")
    point = get_object_or_404(points, device__pilot=pilot_of(request), **chosen)
    try:
        back_to_automatic(point, actor=_name(request), reason=_reason(request)[:200], now=timezone.now())
    except NothingHeld as refusal:
        reason = _("No operator holds this point any more.")
        return JsonResponse({"code": refusal.code, "reason": reason, "field": ""}, status=409)
    return HttpResponse(status=204)


@requires(Role.OPERATOR)
@require_POST
def take_from_fallback(request: HttpRequest, number: int, **_route: str) -> HttpResponse:
    runs = FallbackRun.objects.select_related("point__device__pilot")
    run = get_object_or_404(runs, pk=number, point__device__pilot=pilot_of(request))
    return _done(lambda: fallbacks.take_from_fallback(run, by=_name(request), reason=_reason(request), now=timezone.now()))


@requires(Role.OPERATOR)
@require_POST
def commands_off(request: HttpRequest, **_route: str) -> HttpResponse:
    pilot = pilot_of(request)
    return _done(lambda: guards.switch_commands_off(pilot, by=_name(request), reason=_reason(request), now=timezone.now()))


@requires(Role.OPERATOR)
@require_POST
def commands_on(request: HttpRequest, **_route: str) -> HttpResponse:
    return _switch_on(request, CommandsOff.objects.filter(pilot=pilot_of(request), removed_at=None).first())


@signed_in
@require_POST
def all_commands_off(request: HttpRequest) -> HttpResponse:
    """Only who is operator at every pilot."""
    _check_everywhere(request)
    return _done(lambda: guards.switch_commands_off(None, by=_name(request), reason=_reason(request), now=timezone.now()))


@signed_in
@require_POST
def all_commands_on(request: HttpRequest) -> HttpResponse:
    """Only who is operator at every pilot."""
    _check_everywhere(request)
    return _switch_on(request, CommandsOff.objects.filter(pilot=None, removed_at=None).first())


def _switch_on(request: HttpRequest, switch: CommandsOff | None) -> HttpResponse:
    if switch is None:
        raise Http404
    return _done(lambda: guards.switch_commands_on(switch, by=_name(request), reason=_reason(request), now=timezone.now()))


def _check_everywhere(request: HttpRequest) -> None:
    if not cast(User, request.user).has_role(Role.OPERATOR):
        raise PermissionDenied(_("Only who is operator at every pilot switches all commands off and on."))


def _done(act: Callable[[], object]) -> HttpResponse:
    """204, or 409 with the sentence; the pages learn what changed by their frames."""
    try:
        act()
    except GuardRefused as refusal:
        return JsonResponse({"code": refusal.code, "reason": str(refusal), "field": ""}, status=409)
    return HttpResponse(status=204)


def _name(request: HttpRequest) -> str:
    return cast(User, request.user).get_username()


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "")[:300].replace("\0", "")
