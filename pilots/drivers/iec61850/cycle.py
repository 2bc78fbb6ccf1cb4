"""Asking for what no report brings, each point as often as it promises to be renewed. [zone: field]"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from pilots.domain.measurement import RawReading
from pilots.drivers.iec61850.acsi import Server
from pilots.drivers.iec61850.blocks import renewal_s
from pilots.drivers.iec61850.mms import Name
from pilots.drivers.iec61850.sources import Role, Source, pick
from pilots.drivers.iec61850.values import reading_of


@dataclass(order=True, slots=True)
class _Slot:
    due: float
    period_s: float = field(compare=False)
    sources: tuple[Source, ...] = field(compare=False)


class Cycle:
    """The points of an association by their periods; those without one are asked every `idle_s`."""

    def __init__(self, server: Server, sources: Iterable[Source], *, idle_s: float, now: float, counts: Counter[str]) -> None:
        self._server, self._counts = server, counts
        periods: dict[float, list[Source]] = {}
        for source in sources:
            periods.setdefault(renewal_s(source) or idle_s, []).append(source)
        self._slots = [_Slot(now, period_s, tuple(of_period)) for period_s, of_period in periods.items()]
        heapq.heapify(self._slots)

    @property
    def due(self) -> float:
        """When something must be asked next."""
        return self._slots[0].due if self._slots else float("inf")

    async def ask_next(self, covered: Collection[tuple[str, str]], now: float) -> dict[str, list[RawReading]]:
        """The readings of the period that is due first, by device, without what reports cover. Raises FieldError."""
        slot = heapq.heappop(self._slots)
        following = slot.due + slot.period_s
        slot.due = following if following > now else now + slot.period_s  # a late cycle is skipped, cycles never pile up
        heapq.heappush(self._slots, slot)
        readings: dict[str, list[RawReading]] = {}
        for device_id, reading in await self._read([source for source in slot.sources if source.key not in covered]):
            readings.setdefault(device_id, []).append(reading)
        return readings

    async def _read(self, sources: Collection[Source]) -> list[tuple[str, RawReading]]:
        by_container: dict[Name, list[Source]] = {}
        for source in sources:
            by_container.setdefault(source.container, []).append(source)
        values = await self._server.read(list(by_container)) if by_container else []
        found = []
        for of_container, value in zip(by_container.values(), values, strict=True):
            for source in of_container:
                told = {role: pick(value, steps) for role, steps in source.steps.items()}
                reading = reading_of(source.key[1], told.get(Role.VALUE), told.get(Role.QUALITY), told.get(Role.STAMP))
                self._counts["test_values"] += reading is None
                if reading is not None:
                    found.append((source.key[0], reading))
        return found
