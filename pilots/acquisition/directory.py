"""What ingest needs to know of each point, read from the database once and again when the configuration changed. [station]"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, Sum

from pilots.domain.point import PointSpec
from pilots.models import Pilot, Point

CHECK_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class PointEntry:
    """A point as ingest handles it: `id` is the database's key, `reference` is `device/point`."""

    id: int
    reference: str
    device: str
    pilot: str
    pilot_id: int
    simulated: bool
    spec: PointSpec


class Directory:
    """Points by device id and name. Thread-safe; a configuration change is noticed within two seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: dict[str, dict[str, PointEntry]] = {}
        self._by_id: dict[int, PointEntry] = {}
        self._revision: object = None
        self._checked = 0.0

    def device(self, code: str) -> Mapping[str, PointEntry]:
        """The points of a device by name; empty for a device that is not known."""
        return self._devices.get(code, {})

    def point(self, point_id: int) -> PointEntry | None:
        return self._by_id.get(point_id)

    def refresh(self, *, force: bool = False) -> bool:
        """The directory shows the configuration as it is now; True when it changed."""
        with self._lock:
            if not force and time.monotonic() - self._checked < CHECK_EVERY_S:
                return False
            self._checked = time.monotonic()
            revision = Pilot.objects.aggregate(Count("id"), Sum("revision"))
            if revision == self._revision:
                return False
            self._load()
            self._revision = revision
            return True

    def _load(self) -> None:
        devices: dict[str, dict[str, PointEntry]] = {}
        for point in Point.objects.select_related("device__pilot", "device__connection").iterator(chunk_size=2000):
            device = point.device
            entry = PointEntry(
                id=point.pk,
                reference=f"{device.code}/{point.name}",
                device=device.code,
                pilot=device.pilot.code,
                pilot_id=device.pilot_id,
                simulated=device.connection is not None and device.connection.simulated,
                spec=point.spec,
            )
            devices.setdefault(device.code, {})[point.name] = entry
        self._by_id = {entry.id: entry for points in devices.values() for entry in points.values()}
        self._devices = devices
