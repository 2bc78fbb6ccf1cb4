"""Set-points from the page: parse and call `pilots.control`; operators only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import orjson
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from pilots.audit.services import record_event
from pilots.control import releases, selectors, services
from pilots.domain.errors import SetpointRejected
from pilots.domain.setpoint import ON_EXPIRY, Issuer, RejectCode, SetpointState
from pilots.domain.switching import SwitchingCode, http_status
from pilots.models import Pilot, Point, Role, Setpoint, User
from pilots.ui.access import requires
from pilots.ui.views import pilot_of


@dataclass(frozen=True, slots=True)
class SetpointForm:
    """What the page sends. `valid_for_s` counts from the server's clock, so a wrong browser clock cannot matter."""

    device: str
    point: str
    value: float
    unit: str
    mode: str
    valid_for_s: float
    on_expiry: str | float
    reason: str
    setpoint_id: UUID | None


@requires(Role.OPERATOR)
@require_POST
def create_setpoint(request: HttpRequest, **_route: str) -> HttpResponse:
    """202 with the record, or 4xx with code, reason and field; a refused wish is recorded too."""
    user = cast(User, request.user)
    now = timezone.now()
    try:
        form = _parse(request.body)
        point = _point(pilot_of(request), form)
        setpoint = services.request_setpoint(
            point=point,
            value=form.value,
            unit=form.unit,
            issuer=Issuer.OPERATOR,
            requested_by=user.get_username(),
            valid_until=now + timedelta(seconds=form.valid_for_s),
            mode=form.mode,
            on_expiry=form.on_expiry,
            reason=form.reason,
            setpoint_id=form.setpoint_id,
            user=user,
            now=now,
        )
    except SetpointRejected as refusal:
        if refusal.code == SwitchingCode.NOT_SELECTED:
            _audit_unselected(form, user, refusal, now)
        return _refused(refusal, 409 if refusal.code == "duplicate_id" else http_status(refusal.code))
    answer = selectors.record(setpoint)
    if setpoint.state == SetpointState.REJECTED:
        body = {"code": setpoint.code, "reason": setpoint.explanation, "field": "", "record": answer}
        return JsonResponse(body, status=422)
    return JsonResponse(answer, status=202)


@requires(Role.OPERATOR)
@require_POST
def cancel_setpoint(request: HttpRequest, setpoint_id: UUID, **_route: str) -> HttpResponse:
    """200 with the record of the cancelled set-point; 404 unknown here, 409 when it is over."""
    found = Setpoint.objects.filter(pk=setpoint_id, point__device__pilot=pilot_of(request))
    setpoint = selectors.with_record_data(found).first()
    if setpoint is None:
        return JsonResponse({"code": "not_found", "reason": _("There is no such set-point here."), "field": ""}, status=404)
    actor = cast(User, request.user).get_username()
    try:
        releases.cancel_setpoint(setpoint, actor=actor, reason="", now=timezone.now())
    except SetpointRejected as refusal:
        return _refused(refusal, 409)
    return JsonResponse(selectors.record(selectors.with_record_data(found).get()))


def _audit_unselected(form: SetpointForm, user: User, refusal: SetpointRejected, now: datetime) -> None:
    """A command that passed its selection by is no slip of a page of ours."""
    subject, details = f"{form.device}/{form.point}", {"code": refusal.code, "value": form.value}
    record_event(
        at=now, actor=user.get_username(), action="refuse command", subject=subject, reason=refusal.reason, details=details
    )


def _refused(refusal: SetpointRejected, status: int) -> JsonResponse:
    if refusal.code == RejectCode.AUDIT_UNAVAILABLE:
        status = 503
    if refusal.code == RejectCode.RATE_LIMITED:
        status = 429
    return JsonResponse({"code": refusal.code, "reason": refusal.reason, "field": refusal.field}, status=status)


def _parse(body: bytes) -> SetpointForm:
    """Raises SetpointRejected that names the field that cannot be read."""
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SetpointRejected("malformed", _("The request is no JSON.")) from error
    if not isinstance(raw, dict):
        raise SetpointRejected("malformed", _("The request is no JSON object."))
    return SetpointForm(
        device=_text(raw, "device"),
        point=_text(raw, "point"),
        value=_number(raw, "value"),
        unit=_text(raw, "unit"),
        mode=_text(raw, "mode") or "absolute",
        valid_for_s=_duration(raw),
        on_expiry=_ending(raw),
        reason=_text(raw, "reason"),
        setpoint_id=_uuid(raw),
    )


def _text(raw: dict[str, Any], field: str) -> str:
    value = raw.get(field, "")
    if not isinstance(value, str) or len(value) > 300:
        raise SetpointRejected("malformed", _("%(field)s must be a short text.") % {"field": field}, field=field)
    return value


def _number(raw: dict[str, Any], field: str) -> float:
    value = raw.get(field)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SetpointRejected("malformed", _("%(field)s must be a number.") % {"field": field}, field=field)
    return float(value)


def _duration(raw: dict[str, Any]) -> float:
    seconds = _number(raw, "valid_for_s")
    if not 0 < seconds <= 86_400:
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, _("A set-point is valid for 24 h at most."), field="valid_for_s")
    return seconds


def _ending(raw: dict[str, Any]) -> str | float:
    """release, hold, or the value of a fallback."""
    action = _text(raw, "on_expiry") or "release"
    if action not in ON_EXPIRY:
        raise SetpointRejected("malformed", _("Choose what is done at its end."), field="on_expiry")
    return _number(raw, "fallback_value") if action == "fallback" else action


def _uuid(raw: dict[str, Any]) -> UUID | None:
    try:
        return UUID(_text(raw, "id")) if raw.get("id") else None
    except ValueError as error:
        raise SetpointRejected("malformed", _("%(field)s must be a UUID.") % {"field": "id"}, field="id") from error


def _point(pilot: Pilot, form: SetpointForm) -> Point:
    points = Point.objects.filter(device__pilot=pilot, device__code=form.device).select_related(
        "device__pilot", "device__connection"
    )
    if not points.exists():
        raise SetpointRejected(RejectCode.UNKNOWN_DEVICE, _("%(id)s is no device here.") % {"id": form.device}, field="device")
    point = points.filter(name=form.point).first()
    if point is None:
        raise SetpointRejected(RejectCode.UNKNOWN_POINT, _("%(id)s has no such point.") % {"id": form.device}, field="point")
    return point
