"""Schedules: curves of wanted values for a point; which step is due, whose it is, and what a revision keeps. [operation]

Pure, the clock is an argument. Steps lie on a grid of UTC: where local clocks change, no step is longer or shorter. The
counterpart of FSCH in IEC 61850-90-10 (ValASG, StrTm, SchdIntv, SchdPrio).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from pilots.domain.errors import SetpointRejected
from pilots.domain.guards import MAX_VALIDITY, Circumstances, Wish, check_setpoint
from pilots.domain.point import PointSpec
from pilots.domain.setpoint import RejectCode, SetpointState

MAX_STEPS = 192
MAX_LENGTH = timedelta(hours=48)
#: A step becomes a set-point so long before it begins.
LEAD = timedelta(seconds=60)
RESOLUTIONS: dict[str, int] = {"PT1M": 60, "PT5M": 300, "PT15M": 900, "PT30M": 1800, "PT1H": 3600}


class ScheduleState(StrEnum):
    DRAFT = "draft"
    ACCEPTED = "accepted"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def open(self) -> bool:
        """Whether its steps may still be asked for."""
        return self in (ScheduleState.ACCEPTED, ScheduleState.RUNNING)


class OnExpiry(StrEnum):
    """What is so where a step has no value. The end never holds: it gives the point back, or writes the fallback value."""

    RELEASE = "release"  # the point is given back in the gap
    HOLD = "hold"  # the value before the gap stays until the next
    FALLBACK = "fallback"  # a value named for it is wanted in the gap, and is what the end leaves


@dataclass(frozen=True, slots=True)
class Step:
    """A value and when it is wanted, `ends` excluded; a held one goes on over the gap behind it."""

    number: int
    value: float
    begins: datetime
    ends: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """The steps of a schedule: `values` in the point's unit, None where there is none, from `start` (aware UTC)."""

    start: datetime
    resolution_s: int
    values: tuple[float | None, ...]
    on_expiry: OnExpiry = OnExpiry.RELEASE
    fallback_value: float | None = None

    def value_of(self, number: int) -> float | None:
        """What step `number` wants: its value, in a gap the fallback value where there is one."""
        value = self.values[number]
        return self.fallback_value if value is None and self.on_expiry is OnExpiry.FALLBACK else value

    @property
    def end(self) -> datetime:
        return self.begin_of(len(self.values))

    def begin_of(self, number: int) -> datetime:
        """When step `number`, counted from 0, begins."""
        return self.start + timedelta(seconds=number * self.resolution_s)

    def number_at(self, moment: datetime) -> int:
        """The number of the step that `moment` lies in; below 0 or beyond the last where it lies in none."""
        return (moment - self.start) // timedelta(seconds=self.resolution_s)


def step_at(curve: Curve, moment: datetime) -> Step | None:
    """The step in force at `moment`; None before the start, after the end and in a gap.

    >>> from datetime import UTC
    >>> curve = Curve(start=datetime(2026, 10, 25, tzinfo=UTC), resolution_s=900, values=(5.0, None, 7.0))
    >>> step_at(curve, datetime(2026, 10, 25, 0, 31, tzinfo=UTC)).number
    2
    >>> step_at(curve, datetime(2026, 10, 25, 0, 16, tzinfo=UTC))
    """
    number = curve.number_at(moment)
    if not 0 <= number < len(curve.values):
        return None
    if curve.on_expiry is OnExpiry.HOLD:
        number = _last_value(curve, number)
    value = None if number < 0 else curve.value_of(number)
    return None if value is None else Step(number, value, curve.begin_of(number), _end_of(curve, number))


def due_steps(curve: Curve, now: datetime) -> list[Step]:
    """The step in force, and the next one once it begins within `LEAD`. What was missed never comes back."""
    found = [step_at(curve, now), step_at(curve, now + LEAD)]
    steps = [step for step in found if step is not None]
    return steps[:1] if len(steps) == 2 and steps[0] == steps[1] else steps


@dataclass(frozen=True, slots=True)
class Claim:
    """A schedule that wants a point: smaller numbers are stronger, among equals the later issued."""

    priority: int
    issued_at: datetime
    id: UUID


def winner(claims: Iterable[Claim]) -> Claim | None:
    """Whose value it is where schedules of a point overlap; None where there is none.

    The id decides between two of the same moment, so that everybody who asks gets the same answer.
    """
    return min(claims, key=lambda claim: (claim.priority, -claim.issued_at.timestamp(), claim.id), default=None)


def revised(old: Sequence[float | None], new: Sequence[float | None], kept: int) -> tuple[float | None, ...]:
    """The values after a revision: the first `kept` steps, begun or sent already, stay what they were.

    >>> revised((1.0, 2.0, 3.0), (9.0, 9.0, 9.0, 9.0), 1), revised((1.0, 2.0, 3.0), (9.0,), 2)
    ((1.0, 9.0, 9.0, 9.0), (1.0, 2.0))
    """
    return (*old[:kept], *new[kept:])


