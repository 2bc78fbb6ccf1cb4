"""Shapes of switching for the OpenAPI document; `switching_views` does the work."""

from __future__ import annotations

from rest_framework import serializers as s

from pilots.api.shapes import COMMAND_CLASSES, Shape

SELECTION_STATES = ["selected", "awaiting_approval", "approved", "operated", "cancelled", "refused", "expired"]


class SelectionRequest(Shape):
    device = s.CharField()
    point = s.CharField(help_text="A point of kind command.")
    value = s.FloatField(help_text="1 (single), or 1 open, 2 closed (double); `labels` of the capabilities name them.")
    reason = s.CharField()


class Operation(Shape):
    value = s.FloatField(help_text="The selected value again.")


class Decision(Shape):
    reason = s.CharField(required=False)


class Reason(Shape):
    code = s.CharField()
    reason = s.CharField()


class Approval(Shape):
    id = s.UUIDField()
    selection = s.UUIDField()
    requested_at = s.DateTimeField()
    until = s.DateTimeField()
    approved = s.BooleanField(allow_null=True, help_text="null: not answered yet.")
    decided_at = s.DateTimeField(allow_null=True)
    decided_by = s.CharField()
    reason = s.CharField()


class Selection(Shape):
    id = s.UUIDField()
    state = s.ChoiceField(SELECTION_STATES)
    pilot = s.CharField()
    device = s.CharField()
    point = s.CharField()
    value = s.FloatField()
    label = s.CharField(help_text="The value's word, as open.")  # type: ignore[assignment]  # the base class keeps its own `label`
    before = s.FloatField(allow_null=True, help_text="What the feedback showed when it was selected.")
    reason = s.CharField()
    command_class = s.ChoiceField(COMMAND_CLASSES)
    owner = s.CharField()
    selected_at = s.DateTimeField()
    until = s.DateTimeField(help_text="Operate before it.")
    needs_approval = s.BooleanField()
    approval = Approval(allow_null=True)
    refusals = Reason(many=True, help_text="What would refuse the command if it were operated now.")
    setpoint = s.UUIDField(allow_null=True, help_text="The command's record, once it was operated.")


class PendingApproval(Approval):
    command = Selection()
