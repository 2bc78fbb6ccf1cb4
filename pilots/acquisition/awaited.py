"""The points whose next measurement may prove a set-point: what they say waits for no batch. [station]"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import numpy as np
from django.db import DatabaseError

from pilots.acquisition.directory import Directory, PointTable
from pilots.control.feedback import pending_points
from pilots.domain.columns import Bools
from pilots.domain.measurement import RawReading

log = logging.getLogger(__name__)


class Awaited:
    """Keys of points, for any thread. Where the database does not say, what was known holds: a proof may wait for a batch."""

    def __init__(self) -> None:
        self._points: frozenset[int] = frozenset()
        self._asking = threading.Lock()

    def ask(self) -> None:
        """They are those of the set-points that are on their way now."""
        with self._asking:  # an older answer must not stand over a newer one
            try:
                self._points = frozenset(pending_points())
            except DatabaseError as error:
                log.warning("awaited points: %s", error)

    def are_in(self, directory: Directory, device: str, readings: Sequence[RawReading]) -> bool:
        """Whether one of the readings is of such a point."""
        if not self._points:
            return False
        points = directory.device(device)
        return any(reading.point in points and points[reading.point].id in self._points for reading in readings)

    def mask(self, table: PointTable) -> Bools:
        """Of each slot of the table whether it is of such a point."""
        return np.isin(table.ids, list(self._points)) if self._points else np.zeros(len(table.entries), dtype=bool)
