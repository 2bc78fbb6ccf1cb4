"""Schedules of the platform: created, read, listed, revised, cancelled. `control` checks and keeps them. [operation]"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from pilots.api import reading, schedule_shapes, schema, shapes
from pilots.api.authentication import Client
from pilots.api.errors import Problem, invalid, missing, not_found
from pilots.api.idempotency import Answer, answer_in_transaction, key_of
from pilots.api.paging import page_newest_first
from pilots.api.plant_views import find_device, find_pilot
from pilots.api.schedule_body import ScheduleBody, read_schedule
from pilots.api.setpoint_views import AuditedView, audit_refusal, find_point, refusal_problem
from pilots.control import schedules
from pilots.control.schedule_records import schedule_record, whole_record, with_plant
from pilots.domain.errors import SetpointRejected
from pilots.domain.schedule import ScheduleState
from pilots.domain.setpoint import Issuer
from pilots.models import Schedule, Scope


class Schedules(AuditedView):
    """`/schedules`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ, "POST": Scope.CONTROL}
    action = "refuse schedule"

    @extend_schema(
        operation_id="list_schedules",
        parameters=[schema.PILOT, schema.DEVICE, schema.SCHEDULE_STATE, *schema.PAGING],
        responses=schema.listed(schedule_shapes.ScheduleRow),
    )
    def get(self, request: Request) -> Response:
        """Schedules of this client's devices, newest first, without their steps."""
        return page_newest_first(request, with_plant(_chosen(request, self.client(request))), schedule_record)

    @extend_schema(
        operation_id="create_schedule",
        parameters=[schema.MANDATORY_KEY],
        request=schedule_shapes.ScheduleRequest,
        responses=schema.one(schedule_shapes.Schedule, 201) | schema.CONFLICT | schema.UNPROCESSABLE,
    )
    def post(self, request: Request) -> HttpResponseBase:
        """The whole document is accepted, or refused with the field and the step at fault; nothing in between."""
        key = key_of(request, mandatory=True)
        return _tagged(answer_in_transaction(request, key, lambda: self._create(request)))

    def _create(self, request: Request) -> Answer:
        client = self.client(request)
        try:
            body = read_schedule(request.data)
            schedule = _created(client, body)
        except Problem as problem:
            audit_refusal(request, self.action, problem)
            raise
        return Answer(201, _record(schedule.pk), reverse("api:schedule", [str(schedule.pk)], request=request))


class OneSchedule(AuditedView):
    """`/schedules/{id}`"""

    http_method_names = ["get", "head", "put", "delete"]
    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ, "PUT": Scope.CONTROL, "DELETE": Scope.CONTROL}
    action = "refuse revision"

    @extend_schema(operation_id="get_schedule", responses=schema.one(schedule_shapes.Schedule))
    def get(self, request: Request, schedule: str) -> HttpResponseBase:
        """One schedule with what became of each step."""
        return _tagged(Response(_record(find_schedule(self.client(request), schedule).pk)))

    @extend_schema(
        operation_id="revise_schedule",
        parameters=[schema.KEY, schema.IF_MATCH],
        request=schedule_shapes.ScheduleRevision,
        responses=schema.one(schedule_shapes.Schedule) | schema.CONFLICT | schema.UNPROCESSABLE | schema.PRECONDITION,
    )
    def put(self, request: Request, schedule: str) -> HttpResponseBase:
        """The next revision: steps that are dispatched, or have passed, stay what they were; the others are the new ones."""
        key = key_of(request, mandatory=False)
        return _tagged(answer_in_transaction(request, key, lambda: self._revise(request, schedule)))

    @extend_schema(
        operation_id="delete_schedule",
        parameters=[schema.KEY],
        responses=schema.one(schedule_shapes.Schedule) | schema.CONFLICT,
    )
    def delete(self, request: Request, schedule: str) -> HttpResponseBase:
        """The same as its cancelling."""
        key = key_of(request, mandatory=False)
        return _tagged(
            answer_in_transaction(request, key, lambda: cancelled(request, self.client(request), schedule, self.action))
        )

    def _revise(self, request: Request, schedule: str) -> Answer:
        client = self.client(request)
        try:
            body = read_schedule(request.data)
            found = find_schedule(client, schedule)
            _check_match(request, found)
            _check_same(body, found)
            revised = _revised(client, body, found)
        except Problem as problem:
            audit_refusal(request, self.action, problem)
            raise
        return Answer(200, _record(revised.pk))


