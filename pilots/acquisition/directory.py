"""What ingest needs to know of each point, read from the database once and again when the configuration changed. [station]"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import Count, Sum

from pilots.domain.columns import Bools, Ints, Objects, Rules
from pilots.domain.point import PointSpec
from pilots.models import Pilot, Point

CHECK_EVERY_S = 2.0
UNKNOWN = -1
#: A value that is old data after so long is renewed soon.
SOON_S = 60.0


@dataclass(frozen=True, slots=True)
class PointEntry:
    """A point as ingest handles it: `id` is the database's key, `slot` its row in the columns of the table it stands in."""

    id: int
    slot: int
    device: str
    pilot: str
    pilot_id: int
    simulated: bool
    spec: PointSpec

    @property
    def reference(self) -> str:
        return f"{self.device}/{self.spec.name}"


class Slots(dict[str, int]):
    """Slots of a device's points by name; UNKNOWN for what is no point of it."""

    def __missing__(self, name: str) -> int:
        return UNKNOWN


NO_SLOTS = Slots()


class PointTable:
    """All points at one moment, in the order of their keys; never changed, a new configuration makes a new table."""

    def __init__(self, entries: Sequence[PointEntry] = ()) -> None:
        self.entries = entries
        self.by_id = {entry.id: entry for entry in entries}
        self.by_device: dict[str, dict[str, PointEntry]] = {}
        for entry in entries:
            self.by_device.setdefault(entry.device, {})[entry.spec.name] = entry
        self.slots = {device: Slots((name, p.slot) for name, p in points.items()) for device, points in self.by_device.items()}
        self.ids: Ints = np.array([entry.id for entry in entries], dtype=np.int64)
        self.pilots: Ints = np.array([entry.pilot_id for entry in entries], dtype=np.int64)
        self.rules = Rules.of([entry.spec for entry in entries], simulated=[entry.simulated for entry in entries])
        ages_s = (entry.spec.max_age_s for entry in entries)
        self.renewed_soon: Bools = np.array([age_s is not None and age_s <= SOON_S for age_s in ages_s], dtype=bool)
        self.references: Objects = np.array([entry.reference for entry in entries], dtype=object)
        self.names = [(entry.device, entry.spec.name, entry.spec.unit) for entry in entries]


class Directory:
    """Points by device id and name. Thread-safe; a configuration change is noticed within two seconds, at once when forced."""

    def __init__(self) -> None:
        self.table = PointTable()
        self._lock = threading.Lock()
        self._revision: object = None
        self._checked = 0.0

    def device(self, code: str) -> Mapping[str, PointEntry]:
        """The points of a device by name; empty for a device that is not known."""
        return self.table.by_device.get(code, {})

    def refresh(self, *, force: bool = False) -> None:
        """The directory shows the configuration as it is now."""
        with self._lock:
            if not force and time.monotonic() - self._checked < CHECK_EVERY_S:
                return
            self._checked = time.monotonic()
            revision = Pilot.objects.aggregate(Count("id"), Sum("revision"))
            if revision != self._revision:
                self.table = PointTable(_entries())
                self._revision = revision


def _entries() -> list[PointEntry]:
    points = Point.objects.select_related("device__pilot", "device__connection").order_by("pk").iterator(chunk_size=2000)
    return [
        PointEntry(
            id=point.pk,
            slot=slot,
            device=point.device.code,
            pilot=point.device.pilot.code,
            pilot_id=point.device.pilot_id,
            simulated=point.device.connection is not None and point.device.connection.simulated,
            spec=point.spec,
        )
        for slot, point in enumerate(points)
    ]
