"""A forecast as the API takes it: read strictly, every refusal names its field, a value as `values[3]` (docs/api.md)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pilots.api import reading
from pilots.api.errors import Problem, invalid, missing
from pilots.domain.forecast import MAX_STEPS, ForecastKind, Run, Values
from pilots.domain.schedule import RESOLUTIONS


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastBody:
    """What the client foresees: of `device` and `point`, or a price of `pilot`; the others are empty."""

    pilot: str
    device: str
    point: str
    run: Run
    issued_at: datetime
    issuer: str


def read_forecast(body: Any) -> ForecastBody:
    """The body as a forecast; unknown fields are ignored. Raises Problem 400 or 422, naming the field."""
    form = reading.json_object(body)
    kind = ForecastKind(reading.one_of(form, "kind", list(ForecastKind), default="") or _lacks("kind"))
    issued_at, start = reading.moment(form, "issued_at"), reading.moment(form, "start")
    subject = ("pilot",) if kind is ForecastKind.PRICE else ("device", "point")
    return ForecastBody(
        **{name: reading.text(form, name, longest=64) if name in subject else "" for name in ("pilot", "device", "point")},
        run=Run(
            kind=kind,
            unit=reading.text(form, "unit", longest=16),
            start=start or _lacks("start"),
            resolution_s=RESOLUTIONS[reading.one_of(form, "resolution", RESOLUTIONS, default="PT15M")],
            values=_steps(form, "values") or _lacks("values"),
            low=_steps(form, "low"),
            high=_steps(form, "high"),
        ),
        issued_at=issued_at or _lacks("issued_at"),
        issuer=reading.text(form, "issuer", longest=120, default=""),
    )


def _steps(form: dict[str, Any], field: str) -> Values | None:
    raw = form.get(field)
    if raw is None:
        return None
    if not isinstance(raw, list) or not raw:
        raise invalid(field, f"{field} must be a list of numbers, null where nothing is foreseen.")
    if len(raw) > MAX_STEPS:
        raise Problem(422, "out_of_range", f"A forecast has at most {MAX_STEPS} steps; {field} has {len(raw)}.", field=field)
    steps = tuple(reading.as_number(value) for value in raw)
    for number, (given, value) in enumerate(zip(raw, steps, strict=True)):
        if given is not None and value is None:
            raise invalid(f"{field}[{number}]", f"{field}[{number}] must be a finite number or null.")
    return steps


def _lacks(field: str) -> Any:
    raise missing(field)
