"""Values by hand on their way through the one door, and what of the field is held back meanwhile. [station]

Once a second one gateway brings each value anew, so that it does not grow old while somebody upholds it; when that gateway is
gone, it does. After its end the field's own last word holds again where the point is told on change and its connection is up;
else the value is old data until the field renews the point.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
from django.utils import timezone

from pilots.acquisition.batch import IngestFull
from pilots.acquisition.directory import PointTable
from pilots.control.substitutions import end_overdue, in_force
from pilots.domain.columns import Bools
from pilots.domain.measurement import FUTURE_TOLERANCE, Measurement, RawReading
from pilots.domain.quality import Flag, Quality, Source
from pilots.domain.topology import LinkState
from pilots.history.selectors import SampleRow, read_samples
from pilots.models import LatestValue, Point, Substitution

LOOK_EVERY_S = 1.0
#: Interrogations renew what comes on change several times a day.
ON_CHANGE_KEPT = timedelta(days=1)
_BY_HAND = Quality(source=Source.SUBSTITUTED)


class Door(Protocol):
    """What of ingest is needed here."""

    def put(self, device: str, readings: Sequence[RawReading], received: datetime) -> Future[None]: ...
    def mark_old(self, newest: dict[int, Measurement]) -> Future[None]: ...


class ByHand:
    """Which points are substituted now; asked of the database once a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._points: frozenset[int] = frozenset()
        self._looked = -LOOK_EVERY_S

    def mask(self, table: PointTable) -> Bools:
        """Of each slot of the table whether a value by hand stands there."""
        if self._clock() - self._looked >= LOOK_EVERY_S:
            self._points = frozenset(in_force(timezone.now()).values_list("point_id", flat=True))
            self._looked = self._clock()
        return np.isin(table.ids, list(self._points)) if self._points else np.zeros(len(table.entries), dtype=bool)


def uphold(door: Door, now: datetime) -> int:
    """Every value by hand is renewed, those whose time is over are ended and look old; returns how many stand."""
    end_overdue(now)
    standing = list(in_force(now).select_related("point__device"))
    shown = {row.point_id: row for row in LatestValue.objects.filter(point__in=[made.point_id for made in standing])}
    try:
        for made in standing:
            door.put(made.point.device.code, [_reading(made, shown.get(made.point_id), now)], now)
        _settle(door, now)
    except IngestFull:
        pass  # the next round brings them again
    return len(standing)


def _reading(made: Substitution, shown: LatestValue | None, now: datetime) -> RawReading:
    """As a driver would bring it. Its time is that of its entry, unless a newer measurement stood there."""
    stamp = made.set_at
    if shown is not None and _is_by_hand(shown.quality) and shown.value is not None and math.isclose(shown.value, made.value):
        stamp = shown.source_time
    elif shown is not None:
        stamp = max(stamp, shown.source_time + timedelta(microseconds=1))
    return RawReading(made.point.name, made.point.spec.to_wire(made.value), _BY_HAND, min(stamp, now + FUTURE_TOLERANCE))


def _settle(door: Door, now: datetime) -> None:
    """What was ended and still looks current gives way; once it does not, the row is done with."""
    ended = Substitution.objects.exclude(removed_at=None).filter(settled=False)
    latest = LatestValue.objects.filter(point__in=ended.values("point")).select_related("point__device__connection")
    rows = {row.point_id: row for row in latest}
    standing = set(Substitution.objects.filter(removed_at=None).values_list("point_id", flat=True))
    current = {key: row for key, row in rows.items() if key not in standing and _looks_current(row)}
    ended.exclude(point__in=current).update(settled=True)
    old = {}
    for key, row in current.items():
        own = _own_word(row.point, now)
        if own is None or own.value is None:
            old[key] = Measurement(row.value, row.unpacked_quality, row.source_time, row.received_time, row.text)
        else:
            # It holds again from the end of the other: that is when it is told.
            reading = RawReading(row.point.name, row.point.spec.to_wire(own.value), own.quality, max(now, row.source_time))
            door.put(row.point.device.code, [reading], now)
    door.mark_old(old)


def _own_word(point: Point, now: datetime) -> SampleRow | None:
    """The field's last word, where silence means that it still holds."""
    connection = point.device.connection
    if point.spec.max_age_s is not None or connection is None or connection.state != LinkState.UP:
        return None
    rows = read_samples([point], now - ON_CHANGE_KEPT, now + FUTURE_TOLERANCE, limit=5000)
    own = [row for row in rows if row.quality.source is not Source.SUBSTITUTED]
    return own[-1] if own and Flag.OLD not in own[-1].quality.flags else None


def _looks_current(row: LatestValue) -> bool:
    return _is_by_hand(row.quality) and Flag.OLD not in Quality.unpack(row.quality).flags


def _is_by_hand(quality: int) -> bool:
    return Quality.unpack(quality).source is Source.SUBSTITUTED
