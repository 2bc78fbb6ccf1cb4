"""Alarms over the API: listed, acknowledged, shelved and returned. `alarms` keeps them. [operation]"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from pilots.alarms import services
from pilots.alarms.selectors import OPEN
from pilots.alarms.services import AlarmRefused
from pilots.api import alarm_shapes, reading, schema
from pilots.api.authentication import Client
from pilots.api.base import ApiView
from pilots.api.errors import Problem, invalid, missing, not_found
from pilots.api.idempotency import Answer, answer_in_transaction, key_of
from pilots.api.paging import cursor_of, limit_of, moment_part, page
from pilots.api.plant_views import find_device, find_pilot
from pilots.api.setpoint_views import AuditedView
from pilots.domain.alarm import AlarmState, Priority
from pilots.models import Alarm, AlarmRule, Scope
from pilots.northbound.messages import rfc3339

T = TypeVar("T")


class Alarms(ApiView):
    """`/alarms`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}

    @extend_schema(
        operation_id="list_alarms",
        parameters=[schema.PILOT, schema.DEVICE, *alarm_shapes.FILTERS, *schema.PAGING],
        responses=schema.listed(alarm_shapes.Alarm),
    )
    def get(self, request: Request) -> Response:
        """Alarms of this client's pilots and devices, newest first; `open=true` leaves out those that ended."""
        rows, limit = _chosen(request, self.client(request)), limit_of(request)
        after = cursor_of(request, lambda parts: (moment_part(parts[0]), UUID(parts[1])))
        if after is not None:
            rows = rows.filter(Q(raised_at__lt=after[0]) | Q(raised_at=after[0], pk__lt=after[1]))
        found = list(rows.order_by("-raised_at", "-pk")[: limit + 1])
        last = found[limit - 1] if len(found) > limit else None
        return page(request, map(record, found[:limit]), None if last is None else [last.raised_at.isoformat(), str(last.pk)])


class AcknowledgeAlarms(AuditedView):
    """`/alarms/acknowledge`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.CONTROL}
    action = "refuse acknowledgement"

    @extend_schema(
        operation_id="acknowledge_alarms",
        parameters=[schema.KEY],
        request=alarm_shapes.Acknowledgement,
        responses=schema.one(alarm_shapes.AlarmList) | schema.CONFLICT,
    )
    def post(self, request: Request) -> HttpResponseBase:
        """One or many alarms have been seen, active ones too; those that waited for it are in the answer."""
        return answer_in_transaction(request, key_of(request, mandatory=False), lambda: self._acknowledge(request))

    def _acknowledge(self, request: Request) -> Answer:
        client, form = self.client(request), reading.json_object(request.data)
        keys = _ids(form)
        comment = reading.text(form, "comment", longest=300, default="")
        own = reachable(client)
        acknowledged = _done(
            lambda: services.acknowledge(keys, among=own, by=client.name, comment=comment, now=timezone.now()), "ids"
        )
        rows = own.filter(pk__in=[alarm.pk for alarm in acknowledged])
        return Answer(200, {"results": [record(alarm) for alarm in rows]})


class ShelveAlarm(AuditedView):
    """`/alarms/{id}/shelve`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.CONTROL}
    action = "refuse to shelve"

    @extend_schema(
        operation_id="shelve_alarm",
        parameters=[schema.KEY],
        request=alarm_shapes.Shelf,
        responses=schema.one(alarm_shapes.Alarm) | schema.CONFLICT,
    )
    def post(self, request: Request, alarm: str) -> HttpResponseBase:
        """Silent until `until`, 24 h at most, when it comes back by itself."""
        return answer_in_transaction(request, key_of(request, mandatory=False), lambda: self._shelve(request, alarm))

    def _shelve(self, request: Request, key: str) -> Answer:
        client, form = self.client(request), reading.json_object(request.data)
        rule, reason = _rule_of(client, key), reading.text(form, "reason", longest=300, default="")
        until = reading.moment(form, "until")
        if until is None:
            raise missing("until")
        whose: dict[str, Any] = {"by": client.name, "reason": reason, "until": until, "now": timezone.now()}
        _done(lambda: services.shelve(rule, **whose), "until" if reason.strip() else "reason")
        return Answer(200, record(find_alarm(client, key)))


