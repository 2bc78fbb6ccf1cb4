"""What a device does when who commands it cannot be heard: per cause, held till expiry or the default at once. [operation]

Without a declaration storage goes to 0 and a limit to no limit. There is no "hold for ever": what is held ends with its
set-point, and then the default is due. Pure, the clock is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pilots.domain.errors import PilotsError
from pilots.domain.point import Capability, PointSpec

#: Points that a fallback may be declared for, and the default one of a device that has several: the first it has.
POINTS = ("p_set", "p_limit")
#: The platform could not be judged while nobody looked for so long: a restart, a suspension, a clock that was set.
BLIND = timedelta(seconds=10)


class Cause(StrEnum):
    """Why a fallback is due, the strongest first."""

    PLATFORM_LOST = "platform_lost"
    LINK_LOST = "link_lost"
    DATA_STALE = "data_stale"


class Answer(StrEnum):
    HOLD = "hold"  # until the set-point in force ends, then the default
    DEFAULT = "default"  # at once


_ANSWERS = {Cause.PLATFORM_LOST: Answer.DEFAULT, Cause.LINK_LOST: Answer.HOLD, Cause.DATA_STALE: Answer.HOLD}


class FallbackError(PilotsError):
    """A fallback cannot be declared like this; the sentence says why."""

    code = "fallback"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A device's fallback: the point, its value in the point's unit (None: the default of its mode), an answer per cause."""

    point: str = ""
    value: float | None = None
    answers: Mapping[Cause, Answer] = field(default_factory=lambda: _ANSWERS)


def plan_of(form: Mapping[str, Any]) -> Plan:
    """The plan as a pilot file or an administrator declares it. Raises FallbackError.

    >>> plan_of({"value": 0, "platform_lost": "hold"}).answers[Cause.PLATFORM_LOST]
    <Answer.HOLD: 'hold'>
    >>> plan_of({"link_lost": "hold_for_ever"})
    Traceback (most recent call last):
    pilots.domain.fallback.FallbackError: link_lost is hold (till the set-point ends, then the default) or default (at once)
    """
    unknown = sorted(set(form) - {"point", "value", *Cause})
    if unknown:
        raise FallbackError(f"a fallback has point, value, {', '.join(Cause)}; not {unknown[0]}")
    value, point = form.get("value"), form.get("point", "")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)):
        raise FallbackError("value is a finite number in the point's unit")
    if point not in ("", *POINTS):
        raise FallbackError(f"point is {' or '.join(POINTS)}")
    answers = dict(_ANSWERS)
    for cause in Cause:
        answer = form.get(cause, answers[cause])
        if answer not in list(Answer):
            raise FallbackError(f"{cause} is hold (till the set-point ends, then the default) or default (at once)")
        answers[cause] = Answer(answer)
    return Plan(point=point, value=None if value is None else float(value), answers=answers)


def plan_point(plan: Plan, names: Collection[str]) -> str:
    """Which of a device's points its plan is about, empty where it has none for it.

    >>> plan_point(Plan(), ["p_limit", "q_set"]), plan_point(Plan(point="p_set"), ["p_limit"])
    ('p_limit', '')
    """
    return next((name for name in POINTS if name in names and plan.point in ("", name)), "")


def check_plan(form: Mapping[str, Any], points: Mapping[str, PointSpec]) -> None:
    """The declared plan can be carried out by the device's points. Raises FallbackError."""
    plan = plan_of(form)
    name = plan_point(plan, points)
    if name:
        fallback_value(plan, points[name])
    elif form:
        raise FallbackError(f"the device has no {plan.point or ' and no '.join(POINTS)}")


def fallback_value(plan: Plan, point: PointSpec) -> float:
    """What the plan asks of the point. Raises FallbackError when the point cannot take it.

    >>> from pilots.domain.point import PointKind
    >>> able = Capability(minimum=0, maximum=11e3, modes=("limit",))
    >>> fallback_value(Plan(), PointSpec(name="p_limit", kind=PointKind.SETPOINT, unit="W", capability=able))
    11000.0
    """
    capability = point.capability
    if capability is None:
        raise FallbackError(f"{point.name} takes no set-points")
    value = plan.value
    if value is None:
        value = released_value(capability, capability.modes[0])
    if not capability.minimum <= value <= capability.maximum:
        low, high = capability.minimum, capability.maximum
        raise FallbackError(f"{value:g} {point.unit} is outside {low:g} to {high:g} {point.unit} of {point.name}")
    return value


def released_value(capability: Capability, mode: str) -> float:
    """What gives a point back: its rest, or the end of its range nearest to 0 where it has none."""
    rest = capability.rest(mode)
    return min(max(0.0, capability.minimum), capability.maximum) if rest is None else rest


def is_lost(heard_at: datetime, patient_from: datetime, heartbeat_s: float, now: datetime) -> bool:
    """Whether the platform is silent beyond its heartbeat; the deadline itself is the first moment that is too late."""
    return now >= max(heard_at, patient_from) + timedelta(seconds=heartbeat_s)


def cause_due(plan: Plan, causes: Collection[Cause], *, held: bool) -> Cause | None:
    """Why the default is due now, None while it is not; `held`: a set-point is in force at the point.

    >>> cause_due(Plan(), [Cause.LINK_LOST], held=True), cause_due(Plan(), [Cause.LINK_LOST], held=False)
    (None, <Cause.LINK_LOST: 'link_lost'>)
    """
    return next((cause for cause in Cause if cause in causes and (plan.answers[cause] is Answer.DEFAULT or not held)), None)
