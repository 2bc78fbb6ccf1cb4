"""Group set-points of the platform: previewed, created, read, aborted. `control` shares, checks and keeps them. [operation]"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from pilots.api import group_shapes, reading, schema, shapes
from pilots.api.authentication import Client
from pilots.api.base import ApiView
from pilots.api.errors import Problem, invalid, missing, not_found
from pilots.api.idempotency import Answer, answer_around, answer_in_transaction, key_of
from pilots.api.setpoint_body import SERVICES
from pilots.api.setpoint_views import AuditedView, audit_refusal, refusal_problem
from pilots.control import groups
from pilots.control.group_plans import GroupWish, plan_group, signed_plan
from pilots.control.group_records import group_record
from pilots.domain.errors import SetpointRejected
from pilots.domain.setpoint import Issuer
from pilots.domain.sharing import MOST_MEMBERS
from pilots.domain.switching import http_status
from pilots.models import Point, Scope, SetpointGroup


class PreviewGroup(ApiView):
    """`/setpoint-groups/preview`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.CONTROL}

    @extend_schema(
        operation_id="preview_setpoint_group",
        request=group_shapes.GroupWish,
        responses=schema.one(group_shapes.GroupPreview) | schema.UNPROCESSABLE,
    )
    def post(self, request: Request) -> Response:
        """What each would get now, and why; nothing is stored or sent."""
        wish, now = read_wish(self.client(request), request.data), timezone.now()
        try:
            plan = plan_group(wish, now)
        except SetpointRejected as refusal:
            raise _problem(refusal) from refusal
        refused = plan.refusal
        return Response(
            {
                "members": [asdict(part) for part in plan.parts],
                "least": plan.least,
                "most": plan.most,
                "shared": sum(part.share or 0.0 for part in plan.parts),
                "refusal": refused and {"code": refused.code, "detail": refused.reason, "field": refused.field},
                "preview": signed_plan(wish, plan) if refused is None else None,
            }
        )


class SetpointGroups(AuditedView):
    """`/setpoint-groups`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.CONTROL}
    action = "refuse group"

    @extend_schema(
        operation_id="create_setpoint_group",
        parameters=[schema.MANDATORY_KEY],
        request=group_shapes.GroupRequest,
        responses=schema.one(group_shapes.SetpointGroup, 201) | schema.CONFLICT | schema.UNPROCESSABLE,
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Every share is a set-point on its way, or none is and the refusal says why."""
        key = key_of(request, mandatory=True)
        return answer_in_transaction(request, key, lambda: self._create(request))

    def _create(self, request: Request) -> Answer:
        client = self.client(request)
        try:
            group = _created(client, reading.json_object(request.data))
        except Problem as problem:
            audit_refusal(request, self.action, problem)
            raise
        return Answer(201, group_record(group, timezone.now()), reverse("api:setpoint-group", [str(group.pk)], request=request))


class OneGroup(ApiView):
    """`/setpoint-groups/{id}`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}

    @extend_schema(operation_id="get_setpoint_group", responses=schema.one(group_shapes.SetpointGroup))
    def get(self, request: Request, group: str) -> Response:
        """One group: each member's share, what became of it, what it does now."""
        return Response(group_record(find_group(self.client(request), group), timezone.now()))


class AbortGroup(AuditedView):
    """`/setpoint-groups/{id}/abort`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.CONTROL}
    action = "refuse abort"

    @extend_schema(
        operation_id="abort_setpoint_group",
        parameters=[schema.KEY],
        request=shapes.Cancellation,
        responses=schema.one(group_shapes.SetpointGroup) | schema.CONFLICT,
    )
    def post(self, request: Request, group: str) -> HttpResponseBase:
        """Nothing more of it is written, and what was is given back; 409 `already_finished` when nothing was left to end."""
        key = key_of(request, mandatory=False)
        # Not in one transaction with its key: the gateways must see at once that nothing more is written.
        return answer_around(request, key, lambda: self._abort(request, group))

    def _abort(self, request: Request, group: str) -> Answer:
        client = self.client(request)
        try:
            reason = reading.text(reading.json_object(request.data or {}), "reason", longest=300, default="")
            found = find_group(client, group)
            try:
                aborted = groups.abort_group(found, actor=client.name, reason=reason, now=timezone.now())
            except SetpointRejected as refusal:
                raise refusal_problem(refusal, 409) from refusal
        except Problem as problem:
            audit_refusal(request, self.action, problem)
            raise
        return Answer(200, group_record(aborted, timezone.now()))


def read_wish(client: Client, body: Any) -> GroupWish:
    """The body as a wish for devices of this client; unknown fields are ignored. Raises Problem naming the field."""
    form = reading.json_object(body)
    valid_until = reading.moment(form, "valid_until")
    if valid_until is None:
        raise missing("valid_until")
    if form.get("unit") is None:
        raise missing("unit")
    return GroupWish(
        points=_points(client, form),
        target=reading.number(form, "target"),
        unit=reading.text(form, "unit", longest=16, default=""),
        issuer=Issuer.PLATFORM,
        requested_by=client.name,
        valid_until=valid_until,
        priority=reading.whole(form, "priority", low=1, high=9),
        reason=reading.text(form, "reason", longest=300, default=""),
        service=reading.one_of(form, "service", SERVICES, default=""),
        issued_at=reading.moment(form, "issued_at"),
    )


def find_group(client: Client, group: str) -> SetpointGroup:
    """The group of that id. Raises Problem 404 when there is none, or a device of it is not this client's."""
    try:
        key: UUID = reading.uuid(group, "id")
    except Problem:
        raise not_found("group") from None
    found = SetpointGroup.objects.filter(pk=key, pilot__in=client.pilots).select_related("pilot").first()
    codes = [] if found is None else [part["device"] for part in found.parts]
    if found is None or client.devices.filter(code__in=codes).count() < len(codes):
        raise not_found("group")
    return found


def _created(client: Client, form: dict[str, Any]) -> SetpointGroup:
    wish = read_wish(client, form)
    try:
        return groups.create_group(
            wish,
            proved=Scope.SWITCH_CRITICAL in client.scopes,
            plan=reading.text(form, "preview", longest=100_000, default=""),
            group_id=None if form.get("id") is None else reading.uuid(form["id"], "id"),
            now=timezone.now(),
        )
    except SetpointRejected as refusal:
        raise _problem(refusal) from refusal


def _problem(refusal: SetpointRejected) -> Problem:
    conflict = refusal.code in ("duplicate_id", "preview_over")
    return refusal_problem(refusal, 409 if conflict else http_status(refusal.code), field=refusal.field)


def _points(client: Client, form: dict[str, Any]) -> list[Point]:
    """Raises Problem 404 for a member that is not there, the same for one that is not this client's."""
    members, name = form.get("members"), reading.text(form, "point", longest=64)
    if members is None:
        raise missing("members")
    if not isinstance(members, list) or len(members) > MOST_MEMBERS:
        raise invalid("members", f"members must be a list of at most {MOST_MEMBERS} device ids.")
    for number, code in enumerate(members):
        if not isinstance(code, str) or not code or "\0" in code:
            raise invalid(f"members[{number}]", f"members[{number}] must be the id of a device.")
    devices = set(client.devices.filter(code__in=members).values_list("code", flat=True))
    rows = Point.objects.filter(client.reach("device__"), device__code__in=members, name=name)
    found = {point.device.code: point for point in rows.select_related("device__pilot", "device__connection")}
    for number, code in enumerate(members):
        if code not in found:
            raise not_found("point" if code in devices else "device", f"members[{number}]")
    return [found[code] for code in members]
