"""A point: one addressable quantity of a device (IEC 60870-5-104 information object). [zone: field]

Names, units and signs are those of docs/points.md: IEC load convention, P > 0 is consumption, charging, import;
P < 0 is generation, discharging, export. SI units without prefixes, energy in Wh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class PointKind(StrEnum):
    """What a point is for; the letters of D7.1's point lists stay in the comments."""

    MEASUREMENT = "measurement"  # M, analogue
    STATUS = "status"  # S, enumeration or single bit
    COUNTER = "counter"  # C, rises monotonically
    SETPOINT = "setpoint"  # SP, analogue wanted value
    COMMAND = "command"  # K, switching
    NAMEPLATE = "nameplate"  # N, fixed
    TEXT = "text"  # S, words: session ids, serial numbers

    @property
    def writable(self) -> bool:
        return self in (PointKind.SETPOINT, PointKind.COMMAND)


class PollClass(StrEnum):
    """How often a cyclically asked point is asked; seconds in `PERIOD_S`."""

    F = "F"
    N = "N"
    S = "S"
    E = "E"


PERIOD_S: dict[PollClass, float] = {PollClass.F: 1.0, PollClass.N: 10.0, PollClass.S: 60.0, PollClass.E: 900.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Capability:
    """What a writable point can take, in the point's unit. `response_time_s`: until the feedback must show it."""

    minimum: float
    maximum: float
    step: float = 0.0
    response_time_s: float = 5.0
    tolerance: float | None = None  # None: max(2 % of the range's larger end, one step)
    modes: tuple[str, ...] = ("absolute",)  # "absolute" target or "limit" ceiling
    min_interval_s: float = 1.0  # between two writes; what comes sooner waits, and the newest of what waits wins
    ramp: float = 0.0  # unit a second that the plant bears; 0: any
    ramp_by: str = ""  # "device": it keeps to its ramp by itself, whatever step it is asked for
    max_per_hour: int = 0  # writes, for switches that wear; 0: any number
    minimum_from: str = ""  # point of the same device that bounds it now, "-" in front turns its sign
    maximum_from: str = ""
    soc: str = ""  # point: at or above soc_max nothing more is charged, at or below soc_min nothing discharged
    soc_min: float | str | None = None  # % or the point that holds it
    soc_max: float | str | None = None
    interlock: str = ""  # a condition of `domain.interlock` that must hold, on fresh values
    interlock_words: str = ""  # what it is for, in a sentence
    command_class: str = ""  # of a command: "ordinary" or "critical"; empty: critical where it opens and closes
    default: float | None = None  # what the device stands at when nobody wants anything of it, in unit
    watchdog_s: float = 0.0  # the device's reversion time, written with a value and wound up again while it is valid
    self_expiring: bool = False  # the device is told until when a value holds, and drops it then by itself

    @property
    def tolerance_or_default(self) -> float:
        if self.tolerance is not None:
            return self.tolerance
        return max(0.02 * max(abs(self.minimum), abs(self.maximum)), self.step)

    @property
    def lets_go(self) -> bool:
        """Whether the device ends a value by itself when nobody renews it."""
        return self.watchdog_s > 0 or self.self_expiring

    def rest(self, mode: str) -> float | None:
        """The value that gives the point back: the declared default, no ceiling, or 0; None where none of them fits.

        >>> Capability(minimum=-5, maximum=5).rest("absolute"), Capability(minimum=0, maximum=9, modes=("limit",)).rest("limit")
        (0.0, 9)
        >>> Capability(minimum=5, maximum=50).rest("absolute"), Capability(minimum=5, maximum=50, default=10).rest("absolute")
        (None, 10)
        """
        if self.default is not None:
            return self.default
        if mode == "limit":
            return self.maximum
        return 0.0 if self.minimum <= 0.0 <= self.maximum else None


@dataclass(frozen=True, kw_only=True, slots=True)
class PointSpec:
    """A point as its profile declares it.

    `address` is the protocol's own (register, IOA, measurand) and only the driver reads it. A wire value becomes
    `sign * (wire * scale + offset)` in `unit`; writing inverts that. `period_s` is how often it is polled; points that
    report by themselves have `max_interval_s`, the longest silence their device promises. `poll` is the class that the
    period comes from; `shares` names the numbers a profile declares as shares of a device's rated power (0.5 = 50 %):
    `catalogue.loader.resolve_points` puts watts in their place.
    """

    name: str
    kind: PointKind
    unit: str = ""
    address: Mapping[str, Any] = field(default_factory=dict)
    scale: float = 1.0
    offset: float = 0.0
    sign: int = 1
    deadband: float = 0.0  # change below which no sample is kept, in unit
    poll: PollClass | None = None
    period_s: float | None = None
    max_interval_s: float | None = None
    low: float | None = None  # plausible range: outside it the value is out_of_range
    high: float | None = None
    labels: Mapping[int, str] = field(default_factory=dict)
    feedback: str = ""  # for a set-point or command: name of the point that shows what it did
    capability: Capability | None = None
    operating_minimum: float | None = None  # an engineer's limits inside the capability's
    operating_maximum: float | None = None
    operating_ramp: float | None = None
    shares: Mapping[str, float] = field(default_factory=dict)  # scale, low, high, deadband, minimum, maximum, step, tolerance

    @property
    def max_age_s(self) -> float | None:
        """Seconds after which an unrenewed value is old data: three poll periods or three promised intervals."""
        interval = self.max_interval_s or self.period_s
        return None if interval is None else 3.0 * interval

    @property
    def ramp(self) -> float | None:
        """Unit a second that the point may change by: the stricter of the plant's and an engineer's; None for any."""
        limits = [limit for limit in (self.capability and self.capability.ramp, self.operating_ramp) if limit]
        return min(limits, default=None)

    @property
    def accumulates(self) -> bool:
        """A counter that only a reset, an exchange or a rollover sets back; one of a transaction begins anew with each."""
        return self.kind is PointKind.COUNTER and "transaction" not in self.address

    def from_wire(self, wire: float) -> float:
        """The engineering value of a wire value.

        >>> PointSpec(name="p", kind=PointKind.MEASUREMENT, scale=10, sign=-1).from_wire(5)
        -50.0
        """
        return self.sign * (wire * self.scale + self.offset)

    def to_wire(self, value: float) -> float:
        """The wire value of an engineering value, before any rounding the protocol needs.

        >>> PointSpec(name="p", kind=PointKind.SETPOINT, scale=10, sign=-1).to_wire(-50)
        5.0
        """
        return (self.sign * value - self.offset) / self.scale
