"""A set-point as the API takes it: read strictly, every refusal names its field (docs/api.md, set-points)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pilots.api import reading
from pilots.api.errors import Problem, invalid, missing
from pilots.domain.setpoint import ON_EXPIRY
from pilots.models import Point

#: Flexibility services of D7.1 section 4 and the literature (docs/api.md).
SERVICES = ["tou", "kwmax", "self_balancing", "congestion", "voltage", "islanding", "portfolio", "frequency", "test"]
MODES = ["absolute", "limit", "delta"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SetpointBody:
    """What the client asks for; times aware UTC, `value` in `unit`."""

    device: str
    point: str
    value: float
    unit: str
    valid_until: datetime
    mode: str | None
    kind: str | None
    setpoint_id: UUID | None
    valid_from: datetime | None
    issued_at: datetime | None
    priority: int | None
    ramp: float | None
    sequence: int | None
    service: str
    on_expiry: str
    fallback_value: float | None
    correlation_id: str
    reason: str


def read_setpoint(body: Any) -> SetpointBody:
    """The body as a set-point; unknown fields are ignored. Raises Problem 400 or 422, naming the field."""
    form = reading.json_object(body)
    _refuse_not_offered(form)
    valid_until = reading.moment(form, "valid_until")
    if valid_until is None:
        raise missing("valid_until")
    mode = form.get("mode")
    return SetpointBody(
        device=reading.text(form, "device", longest=64),
        point=reading.text(form, "point", longest=64),
        value=reading.number(form, "value"),
        unit=_unit(form),
        valid_until=valid_until,
        mode=None if mode is None else reading.one_of(form, "mode", MODES, default="absolute"),
        kind=reading.one_of(form, "kind", ["setpoint", "command"], default="") or None,
        setpoint_id=None if form.get("id") is None else reading.uuid(form["id"], "id"),
        valid_from=reading.moment(form, "valid_from"),
        issued_at=reading.moment(form, "issued_at"),
        priority=reading.whole(form, "priority", low=1, high=9),
        ramp=None if form.get("ramp") is None else reading.number(form, "ramp"),
        sequence=reading.whole(form, "sequence", low=0, high=2**63 - 1),
        service=reading.one_of(form, "service", SERVICES, default=""),
        on_expiry=reading.one_of(form, "on_expiry", ON_EXPIRY, default="release"),
        fallback_value=fallback_value(form),
        correlation_id=reading.text(form, "correlation_id", longest=64, default=""),
        reason=reading.text(form, "reason", longest=300, default=""),
    )


def check_against_point(body: SetpointBody, point: Point) -> None:
    """The body can be meant for this point. Raises Problem 400 or 422, naming the field."""
    check_unit(body.unit, point)
    if body.kind is not None and body.kind != point.kind:
        raise invalid("kind", f"{point.name} is a {point.kind}.")
    if point.kind == "command" and body.on_expiry != "release":
        raise invalid("on_expiry", "A command is not held: on_expiry does not apply to it.")


def check_unit(unit: str, point: Point) -> None:
    """Raises Problem 422 when the unit is not the point's."""
    if unit != point.unit:
        expected = point.unit or "an empty string, the point has no unit"
        raise Problem(422, "wrong_unit", f"The unit of {point.name} is {expected}.", field="unit")


def fallback_value(form: dict[str, Any]) -> float | None:
    """The value of `on_expiry: fallback`, in the point's unit. Raises Problem 400 where it is missing or not wanted."""
    if form.get("on_expiry") == "fallback":
        return reading.number(form, "fallback_value")
    if form.get("fallback_value") is not None:
        raise invalid("fallback_value", "fallback_value goes with on_expiry fallback only.")
    return None


def _unit(form: dict[str, Any]) -> str:
    if form.get("unit") is None:
        raise missing("unit")
    return reading.text(form, "unit", longest=16, default="")


def _refuse_not_offered(form: dict[str, Any]) -> None:
    """What the contract foresees and this version does not do is refused, never silently dropped."""
    if form.get("mode") == "delta":
        sentence = "Increments (mode delta) are not offered: send the absolute value."
        raise Problem(422, "not_capable", sentence, field="mode")
