"""Switching by machines: select, ask for approval, operate, cancel; approve or not. `control.switching` decides. [operation]"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from pilots.api import reading, schema, shapes
from pilots.api import switching_shapes as switching_forms
from pilots.api.authentication import Client, digest
from pilots.api.base import ApiView
from pilots.api.errors import Problem, not_found
from pilots.api.idempotency import Answer, answer_in_transaction, key_of
from pilots.api.setpoint_views import AuditedView, audit_refusal, find_point, setpoint_record
from pilots.control import switching
from pilots.control.selections import approval_record, pending_approvals, selection_record, with_point
from pilots.control.switching import Actor
from pilots.domain.errors import SetpointRejected
from pilots.domain.setpoint import Issuer, RejectCode
from pilots.domain.switching import http_status
from pilots.models import Approval, Scope, Selection

REFUSED = schema.CONFLICT | schema.UNPROCESSABLE
T = TypeVar("T")


class Refused(Problem):
    """A step that `control.switching` refused, and put into the audit trail."""


class SwitchingView(AuditedView):
    """A step of switching: what is refused before `control` is asked is audited here."""

    def answered(self, request: Request, work: Callable[[], Answer], *, keyed: bool) -> HttpResponseBase:
        """The first answer of the request's key, which it must have where it is `keyed`."""

        def audited_work() -> Answer:
            try:
                return work()
            except Refused:
                raise
            except Problem as problem:
                audit_refusal(request, self.action, problem)
                raise

        return answer_in_transaction(request, key_of(request, mandatory=keyed), audited_work)


class Selections(SwitchingView):
    """`/selections`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.SWITCH}
    action = "refuse select"

    @extend_schema(
        operation_id="select",
        parameters=[schema.MANDATORY_KEY],
        request=switching_forms.SelectionRequest,
        responses=schema.one(switching_forms.Selection, 201) | REFUSED,
    )
    def post(self, request: Request) -> HttpResponseBase:
        """A device is reserved for one command of this token for 30 s; 201 with what would refuse it. Nothing is switched."""
        return self.answered(request, lambda: self._select(request), keyed=True)

    def _select(self, request: Request) -> Answer:
        client, now = self.client(request), timezone.now()
        form = reading.json_object(request.data)
        value, reason = reading.number(form, "value"), reading.text(form, "reason", longest=300)
        point = find_point(client, reading.text(form, "device", longest=64), reading.text(form, "point", longest=64))
        made = _or_problem(lambda: switching.select(point, value, reason=reason, actor=actor_of(client), now=now))
        location = reverse("api:selection", [str(made.pk)], request=request)
        return Answer(201, _record(client, str(made.pk)), location)


class OneSelection(ApiView):
    """`/selections/{id}`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}

    @extend_schema(operation_id="get_selection", responses=schema.one(switching_forms.Selection))
    def get(self, request: Request, selection: str) -> Response:
        """One selection as it stands, with what would refuse its command now."""
        return Response(_record(self.client(request), selection))


class OperateSelection(SwitchingView):
    """`/selections/{id}/operate`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.SWITCH}
    action = "refuse operate"

    @extend_schema(
        operation_id="operate",
        parameters=[schema.MANDATORY_KEY],
        request=switching_forms.Operation,
        responses=schema.one(shapes.Setpoint, 202) | REFUSED,
    )
    def post(self, request: Request, selection: str) -> HttpResponseBase:
        """The selected command becomes a set-point record of kind `command`, validated or rejected; 202 with the whole record."""
        return self.answered(request, lambda: self._operate(request, selection), keyed=True)

    def _operate(self, request: Request, selection: str) -> Answer:
        client = self.client(request)
        value = reading.number(reading.json_object(request.data), "value")
        found = find_selection(client, selection)
        setpoint = _or_problem(lambda: switching.operate(found, value, actor=actor_of(client), now=timezone.now()))
        return Answer(202, setpoint_record(setpoint.pk), reverse("api:setpoint", [str(setpoint.pk)], request=request))


class CancelSelection(SwitchingView):
    """`/selections/{id}/cancel`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.SWITCH}
    action = "refuse cancel selection"

    @extend_schema(
        operation_id="cancel_selection",
        parameters=[schema.KEY],
        request=shapes.Nothing,
        responses=schema.one(switching_forms.Selection) | REFUSED,
    )
    def post(self, request: Request, selection: str) -> HttpResponseBase:
        """The device is free again; nothing was switched."""
        return self.answered(request, lambda: self._cancel(request, selection), keyed=False)

    def _cancel(self, request: Request, selection: str) -> Answer:
        client = self.client(request)
        found = find_selection(client, selection)
        _or_problem(lambda: switching.cancel(found, actor=actor_of(client), now=timezone.now()))
        return Answer(200, _record(client, selection))


