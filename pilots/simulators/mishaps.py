"""What running faults do to the values and the clocks of a pilot's devices. [zone: field, simulated]"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pilots.simulators.faults import FaultKind, Faults

#: Points that show a tripped breaker.
TRIP_POINTS = ("trip", "protection_start")


class Mishaps:
    """One pilot's share of the board: `names` of each device as in `places.names_of`.

    `unheard` are the devices whose silence shows in their values, because their frames are somebody else's: the RTU or
    head-end system reports that it does not know.
    """

    def __init__(self, faults: Faults, names: Mapping[str, tuple[str, ...]], unheard: frozenset[str] = frozenset()) -> None:
        self.faults = faults
        self._names, self._unheard = names, unheard
        self._stuck: dict[tuple[str, str, str], float | str | None] = {}

    def value(self, device: str, point: str, value: float | str | None) -> float | str | None:
        """What the device says a point is while its true value is `value`."""
        if not self.faults.running:
            self._stuck.clear()
            return value
        names = self._names.get(device, (device,))
        if device in self._unheard and self.faults.on(FaultKind.SILENCE, device) is not None:
            return None
        if point in TRIP_POINTS and self.faults.on(FaultKind.BREAKER_TRIP, device) is not None:
            value = 1.0
        stuck = self.faults.on(FaultKind.STUCK_VALUE, *names)
        if stuck is not None and stuck.point in ("", point):
            value = self._stuck.setdefault((stuck.id, device, point), value)
        return value

    def refusal(self, device: str, point: str) -> str | None:
        """Why the device refuses a write just now, in words; None when nothing of ours makes it."""
        if not self.faults.running:
            return None
        if self.faults.on(FaultKind.EXCEPTION, *self._names.get(device, (device,))) is not None:
            return f"{device} refuses everything"
        if point == "position_cmd" and self.faults.on(FaultKind.BREAKER_TRIP, device) is not None:
            return f"{device} has tripped"
        return None

    def own_time(self, device: str, now: datetime) -> datetime:
        """What the device's clock shows at `now`."""
        skew = self.faults.on(FaultKind.CLOCK_SKEW, *self._names.get(device, (device,)))
        return now if skew is None else now + timedelta(seconds=skew.options["seconds"])

    def devices(self, target: str) -> list[str]:
        """The devices that a target means: itself, or all behind a connection or pusher."""
        return [device for device, names in self._names.items() if target in names]
