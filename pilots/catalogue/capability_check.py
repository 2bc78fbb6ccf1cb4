"""What the limits and the interlock of a capability refer to: read, understood and there. [zone: field]"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pilots.domain.guards import referred
from pilots.domain.interlock import InterlockError, references
from pilots.domain.point import Capability
from pilots.domain.switching import CommandClass


def capability_faults(capability: Capability, own: Collection[str]) -> Iterator[tuple[str, str]]:
    """(key or "", sentence) for each thing wrong, `own` being the points of the same device; other devices come later."""
    if capability.minimum > capability.maximum:
        yield "", "the minimum is above the maximum"
    if capability.ramp < 0:
        yield "ramp", "a ramp is above 0"
    if capability.ramp_by not in ("", "device"):
        yield "ramp_by", 'it is "device" or nothing'
    if capability.command_class not in ("", *CommandClass):
        yield "command_class", f"{capability.command_class!r} is none of {', '.join(CommandClass)}"
    if capability.default is not None and not capability.minimum <= capability.default <= capability.maximum:
        yield "default", "it is outside minimum to maximum"
    for name in sorted(referred(capability) - set(own)):
        yield _key_of(capability, name), f"{name!r} is no point of this device"
    try:
        needed = references(capability.interlock) if capability.interlock else frozenset()
    except InterlockError as error:
        yield "interlock", str(error)
        return
    for name in sorted(needed - set(own)):
        if "/" not in name:
            yield "interlock", f"{name!r} is no point of this device"


def _key_of(capability: Capability, name: str) -> str:
    keys = ("minimum_from", "maximum_from", "soc", "soc_min", "soc_max")
    return next(key for key in keys if str(getattr(capability, key)).removeprefix("-") == name)
