"""What a faceplate says of forecasts: the next value of each that stands for the device, and when it was issued."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format

from pilots.history.forecasts import forecasts_ahead
from pilots.models import Forecast, Point
from pilots.ui.quantities import point_name, shown_quantity


def foreseen(points: Sequence[Point], now: datetime) -> list[dict[str, Any]]:
    """For templates/pilots/faceplate_forecasts.html, in the order of the points' names."""
    by_key = {point.pk: point for point in points}
    rows = [_row(run, by_key[run.point_id], now) for run in forecasts_ahead(by_key, now) if run.point_id is not None]
    return sorted((row for row in rows if row), key=lambda row: (row["label"], row["kind"]))


def _row(forecast: Forecast, point: Point, now: datetime) -> dict[str, Any]:
    following = forecast.run.next_after(now)
    if following is None:
        return {}
    at, value = following
    return {
        "label": point_name(point.name),
        "reference": f"{point.device.code}/{point.name}",
        "kind": forecast.kind,
        "value": shown_quantity(value, forecast.unit),
        "at": _clock(at, now),
        "issued": _clock(forecast.issued_at, now),
        "issuer": forecast.issuer or forecast.source,
    }


def _clock(moment: datetime, now: datetime) -> str:
    """The hour and minute, with the day where that is another."""
    local = timezone.localtime(moment)
    return date_format(local, "H:i" if local.date() == timezone.localtime(now).date() else "j M H:i")