def state_at(curve: Curve, state: ScheduleState, now: datetime, *, executed: bool) -> ScheduleState:
    """What an open schedule is by the clock; `executed`: at least one of its steps was. Other states stay."""
    if not state.open or now < curve.start:
        return state
    if now < curve.end:
        return ScheduleState.RUNNING
    return ScheduleState.COMPLETED if executed else ScheduleState.FAILED


#: Ends of a step's set-point that say nothing against asking again while the step lasts.
PASSING = frozenset(
    {
        RejectCode.LINK_DOWN,
        RejectCode.LOCAL_MODE,
        RejectCode.CONFLICT_PRIORITY,
        RejectCode.TAGGED,
        RejectCode.COMMANDS_OFF,
        RejectCode.INTERLOCK,
        RejectCode.OUT_OF_RANGE,
        RejectCode.RATE_LIMITED,
        RejectCode.SUPERSEDED,
    }
)


def may_ask_again(state: SetpointState, code: str, *, displaced: bool) -> bool:
    """Whether a step in force is asked for again after its set-point ended so; `displaced`: somebody else took the point.

    Not after the device said no or did not follow, and not after somebody cancelled it.

    >>> may_ask_again(SetpointState.REJECTED, "link_down", displaced=False)
    True
    >>> may_ask_again(SetpointState.CANCELLED, "", displaced=False)
    False
    """
    if state is SetpointState.EXECUTED:
        return displaced
    return state.terminal and code in PASSING


def check_schedule(curve: Curve, *, unit: str, mode: str, point: PointSpec, now: datetime) -> None:
    """Every step may be asked of the point as it is declared. Raises SetpointRejected naming the field, as `values[3]`.

    What only the moment can tell (link, holder, state of charge, interlock) is checked when the step's time comes.
    """
    _check_grid(curve, now)
    point = _as_declared(point)
    for number, value in enumerate(curve.values):
        if value is None:
            continue
        wish = Wish(
            value=value,
            unit=unit,
            mode=mode,
            priority=1,
            valid_from=now,
            valid_until=now + timedelta(seconds=curve.resolution_s),
            issued_at=None,
            **ending(curve),
        )
        try:
            check_setpoint(wish, point, now, Circumstances(link_up=None, control_mode_local=False, holder_priority=None))
        except SetpointRejected as error:
            if error.field != "value":
                raise
            reason = f"Step {number}, {curve.begin_of(number):%Y-%m-%d %H:%M} UTC: {error.reason}"
            raise SetpointRejected(error.code, reason, field=f"values[{number}]") from error


def ending(curve: Curve) -> dict[str, Any]:
    """What a wish of one of its steps says of its end, where nothing follows."""
    if curve.on_expiry is not OnExpiry.FALLBACK:
        return {}
    return {"on_expiry": "fallback", "fallback_value": curve.fallback_value}


def step_ramp(point: PointSpec, mode: str) -> float | None:
    """How fast a step is approached, in units a second; None where at once, or by the device itself."""
    by_us = point.capability is not None and point.capability.ramp_by != "device" and mode == "absolute"
    return point.ramp if by_us else None


def _as_declared(point: PointSpec) -> PointSpec:
    """The point without what only the moment can tell: its interlock, and the ramp from where it stands."""
    if point.capability is None:
        return point
    return replace(point, operating_ramp=None, capability=replace(point.capability, ramp=0.0, interlock=""))


def _check_grid(curve: Curve, now: datetime) -> None:
    count = len(curve.values)
    if curve.resolution_s not in RESOLUTIONS.values():
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, f"resolution is one of {', '.join(RESOLUTIONS)}.", field="resolution")
    if all(value is None for value in curve.values):
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, "A schedule has at least one value.", field="values")
    if count > MAX_STEPS:
        sentence = f"A schedule has at most {MAX_STEPS} steps; this one has {count}."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="values")
    if curve.end - curve.start > MAX_LENGTH:
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, "A schedule lasts 48 h at most.", field="values")
    if (curve.on_expiry is OnExpiry.FALLBACK) != (curve.fallback_value is not None):
        sentence = "on_expiry fallback and a fallback_value go together."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="fallback_value")
    if curve.end <= now:
        raise SetpointRejected(RejectCode.STALE_REQUEST, "The schedule's last step is over.", field="start")
    _check_held(curve)


def _check_held(curve: Curve) -> None:
    for number, value in enumerate(curve.values):
        if value is not None and _end_of(curve, number) - curve.begin_of(number) > MAX_VALIDITY:
            sentence = f"Step {number} would be held for more than 24 h; give the steps behind it a value."
            raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field=f"values[{number}]")


def _last_value(curve: Curve, number: int) -> int:
    """The newest step up to `number` that has a value, -1 without one."""
    return next((each for each in range(number, -1, -1) if curve.values[each] is not None), -1)


def _end_of(curve: Curve, number: int) -> datetime:
    after = number + 1
    while curve.on_expiry is OnExpiry.HOLD and after < len(curve.values) and curve.values[after] is None:
        after += 1
    return curve.begin_of(after)
