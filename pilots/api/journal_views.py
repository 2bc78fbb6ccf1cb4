"""The event journal over the API: what happened and who did what, newest first. `journal` keeps it. [operation]"""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response

from pilots.api import reading, schema
from pilots.api.alarm_shapes import PRIORITIES
from pilots.api.authentication import Client
from pilots.api.base import ApiView
from pilots.api.errors import invalid
from pilots.api.paging import cursor_of, limit_of, page
from pilots.api.plant_views import find_device, find_pilot
from pilots.api.shapes import Shape
from pilots.domain.alarm import Priority
from pilots.domain.journal import SHARED, device_and_point
from pilots.journal.selectors import Entry, Key, Reach, Wanted, entries
from pilots.models import AuditEvent, Scope
from pilots.northbound.messages import rfc3339

KINDS = [kind.value for kind in SHARED]


class JournalEntry(Shape):
    """The shape of an entry, for the OpenAPI document only."""

    id = s.CharField(help_text="Unique and in the order of the list.")
    at = s.DateTimeField()
    pilot = s.CharField(help_text="Empty: every pilot.")
    device = s.CharField(allow_null=True)
    point = s.CharField(allow_null=True)
    subject = s.CharField(help_text="device/point, device, connection or link; empty: the pilot.")
    kind = s.ChoiceField(KINDS)
    event = s.CharField(help_text="Of an alarm: raised, returned, acknowledged, again, reset, ended; of a link: its state.")
    what = s.CharField(help_text="What the alarm says.")
    reason = s.CharField()
    who = s.CharField(help_text="Empty where nobody did it.")
    value = s.FloatField(allow_null=True)
    limit = s.FloatField(allow_null=True)
    unit = s.CharField()
    priority = s.ChoiceField(PRIORITIES, allow_null=True)
    state = s.CharField(help_text="Of the alarm or link, after the event.")
    reference = s.UUIDField(allow_null=True, help_text="Id of the alarm, set-point or schedule.")


FILTERS = [
    OpenApiParameter("kind", OpenApiTypes.STR, description="Kind of entry.", enum=KINDS),
    OpenApiParameter("text", OpenApiTypes.STR, description="Found in subject, event, reason or person."),
    OpenApiParameter("who", OpenApiTypes.STR, description="Part of a person's or program's name."),
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="Start, included."),
    schema.TO,
]


class Journal(ApiView):
    """`/journal`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}

    @extend_schema(
        operation_id="list_journal",
        parameters=[schema.PILOT, schema.DEVICE, *FILTERS, *schema.PAGING],
        responses=schema.listed(JournalEntry),
    )
    def get(self, request: Request) -> Response:
        """Alarms, links, set-points, commands, schedules, fallbacks and guards of this client's pilots and devices."""
        client, limit = self.client(request), limit_of(request)
        after = cursor_of(request, lambda parts: Key.parse(parts[0]))
        found = entries(_reach(client), _wanted(request, client), limit=limit + 1, after=after)
        more = len(found) > limit
        return page(request, map(record, found[:limit]), [str(found[limit - 1].key)] if more else None)


def record(entry: Entry) -> dict[str, Any]:
    """The entry as the API tells it."""
    device, point = device_and_point(entry.subject)
    return {
        "id": str(entry.key),
        "at": rfc3339(entry.at),
        "pilot": entry.pilot,
        "device": device or None,
        "point": point or None,
        "subject": entry.subject,
        "kind": entry.kind,
        "event": entry.event,
        "what": entry.what,
        "reason": entry.why,
        "who": entry.who,
        "value": entry.value,
        "limit": entry.limit,
        "unit": entry.unit,
        "priority": None if entry.priority is None else Priority(entry.priority).name.lower(),
        "state": entry.state,
        "reference": None if entry.reference is None else str(entry.reference),
    }


def _reach(client: Client) -> Reach:
    """Administration and commissioning stay with the pages, where a person's own rights decide."""
    codes = list(client.pilots.values_list("code", flat=True))
    devices = None if client.device_ids is None else list(client.devices.values_list("code", flat=True))
    return Reach(pilots=codes, trail=AuditEvent.objects.none(), devices=devices)


def _wanted(request: Request, client: Client) -> Wanted:
    form = reading.query(request, "pilot", "device", "kind", "text", "who", "from", "to")
    if "pilot" in form:
        find_pilot(client, form["pilot"], "pilot")
    if "device" in form:
        find_device(client, form["device"], "device")
    if form.get("kind", KINDS[0]) not in KINDS:
        raise invalid("kind", f"kind must be one of {', '.join(KINDS)}.")
    start, end = reading.moment(form, "from"), reading.moment(form, "to")
    if start is not None and start >= (end or timezone.now()):
        raise invalid("to", "to must be after from.")
    words = {name: form[name] for name in ("pilot", "device", "kind", "text", "who") if name in form}
    return Wanted(**words, start=start, end=end)
