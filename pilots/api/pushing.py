"""Takes a read message to the one door and says what became of its values. [station]"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import Error as DatabaseError

from pilots.acquisition.ingest import Ingest, ingest
from pilots.api.errors import Problem
from pilots.api.message import Accepted, Message
from pilots.domain.errors import FieldError
from pilots.domain.measurement import RawReading, normalise
from pilots.domain.quality import Flag
from pilots.history.selectors import read_samples
from pilots.models import LatestValue, Point

log = logging.getLogger(__name__)
#: Longer than a database hiccup, shorter than a client's patience.
COMMIT_WITHIN_S = 20.0
#: Samples read to find late values that are here already; beyond them a late value is simply stored again.
LOOK_BACK = 20_000


def store(message: Message, received: datetime) -> dict[str, Any]:
    """The good values are committed; `{stored, late, repeated, refused}` says what became of each.

    Raises Problem 503 when the database takes nothing just now: nothing is promised then, the client sends it again.
    """
    door = ingest()
    _make_known(door, message.values)
    fresh, late, repeated = _sorted(message.values, received)
    _put(door, fresh + late, received)
    if message.refused:
        log.info("message: %d values refused: %s", len(message.refused), dict(message.refusals()))
    return {"stored": len(fresh) + len(late), "late": len(late), "repeated": repeated, "refused": message.refused}


def _make_known(door: Ingest, values: Sequence[Accepted]) -> None:
    """Every value's point is known to ingest, which would drop others without a word. Raises Problem 503."""
    if all(_is_known(door, value) for value in values):
        return
    door.directory.refresh(force=True)
    if not all(_is_known(door, value) for value in values):
        raise Problem(503, "unavailable", "The configuration has just changed: send the message again.", wait_s=2)


def _is_known(door: Ingest, value: Accepted) -> bool:
    entry = door.directory.device(value.device).get(value.reading.point)
    return entry is not None and entry.id == value.known.point_id


def _sorted(values: Sequence[Accepted], received: datetime) -> tuple[list[Accepted], list[Accepted], int]:
    """New values, late ones (older than the newest of their point), and how many are here already."""
    newest = {row.point_id: row for row in LatestValue.objects.filter(point__in={value.known.point_id for value in values})}
    fresh: list[Accepted] = []
    older: list[Accepted] = []
    seen: set[tuple[int, RawReading]] = set()
    repeated = 0
    for value in values:
        latest = newest.get(value.known.point_id)
        identity = (value.known.point_id, value.reading)
        if identity in seen or (latest is not None and _is_repeat(value, latest, received)):
            repeated += 1
        elif latest is not None and value.t < latest.source_time:
            older.append(value)
        else:
            fresh.append(value)
        seen.add(identity)
    late = _without_kept(older)
    return fresh, late, repeated + len(older) - len(late)


def _is_repeat(value: Accepted, latest: LatestValue, received: datetime) -> bool:
    if value.t != latest.source_time:
        return False
    measurement = normalise(value.reading, value.known.spec, received=received, simulated=False)
    if (measurement.value, measurement.text) != (latest.value, latest.text):
        return False
    kept = latest.unpacked_quality
    # Marked old meanwhile: that is our doing and says nothing about what was sent.
    return Flag.OLD in kept.flags or (measurement.quality.validity, measurement.quality.flags) == (kept.validity, kept.flags)


def _without_kept(older: list[Accepted]) -> list[Accepted]:
    """The late values that the history does not hold yet."""
    if not older:
        return []
    points = list(Point.objects.filter(pk__in={value.known.point_id for value in older}))
    start, end = min(value.t for value in older), max(value.t for value in older) + timedelta(microseconds=1)
    rows = read_samples(points, start, end, limit=LOOK_BACK)
    kept = {(row.point_id, row.source_time, row.value) for row in rows}
    return [value for value in older if (value.known.point_id, value.t, _engineering(value)) not in kept]


def _engineering(value: Accepted) -> float | None:
    raw = value.reading.value
    return value.known.spec.from_wire(raw) if isinstance(raw, float) else None


def _put(door: Ingest, values: Sequence[Accepted], received: datetime) -> None:
    by_device: dict[str, list[RawReading]] = {}
    for value in values:
        by_device.setdefault(value.device, []).append(value.reading)
    try:
        acknowledgements = [door.put(device, readings, received) for device, readings in by_device.items()]
        for acknowledgement in acknowledgements:
            acknowledgement.result(COMMIT_WITHIN_S)
    except (FieldError, DatabaseError, TimeoutError) as error:
        log.warning("message not acknowledged: %s", error)
        raise Problem(503, "unavailable", "The values could not be stored just now: send them again.", wait_s=5) from error
