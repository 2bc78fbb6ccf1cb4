"""Forecasts: what somebody expects of a power, a capacity or a price, a run each time it is computed. [operation] [D7.1 2.2.1.6]

Pure, the clock is an argument. A forecast is never a measurement: no guard, set-point or live value rests on one. Steps lie on
a grid of UTC, as those of a schedule do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pilots.domain.errors import ForecastRefused
from pilots.domain.guards import MAX_CLOCK_SKEW
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.schedule import RESOLUTIONS

MAX_STEPS = 672
MAX_LENGTH = timedelta(days=7)
#: A price is told for energy as markets trade it: the one unit of the API that carries a prefix.
_PRICE_UNIT = re.compile(r"[A-Z]{3}/MWh", re.ASCII)
_POWERS, _CAPACITIES = ("W",), ("W", "A")

Values = tuple[float | None, ...]


class ForecastKind(StrEnum):
    """What is foreseen."""

    LOAD = "load"  # a measured power, P > 0
    GENERATION = "generation"  # a measured power of PV or another source, P < 0
    CAPACITY = "capacity"  # what may be taken at most, as OSCP tells it for 24 h
    PRICE = "price"  # of energy, for a pilot


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One forecast: a value a step from `start` (aware UTC), None where nothing is foreseen; `low` and `high` bound them."""

    kind: ForecastKind
    unit: str
    start: datetime
    resolution_s: int
    values: Values
    low: Values | None = None
    high: Values | None = None

    @property
    def end(self) -> datetime:
        return self.begin_of(len(self.values))

    def begin_of(self, number: int) -> datetime:
        """When step `number`, counted from 0, begins."""
        return self.start + timedelta(seconds=number * self.resolution_s)

    def next_after(self, moment: datetime) -> tuple[datetime, float] | None:
        """The first step that begins after `moment` and has a value: when, and what.

        >>> from datetime import UTC
        >>> start = datetime(2026, 11, 30, 12, tzinfo=UTC)
        >>> run = Run(kind=ForecastKind.LOAD, unit="W", start=start, resolution_s=900, values=(1.0, None, 3.0))
        >>> [found and (found[0].minute, found[1]) for found in (run.next_after(start), run.next_after(run.end))]
        [(30, 3.0), None]
        """
        steps = ((self.begin_of(number), value) for number, value in enumerate(self.values))
        return next(((begin, value) for begin, value in steps if begin > moment and value is not None), None)


def check_forecast(run: Run, *, point: PointSpec | None, issued_at: datetime, now: datetime, kept: timedelta) -> None:
    """The run may be kept, for this point, or (`point` None) for a whole pilot. Raises ForecastRefused naming the field.

    It may be told later than it was issued, as far back as runs are kept: what was known when must stay answerable.
    """
    if issued_at > now + MAX_CLOCK_SKEW:
        raise ForecastRefused("clock_skew", "issued_at is more than 60 s ahead of our clock.", field="issued_at")
    if issued_at < now - kept:
        raise ForecastRefused("stale_request", f"Runs are kept {kept.days} days: this one is older.", field="issued_at")
    _check_subject(run, point)
    _check_grid(run, issued_at)
    _check_band(run)


def _check_subject(run: Run, point: PointSpec | None) -> None:
    if point is None:
        if not _PRICE_UNIT.fullmatch(run.unit):
            raise ForecastRefused("wrong_unit", "The unit of a price is its currency for a MWh, as EUR/MWh.", field="unit")
        return
    capacity = run.kind is ForecastKind.CAPACITY
    kinds = (PointKind.MEASUREMENT, PointKind.SETPOINT) if capacity else (PointKind.MEASUREMENT,)
    units = _CAPACITIES if capacity else _POWERS
    if point.kind not in kinds or point.unit not in units:
        expected = "a power or current, measured or to be set" if capacity else "a measured power (W)"
        raise ForecastRefused("not_capable", f"A {run.kind} forecast is for {expected}; {point.name} is none.", field="point")
    if run.unit != point.unit:
        raise ForecastRefused("wrong_unit", f"The unit of {point.name} is {point.unit}.", field="unit")


def _check_grid(run: Run, issued_at: datetime) -> None:
    if run.resolution_s not in RESOLUTIONS.values():
        raise ForecastRefused("out_of_range", f"resolution is one of {', '.join(RESOLUTIONS)}.", field="resolution")
    if all(value is None for value in run.values):
        raise ForecastRefused("out_of_range", "A forecast has at least one value.", field="values")
    if len(run.values) > MAX_STEPS or run.end - run.start > MAX_LENGTH:
        sentence = f"A forecast has at most {MAX_STEPS} steps and lasts {MAX_LENGTH.days} days at most."
        raise ForecastRefused("out_of_range", sentence, field="values")
    if not issued_at - MAX_LENGTH <= run.start <= issued_at + MAX_LENGTH:
        sentence = f"A forecast begins within {MAX_LENGTH.days} days of its issued_at."
        raise ForecastRefused("out_of_range", sentence, field="start")
    if run.end <= issued_at:
        raise ForecastRefused("out_of_range", "The last step was over when the forecast was issued.", field="start")


def _check_band(run: Run) -> None:
    for field, bounds in (("low", run.low), ("high", run.high)):
        if bounds is None:
            continue
        if len(bounds) != len(run.values):
            raise ForecastRefused("out_of_range", f"{field} has as many steps as values: {len(run.values)}.", field=field)
        for number, (bound, value) in enumerate(zip(bounds, run.values, strict=True)):
            if bound is None or value is None:
                continue
            if bound > value if field == "low" else bound < value:
                side = "above" if field == "low" else "below"
                raise ForecastRefused("out_of_range", f"{field}[{number}] lies {side} the value.", field=f"{field}[{number}]")
