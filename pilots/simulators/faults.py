"""Faults on purpose: what is wrong with simulated connections and devices just now. [zones: field to operation, simulated]

A fault has a kind, a target (the name of a connection, of one of its backup ways, or a device id) and perhaps an end. Relays,
serial lines and plants ask the board `on` and act; nothing here touches a socket. Pure: the clock is an argument, and all
chance comes from the fault's own seeded source.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count

from pilots.domain.topology import DeviceKind, Protocol


class FaultKind(StrEnum):
    SILENCE = "silence"  # nothing of the equipment's comes through; a device behind an RTU reports "invalid"
    SLOWNESS = "slowness"  # answers come late, or byte by byte
    LOSS = "loss"  # messages are lost in bursts; on TCP that costs repeats, not bytes
    GARBAGE = "garbage"  # random bytes in place of answers
    NOISE = "noise"  # some bytes are garbled both ways; on a serial line also bursts out of nowhere
    WRONG_LENGTH = "wrong_length"  # a length field lies, or the end of a frame is missing
    WRONG_UNIT = "wrong_unit"  # answers carry another unit, common or link address
    EXCEPTION = "exception"  # the device refuses: Modbus exception, negative confirmation
    HALF_OPEN = "half_open"  # packets vanish both ways, nobody is told
    REFUSE = "refuse"  # connections break off and are refused; a serial adapter is unplugged
    FLAPPING = "flapping"  # as refuse, on and off
    REBOOT = "reboot"  # connections break off, the equipment is away for a while
    STUCK_VALUE = "stuck_value"  # values stay what they were
    COUNTER_RESET = "counter_reset"  # energy registers start again at 0, for good
    CLOCK_SKEW = "clock_skew"  # the device's clock is wrong
    BREAKER_TRIP = "breaker_trip"  # a switch opens and refuses to close
    OUT_OF_ORDER = "out_of_order"  # a charge point reports Faulted and charges nobody


class FaultRefused(ValueError):
    """There is no such fault at this target, or an option is out of its range; says which."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """A figure of a fault."""

    default: float
    low: float
    high: float


_SHARE = Option(default=1.0, low=0.0, high=1.0)
OPTIONS: dict[FaultKind, dict[str, Option]] = {
    FaultKind.SLOWNESS: {
        "answer_s": Option(default=3.0, low=0.0, high=120.0),
        "bytes_per_s": Option(default=0.0, low=0.0, high=1e6),  # 0: as fast as the line
    },
    FaultKind.LOSS: {"share": Option(default=0.3, low=0.0, high=0.9)},
    FaultKind.GARBAGE: {"share": _SHARE},
    FaultKind.NOISE: {
        "share": Option(default=0.02, low=0.0, high=1.0),
        "bursts_per_s": Option(default=2.0, low=0.0, high=100.0),
    },
    FaultKind.WRONG_LENGTH: {"share": _SHARE},
    FaultKind.WRONG_UNIT: {"share": _SHARE},
    FaultKind.EXCEPTION: {"code": Option(default=4, low=1, high=255)},
    FaultKind.FLAPPING: {"up_s": Option(default=5.0, low=0.1, high=3600.0), "down_s": Option(default=5.0, low=0.1, high=3600.0)},
    FaultKind.CLOCK_SKEW: {"seconds": Option(default=90.0, low=-4e9, high=4e9)},
}
#: How long a fault lasts when nobody says: these are moments, the others run until somebody ends them.
MOMENTS_S = {FaultKind.REBOOT: 10.0, FaultKind.COUNTER_RESET: 10.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault that runs. `point` narrows a stuck value to one point; without `until` it runs until somebody ends it."""

    id: str
    kind: FaultKind
    target: str
    since: datetime
    until: datetime | None
    options: Mapping[str, float]
    point: str = ""
    source: random.Random = field(compare=False, repr=False)

    def strikes(self) -> bool:
        """Whether the next message is among the `share` that it hits."""
        return self.source.random() < self.options.get("share", 1.0)


