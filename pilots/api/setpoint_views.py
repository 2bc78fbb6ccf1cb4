"""Set-points of the platform: created, read, listed, cancelled. `control` checks and keeps them. [operation]"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from pilots.api import reading, schema, shapes
from pilots.api.authentication import Client
from pilots.api.base import ApiView
from pilots.api.errors import Problem, as_problem, invalid, not_found
from pilots.api.idempotency import Answer, answer_in_transaction, key_of
from pilots.api.paging import page_newest_first
from pilots.api.plant_views import find_device, find_pilot
from pilots.api.setpoint_body import SetpointBody, check_against_point, read_setpoint
from pilots.audit.services import record_event
from pilots.control.releases import cancel_setpoint
from pilots.control.selectors import record, with_record_data
from pilots.control.services import request_setpoint
from pilots.domain.errors import AuditUnavailable, SetpointRejected
from pilots.domain.setpoint import Issuer, RejectCode, SetpointState
from pilots.domain.switching import http_status
from pilots.models import Point, Scope, Setpoint


class AuditedView(ApiView):
    """A view whose refusals to change something leave an audit event; what passes is audited by `control`."""

    action: ClassVar[str]

    def handle_exception(self, exc: Exception) -> Response:
        problem = as_problem(exc)
        if self.request.method not in ("GET", "HEAD"):
            try:
                audit_refusal(self.request, self.action, problem)
            except AuditUnavailable as unavailable:
                return super().handle_exception(unavailable)
        return super().handle_exception(exc)


class Setpoints(AuditedView):
    """`/setpoints`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ, "POST": Scope.CONTROL}
    action = "refuse set-point"

    @extend_schema(
        operation_id="list_setpoints",
        parameters=[schema.PILOT, schema.DEVICE, schema.STATE, schema.GROUP, *schema.PAGING],
        responses=schema.listed(shapes.Setpoint),
    )
    def get(self, request: Request) -> Response:
        """Set-points of this client's devices, newest first."""
        return page_newest_first(request, with_record_data(_chosen(request, self.client(request))), record)

    @extend_schema(
        operation_id="create_setpoint",
        parameters=[schema.MANDATORY_KEY],
        request=shapes.SetpointRequest,
        responses=schema.one(shapes.Setpoint, 202) | schema.CONFLICT | schema.UNPROCESSABLE,
    )
    def post(self, request: Request) -> HttpResponseBase:
        """A set-point or command stands, validated or rejected; 202 with the whole record either way."""
        key = key_of(request, mandatory=True)
        return answer_in_transaction(request, key, lambda: self._create(request))

    def _create(self, request: Request) -> Answer:
        client, now = self.client(request), timezone.now()
        try:
            body = read_setpoint(request.data)
            point = find_point(client, body.device, body.point)
            check_against_point(body, point)
            setpoint = _requested(client, point, body, now)
        except Problem as problem:
            audit_refusal(request, self.action, problem)
            raise
        location = reverse("api:setpoint", [str(setpoint.pk)], request=request)
        return Answer(202, setpoint_record(setpoint.pk), location)


class OneSetpoint(ApiView):
    """`/setpoints/{id}`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}

    @extend_schema(operation_id="get_setpoint", responses=schema.one(shapes.Setpoint))
    def get(self, request: Request, setpoint: str) -> Response:
        """One set-point with every transition."""
        return Response(record(find_setpoint(self.client(request), setpoint)))


class CancelSetpoint(AuditedView):
    """`/setpoints/{id}/cancel`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.CONTROL}
    action = "refuse cancel"

    @extend_schema(
        operation_id="cancel_setpoint",
        parameters=[schema.KEY],
        request=shapes.Cancellation,
        responses=schema.one(shapes.Setpoint) | schema.CONFLICT,
    )
    def post(self, request: Request, setpoint: str) -> HttpResponseBase:
        """An open set-point is cancelled; 409 `already_finished` when it is over."""
        key = key_of(request, mandatory=False)
        return answer_in_transaction(request, key, lambda: self._cancel(request, setpoint))

    def _cancel(self, request: Request, setpoint: str) -> Answer:
        client = self.client(request)
        try:
            reason = reading.text(reading.json_object(request.data), "reason", longest=300, default="")
            found = find_setpoint(client, setpoint)
            cancelled = _cancelled(found, client.name, reason)
        except Problem as problem:
            audit_refusal(request, self.action, problem)
            raise
        return Answer(200, setpoint_record(cancelled.pk))


