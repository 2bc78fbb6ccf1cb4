"""A schedule as Plotly JSON: the wanted curve against the measurement of its feedback, and where now is. [operation]

As in charts.py no colour stands here: `meta.tone` of a trace and `name` of a shape name the token.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from pilots.control.feedback import feedback_point
from pilots.domain.schedule import step_at
from pilots.models import Schedule
from pilots.ui.charts import figure
from pilots.ui.quantities import shown_unit
from pilots.ui.trend_axis import TrendAxis

WANTED, NOW = "c4", "ink-2"


def schedule_figure(schedule: Schedule, zone: ZoneInfo, now: datetime) -> dict[str, Any]:
    """`{data, layout, count}`; `count` is the number of measured values drawn."""
    axis = TrendAxis(zone, schedule.start, schedule.end)
    drawn = figure([feedback_point(schedule.point)], axis)
    layout, (unit, factor) = drawn["layout"], shown_unit(schedule.unit)
    wanted = _wanted(schedule, factor, axis)
    name = _("limited to") if schedule.mode == "limit" else _("wanted")
    drawn["data"].insert(0, {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [moment for moment, _value in wanted],
        "y": [value for _moment, value in wanted],
        "line": {"shape": "hv", "width": 2.5, "dash": "dot" if schedule.state == "draft" else "solid"},
        "connectgaps": False,
        "hovertemplate": f"%{{y:.2f}} {unit}<extra>{name}</extra>",
        "meta": {"tone": WANTED},
    })  # fmt: skip
    _widen(layout["yaxis"], [value for _moment, value in wanted if value is not None])
    layout["showlegend"], layout["legend"] = True, {"orientation": "h", "y": 1.12}
    layout["annotations"], layout["margin"]["r"], layout["margin"]["t"] = [], 24, 40
    layout["shapes"] = [_now(axis.position(now))] if schedule.start <= now < schedule.end else []
    return drawn


def _wanted(schedule: Schedule, factor: int, axis: TrendAxis) -> list[tuple[str, float | None]]:
    curve = schedule.curve
    rows: list[tuple[str, float | None]] = []
    for number in range(len(schedule.values)):
        step = step_at(curve, curve.begin_of(number))
        # Each to its own end: a step before a gap is as long as the others.
        value = None if step is None else step.value / factor
        rows += [(axis.position(curve.begin_of(number + n)), value) for n in (0, 1)]
    return rows


def _widen(axis: dict[str, Any], values: list[float]) -> None:
    low, high = axis["range"]
    room = (max(high, *values) - min(low, *values)) * 0.08
    axis["range"] = [min([low, *[value - room for value in values]]), max([high, *[value + room for value in values]])]


def _now(moment: str) -> dict[str, Any]:
    line = {"width": 1, "dash": "dash"}
    return {"type": "line", "x0": moment, "x1": moment, "y0": 0, "y1": 1, "yref": "paper", "line": line, "name": NOW}
