"""Shapes of forecasts, for the OpenAPI document only: `forecast_body` and `history.forecasts` do the work."""

from __future__ import annotations

from rest_framework import serializers as s

from pilots.api.schedule_shapes import SCHEDULE_RESOLUTIONS
from pilots.api.shapes import Shape
from pilots.domain.forecast import MAX_STEPS, ForecastKind

FORECAST_KINDS = [str(kind) for kind in ForecastKind]


def _steps(text: str, *, required: bool = True) -> s.ListField:
    child = s.FloatField(allow_null=True)
    return s.ListField(child=child, max_length=MAX_STEPS, help_text=text, required=required, allow_null=not required)


class ForecastRequest(Shape):
    kind = s.ChoiceField(FORECAST_KINDS)
    device = s.CharField(required=False, help_text="With point; not of a price.")
    point = s.CharField(required=False)
    pilot = s.CharField(required=False, help_text="Of a price.")
    unit = s.CharField(help_text="The point's; of a price the currency for a MWh, as EUR/MWh.")
    issued_at = s.DateTimeField(help_text="When the run was computed: its name beside source, point and kind.")
    start = s.DateTimeField()
    resolution = s.ChoiceField(SCHEDULE_RESOLUTIONS, required=False, help_text="PT15M when absent.")
    values = _steps("null: nothing is foreseen for the step.")
    low = _steps("Lower bound of each step.", required=False)
    high = _steps("Upper bound of each step.", required=False)
    issuer = s.CharField(required=False, help_text="Who or what computed it.")


class Forecast(Shape):
    id = s.UUIDField()
    kind = s.ChoiceField(FORECAST_KINDS)
    pilot = s.CharField()
    device = s.CharField(allow_null=True)
    point = s.CharField(allow_null=True)
    unit = s.CharField()
    issued_at = s.DateTimeField()
    received_at = s.DateTimeField()
    source = s.CharField(help_text="The token that told it.")  # type: ignore[assignment]  # the base class keeps its own `source`
    issuer = s.CharField()
    start = s.DateTimeField()
    end = s.DateTimeField()
    resolution = s.ChoiceField(SCHEDULE_RESOLUTIONS)
    values = _steps("null: nothing is foreseen for the step.")
    low = _steps("Lower bound of each step.", required=False)
    high = _steps("Upper bound of each step.", required=False)