class Faults:
    """The board of running faults; at most one of a kind at a target."""

    def __init__(self, *, seed: int = 0) -> None:
        self.running: dict[str, Fault] = {}
        self._by_place: dict[tuple[FaultKind, str], Fault] = {}
        self._watchers: list[Callable[[Fault], None]] = []
        self._numbers = count(1)
        self._seed = seed

    def start(
        self,
        kind: FaultKind,
        target: str,
        *,
        now: datetime,
        lasts_s: float | None = None,
        options: Mapping[str, float] | None = None,
        point: str = "",
    ) -> Fault:
        """It runs from now on, in place of one of its kind at this target. Raises FaultRefused for an impossible option."""
        earlier = self._by_place.get((kind, target))
        whole = _options(kind, options or {})
        lasts_s = MOMENTS_S.get(kind) if lasts_s is None else lasts_s
        if lasts_s is not None and not 0 < lasts_s <= 366 * 86400:
            raise FaultRefused(f"a fault cannot last {lasts_s:g} s")
        if earlier is not None:
            self.end(earlier.id)
        number = str(next(self._numbers))
        fault = Fault(
            id=number,
            kind=kind,
            target=target,
            since=now,
            until=None if lasts_s is None else now + timedelta(seconds=lasts_s),
            options=whole,
            point=point,
            source=random.Random(f"{self._seed} {kind} {target} {number}"),
        )
        self.running[number] = self._by_place[kind, target] = fault
        self._tell(fault)
        return fault

    def end(self, fault_id: str) -> Fault:
        """It runs no longer. Raises KeyError for one that does not run."""
        fault = self.running.pop(fault_id)
        del self._by_place[fault.kind, fault.target]
        self._tell(fault)
        return fault

    def on(self, kind: FaultKind, *targets: str) -> Fault | None:
        """The fault of this kind at the first of these targets that has one. Cheap: asked for each value and frame."""
        if not self.running:
            return None
        for target in targets:
            fault = self._by_place.get((kind, target))
            if fault is not None:
                return fault
        return None

    def runs(self, fault: Fault) -> bool:
        return fault.id in self.running

    def over(self, now: datetime) -> list[Fault]:
        """Those whose time is up."""
        return [fault for fault in self.running.values() if fault.until is not None and fault.until <= now]

    def watch(self, tell: Callable[[Fault], None]) -> None:
        """`tell(fault)` is called after each start and each end."""
        self._watchers.append(tell)

    def forget(self, tell: Callable[[Fault], None]) -> None:
        if tell in self._watchers:
            self._watchers.remove(tell)

    def _tell(self, fault: Fault) -> None:
        for tell in list(self._watchers):
            tell(fault)


def _options(kind: FaultKind, given: Mapping[str, float]) -> dict[str, float]:
    """Every option of the kind. Raises FaultRefused."""
    known = OPTIONS.get(kind, {})
    whole = {name: option.default for name, option in known.items()}
    for name, value in given.items():
        option = known.get(name)
        if option is None:
            raise FaultRefused(f"{kind} has no option {name}; it has {', '.join(known) or 'none'}")
        if not option.low <= value <= option.high:
            raise FaultRefused(f"{name} of {kind} must lie between {option.low:g} and {option.high:g}, not {value:g}")
        whole[name] = float(value)
    return whole


# -- where which fault is possible


class Reach(StrEnum):
    """How much of the way to a place is its own."""

    LINE = "line"  # it has a TCP connection or a serial line of its own
    UNIT = "unit"  # its frames can be told from its neighbours' on the same line
    VALUES = "values"  # only its values: the frames are those of an RTU or head-end system


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Something simulated that a fault can hit. `connection` is empty only for a connection itself."""

    name: str
    pilot: str
    protocol: Protocol
    reach: Reach
    label: str = ""
    connection: str = ""
    device_kind: DeviceKind | None = None
    serial: bool = False


_BYTES = (
    FaultKind.SILENCE, FaultKind.SLOWNESS, FaultKind.LOSS, FaultKind.GARBAGE, FaultKind.NOISE, FaultKind.HALF_OPEN,
    FaultKind.REFUSE, FaultKind.FLAPPING,
)  # fmt: skip
_BY_FRAME = (FaultKind.SILENCE, FaultKind.SLOWNESS, FaultKind.GARBAGE)
_FRAMES: dict[Protocol, tuple[FaultKind, ...]] = {
    Protocol.MODBUS_TCP: (FaultKind.WRONG_LENGTH, FaultKind.WRONG_UNIT, FaultKind.EXCEPTION),
    Protocol.MODBUS_RTU: (FaultKind.WRONG_LENGTH, FaultKind.WRONG_UNIT, FaultKind.EXCEPTION),
    Protocol.IEC104: (FaultKind.WRONG_LENGTH, FaultKind.WRONG_UNIT, FaultKind.EXCEPTION),
    Protocol.IEC101: (FaultKind.WRONG_LENGTH, FaultKind.WRONG_UNIT, FaultKind.EXCEPTION),
    Protocol.IEC61850: (FaultKind.WRONG_LENGTH, FaultKind.EXCEPTION),
    Protocol.OCPP16: (FaultKind.EXCEPTION,),
    Protocol.PUSH: (),
}
#: Protocols whose frames carry the device's own time.
_TIMED = frozenset(Protocol) - {Protocol.MODBUS_TCP, Protocol.MODBUS_RTU}
_OF_KIND = {DeviceKind.SWITCH: (FaultKind.BREAKER_TRIP,), DeviceKind.CHARGE_POINT: (FaultKind.OUT_OF_ORDER,)}


def kinds_at(place: Place) -> list[FaultKind]:
    """The kinds of fault that are possible there, in the order of FaultKind."""
    found: set[FaultKind] = {FaultKind.STUCK_VALUE, FaultKind.COUNTER_RESET}
    if place.protocol in _TIMED:
        found.add(FaultKind.CLOCK_SKEW)
    if place.reach is Reach.LINE:
        found.update(_BYTES, _FRAMES[place.protocol])
        if place.protocol is not Protocol.PUSH:
            found.add(FaultKind.REBOOT)
    elif place.reach is Reach.UNIT:
        found.update(_BY_FRAME, _FRAMES[place.protocol])
    else:
        found.add(FaultKind.SILENCE)
        found.update({FaultKind.EXCEPTION} & set(_FRAMES[place.protocol]))
    if place.device_kind is not None:
        found.update(_OF_KIND.get(place.device_kind, ()))
    return [kind for kind in FaultKind if kind in found]