class UnshelveAlarm(AuditedView):
    """`/alarms/{id}/unshelve`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.CONTROL}
    action = "refuse to unshelve"

    @extend_schema(
        operation_id="unshelve_alarm",
        parameters=[schema.KEY],
        request=alarm_shapes.Return,
        responses=schema.one(alarm_shapes.Alarm) | schema.CONFLICT,
    )
    def post(self, request: Request, alarm: str) -> HttpResponseBase:
        """It asks for attention again, at once if it is there."""
        return answer_in_transaction(request, key_of(request, mandatory=False), lambda: self._unshelve(request, alarm))

    def _unshelve(self, request: Request, key: str) -> Answer:
        client = self.client(request)
        rule = _rule_of(client, key)
        if rule.hidden not in ("", "shelved"):
            raise Problem(409, "alarm", "It is suppressed or out of service: an engineer returns it on the page.")
        reason = reading.text(reading.json_object(request.data), "reason", longest=300, default="")
        _done(lambda: services.bring_back(rule, by=client.name, reason=reason, now=timezone.now()), "")
        return Answer(200, record(find_alarm(client, key)))


def reachable(client: Client) -> QuerySet[Alarm]:
    """The alarms of the client's pilots; of its devices only, where it is bound to some."""
    rows = Alarm.objects.select_related("pilot", "device", "rule")
    if client.pilot_ids is not None:
        rows = rows.filter(pilot__in=client.pilot_ids)
    return rows if client.device_ids is None else rows.filter(device__in=client.device_ids)


def find_alarm(client: Client, key: str) -> Alarm:
    """The alarm of that id. Raises Problem 404 when there is none or it is not this client's."""
    try:
        found = reachable(client).filter(pk=reading.uuid(key, "id")).first()
    except Problem:
        found = None
    if found is None:
        raise not_found("alarm")
    return found


def record(alarm: Alarm) -> dict[str, Any]:
    """The alarm as the API tells it."""
    rule = alarm.rule
    return {
        "id": str(alarm.pk),
        "pilot": alarm.pilot.code,
        "device": alarm.device.code if alarm.device is not None else None,
        "subject": alarm.subject,
        "kind": alarm.kind,
        "priority": Priority(alarm.priority).name.lower(),
        "what": alarm.what,
        "why": rule.why if rule is not None else "",
        "todo": rule.todo if rule is not None else "",
        "consequence": rule.consequence if rule is not None else "",
        "respond_s": rule.respond_s if rule is not None else None,
        "detail": alarm.detail,
        "value": alarm.value,
        "limit": alarm.limit,
        "unit": alarm.unit,
        "state": alarm.state,
        "hidden": alarm.hidden or None,
        "hidden_until": rfc3339(rule.hidden_until) if rule is not None and rule.hidden_until and alarm.hidden else None,
        "cause": str(alarm.cause_id) if alarm.cause_id else None,
        "first_out": alarm.first_out,
        "led_by": str(alarm.led_by_id) if alarm.led_by_id else None,
        "raised_at": rfc3339(alarm.raised_at),
        "returned_at": _told(alarm.returned_at),
        "acknowledged_at": _told(alarm.acknowledged_at),
        "acknowledged_by": alarm.acknowledged_by,
        "comment": alarm.comment,
        "closed_at": _told(alarm.closed_at),
        "times": alarm.times,
    }


def _told(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _rule_of(client: Client, key: str) -> AlarmRule:
    rule = find_alarm(client, key).rule
    if rule is None:
        raise Problem(409, "alarm", "Its rule is gone: there is nothing left to shelve.")
    return rule


def _done(act: Callable[[], T], field: str) -> T:
    try:
        return act()
    except AlarmRefused as refusal:
        raise Problem(409, refusal.code, str(refusal), field=field) from refusal


def _ids(form: dict[str, Any]) -> list[UUID]:
    ids = form.get("ids")
    if not isinstance(ids, list) or not ids:
        raise invalid("ids", "ids is a list of the alarms' ids.")
    return [reading.uuid(each, f"ids[{number}]") for number, each in enumerate(ids)]


def _chosen(request: Request, client: Client) -> QuerySet[Alarm]:
    form = reading.query(request, "pilot", "device", "state", "priority", "open")
    rows = reachable(client)
    if "pilot" in form:
        rows = rows.filter(pilot=find_pilot(client, form["pilot"], "pilot"))
    if "device" in form:
        rows = rows.filter(device=find_device(client, form["device"], "device"))
    if "state" in form:
        rows = rows.filter(state=_word(form["state"], "state", list(AlarmState)))
    if "priority" in form:
        words = [priority.name.lower() for priority in Priority]
        rows = rows.filter(priority=words.index(_word(form["priority"], "priority", words)) + 1)
    if "open" in form:
        is_open = _word(form["open"], "open", ["true", "false"]) == "true"
        rows = rows.filter(OPEN) if is_open else rows.exclude(OPEN)
    return rows


def _word(given: str, field: str, words: list[Any]) -> str:
    if given not in words:
        raise invalid(field, f"{field} must be one of {', '.join(words)}.")
    return given