class AskForApproval(SwitchingView):
    """`/selections/{id}/approval`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.SWITCH}
    action = "refuse approval request"

    @extend_schema(
        operation_id="ask_for_approval",
        parameters=[schema.KEY],
        request=shapes.Nothing,
        responses=schema.one(switching_forms.Approval, 202) | REFUSED,
    )
    def post(self, request: Request, selection: str) -> HttpResponseBase:
        """A second person is asked, where the pilot's rule wants one; the device stays reserved for 5 min at most."""
        return self.answered(request, lambda: self._ask(request, selection), keyed=False)

    def _ask(self, request: Request, selection: str) -> Answer:
        client = self.client(request)
        found = find_selection(client, selection)
        approval = _or_problem(lambda: switching.ask_for_approval(found, actor=actor_of(client), now=timezone.now()))
        return Answer(202, approval_record(approval))


class Approvals(ApiView):
    """`/approvals`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.APPROVE}

    @extend_schema(operation_id="list_approvals", responses=schema.all_of(switching_forms.PendingApproval))
    def get(self, request: Request) -> Response:
        """What waits for a second person at this client's devices, oldest first."""
        client, now = self.client(request), timezone.now()
        waiting = pending_approvals(client.pilots, now).filter(client.reach("selection__device__"))
        rows = [approval_record(each) | {"command": selection_record(each.selection, Issuer.PLATFORM, now)} for each in waiting]
        return Response({"results": rows, "next": None})


class Approve(SwitchingView):
    """`/approvals/{id}/approve`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.APPROVE}
    action = "refuse approval"
    deed: ClassVar[Callable[..., None]] = staticmethod(switching.approve)

    @extend_schema(
        operation_id="approve",
        parameters=[schema.KEY],
        request=switching_forms.Decision,
        responses=schema.one(switching_forms.Approval) | REFUSED,
    )
    def post(self, request: Request, approval: str) -> HttpResponseBase:
        """Who selected may operate within 30 s. Never one's own, nor the same token's."""
        return self.answered(request, lambda: self._decide(request, approval), keyed=False)

    def _decide(self, request: Request, approval: str) -> Answer:
        client = self.client(request)
        reason = reading.text(reading.json_object(request.data), "reason", longest=300, default="")
        found = find_approval(client, approval)
        _or_problem(lambda: self.deed(found, actor=actor_of(client), reason=reason, now=timezone.now()))
        found.refresh_from_db()
        return Answer(200, approval_record(found))


class Disapprove(Approve):
    """`/approvals/{id}/refuse`"""

    deed: ClassVar[Callable[..., None]] = staticmethod(switching.disapprove)

    @extend_schema(
        operation_id="refuse_approval",
        parameters=[schema.KEY],
        request=switching_forms.Decision,
        responses=schema.one(switching_forms.Approval) | REFUSED,
    )
    def post(self, request: Request, approval: str) -> HttpResponseBase:
        """The selection is over and nothing was switched."""
        return super().post(request, approval)


def actor_of(client: Client) -> Actor:
    """A token as who takes a step; it proves itself for critical commands by a scope, having no password to give again."""
    return Actor(
        name=client.name,
        source=f"token:{client.name}",
        session=digest(client.throttle_key),
        issuer=Issuer.PLATFORM,
        proved=Scope.SWITCH_CRITICAL in client.scopes,
    )


def find_selection(client: Client, selection: str) -> Selection:
    """The selection of that id. Raises Problem 404 when there is none or its device is not this client's."""
    key = _key(selection, "selection")
    found = with_point(Selection.objects.filter(client.reach("device__"), pk=key)).first()
    if found is None:
        raise not_found("selection")
    return found


def find_approval(client: Client, approval: str) -> Approval:
    """The approval of that id. Raises Problem 404 when there is none or its device is not this client's."""
    key = _key(approval, "approval")
    rows = Approval.objects.select_related("selection__point__device__pilot", "selection__device__pilot")
    found = rows.filter(client.reach("selection__device__"), pk=key).first()
    if found is None:
        raise not_found("approval")
    return found


def _or_problem(step: Callable[[], T]) -> T:
    try:
        return step()
    except SetpointRejected as refusal:
        wait_s = 5 if refusal.code == RejectCode.AUDIT_UNAVAILABLE else refusal.wait_s
        raise Refused(
            http_status(refusal.code), str(refusal.code), refusal.reason, field=refusal.field, wait_s=wait_s
        ) from refusal


def _record(client: Client, selection: str) -> dict[str, Any]:
    return selection_record(find_selection(client, selection), Issuer.PLATFORM, timezone.now())


def _key(text: str, what: str) -> UUID:
    try:
        return reading.uuid(text, "id")
    except Problem:
        raise not_found(what) from None
