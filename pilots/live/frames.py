"""Shapes of what a browser gets over `/ws/pilots/<code>/`, each encoded once. [operation]

A point row is `[device/point, value, quality, source_ms, received_ms, text?]`: quality packed as `domain.quality`, times
in milliseconds since 1970 UTC. A snapshot's rows carry `max_age_s` after the text, so that the page ages values by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import orjson

from pilots.domain.columns import Measurements

PointRow = list[Any]
LinkRow = list[Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What one flush or one transition changed at one pilot; lists of rows as in the module's head."""

    pilot: str
    points: Sequence[PointRow] = ()
    links: Sequence[LinkRow] = ()
    setpoints: Sequence[dict[str, Any]] = field(default_factory=tuple)
    guards: dict[str, Any] | None = None  # all of the pilot's, when one changed
    supply: dict[str, list[str]] | None = None  # `[live, dead or unknown, what it rests on, ...]` by section, when one changed

    @property
    def is_of_values(self) -> bool:
        """Nothing but measurements: of those a page wants the newest, not each."""
        return not (self.links or self.setpoints) and self.guards is None and self.supply is None

    def followed_by(self, later: Change) -> Change:
        """Both in one: of each point the later row."""
        points = {row[0]: row for row in (*self.points, *later.points)}
        return replace(later, points=list(points.values()))


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970 UTC."""
    return int(moment.timestamp() * 1000)


def point_rows(references: Sequence[str], measurements: Measurements) -> list[PointRow]:
    """The rows of measurements, `references` being `device/point` of each."""
    values = np.where(measurements.missing, None, measurements.value)  # type: ignore[call-overload]
    times = (measurements.source_us // 1000, measurements.received_us // 1000)
    columns = (column.tolist() for column in (values, measurements.quality, *times))
    rows = [list(row) for row in zip(references, *columns, strict=True)]
    for row in np.flatnonzero(measurements.text != None).tolist():  # noqa: E711  element by element
        rows[row].append(measurements.text[row])
    return rows


def encode_frame(change: Change, *, epoch: str, n: int, now: datetime) -> str:
    """Frame `n` of a pilot in this hub's `epoch`."""
    body: dict[str, Any] = {"type": "frame", "pilot": change.pilot, "epoch": epoch, "n": n, "now_ms": milliseconds(now)}
    body |= {"points": change.points, "links": change.links, "setpoints": change.setpoints}
    body |= {} if change.guards is None else {"guards": change.guards}
    body |= {} if change.supply is None else {"supply": change.supply}
    return orjson.dumps(body, default=str).decode()


def encode_snapshot(
    pilot: str,
    *,
    epoch: str,
    n: int,
    now: datetime,
    points: Iterable[PointRow],
    links: Iterable[LinkRow],
    setpoints: Iterable[dict[str, Any]],
    guards: dict[str, Any] | None = None,
    supply: dict[str, list[str]] | None = None,
    drawing: int | None = None,
) -> str:
    """Everything a page needs to start, as of frame `n`; `drawing`: the configuration's revision that its picture shows."""
    body: dict[str, Any] = {"type": "snapshot", "pilot": pilot, "epoch": epoch, "n": n, "now_ms": milliseconds(now)}
    body |= {"points": list(points), "links": list(links), "setpoints": list(setpoints)}
    more = {"guards": guards, "supply": supply, "drawing": drawing}
    body |= {name: part for name, part in more.items() if part is not None}
    return orjson.dumps(body, default=str).decode()


#: What tells of persons in set-points and guards; the words they wrote as reasons may.
_OF_PERSONS = ("owner", "reason", "requested_by", "request_reason", "explanation")


def without_names(text: str) -> str:
    """A frame or snapshot for a screen that anybody may read: who did what, and why, left out."""
    if '"guards"' not in text and '"setpoints":[{' not in text:
        return text
    body = orjson.loads(text)
    guards = body.get("guards", {})
    for row in (*body.get("setpoints", []), *(row for rows in guards.values() for row in rows)):
        row.pop("events", None)
        row |= {name: "–" for name in _OF_PERSONS if name in row}
    return orjson.dumps(body).decode()


def encode_beat(pilot: str, *, epoch: str, n: int, now: datetime) -> str:
    """A sign of life when nothing changed: a page that hears nothing for 5 s is not live."""
    body = {"type": "beat", "pilot": pilot, "epoch": epoch, "n": n, "now_ms": milliseconds(now)}
    return orjson.dumps(body).decode()
