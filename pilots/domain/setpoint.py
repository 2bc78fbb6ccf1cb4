"""The life of a set-point and the checks it must pass. [operation]

States, transitions and codes: docs/api.md; D7.1 section 4 names two exceptions only (no valid identification, no
communications), which are `not_authorised` and `link_down` here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pilots.domain.errors import SetpointRejected
from pilots.domain.point import Capability, PointSpec
from pilots.domain.quality import Validity


class SetpointState(StrEnum):
    RECEIVED = "received"
    VALIDATED = "validated"
    DISPATCHED = "dispatched"
    EXECUTED = "executed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset(
    {SetpointState.EXECUTED, SetpointState.REJECTED, SetpointState.EXPIRED, SetpointState.FAILED, SetpointState.CANCELLED}
)

_S = SetpointState
TRANSITIONS: dict[SetpointState, frozenset[SetpointState]] = {
    _S.RECEIVED: frozenset({_S.VALIDATED, _S.REJECTED, _S.EXPIRED, _S.CANCELLED}),
    _S.VALIDATED: frozenset({_S.DISPATCHED, _S.REJECTED, _S.EXPIRED, _S.FAILED, _S.CANCELLED, _S.UNKNOWN}),
    _S.DISPATCHED: frozenset({_S.EXECUTED, _S.REJECTED, _S.EXPIRED, _S.FAILED, _S.CANCELLED, _S.UNKNOWN}),
    _S.UNKNOWN: frozenset({_S.EXECUTED, _S.FAILED}),
    _S.EXECUTED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
}


def may_become(old: SetpointState, new: SetpointState) -> bool:
    """Whether the life-cycle allows this transition.

    >>> may_become(SetpointState.DISPATCHED, SetpointState.EXECUTED), may_become(SetpointState.EXECUTED, SetpointState.FAILED)
    (True, False)
    """
    return new in TRANSITIONS[old]


class RejectCode(StrEnum):
    """Why a set-point was refused; stable words of the API."""

    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_POINT = "unknown_point"
    WRONG_UNIT = "wrong_unit"
    NOT_CAPABLE = "not_capable"
    OUT_OF_RANGE = "out_of_range"
    NOT_AUTHORISED = "not_authorised"
    NO_CONTRACT = "no_contract"
    LOCAL_MODE = "local_mode"
    INTERLOCK = "interlock"
    LINK_DOWN = "link_down"
    STALE_REQUEST = "stale_request"
    CLOCK_SKEW = "clock_skew"
    CONFLICT_PRIORITY = "conflict_priority"
    NO_SESSION = "no_session"
    DEVICE_REJECTED = "device_rejected"
    SUPERSEDED = "superseded"
    TAGGED = "tagged"
    COMMANDS_OFF = "commands_off"
    RATE_LIMITED = "rate_limited"
    AUDIT_UNAVAILABLE = "audit_unavailable"


class Issuer(StrEnum):
    OPERATOR = "operator"
    PLATFORM = "platform"
    SCHEDULE = "schedule"
    FALLBACK = "fallback"
    CONTROL_CENTRE = "control_centre"


DEFAULT_PRIORITY: dict[Issuer, int] = {
    Issuer.FALLBACK: 2,
    Issuer.OPERATOR: 3,
    Issuer.CONTROL_CENTRE: 4,
    Issuer.PLATFORM: 5,
    Issuer.SCHEDULE: 6,
}
MAX_CLOCK_SKEW = timedelta(seconds=60)
#: A set-point for later may wait for its link to come back.
LINK_DOWN_GRACE = timedelta(minutes=15)
MAX_VALIDITY = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What somebody asks for. `value` in `unit`; both times aware UTC."""

    value: float
    unit: str
    mode: str
    priority: int
    valid_from: datetime
    valid_until: datetime
    issued_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What is so when a wish is checked. `link_up` None: not known yet."""

    link_up: bool | None
    feedback_validity: Validity | None
    control_mode_local: bool
    holder_priority: int | None  # of the set-point that is in force for this point, None when nobody holds it
    holder: str = ""


def check_setpoint(wish: Wish, point: PointSpec, now: datetime, around: Circumstances) -> None:
    """The wish may be sent to the device. Raises SetpointRejected with the first reason that forbids it."""
    if point.capability is None or not point.kind.writable:
        raise SetpointRejected(RejectCode.NOT_CAPABLE, f"{point.name} takes no set-points.", field="point")
    if wish.unit != point.unit:
        known = point.unit or "no unit"
        raise SetpointRejected(RejectCode.WRONG_UNIT, f"{point.name} is in {known}, not {wish.unit}.", field="unit")
    _check_value(wish, point, point.capability)
    _check_times(wish, now)
    if around.link_up is False and wish.valid_from - now <= LINK_DOWN_GRACE:
        raise SetpointRejected(RejectCode.LINK_DOWN, "The link to the device is down: a set-point sent now would not arrive.")
    if around.control_mode_local:
        raise SetpointRejected(RejectCode.LOCAL_MODE, "The device is in local mode and takes no set-points from here.")
    if around.holder_priority is not None and around.holder_priority < wish.priority:
        raise SetpointRejected(
            RejectCode.CONFLICT_PRIORITY, f"{around.holder} holds this point with priority {around.holder_priority}."
        )


def _check_value(wish: Wish, point: PointSpec, capability: Capability) -> None:
    if not math.isfinite(wish.value):
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, "The value is not a finite number.", field="value")
    if wish.mode not in capability.modes:
        offered = " or ".join(capability.modes)
        raise SetpointRejected(RejectCode.NOT_CAPABLE, f"{point.name} takes {offered}, not {wish.mode}.", field="mode")
    if not capability.minimum <= wish.value <= capability.maximum:
        raise SetpointRejected(
            RejectCode.OUT_OF_RANGE,
            f"{wish.value:g} {point.unit} is outside {capability.minimum:g} to {capability.maximum:g} {point.unit}.",
            field="value",
        )


def _check_times(wish: Wish, now: datetime) -> None:
    if wish.issued_at is not None and abs(wish.issued_at - now) > MAX_CLOCK_SKEW:
        raise SetpointRejected(RejectCode.CLOCK_SKEW, "issued_at is more than 60 s off our clock.", field="issued_at")
    if wish.valid_until <= now:
        raise SetpointRejected(RejectCode.STALE_REQUEST, "valid_until has passed.", field="valid_until")
    if wish.valid_until <= wish.valid_from:
        raise SetpointRejected(RejectCode.STALE_REQUEST, "valid_until is not after valid_from.", field="valid_until")
    if wish.valid_until - max(wish.valid_from, now) > MAX_VALIDITY:
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, "A set-point is valid for 24 h at most.", field="valid_until")


def feedback_shows(value: float, mode: str, measured: float, capability: Capability) -> bool:
    """Whether a measurement proves a set-point: within tolerance of a target, or not above a ceiling plus tolerance.

    A ceiling bounds the magnitude: less is not an error.

    >>> c = Capability(minimum=-100e3, maximum=100e3, step=100)
    >>> feedback_shows(-20e3, "absolute", -19.2e3, c), feedback_shows(-20e3, "absolute", 0.0, c)
    (True, False)
    >>> feedback_shows(6e3, "limit", 3.7e3, Capability(minimum=0, maximum=11e3)), feedback_shows(0, "limit", 3.7e3, c)
    (True, False)
    """
    tolerance = capability.tolerance_or_default
    if mode == "limit":
        return abs(measured) <= value + tolerance
    return abs(measured - value) <= tolerance
