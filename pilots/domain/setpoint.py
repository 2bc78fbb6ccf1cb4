"""The life of a set-point: states, transitions, codes; the checks stand in `guards`. [operation]

States, transitions and codes: docs/api.md; D7.1 section 4 names two exceptions only (no valid identification, no
communications), which are `not_authorised` and `link_down` here.
"""

from __future__ import annotations

from enum import StrEnum

from pilots.domain.point import Capability


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


#: What may be done when the time of a set-point in force is over.
ON_EXPIRY = ["release", "hold", "fallback"]

DEFAULT_PRIORITY: dict[Issuer, int] = {
    Issuer.FALLBACK: 2,
    Issuer.OPERATOR: 3,
    Issuer.CONTROL_CENTRE: 4,
    Issuer.PLATFORM: 5,
    Issuer.SCHEDULE: 6,
}


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
