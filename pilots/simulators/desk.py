"""The trainer's desk: starts and ends faults at the places of a running simulation. [zones: field to operation, simulated]"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pilots.simulators.faults import Fault, FaultKind, FaultRefused, Faults, Place, kinds_at
from pilots.simulators.ledger import stamp
from pilots.simulators.ways import SimulatedWay

log = logging.getLogger(__name__)


class Desk:
    """What the command line and the training page may do; all answers are ready for JSON.

    `points` gives the points of a device, to check a narrowed fault against.
    """

    def __init__(self, faults: Faults, points: Callable[[str], Sequence[str]], now: Callable[[], datetime] | None = None) -> None:
        self.faults, self.places = faults, dict[str, Place]()
        self.ways: list[SimulatedWay] = []
        self._points = points
        self._now = now or (lambda: datetime.now(UTC))
        self._changed = asyncio.Event()
        faults.watch(lambda _: self._changed.set())

    async def run(self) -> None:
        """Faults end when their time is up, until cancelled."""
        while True:
            self._changed.clear()
            for fault in self.faults.over(self._now()):
                self.end(fault.id)
            ends = [fault.until for fault in self.faults.running.values() if fault.until is not None]
            wait_s = max(0.0, (min(ends) - self._now()).total_seconds()) if ends else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)

    def start(
        self, kind: str, target: str, *, lasts_s: float | None = None, options: Mapping[str, float] | None = None, point: str = ""
    ) -> dict[str, Any]:
        """The fault that runs from now on. Raises FaultRefused with a sentence."""
        place = self.places.get(target)
        if place is None:
            raise FaultRefused(f"nothing simulated is called {target}")
        possible = kinds_at(place)
        if kind not in possible:
            raise FaultRefused(f"{kind} is not possible at {target}; possible are {', '.join(possible)}")
        if point and (kind != FaultKind.STUCK_VALUE or point not in self._points(target)):
            raise FaultRefused(f"{target} has no point {point} that could be stuck")
        fault = self.faults.start(FaultKind(kind), target, now=self._now(), lasts_s=lasts_s, options=options, point=point)
        log.info("fault %s: %s at %s begins", fault.id, kind, target)
        return self._shown(fault)

    def end(self, fault_id: str) -> dict[str, Any]:
        """The fault that ran until now. Raises KeyError."""
        fault = self.faults.end(fault_id)
        log.info("fault %s: %s at %s is over", fault.id, fault.kind, fault.target)
        return self._shown(fault)

    def end_all(self) -> list[dict[str, Any]]:
        return [self.end(fault_id) for fault_id in list(self.faults.running)]

    def set_media(self, connection: str, on: bool) -> None:
        """The medium of every way of a connection acts from now on, or does not. Raises KeyError, FaultRefused."""
        ways = [way for way in self.ways if connection in (way.name, way.connection)]
        if not ways:
            raise KeyError(connection)
        if all(way.medium is None for way in ways):
            raise FaultRefused(f"no medium is known of {connection}")
        for way in ways:
            way.set_media(on)

    def running(self) -> list[dict[str, Any]]:
        """Every running fault, the oldest first."""
        return [self._shown(fault) for fault in self.faults.running.values()]

    def connections(self) -> list[dict[str, Any]]:
        """Every simulated connection with its backup ways, its state and its devices."""
        return [self._connection(place) for place in self.places.values() if not place.connection]

    def _connection(self, place: Place) -> dict[str, Any]:
        ways = [way for way in self.ways if place.name in (way.name, way.connection)]
        below = [each for each in self.places.values() if each.connection == place.name]
        backups = {way.name for way in ways if way.name.startswith(f"{place.name}/")}
        return {
            **self._place(place),
            "sessions": sum(way.sessions for way in ways),
            "medium": next((way.medium.name for way in ways if way.medium is not None), ""),
            "media_on": any(way.media_on for way in ways),
            "backups": [self._place(each) for each in below if each.name in backups],
            "devices": [self._place(each) for each in below if each.name not in backups],
        }

    def _place(self, place: Place) -> dict[str, Any]:
        return {
            "name": place.name,
            "pilot": place.pilot,
            "label": place.label,
            "protocol": place.protocol.value,
            "kinds": [kind.value for kind in kinds_at(place)],
        }

    def _shown(self, fault: Fault) -> dict[str, Any]:
        return {
            "id": fault.id,
            "kind": fault.kind.value,
            "target": fault.target,
            "pilot": self.places[fault.target].pilot,
            "point": fault.point,
            "options": dict(fault.options),
            "since": stamp(fault.since),
            "until": None if fault.until is None else stamp(fault.until),
            "left_s": None if fault.until is None else round(max(0.0, (fault.until - self._now()).total_seconds()), 1),
        }
