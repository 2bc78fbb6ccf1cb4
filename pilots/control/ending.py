"""What happens when the time of a set-point in force is over: release, hold or fallback. [operation]"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pilots.domain.point import Capability
from pilots.domain.setpoint import Issuer
from pilots.models import Setpoint

#: The clock looks every second; what is done later than this is explained.
PROMPT_S = 5.0


@dataclass(frozen=True, slots=True)
class Ending:
    """`action` release, fallback (both write `value`), hold or lets_go (nothing is written: the device ends it by itself)."""

    action: str
    value: float | None = None


def ending_of(setpoint: Setpoint) -> Ending:
    """What is done at its valid_until."""
    capability = setpoint.point.spec.capability
    if capability is None or setpoint.kind != "setpoint":
        return Ending("hold")
    if setpoint.on_expiry == "fallback" and setpoint.fallback_value is not None:
        return Ending("fallback", setpoint.fallback_value)
    if setpoint.on_expiry == "hold":
        return Ending("hold")
    if capability.self_expiring:
        return Ending("lets_go")
    rest = capability.rest(setpoint.mode)
    return Ending("hold") if rest is None else Ending("release", rest)


def rest_value(setpoint: Setpoint) -> float | None:
    """What takes the device off the value at once: no ceiling, 0, or its default; None when nothing is written for it."""
    capability = setpoint.point.spec.capability
    rest = None if capability is None else capability.rest(setpoint.mode)
    value = setpoint.fallback_value if rest is None else rest
    return None if setpoint.kind != "setpoint" or value == setpoint.value else value


def gives_back(setpoint: Setpoint) -> bool:
    """Whether it only takes a device off an older value: nobody's wish, and the value is that of a point at rest."""
    return is_rest(setpoint.issuer, setpoint.value, setpoint.mode, setpoint.point.spec.capability)


def is_rest(issuer: str, value: float, mode: str, capability: Capability | None) -> bool:
    """As `gives_back`, before there is a set-point."""
    return issuer == Issuer.FALLBACK and (capability is None or value == capability.rest(mode))


def ending_words(setpoint: Setpoint, now: datetime, what: str) -> str:
    """A sentence on how it ended; what comes late says by how much."""
    late_s = (now - setpoint.valid_until).total_seconds()
    return f"{what}, {late_s:.0f} s late: nothing ran here when its time was over." if late_s > PROMPT_S else f"{what}."
