"""Values by hand over the API: the operator's door of `control.substitutions`, for a head-end's or a control room's machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from pilots.api import reading, schema, substitution_shapes
from pilots.api.authentication import Client
from pilots.api.errors import Problem, missing, not_found
from pilots.api.idempotency import Answer, answer_in_transaction, key_of
from pilots.api.paging import page_by_key
from pilots.api.plant_views import find_device, find_pilot
from pilots.api.setpoint_body import check_unit
from pilots.api.setpoint_views import AuditedView, audit_refusal, find_point
from pilots.control import substitutions
from pilots.control.substitutions import SubstitutionRefused
from pilots.models import Point, Scope, Substitution
from pilots.northbound.messages import rfc3339

T = TypeVar("T")


class Substitutions(AuditedView):
    """`/substitutions`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ, "POST": Scope.CONTROL}
    action = "refuse substitution"

    @extend_schema(
        operation_id="list_substitutions",
        parameters=[schema.PILOT, schema.DEVICE, *schema.PAGING],
        responses=schema.listed(substitution_shapes.Substitution),
    )
    def get(self, request: Request) -> Response:
        """Values by hand that stand for points of this client's devices."""
        client, form = self.client(request), reading.query(request, "pilot", "device")
        rows = _standing(client)
        if "pilot" in form:
            rows = rows.filter(point__device__pilot=find_pilot(client, form["pilot"], "pilot"))
        if "device" in form:
            rows = rows.filter(point__device=find_device(client, form["device"], "device"))
        return page_by_key(request, rows, _record)

    @extend_schema(
        operation_id="substitute_value",
        parameters=[schema.KEY],
        request=substitution_shapes.SubstitutionRequest,
        responses=schema.one(substitution_shapes.Substitution, 201) | schema.CONFLICT | schema.UNPROCESSABLE,
    )
    def post(self, request: Request) -> HttpResponseBase:
        """The point shows this value until its end or its withdrawal, with quality source substituted."""
        return answer_in_transaction(request, key_of(request, mandatory=False), lambda: _told(request, self, _substituted))


class WithdrawSubstitution(AuditedView):
    """`/substitutions/withdraw`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.CONTROL}
    action = "refuse withdrawal"

    @extend_schema(
        operation_id="withdraw_substitution",
        parameters=[schema.KEY],
        request=substitution_shapes.Withdrawal,
        responses=schema.one(substitution_shapes.Substitution) | schema.CONFLICT,
    )
    def post(self, request: Request) -> HttpResponseBase:
        """The value by hand of that point is gone, and the field has the word again."""
        return answer_in_transaction(request, key_of(request, mandatory=False), lambda: _told(request, self, _withdrawn))


def _told(request: Request, view: AuditedView, deed: Callable[[Client, dict[str, Any]], Answer]) -> Answer:
    """The answer to a deed; what is refused leaves an audit event."""
    try:
        return deed(view.client(request), reading.json_object(request.data))
    except Problem as problem:
        audit_refusal(request, view.action, problem)
        raise


def _substituted(client: Client, form: dict[str, Any]) -> Answer:
    point, until = _point(client, form), reading.moment(form, "until")
    value, reason = reading.number(form, "value"), reading.text(form, "reason", longest=300)
    _check_unit(form, point)
    if until is None:
        raise missing("until")
    whose: dict[str, Any] = {"owner": client.name, "reason": reason, "until": until, "now": timezone.now()}
    return Answer(201, _record(_done(lambda: substitutions.substitute(point, value, **whose))))


def _withdrawn(client: Client, form: dict[str, Any]) -> Answer:
    reason = reading.text(form, "reason", longest=300, default="")
    made = _standing(client).filter(point=_point(client, form)).first()
    if made is None:
        raise not_found("substitution", "point")
    _done(lambda: substitutions.withdraw(made, by=client.name, reason=reason, now=timezone.now()))
    return Answer(200, _record(made))


def _point(client: Client, form: dict[str, Any]) -> Point:
    return find_point(client, reading.text(form, "device", longest=64), reading.text(form, "point", longest=64))


def _check_unit(form: dict[str, Any], point: Point) -> None:
    unit = reading.text(form, "unit", longest=16, default="")
    if point.unit and not unit:
        raise missing("unit")
    check_unit(unit, point)


def _done(deed: Callable[[], T]) -> T:
    try:
        return deed()
    except SubstitutionRefused as refusal:
        # Pages ask for minutes where this asks for a time.
        field = "until" if refusal.field == "minutes" else refusal.field
        raise Problem(409, "substitution", str(refusal), field=field) from refusal


def _standing(client: Client) -> QuerySet[Substitution]:
    rows = substitutions.in_force(timezone.now()).filter(client.reach("point__device__"))
    return rows.select_related("point__device__pilot")


def _record(made: Substitution) -> dict[str, Any]:
    point = made.point
    form: dict[str, Any] = {"pilot": point.device.pilot.code, "device": point.device.code, "point": point.name}
    form |= {"value": made.value, "label": point.labels.get(f"{made.value:g}"), "unit": point.unit}
    return form | {"owner": made.owner, "reason": made.reason, "set_at": rfc3339(made.set_at), "until": rfc3339(made.until)}
