"""The trends' figure as Plotly JSON: curves with their bands, a lane or an axis a unit, gaps, quality, marks. [operation]

As in charts.py no colour stands here: `meta.tone` of a trace and `name` of a shape name the token. `meta.kind` says what a
trace is: curve, compare, schedule, forecast, quality, mark; static/js/trends.js draws bands out of `meta.low` and `meta.high`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from django.conf import settings
from django.utils.translation import gettext as _

from pilots.domain.columns import Floats, Ints
from pilots.domain.moments import microseconds, moment_of
from pilots.domain.point import PointKind
from pilots.history.trends import NOTHING, Trend, chosen_level, read_trend, runs_of
from pilots.models import Pilot, Point
from pilots.ui.charts import DASHES, LEAST_MARGIN, TONES, Curve, curve_name, label_margin, lane_domain, lane_labels, still_holding
from pilots.ui.quantities import shown_unit
from pilots.ui.trend_axis import TrendAxis
from pilots.ui.trend_beside import Beside, forecasts_beside, prices_beside, schedules_beside
from pilots.ui.trend_marks import Mark, alarm_marks, mark_trace, setpoint_marks, wished_points
from pilots.ui.trend_query import Shown, Window

COMPARE_TONE, NOW_TONE, CHANGE_TONE, QUALITY_TONE = "ink-3", "ink-2", "edge", "ink-2"
#: More units than this get a lane each, whatever was asked for.
MOST_AXES = 4
#: Shares of the height: the strip of marks on top, and of the quality strip at the bottom its least, each curve's and its most.
MARKS, QUALITY, QUALITY_CURVE, QUALITY_MOST, APART = 0.07, 0.03, 0.012, 0.16, 0.03
#: Width of one more axis, as a share.
AXIS_WIDTH = 0.07
MOST_STRETCHES = 400
_NAMED_BY_LEGEND = ("schedule", "forecast")
PATTERNS = {NOTHING: "/", 1: "."}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A point's trend in its shown unit, with the one to compare with."""

    point: Point
    name: str
    unit: str
    factor: float
    trend: Trend
    past: Trend | None = None
    stretches: list[tuple[int, int, int]] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)


@dataclass(slots=True)
class _Room:
    """Where lanes may stand."""

    low: float = 0.0
    high: float = 1.0


def trend_figure(pilot: Pilot, points: Sequence[Point], window: Window, shown: Shown, now: datetime) -> dict[str, Any]:
    """`data` has the curves, `strips` what stands above and under them, `count` is the number of values drawn.

    Times beside the plot (`from`, `to`, `now`, `marks`, `quality`) are ms since 1970 UTC; a position of the plot is `offset_ms`
    later.
    """
    axis = TrendAxis(shown.zone, window.start, window.end)
    kept_since = now - timedelta(days=settings.HISTORY_DAYS)
    step_s = chosen_level(points, window.start, min(max(now, window.start), window.end), kept_since)
    curves = [_drawn(point, window, shown, step_s, axis.zone, now) for point in points]
    wished = wished_points(points)
    for key, line in _beside(points, wished, window, shown, axis.zone, now):
        next(curve for curve in curves if curve.point.pk == key).beside.append(line)
    alarms = [] if "alarms" in shown.hidden else alarm_marks(pilot, points, window)
    wishes = [] if "setpoints" in shown.hidden else setpoint_marks(wished, window)
    layout, room = _layout(axis), _Room()
    strips: list[dict[str, Any]] = []
    if alarms or wishes:
        room.high = 1 - MARKS
        strips += _marks(alarms, wishes, axis, layout)
    if "quality" not in shown.hidden and any(curve.stretches for curve in curves):
        room.low = _quality_lane(len(curves), layout) + APART
        strips += _quality(curves, axis)
    prices = list(prices_beside(pilot, window, known_at=_known_at(window, shown, now), zone=axis.zone)) if shown.prices else []
    data = list(_lanes(curves, prices, axis, layout, room, shown))
    layout["shapes"] = list(_lines(axis, now))
    layout["margin"]["r"] = label_margin(layout["annotations"])
    layout["annotations"] += [_change_label(moment, axis) for moment in axis.changes]
    return {
        "data": data,
        "strips": strips,
        "layout": layout,
        "count": sum(_count(curve) for curve in curves),
        "step_s": step_s,
        "offset_ms": axis.offset // timedelta(milliseconds=1),
        "from": microseconds(window.start) // 1000,
        "to": microseconds(window.end) // 1000,
        "now": microseconds(now) // 1000,
        "marks": [mark.row() for mark in sorted([*alarms, *wishes], key=lambda mark: mark.at)],
        "quality": [_stretch_row(curve, stretch) for curve in curves for stretch in curve.stretches[:MOST_STRETCHES]],
    }


