"""Switching from the pages: select, look at it, operate or cancel, ask a second person; approve or not. Operators and approvers.

`control.switching` decides; here a session becomes its actor. Dialogs are fragments, fetched when they open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pilots.audit.origin import add_to_origin
from pilots.control import selectors, switching
from pilots.control.selections import pending_approvals, selection_record, with_point
from pilots.control.switching import Actor
from pilots.domain.errors import SetpointRejected
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.domain.switching import http_status
from pilots.models import Approval, Point, Role, Selection, Setpoint, User
from pilots.ui.access import requires, signed_in
from pilots.ui.step_up import has_stepped_up
from pilots.ui.switching import approvable_pilots, selection_context
from pilots.ui.views import pilot_of


@requires(Role.OPERATOR)
@require_POST
def select(request: HttpRequest, **_route: str) -> HttpResponse:
    """201 with the selection, or 4xx with code, reason and field; 403 `step_up_required` asks for the password."""
    form = request.POST
    point = get_object_or_404(
        Point.objects.select_related("device__pilot", "device__connection"),
        device__pilot=pilot_of(request),
        device__code=form.get("device", ""),
        name=form.get("point", ""),
    )
    now, actor = timezone.now(), actor_of(request)

    def act() -> HttpResponse:
        reason = form.get("reason", "")[:300].replace("\0", "")
        selection = switching.select(point, _value(form.get("value", "")), reason=reason, actor=actor, now=now)
        return JsonResponse(selection_record(selection, actor.issuer, now), status=201)

    return _answered(act)


@requires(Role.OPERATOR)
@never_cache
@require_safe
def selection(request: HttpRequest, selection_id: UUID, **_route: str) -> HttpResponse:
    """What is about to be switched, as the fragment of a dialog."""
    found, now = _selection(request, selection_id), timezone.now()
    return render(request, "pilots/selection.html", selection_context(found, pilot_of(request), now))


@requires(Role.OPERATOR)
@require_POST
def operate(request: HttpRequest, selection_id: UUID, **_route: str) -> HttpResponse:
    """202 with the command's record, 422 with it when a check refused it, or 4xx when nothing was commanded."""
    found, actor = _selection(request, selection_id), actor_of(request)

    def act() -> HttpResponse:
        setpoint = switching.operate(found, _value(request.POST.get("value", "")), actor=actor, now=timezone.now())
        answer = selectors.record(selectors.with_record_data(Setpoint.objects.filter(pk=setpoint.pk)).get())
        if setpoint.state != SetpointState.REJECTED:
            return JsonResponse(answer, status=202)
        body = {"code": setpoint.code, "reason": setpoint.explanation, "field": "", "record": answer}
        return JsonResponse(body, status=422)

    return _answered(act)


@requires(Role.OPERATOR)
@require_POST
def cancel(request: HttpRequest, selection_id: UUID, **_route: str) -> HttpResponse:
    found, actor = _selection(request, selection_id), actor_of(request)
    return _done(lambda: switching.cancel(found, actor=actor, now=timezone.now()))


@requires(Role.OPERATOR)
@require_POST
def ask_for_approval(request: HttpRequest, selection_id: UUID, **_route: str) -> HttpResponse:
    found, actor = _selection(request, selection_id), actor_of(request)
    return _done(lambda: switching.ask_for_approval(found, actor=actor, now=timezone.now()))


@signed_in
@never_cache
@require_safe
def approvals(request: HttpRequest) -> HttpResponse:
    """What waits for this person's word; `?part=list` for the page's own refreshing."""
    pilots, now = approvable_pilots(cast(User, request.user)), timezone.now()
    if not pilots.exists():
        raise Http404
    me = actor_of(request)
    rows = [_approval_row(each, me, now) for each in pending_approvals(pilots, now)]
    part = request.GET.get("part") == "list"
    template = "pilots/approval_list.html" if part else "pilots/approvals.html"
    return render(request, template, {"page": "approvals", "rows": rows})


@signed_in
@require_POST
def approve(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    return _decided(request, approval_id, switching.approve)


@signed_in
@require_POST
def refuse_approval(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    return _decided(request, approval_id, switching.disapprove)


def actor_of(request: HttpRequest) -> Actor:
    """This person in this session; of the session only a digest is kept."""
    user = cast(User, request.user)
    return Actor(
        name=user.get_username(),
        source=f"user:{user.pk}",
        session=hashlib.sha256(f"session:{request.session.session_key}".encode()).hexdigest(),
        issuer=Issuer.OPERATOR,
        proved=has_stepped_up(request, timezone.now()),
        user=user,
    )


def _approval_row(approval: Approval, me: Actor, now: datetime) -> dict[str, Any]:
    found = approval.selection
    own = found.source == me.source or found.session == me.session
    return selection_context(found, found.device.pilot, now) | {"approval": approval, "own": own}


def _decided(request: HttpRequest, approval_id: UUID, deed: Callable[..., None]) -> HttpResponse:
    rows = Approval.objects.select_related("selection__point__device__pilot", "selection__device__pilot")
    pilots = approvable_pilots(cast(User, request.user))
    found = get_object_or_404(rows, pk=approval_id, selection__device__pilot__in=pilots)
    add_to_origin(role=Role.APPROVER)
    reason = request.POST.get("reason", "")[:300].replace("\0", "")
    return _done(lambda: deed(found, actor=actor_of(request), reason=reason, now=timezone.now()))


def _selection(request: HttpRequest, selection_id: UUID) -> Selection:
    return get_object_or_404(with_point(Selection.objects.filter(device__pilot=pilot_of(request))), pk=selection_id)


def _value(text: str) -> float:
    """Raises SetpointRejected for what is no whole number of a command."""
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise SetpointRejected("malformed", _("%(field)s must be a number.") % {"field": "value"}, field="value")
    return float(text)


def _done(act: Callable[[], object]) -> HttpResponse:
    def acted() -> HttpResponse:
        act()
        return HttpResponse(status=204)

    return _answered(acted)


def _answered(act: Callable[[], HttpResponse]) -> HttpResponse:
    try:
        return act()
    except SetpointRejected as refusal:
        body = {"code": refusal.code, "reason": refusal.reason, "field": refusal.field}
        return JsonResponse(body, status=http_status(refusal.code))
