"""Figures of the history page as Plotly JSON: one lane a unit, gaps as gaps, times by the page's clock. [operation]

No colour stands here: a trace's `meta.tone` names the token that static/js/trends.js reads from the style sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from pilots.domain.quality import Quality, Validity, aged
from pilots.history.selectors import Series, series
from pilots.models import LatestValue, Point
from pilots.ui.quantities import point_name, shown_unit
from pilots.ui.single_line import CHARACTER, fit
from pilots.ui.trend_axis import TrendAxis

MAX_CURVES = 20
TONES = ("c1", "c2", "c3", "c4")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
LANE_GAP = 0.06
LABEL_GAP = 0.035
LABEL_SHIFT = 6
#: Room right of the plot for the labels at the curves' ends, in px.
LEAST_MARGIN, MOST_MARGIN = 60, 290


@dataclass(frozen=True, slots=True)
class Curve:
    """A point's series in its shown unit."""

    name: str
    unit: str
    times: list[str]
    values: list[float | None]


def figure(points: Sequence[Point], axis: TrendAxis) -> dict[str, Any]:
    """`{data, layout, count}` for the axis' [start, end); `count` is the number of values drawn."""
    curves = [_curve(point, series(point, axis.start, axis.end), axis) for point in points[:MAX_CURVES]]
    units = sorted({curve.unit for curve in curves})
    layout = _layout(axis)
    data: list[dict[str, Any]] = []
    for lane, unit in enumerate(units):
        mine = [curve for curve in curves if curve.unit == unit]
        name = "" if lane == 0 else str(lane + 1)
        low, high = _range(mine)
        domain = lane_domain(lane, len(units))
        layout[f"yaxis{name}"] = {
            "domain": domain,
            "range": [low, high],
            "title": {"text": unit},
            "fixedrange": True,
            "zeroline": False,
        }
        data += [_trace(curve, name, number) for number, curve in enumerate(mine)]
        layout["annotations"] += lane_labels(mine, domain, low, high)
    layout["margin"]["r"] = label_margin(layout["annotations"])
    count = sum(value is not None for curve in curves for value in curve.values)
    return {"data": data, "layout": layout, "count": count}


def still_holding(point: Point, newest: datetime | None, end: datetime) -> list[tuple[datetime, float | None]]:
    """The newest good reading, which a dead band kept out of the history: by it the sample of `newest` still holds.

    Nothing for a window that ended before, and nothing once the reading is old.
    """
    latest = LatestValue.objects.filter(point=point, received_time__lte=end).first()
    if latest is None or latest.value is None or (newest is not None and latest.received_time <= newest):
        return []
    quality = aged(
        Quality.unpack(latest.quality), received=latest.received_time, max_age_s=point.spec.max_age_s, now=timezone.now()
    )
    return [(latest.received_time, latest.value)] if quality.validity is Validity.GOOD else []


def newest_of(found: Series) -> datetime | None:
    return found.times[-1] if found.times else None


def _curve(point: Point, found: Series, axis: TrendAxis) -> Curve:
    unit, factor = shown_unit(point.unit)
    samples = [*zip(found.times, found.values, strict=True), *still_holding(point, newest_of(found), axis.end)]
    values = [None if value is None else value / factor for _time, value in samples]
    return Curve(curve_name(point), unit, [axis.position(time) for time, _value in samples], values)


def curve_name(point: Point) -> str:
    return f"{point.device.code} {point_name(point.name).lower()}"


def _trace(curve: Curve, axis: str, number: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": curve.name,
        "x": curve.times,
        "y": curve.values,
        "yaxis": f"y{axis}",
        # A sample holds until the next one; None cuts the line.
        "line": {"shape": "hv", "width": 1.75, "dash": DASHES[number // len(TONES) % len(DASHES)]},
        "connectgaps": False,
        "hovertemplate": f"%{{y:.2f}} {curve.unit}<extra>{curve.name}</extra>",
        "meta": {"tone": TONES[number % len(TONES)]},
    }


def _layout(axis: TrendAxis) -> dict[str, Any]:
    return {
        "xaxis": axis.layout(),
        # Where clocks change, Plotly's own words for a position would be an hour off.
        "hovermode": "closest" if axis.changes else "x unified",
        "showlegend": False,
        "margin": {"l": 56, "r": LEAST_MARGIN, "t": 12, "b": 64},
        "annotations": [],
        "autosize": True,
    }


def lane_domain(lane: int, lanes: int) -> list[float]:
    """The lane's share of the height; the first lane on top."""
    height = (1 - LANE_GAP * (lanes - 1)) / lanes
    top = 1 - lane * (height + LANE_GAP)
    return [round(max(top - height, 0), 4), round(top, 4)]


def _range(curves: Sequence[Curve]) -> tuple[float, float]:
    values = [value for curve in curves for value in curve.values if value is not None]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or max(abs(high) * 0.05, 0.5)
    return low - room, high + room


def lane_labels(curves: Sequence[Curve], domain: list[float], low: float, high: float) -> list[dict[str, Any]]:
    """Each curve's name and last value at its end, pushed apart where they would cover one another."""
    placed: list[dict[str, Any]] = []
    ends = [(next((value for value in reversed(curve.values) if value is not None), None), n) for n, curve in enumerate(curves)]
    floor = domain[0] - LABEL_GAP
    for value, number in sorted((value, number) for value, number in ends if value is not None):
        natural = domain[0] + (value - low) / (high - low) * (domain[1] - domain[0])
        floor = max(natural, floor + LABEL_GAP)
        digits = f"{value:.1f}".replace("-", "−")
        text = f"{fit(curves[number].name, MOST_MARGIN - LABEL_SHIFT - CHARACTER * (len(digits) + 2))} {digits}"
        placed.append(
            {"x": 1, "xref": "paper", "xanchor": "left", "y": round(floor, 4), "yref": "paper", "text": text, "showarrow": False}
            | {"xshift": LABEL_SHIFT, "meta": {"tone": TONES[number % len(TONES)]}}
        )
    return placed


def label_margin(labels: Sequence[dict[str, Any]]) -> int:
    """Width for the longest label in the widest font, so that none runs under the panel beside the plot."""
    longest = max((len(label["text"]) for label in labels), default=0)
    return round(min(max(LABEL_SHIFT + CHARACTER * (longest + 1), LEAST_MARGIN), MOST_MARGIN))