def _beside(
    points: Sequence[Point], wished: dict[int, Point], window: Window, shown: Shown, zone: ZoneInfo, now: datetime
) -> Iterator[tuple[int, Beside]]:
    if "setpoints" not in shown.hidden:
        yield from schedules_beside(wished, window)
    if "forecasts" not in shown.hidden:
        yield from forecasts_beside(points, wished, window, known_at=_known_at(window, shown, now), zone=zone)


def _known_at(window: Window, shown: Shown, now: datetime) -> datetime:
    return min(window.end, now) - timedelta(hours=shown.known_h)


def _count(curve: Drawn) -> int:
    columns = [curve.trend.values, *(line.values for line in curve.beside)]
    return int(sum(np.count_nonzero(~np.isnan(column)) for column in columns))


def _drawn(point: Point, window: Window, shown: Shown, step_s: int, zone: ZoneInfo, now: datetime) -> Drawn:
    unit, factor = shown_unit(point.unit)
    trend = _held_on(point, _trend(point, window, step_s, now), min(window.end, now))
    past = None
    if shown.days_back:
        before = window.days_before(shown.days_back, zone)
        shift = microseconds(window.start) - microseconds(before.start)
        past = _shifted(_trend(point, before, step_s, now), shift, factor)
    stretches = [] if "quality" in shown.hidden else _stretches(trend, window, now)
    return Drawn(point, curve_name(point), unit, factor, _shifted(trend, 0, factor), past, stretches)


def _trend(point: Point, window: Window, step_s: int, now: datetime) -> Trend:
    """Codes and counters have no mean: of their intervals the highest is drawn."""
    # What is to come is not known, however long the newest value may hold.
    trend = read_trend(point, window.start, max(min(window.end, now), window.start), step_s=step_s)
    if step_s and point.kind not in (PointKind.MEASUREMENT, PointKind.SETPOINT):
        trend = Trend(trend.step_s, trend.times, trend.high, trend.low, trend.high, trend.worth, trend.count)
    return trend


def _held_on(point: Point, trend: Trend, end: datetime) -> Trend:
    """With the newest reading that a dead band kept out of the samples."""
    if trend.step_s:
        return trend
    known = trend.times[~np.isnan(trend.values)] if len(trend.times) else trend.times
    newest = moment_of(int(known[-1])) if len(known) else None
    more = [(microseconds(moment), value) for moment, value in still_holding(point, newest, end) if value is not None]
    if not more or (len(trend.times) and more[0][0] <= trend.times[-1]):
        return trend
    values = np.append(trend.values, more[0][1])
    low, high = np.append(trend.low, more[0][1]), np.append(trend.high, more[0][1])
    return Trend(0, np.append(trend.times, more[0][0]), values, low, high, np.append(trend.worth, 0), trend.count)


def _shifted(trend: Trend, us: int, factor: float) -> Trend:
    low, high, values = trend.low / factor, trend.high / factor, trend.values / factor
    if trend.step_s:
        # A mean has more digits than its samples ever had.
        values = _rounded(values)
    return Trend(trend.step_s, trend.times + us, values, low, high, trend.worth, trend.count)


def _rounded(values: Floats) -> Floats:
    largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
    digits = 6 - int(np.ceil(np.log10(largest))) if largest else 0
    rounded: Floats = np.round(values, max(digits, 0))
    return rounded


def _stretches(trend: Trend, window: Window, now: datetime) -> list[tuple[int, int, int]]:
    """Where the curve is not good, the time before its first value included, inside the window."""
    start, end = microseconds(window.start), microseconds(min(window.end, now))
    if not len(trend.times):
        return [(start, end, NOTHING)] if end > start else []
    found = runs_of(trend, end)
    if trend.times[0] > start:
        found.insert(0, (start, int(trend.times[0]), NOTHING))
    return [(max(begin, start), min(over, end), kind) for begin, over, kind in found if min(over, end) > max(begin, start)]


