"""One set-point over time as Plotly JSON: the wished value, the measurement, the limits, the time it is valid. [operation]

As in charts.py no colour stands here: `meta.tone` of a trace and `name` of a shape name the token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from pilots.control.feedback import feedback_point
from pilots.domain.guards import MAX_VALIDITY, range_of
from pilots.history.selectors import series
from pilots.live.frames import milliseconds
from pilots.models import Point, Setpoint
from pilots.ui.charts import LABEL_SHIFT, figure, newest_of, still_holding
from pilots.ui.quantities import shown_number, shown_quantity, shown_unit
from pilots.ui.setpoint_story import STOPPED, is_active
from pilots.ui.trend_axis import TrendAxis

#: Shown before the request and after the end; a set-point that goes on is shown for as long ahead as it is old.
LEAD = timedelta(minutes=1)
AHEAD = timedelta(minutes=5)
#: Room for the labels at the curves' ends, in px, and how far apart they stand as a share of the height.
MARGIN, APART = 150, 0.06
#: A faceplate's small trend: its time, and the most it draws.
MINI, MINI_POINTS, MINI_WISHES = timedelta(minutes=60), 240, 50
WISH, LIMIT, WINDOW, NOW = "c4", "p3", "panel", "ink-2"


def setpoint_figure(setpoint: Setpoint, zone: ZoneInfo, now: datetime) -> dict[str, Any]:
    """`{data, layout, count}`; `count` is the number of measured values drawn."""
    begin = min(setpoint.received_at, setpoint.valid_from)
    end = _shown_until(setpoint, now)
    axis = TrendAxis(zone, begin - LEAD, end)
    drawn, wall = figure([feedback_point(setpoint.point)], axis), axis.position
    layout, factor = drawn["layout"], shown_unit(setpoint.unit)[1]
    drawn["data"] += _wishes(setpoint, now, factor, wall)
    drawn["data"].append(_marks(setpoint, factor, axis))
    layout["shapes"] = [*_window(setpoint, wall), *_limits(setpoint, factor), *([_now(now, wall)] if now < end else [])]
    _widen(layout["yaxis"], [setpoint.value / factor, *(value / factor for _words, value in _bounds(setpoint))])
    layout["annotations"] = [
        *_ends(drawn["data"][0]["y"], setpoint, factor, layout["yaxis"]["range"]),
        *_labels(setpoint, factor),
    ]
    layout["margin"]["r"] = MARGIN
    layout["hovermode"] = "closest"
    return drawn


def mini_trend(wished: Point, measured: Point, now: datetime) -> dict[str, Any]:
    """`values` as [ms, value] and `wishes` as [id, from_ms, to_ms or None while it goes on, value], of the last hour."""
    begin, values = now - MINI, hour_of(measured, now)
    sent = Setpoint.objects.filter(point=wished, claimed_at__isnull=False, received_at__gt=begin - MAX_VALIDITY)
    ended = [setpoint for setpoint in sent[:MINI_WISHES] if is_active(setpoint) or _held_until(setpoint, now) > begin]
    return {"values": values, "wishes": [_wish(setpoint, now) for setpoint in reversed(ended)]}


def hour_of(measured: Point, now: datetime) -> list[list[Any]]:
    """[ms, value] of the last hour, oldest first; the newest goes on while it is renewed."""
    found = series(measured, now - MINI, now, max_points=MINI_POINTS)
    values = [[milliseconds(time), value] for time, value in zip(found.times, found.values, strict=True)]
    return values + [[milliseconds(time), value] for time, value in still_holding(measured, newest_of(found), now)]


def _wish(setpoint: Setpoint, now: datetime) -> list[Any]:
    over = None if is_active(setpoint) else milliseconds(_held_until(setpoint, now))
    return [str(setpoint.pk), milliseconds(setpoint.claimed_at or setpoint.received_at), over, setpoint.value]


def _shown_until(setpoint: Setpoint, now: datetime) -> datetime:
    over = _held_until(setpoint, now)
    if not is_active(setpoint):
        return over + LEAD
    ahead = max(AHEAD, now - setpoint.received_at)
    return max(min(setpoint.valid_until + LEAD, max(now, setpoint.valid_from) + ahead), now)


def _held_until(setpoint: Setpoint, now: datetime) -> datetime:
    """When the wish stopped being one."""
    if setpoint.released_at is not None:
        return setpoint.released_at
    if setpoint.state in STOPPED:
        return setpoint.finished_at or setpoint.received_at
    return max(min(now, setpoint.valid_until), setpoint.received_at)


def _wishes(setpoint: Setpoint, now: datetime, factor: float, wall: Callable[[datetime], str]) -> list[dict[str, Any]]:
    """Solid from the claim to the end, dotted where it is still to come or never went out."""
    value, over = setpoint.value / factor, _held_until(setpoint, now)
    name = _("wished %(value)s") % {"value": shown_number(setpoint.value, setpoint.unit)}
    spans = [(setpoint.claimed_at, over, "solid")] if setpoint.claimed_at is not None else []
    if is_active(setpoint):
        ahead_from = over if spans else max(setpoint.valid_from, setpoint.received_at)
        spans.append((ahead_from, setpoint.valid_until, "dot"))
    elif not spans:
        spans.append((setpoint.received_at, setpoint.valid_until, "dot"))
    return [_line(name, [wall(a), wall(b)], [value, value], dash) for a, b, dash in spans if a < b]


def _line(name: str, times: list[str], values: list[float], dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": times,
        "y": values,
        "line": {"width": 1.75, "dash": dash},
        "hoverinfo": "name",
        "meta": {"tone": WISH},
    }


def _marks(setpoint: Setpoint, factor: float, axis: TrendAxis) -> dict[str, Any]:
    """A diamond a transition, on the wished value."""
    events = list(setpoint.events.all())
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "",
        "showlegend": False,
        "x": [axis.position(event.at) for event in events],
        "y": [setpoint.value / factor] * len(events),
        "text": [f"{event.state}, {event.actor}<br>{axis.words(event.at)}" for event in events],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": "diamond", "size": 9},
        "line": {},
        "meta": {"tone": WISH},
    }


def _bounds(setpoint: Setpoint) -> list[tuple[str, float]]:
    spec = setpoint.point.spec
    if spec.capability is None:
        return []
    low, high = range_of(spec)
    return [(_("least"), low), (_("most"), high)]


def _limits(setpoint: Setpoint, factor: float) -> Iterator[dict[str, Any]]:
    for _words, value in _bounds(setpoint):
        level = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value / factor, "y1": value / factor}
        yield level | {"name": LIMIT, "line": {"width": 1, "dash": "dash"}}


def _labels(setpoint: Setpoint, factor: float) -> Iterator[dict[str, Any]]:
    for words, value in _bounds(setpoint):
        text = f"{words} {shown_number(value, setpoint.unit)}"
        place = {"x": 0, "xref": "paper", "xanchor": "left", "xshift": LABEL_SHIFT, "y": value / factor, "yshift": 8}
        yield place | {"text": text, "showarrow": False, "meta": {"tone": LIMIT}}


def _ends(measured: list[float | None], setpoint: Setpoint, factor: float, shown: list[float]) -> Iterator[dict[str, Any]]:
    """Which curve is which, at their ends."""
    low, high = shown
    heights = [(setpoint.value / factor - low) / (high - low)]
    last = next((value for value in reversed(measured) if value is not None), None)
    if last is not None:
        height = (last - low) / (high - low)
        near = abs(height - heights[0]) < APART
        heights.append(heights[0] + (APART if height >= heights[0] else -APART) if near else height)
    named = [(_("wished"), setpoint.value, WISH), (_("measured"), (last or 0.0) * factor, "c1")]
    for height, (name, value, tone) in zip(heights, named, strict=False):
        place = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": LABEL_SHIFT, "y": round(height, 4), "yref": "paper"}
        yield place | {"text": f"{name} {shown_quantity(value, setpoint.unit)}", "showarrow": False, "meta": {"tone": tone}}


def _window(setpoint: Setpoint, wall: Callable[[datetime], str]) -> Iterator[dict[str, Any]]:
    span = {"x0": wall(setpoint.valid_from), "x1": wall(setpoint.valid_until), "yref": "paper", "y0": 0, "y1": 1}
    yield span | {"type": "rect", "layer": "below", "name": WINDOW, "fillcolor": WINDOW, "line": {"width": 0}}


def _now(now: datetime, wall: Callable[[datetime], str]) -> dict[str, Any]:
    place = {"type": "line", "x0": wall(now), "x1": wall(now), "yref": "paper", "y0": 0, "y1": 1}
    return place | {"name": NOW, "line": {"width": 1, "dash": "dot"}}


def _widen(axis: dict[str, Any], values: list[float]) -> None:
    """All of these lie inside the axis, with some room."""
    low, high = axis["range"]
    low, high = min(low, *values), max(high, *values)
    room = (high - low) * 0.1 or 1.0
    axis["range"] = [low - room, high + room]
