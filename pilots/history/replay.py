"""A pilot's points as they stood at a moment of the past, from the samples that were kept. [operation]

A sample is kept on change and at least each `kept_every_s`, so the last one at or before the moment is the value of then; its
quality was kept with it, and where values stopped coming a sample marked old says so. Nobody marks anything while the program
itself is down: then the age tells, and at a pilot of which nothing was renewed the values that come on change only are old too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from pilots.domain.moments import microseconds, moment_of
from pilots.domain.quality import Flag, Validity
from pilots.models import Pilot, Point

#: Points that are renewed have a sample in the first, those that come on change only in the second; who has neither had no value.
NEAR, FAR = timedelta(days=1), timedelta(days=31)
#: States of links are kept once a minute; three missed ones are unknown.
LINK_STATE_S = 180.0
_OLD = int(Flag.OLD) << 5
#: "<= 0" where "= 0" is meant: PostgreSQL expects 1 row of 200 of an unknown equality, and compiles the statement for 80 ms.
_POSTGRESQL = """SELECT p.id, s.* FROM unnest(%s::int[]) AS p (id) CROSS JOIN LATERAL
(SELECT source_time, received_ms, value, quality FROM sample
WHERE point = p.id AND source_time > %s AND source_time <= %s AND (quality & %s) <= 0
ORDER BY source_time DESC, received_ms DESC LIMIT 1) AS s"""
_SQLITE = """SELECT p.value, source_time, received_ms, sample.value, quality FROM json_each(%s) AS p
JOIN sample ON sample.point = p.value AND sample.source_time = (SELECT source_time FROM sample
WHERE point = p.value AND source_time > %s AND source_time <= %s AND (quality & %s) <= 0 ORDER BY source_time DESC LIMIT 1)"""


@dataclass(slots=True)
class Held:
    """What a point showed at the moment. `max_age_s`: older than that it was not renewed in time, None where it need not be."""

    reference: str
    value: float | None
    quality: int
    source_time: datetime
    received_time: datetime
    max_age_s: float | None

    def row(self) -> list[Any]:
        """As a snapshot's point row (`live.frames`)."""
        times = (int(moment.timestamp() * 1000) for moment in (self.source_time, self.received_time))
        return [self.reference, self.value, self.quality, *times, None, self.max_age_s]


def values_at(pilot: Pilot, moment: datetime, *, kept_every_s: float) -> dict[str, Held]:
    """`device/point` -> what it showed at the moment; points without a value then are not in it."""
    columns = ("pk", "device__code", "name", "max_interval_s", "period_s")
    points = {row[0]: row for row in Point.objects.filter(device__pilot=pilot).values_list(*columns)}
    found = _last(list(points), moment - NEAR, moment)
    found |= _last([key for key in points if key not in found], moment - FAR, moment - NEAR)
    # The mark of an old value carries its own moment: the value itself came with the sample before it.
    marked = [key for key, row in found.items() if row[3] & _OLD]
    came = _last(marked, moment - FAR, moment, without=_OLD)
    held = {}
    for key, row in found.items():
        _, device, name, promised, period = points[key]
        interval_s = promised or period
        max_age_s = None if interval_s is None else 3.0 * interval_s + kept_every_s
        held[f"{device}/{name}"] = _held(f"{device}/{name}", row, came.get(key, row), max_age_s, moment)
    if not any(_is_renewed(each, moment) for each in held.values()):
        for each in held.values():
            each.quality = max(each.quality & 3, Validity.QUESTIONABLE) | each.quality & ~3 | _OLD
    return held


def _held(reference: str, row: Sequence[Any], came: Sequence[Any], max_age_s: float | None, moment: datetime) -> Held:
    source = came[0] if isinstance(came[0], datetime) else moment_of(int(came[0]))
    received = source + timedelta(milliseconds=came[1])
    # What was buffered and came later was measured then, and that is what the diagram should have shown.
    return Held(reference, row[2], int(row[3]), source, source if received > moment else received, max_age_s)


def _is_renewed(held: Held, moment: datetime) -> bool:
    tells_of_link = held.reference.partition("/")[2].startswith("comm_state")
    limit_s = LINK_STATE_S if tells_of_link else held.max_age_s
    return limit_s is not None and not held.quality & _OLD and (moment - held.received_time).total_seconds() <= limit_s


def _last(points: list[int], after: datetime, until: datetime, *, without: int = 0) -> dict[int, tuple[Any, ...]]:
    """Point -> its newest sample of (after, until] that has none of these quality bits."""
    if not points:
        return {}
    arguments: list[Any]
    if connection.vendor == "postgresql":
        sql, arguments = _POSTGRESQL, [points, after, until, without]
    else:
        sql, arguments = _SQLITE, [json.dumps(points), microseconds(after), microseconds(until), without]
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return {row[0]: row[1:] for row in cursor.fetchall()}
