"""What pages see before it is stored: a value is shown when it comes, and committed with the others of its window. [station]

The writer's own thread shows it, so pages are never further ahead than one window: while the database is away they stand still
too, and say that they do.
"""

from __future__ import annotations

import numpy as np

from pilots.acquisition.batch import Rows
from pilots.acquisition.directory import PointTable
from pilots.domain.columns import Measurements, same


class Preview:
    """The newest of each point that went to the pages ahead of its commit."""

    def __init__(self) -> None:
        self._points: PointTable | None = None
        self._shown = Measurements.none_yet(0)

    def news(self, arrived: Rows, stored: Measurements) -> Rows:
        """Of what arrived, the newest of each point that is not older than what is stored or shown; it counts as shown now."""
        self._follow(arrived.points)
        rows = arrived.take(np.lexsort((arrived.measurements.source_us, arrived.slots)))
        newest = rows.take(np.append(np.diff(rows.slots) != 0, True)[: len(rows)])
        known_us = np.maximum(stored.source_us[newest.slots], self._shown.source_us[newest.slots])
        news = newest.take(newest.measurements.source_us >= known_us)
        self._shown.put(news.slots, news.measurements)
        return news

    def unseen(self, rows: Rows) -> Rows:
        """Those of the rows that were not shown as they are."""
        self._follow(rows.points)
        shown = self._shown.take(rows.slots)
        seen = same(rows.measurements, shown) & (rows.measurements.received_us == shown.received_us)
        return rows.take(~seen)

    def _follow(self, points: PointTable) -> None:
        if points is not self._points:
            self._points, self._shown = points, Measurements.none_yet(len(points.entries))
