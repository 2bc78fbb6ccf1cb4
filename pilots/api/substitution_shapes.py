"""Shapes of values by hand, for the OpenAPI document only: `substitution_views` does the work."""

from __future__ import annotations

from rest_framework import serializers as s

from pilots.api.shapes import Shape


class SubstitutionRequest(Shape):
    device = s.CharField()
    point = s.CharField()
    value = s.FloatField(help_text="In the point's unit; of a state its number.")
    unit = s.CharField(required=False, help_text="The point's; may be absent where it has none.")
    until = s.DateTimeField(help_text="Within 24 h.")
    reason = s.CharField(max_length=300)


class Substitution(SubstitutionRequest):
    pilot = s.CharField()
    label = s.CharField(allow_null=True, help_text="Of a state the value's word.")  # type: ignore[assignment]
    owner = s.CharField()
    set_at = s.DateTimeField()


class Withdrawal(Shape):
    device = s.CharField()
    point = s.CharField()
    reason = s.CharField(required=False, max_length=300)