class CancelSchedule(AuditedView):
    """`/schedules/{id}/cancel`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.CONTROL}
    action = "refuse cancel"

    @extend_schema(
        operation_id="cancel_schedule",
        parameters=[schema.KEY],
        request=shapes.Cancellation,
        responses=schema.one(schedule_shapes.Schedule) | schema.CONFLICT,
    )
    def post(self, request: Request, schedule: str) -> HttpResponseBase:
        """No step is asked for any more, and the one in force is given back; 409 `already_finished` when it is over."""
        key = key_of(request, mandatory=False)
        return _tagged(
            answer_in_transaction(request, key, lambda: cancelled(request, self.client(request), schedule, self.action))
        )


def cancelled(request: Request, client: Client, schedule: str, action: str) -> Answer:
    """The answer to a cancelling; what is refused leaves an audit event."""
    try:
        reason = reading.text(reading.json_object(request.data or {}), "reason", longest=300, default="")
        found = find_schedule(client, schedule)
        try:
            schedules.cancel_schedule(found, actor=client.name, reason=reason, now=timezone.now())
        except SetpointRejected as refusal:
            raise refusal_problem(refusal, 409) from refusal
    except Problem as problem:
        audit_refusal(request, action, problem)
        raise
    return Answer(200, _record(found.pk))


def find_schedule(client: Client, schedule: str) -> Schedule:
    """The schedule of that id. Raises Problem 404 when there is none or its device is not this client's."""
    try:
        key = reading.uuid(schedule, "id")
    except Problem:
        raise not_found("schedule") from None
    found = with_plant(Schedule.objects.filter(client.reach("point__device__"), pk=key)).first()
    if found is None:
        raise not_found("schedule")
    return found


def _created(client: Client, body: ScheduleBody) -> Schedule:
    point = find_point(client, body.device, body.point)
    try:
        return schedules.create_schedule(
            point=point,
            curve=body.curve,
            unit=body.unit,
            mode=body.mode,
            issuer=Issuer.PLATFORM,
            requested_by=client.name,
            priority=body.priority,
            service=body.service,
            reason=body.reason,
            issued_at=body.issued_at,
            schedule_id=body.schedule_id,
            draft=body.draft,
            now=timezone.now(),
        )
    except SetpointRejected as refusal:
        raise refusal_problem(refusal, 409 if refusal.code == "duplicate_id" else 422, field=refusal.field) from refusal


def _revised(client: Client, body: ScheduleBody, schedule: Schedule) -> Schedule:
    if body.revision is None:
        raise missing("revision")
    now = timezone.now()
    wanted: dict[str, Any] = {"curve": body.curve, "priority": body.priority, "service": body.service, "reason": body.reason}
    try:
        with transaction.atomic():
            revised = schedules.revise_schedule(schedule, revision=body.revision, actor=client.name, now=now, **wanted)
            if revised.state == ScheduleState.DRAFT and not body.draft:
                schedules.accept_schedule(revised, actor=client.name, now=now)
    except SetpointRejected as refusal:
        conflict = refusal.code in ("revision_conflict", "already_finished")
        raise refusal_problem(refusal, 409 if conflict else 422, field=refusal.field) from refusal
    return revised


def _check_match(request: Request, schedule: Schedule) -> None:
    wanted = request.headers.get("If-Match")
    if wanted is not None and wanted not in ("*", _tag(schedule.revision)):
        sentence = f"The schedule is at revision {schedule.revision}, its ETag is {_tag(schedule.revision)}."
        raise Problem(412, "revision_conflict", sentence, field="If-Match")


def _check_same(body: ScheduleBody, schedule: Schedule) -> None:
    """What a schedule keeps for life. Raises Problem 422 naming the field."""
    kept = {"device": schedule.point.device.code, "point": schedule.point.name, "unit": schedule.unit, "mode": schedule.mode}
    for field, value in kept.items():
        given = getattr(body, field)
        if given != value and (given or field != "mode"):
            sentence = f"{field} of a schedule does not change: it is {value}. Cancel it and make another."
            raise Problem(422, "out_of_range", sentence, field=field)


def _chosen(request: Request, client: Client) -> QuerySet[Schedule]:
    form = reading.query(request, "pilot", "device", "state")
    rows = Schedule.objects.filter(client.reach("point__device__"))
    if "pilot" in form:
        rows = rows.filter(point__device__pilot=find_pilot(client, form["pilot"], "pilot"))
    if "device" in form:
        rows = rows.filter(point__device=find_device(client, form["device"], "device"))
    if "state" in form:
        if form["state"] not in list(ScheduleState):
            raise invalid("state", f"state must be one of {', '.join(ScheduleState)}.")
        rows = rows.filter(state=form["state"])
    return rows


def _record(pk: UUID, now: datetime | None = None) -> dict[str, Any]:
    return whole_record(with_plant(Schedule.objects.filter(pk=pk)).get(), now or timezone.now())


def _tag(revision: int) -> str:
    return f'"{revision}"'


def _tagged(answer: HttpResponseBase) -> HttpResponseBase:
    """The answer with its revision as ETag, where it is a schedule."""
    body = getattr(answer, "data", None)
    if isinstance(body, dict) and "revision" in body:
        answer["ETag"] = _tag(body["revision"])
    return answer
