"""What happened beside the curves: alarms, set-points and schedules of the chosen points' devices. [operation]"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from pilots.domain.moments import microseconds
from pilots.domain.schedule import ScheduleState, step_at
from pilots.models import Alarm, Pilot, Point, Schedule, Setpoint
from pilots.ui.alarm_rows import subject_words
from pilots.ui.quantities import shown_number
from pilots.ui.trend_axis import TrendAxis
from pilots.ui.trend_query import Window

MOST = 200
#: By priority: a shape and the words of the alarm pages' glyphs, so that no mark is told by its colour alone.
SHAPES = {1: "square", 2: "triangle-up", 3: "triangle-down", 4: "circle"}
SETPOINT_TONE = "c4"
_DRAWN_SCHEDULES = [ScheduleState.ACCEPTED, ScheduleState.RUNNING, ScheduleState.COMPLETED]


@dataclass(frozen=True, slots=True)
class Mark:
    """One moment with its words and the page that tells more."""

    at: datetime
    words: str
    href: str
    symbol: str
    tone: str
    label: str = ""

    def row(self) -> dict[str, Any]:
        return {"time": microseconds(self.at) // 1000, "words": self.words, "href": self.href}


def wished_points(points: Sequence[Point]) -> dict[int, Point]:
    """Set-points and commands by key that a chosen point shows: itself, or what it is the feedback of; with that point."""
    chosen = {(point.device_id, point.name): point for point in points}
    rows = Point.objects.filter(device__in={point.device_id for point in points}, kind__in=["setpoint", "command"])
    found = {}
    for key, device, name, feedback in rows.values_list("pk", "device", "name", "feedback"):
        shown_by = chosen.get((device, name)) or chosen.get((device, feedback))
        if shown_by is not None:
            found[key] = shown_by
    return found


def alarm_marks(pilot: Pilot, points: Sequence[Point], window: Window) -> list[Mark]:
    """Alarms raised in the window at the devices of the points, oldest first; those of a flood by their cause alone."""
    devices = {point.device_id for point in points}
    rows = Alarm.objects.filter(pilot=pilot, device__in=devices, raised_at__gte=window.start, raised_at__lt=window.end)
    newest = rows.exclude(hidden="member").only("subject", "what", "priority", "raised_at").order_by("-raised_at")[:MOST]
    return [_alarm_mark(alarm, pilot) for alarm in reversed(newest)]


def _alarm_mark(alarm: Alarm, pilot: Pilot) -> Mark:
    words = f"{subject_words(alarm.subject, pilot.name)}: {_(alarm.what)}"
    tone, href = f"p{alarm.priority}", reverse("alarms") + f"?alarm={alarm.pk}"
    return Mark(alarm.raised_at, words, href, SHAPES[alarm.priority], tone, str(alarm.priority))


def setpoint_marks(wished: Collection[int], window: Window) -> list[Mark]:
    """Set-points asked for in the window, oldest first."""
    if not wished:
        return []
    rows = Setpoint.objects.filter(point__in=wished, received_at__gte=window.start, received_at__lt=window.end)
    newest = rows.select_related("point__device").order_by("-received_at")[:MOST]
    return [_setpoint_mark(setpoint) for setpoint in reversed(newest)]


def _setpoint_mark(setpoint: Setpoint) -> Mark:
    value = shown_number(setpoint.value, setpoint.unit)
    words = _("set-point %(value)s, %(who)s, %(state)s")
    words %= {"value": value, "who": setpoint.requested_by, "state": setpoint.get_state_display()}
    href = reverse("setpoint", args=[setpoint.pk])
    return Mark(setpoint.received_at, f"{setpoint.point.device.code} {words}", href, "diamond", SETPOINT_TONE)


def mark_trace(marks: Sequence[Mark], tone: str, height: float, axis: TrendAxis, yaxis: str) -> dict[str, Any]:
    """Marks of one tone in the strip above the plot; an alarm shows its priority as a figure beside its shape."""
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": "",
        "showlegend": False,
        "hoverinfo": "none",
        "x": [axis.position(mark.at) for mark in marks],
        "y": [height] * len(marks),
        "text": [mark.label for mark in marks],
        "textposition": "middle right",
        "yaxis": yaxis,
        "marker": {"symbol": [mark.symbol for mark in marks], "size": 10},
        "line": {},
        "meta": {"tone": tone, "kind": "mark"},
    }


def schedules_over(wished: Collection[int], window: Window) -> list[Schedule]:
    """Schedules of these points in force in the window, oldest first, the newest of those that overlap."""
    if not wished:
        return []
    rows = Schedule.objects.filter(point__in=wished, start__lt=window.end, end__gt=window.start, state__in=_DRAWN_SCHEDULES)
    return list(rows.order_by("start")[:20])


def schedule_steps(schedule: Schedule, window: Window, factor: float) -> list[tuple[int, float | None]]:
    """(µs, wanted value in the shown unit) of each step that touches the window; None ends it, or is a step without a value."""
    curve = schedule.curve
    bounds = [curve.begin_of(number) for number in range(len(schedule.values) + 1)]
    rows: list[tuple[int, float | None]] = []
    for begin, end in pairwise(bounds):
        if end > window.start and begin < window.end:
            step = step_at(curve, begin)
            rows.append((microseconds(begin), None if step is None else step.value / factor))
            last = end
    return [*rows, (microseconds(last), rows[-1][1])] if rows else []
