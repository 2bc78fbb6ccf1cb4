"""Shapes of group set-points, for the OpenAPI document only: `group_views` and `control.group_records` do the work."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from pilots.api.shapes import MODES, SETPOINT_STATES
from pilots.domain.setpoint import Issuer
from pilots.domain.sharing import LEAST_MEMBERS, MOST_MEMBERS, GroupState

GROUP_STATES = [str(state) for state in GroupState]


class _Shape(s.Serializer[Any]):
    """Fields only."""


class GroupWish(_Shape):
    members = s.ListField(child=s.CharField(), min_length=LEAST_MEMBERS, max_length=MOST_MEMBERS, help_text="Device ids.")
    point = s.CharField(help_text="p_set or p_limit, the same of each.")
    target = s.FloatField(help_text="For all together, load convention; of a ceiling what all may take.")
    unit = s.CharField()
    valid_until = s.DateTimeField()
    priority = s.IntegerField(min_value=1, max_value=9, required=False)
    service = s.CharField(required=False)
    issued_at = s.DateTimeField(required=False)
    reason = s.CharField(required=False)


class GroupRequest(GroupWish):
    id = s.UUIDField(required=False)
    preview = s.CharField(required=False, help_text="Of a preview within 2 min: its shares are sent, or none.")


class _Part(_Shape):
    device = s.CharField()
    low = s.FloatField(help_text="Least that it could do at that moment.")
    high = s.FloatField()
    before = s.FloatField(allow_null=True)
    share = s.FloatField(allow_null=True, help_text="null: it takes no part.")
    code = s.CharField()
    reason = s.CharField(help_text="Why it takes no part.")


class _Refusal(_Shape):
    code = s.CharField()
    detail = s.CharField()
    field = s.CharField()


class GroupPreview(_Shape):
    members = _Part(many=True)
    least = s.FloatField(help_text="What those who can take part can do together.")
    most = s.FloatField()
    shared = s.FloatField(help_text="The sum of the shares.")
    refusal = _Refusal(allow_null=True, help_text="Why it cannot be sent now.")
    preview = s.CharField(allow_null=True, help_text="To be sent back with the wish.")


class _Member(_Part):
    measured = s.FloatField(allow_null=True, help_text="What it does now.")
    setpoint = s.UUIDField(allow_null=True)
    state = s.ChoiceField(SETPOINT_STATES, allow_null=True)
    active = s.BooleanField()
    reason = s.CharField(help_text="Why it takes no part, or what became of its set-point.")


class SetpointGroup(_Shape):
    id = s.UUIDField()
    state = s.ChoiceField(GROUP_STATES)
    pilot = s.CharField()
    point = s.CharField()
    mode = s.ChoiceField(MODES)
    unit = s.CharField()
    target = s.FloatField()
    shared = s.FloatField(help_text="The sum of the shares.")
    measured = s.FloatField(allow_null=True, help_text="The sum of those with a share; null while one is not known.")
    members = _Member(many=True)
    priority = s.IntegerField()
    issuer = s.ChoiceField([str(issuer) for issuer in Issuer])
    requested_by = s.CharField()
    request_reason = s.CharField()
    service = s.CharField()
    valid_until = s.DateTimeField()
    received_at = s.DateTimeField()
    aborted_at = s.DateTimeField(allow_null=True)
    aborted_by = s.CharField()
    abort_reason = s.CharField()