def _lanes(
    curves: Sequence[Drawn], prices: Sequence[Beside], axis: TrendAxis, layout: dict[str, Any], room: _Room, shown: Shown
) -> Iterator[dict[str, Any]]:
    units = sorted({curve.unit for curve in curves}) + sorted({line.unit for line in prices})
    together = shown.axes == "one" and len(units) <= MOST_AXES
    place = 0
    for lane, unit in enumerate(units):
        mine = [curve for curve in curves if curve.unit == unit]
        name = "y" if lane == 0 else f"y{lane + 1}"
        domain = [room.low, room.high] if together else _domain(lane, len(units), room)
        alone = [line for line in prices if line.unit == unit]
        low, high = _range(mine, alone)
        layout[f"yaxis{name[1:]}"] = {
            "domain": domain,
            "range": [low, high],
            "title": {"text": unit},
            "fixedrange": True,
            "zeroline": False,
            "automargin": True,
        } | (_side(lane, layout) if together and lane else {})
        first = place if together else 0
        for number, curve in enumerate(mine, start=first):
            for trace in _traces(curve, axis, name, number, shown):
                # In lanes a curve has its name at its end.
                yield trace | ({} if together or trace["meta"]["kind"] in _NAMED_BY_LEGEND else {"showlegend": False})
        yield from (_beside_line(line, {"tone": line.tone, "unit": unit}, axis, name, shown) for line in alone)
        if not together:
            layout["annotations"] += lane_labels([_end_of(curve) for curve in mine], domain, low, high)
        place += len(mine)
    if together or prices or any(curve.beside for curve in curves):
        layout["showlegend"], layout["legend"] = True, {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
        layout["margin"]["t"] = 40


def _domain(lane: int, lanes: int, room: _Room) -> list[float]:
    return [round(room.low + share * (room.high - room.low), 4) for share in lane_domain(lane, lanes)]


def _side(lane: int, layout: dict[str, Any]) -> dict[str, Any]:
    """The second axis stands right, the third left beside the first, the fourth right beside the second."""
    left, right = (AXIS_WIDTH if lane >= 2 else 0.0), (1 - AXIS_WIDTH if lane >= 3 else 1.0)
    layout["xaxis"]["domain"] = [left, right]
    side = "right" if lane % 2 else "left"
    place = {1: 1.0, 2: 0.0, 3: 1.0}[lane]
    if lane == 3:
        layout["yaxis2"]["position"] = right
    return {"overlaying": "y", "side": side, "anchor": "free", "position": place, "showgrid": False}


def _range(curves: Sequence[Drawn], alone: Sequence[Beside]) -> tuple[float, float]:
    columns = [column for curve in curves for trend in (curve.trend, curve.past) if trend for column in (trend.low, trend.high)]
    columns += [column for line in chain(alone, *(curve.beside for curve in curves)) for column in line.columns()]
    values = np.concatenate(columns)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    space = (high - low) * 0.08 or max(abs(high) * 0.05, 0.5)
    return low - space, high + space


def _end_of(curve: Drawn) -> Curve:
    known = curve.trend.values[~np.isnan(curve.trend.values)]
    return Curve(curve.name, curve.unit, [], [float(known[-1])] if len(known) else [])


def _traces(curve: Drawn, axis: TrendAxis, yaxis: str, number: int, shown: Shown) -> Iterator[dict[str, Any]]:
    if curve.past is not None:
        name = _("%(curve)s, yesterday") if shown.days_back == 1 else _("%(curve)s, a week ago")
        yield _line(name % {"curve": curve.name}, curve.past.times, curve.past.values, axis, yaxis, "dot") | {
            "meta": {"tone": COMPARE_TONE, "kind": "compare", "unit": curve.unit, "of": curve.name}
        }
    meta: dict[str, Any] = {"tone": TONES[number % len(TONES)], "kind": "curve", "unit": curve.unit}
    meta["reference"] = f"{curve.point.device.code}/{curve.point.name}"
    trend = curve.trend
    if "band" not in shown.hidden and np.nanmax(np.append(trend.high - trend.low, 0.0)) > 0:
        meta |= {"low": trend.low, "high": trend.high}
    yield _line(curve.name, trend.times, trend.values, axis, yaxis, DASHES[number // len(TONES) % len(DASHES)]) | {"meta": meta}
    for line in curve.beside:
        about = {"tone": line.tone or meta["tone"], "unit": curve.unit, "of": curve.name}
        yield _beside_line(line, about, axis, yaxis, shown)


def _beside_line(line: Beside, about: dict[str, str], axis: TrendAxis, yaxis: str, shown: Shown) -> dict[str, Any]:
    meta: dict[str, Any] = {"kind": line.kind, **about}
    if line.low is not None and "band" not in shown.hidden:
        meta |= {"low": line.low, "high": line.high}
    return _line(line.name, line.times, line.values, axis, yaxis, line.dash) | {"meta": meta}


def _line(name: str, times: Ints, values: Floats, axis: TrendAxis, yaxis: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": axis.positions(times),
        "y": values,
        "yaxis": yaxis,
        # A value holds until the next one; NaN cuts the line.
        "line": {"shape": "hv", "width": 1.75, "dash": dash},
        "connectgaps": False,
        "hoverinfo": "none",
    }


def _marks(alarms: Sequence[Mark], wishes: Sequence[Mark], axis: TrendAxis, layout: dict[str, Any]) -> Iterator[dict[str, Any]]:
    layout["yaxis99"] = _strip([1 - MARKS + 0.01, 1.0])
    for marks, height in ((alarms, 0.75), (wishes, 0.25)):
        for tone in sorted({mark.tone for mark in marks}):
            yield mark_trace([mark for mark in marks if mark.tone == tone], tone, height, axis, "y99")


def _quality_lane(curves: int, layout: dict[str, Any]) -> float:
    top = min(QUALITY + QUALITY_CURVE * curves, QUALITY_MOST)
    layout["yaxis98"] = _strip([0.0, top]) | {"title": {"text": _("quality")}}
    return top


def _strip(domain: list[float]) -> dict[str, Any]:
    return {"domain": domain, "range": [0, 1], "fixedrange": True, "showticklabels": False, "showgrid": False, "zeroline": False}


def _quality(curves: Sequence[Drawn], axis: TrendAxis) -> Iterator[dict[str, Any]]:
    """One pattern a kind: hatched where nothing is known, dotted where a value is doubtful or not of the whole interval."""
    height = 1 / len(curves)
    for kind, pattern in PATTERNS.items():
        x: list[str | None] = []
        y: list[float | None] = []
        for row, curve in enumerate(curves):
            top, bottom = 1 - row * height, 1 - (row + 0.9) * height
            for begin, over, _kind in [each for each in curve.stretches if each[2] == kind][:MOST_STRETCHES]:
                left, right = axis.positions(np.array([begin, over]))
                x += [left, right, right, left, left, None]
                y += [top, top, bottom, bottom, top, None]
        if x:
            yield {
                "type": "scatter",
                "mode": "lines",
                "name": "",
                "showlegend": False,
                "hoverinfo": "none",
                "x": x,
                "y": y,
                "yaxis": "y98",
                "fill": "toself",
                "fillpattern": {"shape": pattern, "size": 6, "solidity": 0.35},
                "line": {"width": 0.5},
                "meta": {"tone": QUALITY_TONE, "kind": "quality"},
            }


def _stretch_row(curve: Drawn, stretch: tuple[int, int, int]) -> dict[str, Any]:
    begin, over, kind = stretch
    words = _("no good value") if kind == NOTHING else _("doubtful, or good only in part")
    return {"from": begin // 1000, "to": over // 1000, "curve": curve.name, "words": words}


def _layout(axis: TrendAxis) -> dict[str, Any]:
    return {
        "xaxis": axis.layout(),
        "hovermode": False,
        "dragmode": "zoom",
        "showlegend": False,
        "margin": {"l": 56, "r": LEAST_MARGIN, "t": 12, "b": 64},
        "annotations": [],
        "autosize": True,
    }


def _lines(axis: TrendAxis, now: datetime) -> Iterator[dict[str, Any]]:
    moments = [(moment, CHANGE_TONE, "dot") for moment in axis.changes]
    if axis.start < now < axis.end:
        moments.append((now, NOW_TONE, "dash"))
    for moment, tone, dash in moments:
        at = axis.position(moment)
        line = {"width": 1, "dash": dash}
        yield {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": line, "name": tone}


def _change_label(moment: datetime, axis: TrendAxis) -> dict[str, Any]:
    place = {"x": axis.position(moment), "xanchor": "left", "xshift": 4, "y": 0.01, "yref": "paper", "yanchor": "bottom"}
    return place | {"text": axis.change_words(moment), "showarrow": False, "meta": {"tone": NOW_TONE}}