def find_point(client: Client, device: str, name: str) -> Point:
    """The point the body names. Raises Problem 404 naming `device` or `point`, the same for one that is not this client's."""
    found = find_device(client, device, "device")
    point = Point.objects.select_related("device__pilot", "device__connection").filter(device=found, name=name).first()
    if point is None:
        raise not_found("point", "point")
    return point


def find_setpoint(client: Client, setpoint: str) -> Setpoint:
    """The set-point of that id. Raises Problem 404 when there is none or its device is not this client's."""
    try:
        key = reading.uuid(setpoint, "id")
    except Problem:
        raise not_found("set-point") from None
    found = with_record_data(Setpoint.objects.filter(client.reach("point__device__"), pk=key)).first()
    if found is None:
        raise not_found("set-point")
    return found


def audit_refusal(request: Request, action: str, problem: Problem) -> None:
    """Who asked for what and why it was refused; bodies are kept only as far as they name a device and a point.

    What fails at our side (5xx) is no refusal, and a flood (429) must not fill the trail.
    """
    if problem.status_code >= 500 or problem.status_code == 429:
        return
    body: Any = getattr(request, "_full_data", None)
    form = body if isinstance(body, dict) else {}
    subject = "/".join(str(form.get(name, ""))[:64] for name in ("device", "point") if form.get(name))
    record_event(
        at=timezone.now(),
        actor=getattr(getattr(request, "_user", None), "name", "") or "unknown",
        action=action,
        subject=subject or request.path,
        reason=problem.sentence,
        details={"code": problem.code, "field": problem.field, "status": problem.status_code},
    )


def _requested(client: Client, point: Point, body: SetpointBody, now: datetime) -> Setpoint:
    modes = point.spec.capability.modes if point.spec.capability is not None else ("absolute",)
    try:
        return request_setpoint(
            point=point,
            value=body.value,
            unit=body.unit,
            issuer=Issuer.PLATFORM,
            requested_by=client.name,
            valid_from=body.valid_from,
            valid_until=body.valid_until,
            mode=body.mode or modes[0],
            priority=body.priority,
            reason=body.reason,
            service=body.service,
            on_expiry=body.on_expiry if body.fallback_value is None else body.fallback_value,
            issued_at=body.issued_at,
            correlation_id=body.correlation_id,
            ramp=body.ramp,
            sequence=body.sequence,
            setpoint_id=body.setpoint_id,
            now=now,
        )
    except SetpointRejected as refusal:
        status = 409 if refusal.code == "duplicate_id" else http_status(refusal.code)
        raise refusal_problem(refusal, status, field=refusal.field or "id") from refusal


def _cancelled(setpoint: Setpoint, actor: str, reason: str) -> Setpoint:
    try:
        return cancel_setpoint(setpoint, actor=actor, reason=reason, now=timezone.now())
    except SetpointRejected as refusal:
        raise refusal_problem(refusal, 409) from refusal


def refusal_problem(refusal: SetpointRejected, status: int, field: str = "") -> Problem:
    """The refusal as an answer; 503 or 429, which no Idempotency-Key keeps, where trying again may help."""
    if refusal.code == RejectCode.AUDIT_UNAVAILABLE:
        return Problem(503, refusal.code, refusal.reason, wait_s=5)
    if refusal.wait_s is not None:
        return Problem(429, refusal.code, refusal.reason, wait_s=refusal.wait_s)
    return Problem(status, str(refusal.code), refusal.reason, field=field)


def setpoint_record(pk: UUID) -> dict[str, Any]:
    """The record of that set-point, read anew."""
    return record(with_record_data(Setpoint.objects.filter(pk=pk)).get())


def _chosen(request: Request, client: Client) -> QuerySet[Setpoint]:
    form = reading.query(request, "pilot", "device", "state", "group")
    rows = Setpoint.objects.filter(client.reach("point__device__"))
    if "pilot" in form:
        rows = rows.filter(point__device__pilot=find_pilot(client, form["pilot"], "pilot"))
    if "device" in form:
        rows = rows.filter(point__device=find_device(client, form["device"], "device"))
    if "state" in form:
        if form["state"] not in list(SetpointState):
            raise invalid("state", f"state must be one of {', '.join(SetpointState)}.")
        rows = rows.filter(state=form["state"])
    if "group" in form:
        rows = rows.filter(group=reading.uuid(form["group"], "group"))
    return rows
