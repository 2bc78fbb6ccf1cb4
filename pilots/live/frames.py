"""Shapes of what a browser gets over `/ws/pilots/<code>/`, each encoded once. [operation]

A point row is `[device/point, value, quality, source_ms, received_ms, text?]`: quality packed as `domain.quality`, times
in milliseconds since 1970 UTC. A snapshot's rows carry `max_age_s` after the text, so that the page ages values by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from pilots.domain.measurement import Measurement

PointRow = list[Any]
LinkRow = list[Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What one flush or one transition changed at one pilot; lists of rows as in the module's head."""

    pilot: str
    points: Sequence[PointRow] = ()
    links: Sequence[LinkRow] = ()
    setpoints: Sequence[dict[str, Any]] = field(default_factory=tuple)


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970 UTC."""
    return int(moment.timestamp() * 1000)


def point_row(reference: str, measurement: Measurement) -> PointRow:
    """The row of a measurement; `reference` is `device/point`."""
    row = [
        reference,
        measurement.value,
        measurement.quality.pack(),
        milliseconds(measurement.source_time),
        milliseconds(measurement.received_time),
    ]
    return row if measurement.text is None else [*row, measurement.text]


def encode_frame(change: Change, *, epoch: str, n: int, now: datetime) -> str:
    """Frame `n` of a pilot in this hub's `epoch`."""
    body: dict[str, Any] = {"type": "frame", "pilot": change.pilot, "epoch": epoch, "n": n, "now_ms": milliseconds(now)}
    body |= {"points": change.points, "links": change.links, "setpoints": change.setpoints}
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
) -> str:
    """Everything a page needs to start, as of frame `n`."""
    body: dict[str, Any] = {"type": "snapshot", "pilot": pilot, "epoch": epoch, "n": n, "now_ms": milliseconds(now)}
    body |= {"points": list(points), "links": list(links), "setpoints": list(setpoints)}
    return orjson.dumps(body, default=str).decode()


def encode_beat(pilot: str, *, epoch: str, n: int, now: datetime) -> str:
    """A sign of life when nothing changed: a page that hears nothing for 5 s is not live."""
    body = {"type": "beat", "pilot": pilot, "epoch": epoch, "n": n, "now_ms": milliseconds(now)}
    return orjson.dumps(body).decode()
