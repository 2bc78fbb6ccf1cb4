"""Shapes of schedules, for the OpenAPI document only: `schedule_body` and `control.schedule_records` do the work."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from pilots.api.shapes import MODES
from pilots.domain.schedule import RESOLUTIONS, ScheduleState
from pilots.domain.setpoint import ON_EXPIRY, Issuer

SCHEDULE_STATES = [str(state) for state in ScheduleState]
SCHEDULE_RESOLUTIONS = list(RESOLUTIONS)


class _Shape(s.Serializer[Any]):
    """Fields only."""


class ScheduleRequest(_Shape):
    id = s.UUIDField(required=False)
    device = s.CharField()
    point = s.CharField()
    unit = s.CharField()
    mode = s.ChoiceField(MODES, required=False)
    start = s.DateTimeField()
    resolution = s.ChoiceField(SCHEDULE_RESOLUTIONS, required=False, help_text="PT15M when absent.")
    values = s.ListField(child=s.FloatField(allow_null=True), max_length=192, help_text="null: no value in that step.")
    priority = s.IntegerField(min_value=1, max_value=9, required=False)
    service = s.CharField(required=False)
    on_expiry = s.ChoiceField(ON_EXPIRY, required=False, help_text="What is so in a step without a value.")
    fallback_value = s.FloatField(required=False, help_text="With on_expiry fallback: wanted in a gap, and left by the end.")
    issued_at = s.DateTimeField(required=False)
    reason = s.CharField(required=False)
    draft = s.BooleanField(required=False)


class ScheduleRevision(ScheduleRequest):
    revision = s.IntegerField(help_text="The next one: that of the record plus 1.")


class ScheduleRow(_Shape):
    id = s.UUIDField()
    state = s.ChoiceField(SCHEDULE_STATES)
    reason = s.CharField(help_text="Why it ended so.")
    pilot = s.CharField()
    device = s.CharField()
    point = s.CharField()
    mode = s.CharField()
    unit = s.CharField()
    start = s.DateTimeField()
    end = s.DateTimeField()
    resolution = s.ChoiceField(SCHEDULE_RESOLUTIONS)
    values = s.ListField(child=s.FloatField(allow_null=True))
    priority = s.IntegerField()
    service = s.CharField()
    on_expiry = s.CharField()
    fallback_value = s.FloatField(allow_null=True)
    revision = s.IntegerField()
    issuer = s.ChoiceField([str(issuer) for issuer in Issuer])
    requested_by = s.CharField()
    request_reason = s.CharField()
    issued_at = s.DateTimeField()
    received_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)


class ScheduleStep(_Shape):
    number = s.IntegerField(help_text="From 0, the place in values.")
    begins = s.DateTimeField()
    value = s.FloatField(allow_null=True)
    state = s.CharField(help_text="That of its set-point, or waiting, due, past, missed, held, gap, draft, cancelled.")
    code = s.CharField()
    reason = s.CharField()
    active = s.BooleanField()
    setpoint = s.UUIDField(allow_null=True)


class Schedule(ScheduleRow):
    steps = ScheduleStep(many=True)
