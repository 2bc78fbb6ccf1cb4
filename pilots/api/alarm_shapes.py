"""Shapes of alarms, for the OpenAPI document only."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers as s

from pilots.api.shapes import Shape
from pilots.domain.alarm import AlarmKind, AlarmState, Hidden, Priority

ALARM_STATES, ALARM_KINDS = [state.value for state in AlarmState], [kind.value for kind in AlarmKind]
PRIORITIES, HIDDEN = [priority.name.lower() for priority in Priority], [hidden.value for hidden in Hidden]
FILTERS = [
    OpenApiParameter("state", OpenApiTypes.STR, description="State of an alarm.", enum=ALARM_STATES),
    OpenApiParameter("priority", OpenApiTypes.STR, description="Priority of an alarm.", enum=PRIORITIES),
    OpenApiParameter("open", OpenApiTypes.BOOL, description="true: only those that have not ended; false: only those that have."),
]


class Alarm(Shape):
    id = s.UUIDField()
    pilot = s.CharField()
    device = s.CharField(allow_null=True)
    subject = s.CharField(help_text="device/point, device, connection or link that it watches; empty: the pilot.")
    kind = s.ChoiceField(ALARM_KINDS)
    priority = s.ChoiceField(PRIORITIES)
    what = s.CharField()
    why = s.CharField()
    todo = s.CharField()
    consequence = s.CharField(help_text="What happens when nobody answers.")
    respond_s = s.FloatField(allow_null=True, help_text="Within which an answer still averts it.")
    detail = s.CharField()
    value = s.FloatField(allow_null=True, help_text="What raised it.")
    limit = s.FloatField(allow_null=True)
    unit = s.CharField()
    state = s.ChoiceField(ALARM_STATES)
    hidden = s.ChoiceField(HIDDEN, allow_null=True, help_text="Why it does not ask for attention.")
    hidden_until = s.DateTimeField(allow_null=True)
    cause = s.UUIDField(allow_null=True, help_text="The alarm that asks for this one too.")
    first_out = s.BooleanField(help_text="It came first of its chain of devices.")
    led_by = s.UUIDField(allow_null=True, help_text="The alarm of its chain of devices that came first, seconds before.")
    raised_at = s.DateTimeField()
    returned_at = s.DateTimeField(allow_null=True)
    acknowledged_at = s.DateTimeField(allow_null=True)
    acknowledged_by = s.CharField()
    comment = s.CharField()
    closed_at = s.DateTimeField(allow_null=True)
    times = s.IntegerField(help_text="How often it came in this occurrence.")


class AlarmList(Shape):
    results = Alarm(many=True)


class Acknowledgement(Shape):
    ids = s.ListField(child=s.UUIDField(), help_text="At most 500.")
    comment = s.CharField(required=False, max_length=300)


class Shelf(Shape):
    until = s.DateTimeField()
    reason = s.CharField(max_length=300)


class Return(Shape):
    reason = s.CharField(required=False, max_length=300)
