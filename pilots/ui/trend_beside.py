"""What is drawn beside a curve in its lane: its schedules and its forecasts, each under words of its own. [operation]"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from pilots.domain.columns import Floats, Ints
from pilots.domain.forecast import ForecastKind, Run, Values
from pilots.domain.moments import microseconds
from pilots.history.forecasts import forecasts_over, prices_over
from pilots.models import Forecast, Pilot, Point
from pilots.ui.charts import curve_name
from pilots.ui.quantities import shown_unit
from pilots.ui.trend_marks import SETPOINT_TONE, schedule_steps, schedules_over
from pilots.ui.trend_query import Window

CAPACITY_TONE, PRICE_TONE = "ink-2", "c3"


@dataclass(frozen=True, slots=True)
class Beside:
    """A line of steps in its curve's lane and shown unit, NaN where it says nothing; `tone` "" is that of its curve.

    A price has no curve: its lane is that of its own `unit`.
    """

    kind: str
    name: str
    times: Ints
    values: Floats
    tone: str
    dash: str
    low: Floats | None = None
    high: Floats | None = None
    unit: str = ""

    def columns(self) -> list[Floats]:
        """What the lane must have room for."""
        return [column for column in (self.values, self.low, self.high) if column is not None]


def schedules_beside(wished: Mapping[int, Point], window: Window) -> Iterator[tuple[int, Beside]]:
    """Each schedule in force in the window, with the key of the point that shows it."""
    for schedule in schedules_over(wished, window):
        point = wished[schedule.point_id]
        steps = schedule_steps(schedule, window, shown_unit(point.unit)[1])
        times = np.array([time for time, _value in steps], dtype=np.int64)
        values = np.array([np.nan if value is None else value for _time, value in steps])
        name = _("%(device)s schedule") % {"device": point.device.code}
        yield point.pk, Beside("schedule", name, times, values, SETPOINT_TONE, "dash")


def forecasts_beside(
    points: Sequence[Point], wished: Mapping[int, Point], window: Window, *, known_at: datetime, zone: ZoneInfo
) -> Iterator[tuple[int, Beside]]:
    """What was foreseen at `known_at` of each point, and of the set-points it shows, with the key of that point."""
    shown_by = dict(wished) | {point.pk: point for point in points}
    for forecast in forecasts_over(shown_by, window.start, window.end, known_at):
        point = shown_by[forecast.point_id]  # type: ignore[index]  # asked for by points
        yield point.pk, _forecast(forecast, point, window, zone)


def prices_beside(pilot: Pilot, window: Window, *, known_at: datetime, zone: ZoneInfo) -> Iterator[Beside]:
    """The price of energy at the pilot as it was foreseen at `known_at`."""
    for forecast in prices_over(pilot, window.start, window.end, known_at):
        at = _issued(forecast, zone)
        line = _steps_of(forecast.run, _("price forecast, issued %(at)s") % {"at": at}, 1, window)
        yield replace(line, tone=PRICE_TONE, unit=forecast.unit)


def _forecast(forecast: Forecast, point: Point, window: Window, zone: ZoneInfo) -> Beside:
    run, at = forecast.run, _issued(forecast, zone)
    capacity = run.kind is ForecastKind.CAPACITY
    words = _("%(device)s capacity forecast, issued %(at)s") if capacity else _("%(curve)s, forecast, issued %(at)s")
    words %= {"device": point.device.code, "curve": curve_name(point), "at": at}
    line = _steps_of(run, words, shown_unit(point.unit)[1], window)
    return replace(line, tone=CAPACITY_TONE, dash="longdash") if capacity else line


def _issued(forecast: Forecast, zone: ZoneInfo) -> str:
    return date_format(forecast.issued_at.astimezone(zone), "j M H:i")


def _steps_of(run: Run, name: str, factor: float, window: Window) -> Beside:
    steps = [number for number in range(len(run.values)) if _touches(run, number, window)]
    # Where one bound alone is told the band ends at the value.
    bounds = (None, None) if run.low is run.high is None else (run.low or run.values, run.high or run.values)
    low, high = (None if bound is None else _ends_of(bound, steps, factor) for bound in bounds)
    return Beside(
        kind="forecast",
        name=name,
        times=np.array([microseconds(run.begin_of(number + end)) for number in steps for end in (0, 1)], dtype=np.int64),
        values=_ends_of(run.values, steps, factor),
        tone="",
        dash="dash",
        low=low,
        high=high,
    )


def _touches(run: Run, number: int, window: Window) -> bool:
    begin = run.begin_of(number)
    return begin < window.end and begin + timedelta(seconds=run.resolution_s) > window.start


def _ends_of(column: Values, steps: Sequence[int], factor: float) -> Floats:
    """Each step's value at its beginning and at its end: so its band has the same steps as its line."""
    values = [column[number] for number in steps]
    shown = np.array([np.nan if value is None else value / factor for value in values], dtype=np.float64)
    doubled: Floats = np.repeat(shown, 2)
    return doubled
