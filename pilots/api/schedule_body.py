"""A schedule as the API takes it: read strictly, every refusal names its field, a value as `values[3]` (docs/api.md)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pilots.api import reading
from pilots.api.errors import Problem, invalid, missing
from pilots.api.setpoint_body import MODES, SERVICES, fallback_value
from pilots.domain.schedule import MAX_STEPS, RESOLUTIONS, Curve, OnExpiry


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleBody:
    """What the client asks for; `revision` None where it sends none."""

    device: str
    point: str
    unit: str
    curve: Curve
    mode: str
    schedule_id: UUID | None
    issued_at: datetime | None
    priority: int | None
    service: str
    reason: str
    draft: bool
    revision: int | None


def read_schedule(body: Any) -> ScheduleBody:
    """The body as a schedule; unknown fields are ignored. Raises Problem 400 or 422, naming the field."""
    form = reading.json_object(body)
    if form.get("mode") == "delta":
        raise Problem(422, "not_capable", "Increments (mode delta) are not offered: send absolute values.", field="mode")
    if form.get("unit") is None:
        raise missing("unit")
    return ScheduleBody(
        device=reading.text(form, "device", longest=64),
        point=reading.text(form, "point", longest=64),
        unit=reading.text(form, "unit", longest=16, default=""),
        curve=_curve(form),
        mode=reading.one_of(form, "mode", MODES, default=""),
        schedule_id=None if form.get("id") is None else reading.uuid(form["id"], "id"),
        issued_at=reading.moment(form, "issued_at"),
        priority=reading.whole(form, "priority", low=1, high=9),
        service=reading.one_of(form, "service", SERVICES, default=""),
        reason=reading.text(form, "reason", longest=300, default=""),
        draft=_truth(form, "draft"),
        revision=reading.whole(form, "revision", low=1, high=1_000_000),
    )


def _curve(form: dict[str, Any]) -> Curve:
    start = reading.moment(form, "start")
    if start is None:
        raise missing("start")
    resolution = reading.one_of(form, "resolution", RESOLUTIONS, default="PT15M")
    on_expiry = OnExpiry(reading.one_of(form, "on_expiry", list(OnExpiry), default=OnExpiry.RELEASE))
    return Curve(
        start=start,
        resolution_s=RESOLUTIONS[resolution],
        values=_values(form),
        on_expiry=on_expiry,
        fallback_value=fallback_value(form),
    )


def _values(form: dict[str, Any]) -> tuple[float | None, ...]:
    raw = form.get("values")
    if raw is None:
        raise missing("values")
    if not isinstance(raw, list):
        raise invalid("values", "values must be a list of numbers, null where a step has none.")
    if len(raw) > MAX_STEPS:
        raise Problem(422, "out_of_range", f"A schedule has at most {MAX_STEPS} steps; this one has {len(raw)}.", field="values")
    values = [reading.as_number(value) for value in raw]
    for number, (given, value) in enumerate(zip(raw, values, strict=True)):
        if given is not None and value is None:
            raise invalid(f"values[{number}]", f"values[{number}] must be a finite number or null.")
    return tuple(values)


def _truth(form: dict[str, Any], field: str) -> bool:
    value = form.get(field, False)
    if not isinstance(value, bool):
        raise invalid(field, f"{field} must be true or false.")
    return value
