"""What pages see before it is stored: a value is shown when it comes, and committed with the others of its window. [station]

The writer's own thread shows it, so pages are never further ahead than one window: while the database is away they stand still
too, and say that they do.
"""

from __future__ import annotations

import time

import numpy as np

from pilots.acquisition.batch import Rows
from pilots.acquisition.directory import PointTable
from pilots.domain.columns import Measurements, same

#: Pages see what has come so often.
SHOWN_S = 0.015


class Preview:
    """The newest of each point that went to the pages ahead of its commit."""

    def __init__(self) -> None:
        self._points: PointTable | None = None
        self._shown = Measurements.none_yet(0)
        self._waiting: Rows | None = None
        self._shown_s = -np.inf

    def add(self, arrived: Rows) -> None:
        """These wait to be shown."""
        self._follow(arrived.points)
        self._waiting = arrived if self._waiting is None else self._waiting.joined(arrived)

    def forget_waiting(self) -> None:
        """They are about to be stored, and shown then."""
        self._waiting = None

    def due_news(self, stored: Measurements) -> Rows | None:
        """What is to be shown now of what waits, which counts as shown; None when nothing waits or the last look was just now."""
        if not self._waiting or time.monotonic() - self._shown_s < SHOWN_S:
            return None
        waiting, self._waiting, self._shown_s = self._waiting, None, time.monotonic()
        return self.news(waiting, stored)

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
        """Those of the rows that were not shown as they are, and those nothing renews soon. Of their points nothing waits now.

        A page that read the database between showing and storing has the old value; the next poll mends that, where there is one.
        """
        self._follow(rows.points)
        if self._waiting is not None:
            self._waiting = self._waiting.take(~np.isin(self._waiting.slots, rows.slots))
        shown = self._shown.take(rows.slots)
        seen = same(rows.measurements, shown) & (rows.measurements.received_us == shown.received_us)
        return rows.take(~(seen & rows.points.renewed_soon[rows.slots]))

    def _follow(self, points: PointTable) -> None:
        if points is not self._points:
            self._points, self._shown, self._waiting = points, Measurements.none_yet(len(points.entries)), None
