"""Reads schedules: records for API and pages, each step with what became of it. [operation]"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from pilots.control.steps import is_live, why_not
from pilots.domain.schedule import RESOLUTIONS, ScheduleState, Step, step_at
from pilots.models import Schedule, Setpoint
from pilots.northbound.messages import rfc3339

_WORDS = {seconds: word for word, seconds in RESOLUTIONS.items()}


def schedule_record(schedule: Schedule) -> dict[str, Any]:
    """The schedule as the API lists it (docs/api.md)."""
    device = schedule.point.device
    form: dict[str, Any] = {
        "id": str(schedule.pk),
        "state": schedule.state,
        "reason": schedule.explanation,
        "pilot": device.pilot.code,
        "device": device.code,
        "point": schedule.point.name,
        "mode": schedule.mode,
        "unit": schedule.unit,
        "resolution": _WORDS[schedule.resolution_s],
        "values": schedule.values,
        "priority": schedule.priority,
        "service": schedule.service,
        "on_expiry": schedule.on_expiry,
        "fallback_value": schedule.fallback_value,
        "revision": schedule.revision,
        "issuer": schedule.issuer,
        "requested_by": schedule.requested_by,
        "request_reason": schedule.reason,
    }
    for name in ("start", "end", "issued_at", "received_at", "finished_at"):
        moment = getattr(schedule, name)
        form[name] = None if moment is None else rfc3339(moment)
    return form


def whole_record(schedule: Schedule, now: datetime) -> dict[str, Any]:
    """The record with its steps: `state` of the set-point, or waiting, due, past, missed, held, gap, draft, cancelled."""
    return schedule_record(schedule) | {"steps": step_records(schedule, now)}


def step_records(schedule: Schedule, now: datetime) -> list[dict[str, Any]]:
    newest: dict[int | None, Setpoint] = {
        setpoint.step: setpoint for setpoint in schedule.setpoints.select_related("superseded_by").order_by("received_at")
    }
    current = step_at(schedule.curve, now)
    curve = schedule.curve
    return [
        _step(schedule, number, curve.value_of(number), newest.get(number), current, now) for number in range(len(curve.values))
    ]


def with_plant(schedules: QuerySet[Schedule]) -> QuerySet[Schedule]:
    """The same rows with everything their records read."""
    return schedules.select_related("point__device__pilot", "point__device__connection")


def _step(
    schedule: Schedule, number: int, value: float | None, setpoint: Setpoint | None, current: Step | None, now: datetime
) -> dict[str, Any]:
    curve = schedule.curve
    in_force = current is not None and current.number == number
    form: dict[str, Any] = {"number": number, "begins": rfc3339(curve.begin_of(number)), "value": value, "setpoint": None}
    if value is None:
        held = step_at(curve, curve.begin_of(number)) is not None
        return form | {"state": "held" if held else "gap", "code": "", "reason": "", "active": False}
    if setpoint is None:
        reason = why_not(schedule, current, now) if in_force and current is not None and schedule.state == "running" else ""
        return form | {"state": _unasked(schedule, number, now, in_force), "code": "", "reason": reason, "active": False}
    live = is_live(setpoint)
    words = setpoint.explanation
    if not words and not live and setpoint.superseded_by is not None:
        words = f"Taken over by {setpoint.superseded_by.issuer} {setpoint.superseded_by.requested_by}."
    active = live and setpoint.state == "executed" and in_force
    form |= {"setpoint": str(setpoint.pk), "state": setpoint.state, "code": setpoint.code, "reason": words}
    return form | {"active": active}


def _unasked(schedule: Schedule, number: int, now: datetime, in_force: bool) -> str:
    state = ScheduleState(schedule.state)
    if state is ScheduleState.DRAFT:
        return "draft"
    if in_force and state.open:
        return "due"
    if schedule.curve.begin_of(number + 1) <= schedule.received_at:
        return "past"
    over = now if schedule.finished_at is None else schedule.finished_at
    if schedule.curve.begin_of(number) <= over:
        return "missed"
    return "waiting" if state.open else "cancelled"
