"""What is energised, told in the same frame as the position or the voltage that changed it. [station]

Values of all workers meet in the latest values, so that is what the search reads; it runs only when a reading that it rests on
says something new: another position, a voltage come or gone, a value that grew old.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from django.db import DatabaseError

from pilots.acquisition.batch import Rows, changes_of
from pilots.acquisition.directory import PointTable
from pilots.domain.quality import Quality, Validity, aged
from pilots.domain.supply import NOTHING, Part, Section, Verdict, references_of, sections_of, supply
from pilots.domain.topology import DeviceKind
from pilots.live.frames import Change, PointRow, milliseconds
from pilots.models import Device, LatestValue, Point

log = logging.getLogger(__name__)
#: Measurements heard for the first time, after a start all of them, are searched together; positions and changes at once.
FIRST_S = 0.25
POSITION = "/position"
_NAMES = ("position", "voltage", "active_power")
#: As frames carry it: `[state, reference, ...]` by section.
SupplyRows = dict[str, list[str]]


@dataclass(slots=True)
class Network:
    """A pilot's sections, and the newest reading that this process heard of each they rest on, committed or not."""

    sections: dict[str, Section]
    heard: dict[str, PointRow] = field(default_factory=dict)
    watched: frozenset[str] = frozenset()
    #: Whether something was heard for the first time since the last search, and when that was (monotonic).
    unsearched: bool = True
    searched_s: float = -math.inf

    @classmethod
    def of(cls, pilot: str) -> Network:
        columns = ("code", "kind", "parent__code", "measured_by__code")
        rows = Device.objects.filter(pilot__code=pilot).values_list(*columns)
        parts = [Part(code, DeviceKind(kind), parent or "", meter or "") for code, kind, parent, meter in rows]
        points: dict[str, set[str]] = {}
        found = Point.objects.filter(device__pilot__code=pilot, name__in=_NAMES)
        for code, name in found.values_list("device__code", "name"):
            points.setdefault(code, set()).add(name)
        sections = sections_of(parts, points)
        return cls(sections, watched=frozenset(references_of(sections)))


def supply_rows(pilot: str, now: datetime) -> SupplyRows:
    """What is known of every section of a pilot now."""
    network = Network.of(pilot)
    return _encoded(supply(network.sections, _good(network, now)))


def supply_then(pilot: str, rows: Sequence[PointRow], at: datetime) -> SupplyRows:
    """What was known of every section at a moment of the past, by the point rows of a snapshot of then."""
    network = Network.of(pilot)
    limit_ms = {row[0]: row[6] for row in rows if len(row) > 6}
    young = [row for row in rows if limit_ms.get(row[0]) is None or milliseconds(at) - row[4] <= limit_ms[row[0]] * 1000]
    return _encoded(supply(network.sections, {row[0]: row[1] for row in young if row[0] in network.watched and _is_good(row)}))


class SupplyWatch:
    """Adds to changes what they mean for the supply; used by the writer's thread alone."""

    def __init__(self) -> None:
        self._points = PointTable()
        self._networks: dict[str, Network] = {}

    def told(self, shown: Rows) -> list[Change]:
        """What pages see, by pilot, with the pilot's supply where a reading it rests on says something new."""
        if shown.points is not self._points:
            self._points, self._networks = shown.points, {}
        return [self._told(change) for change in changes_of(shown)]

    def _told(self, change: Change) -> Change:
        try:
            network = self._networks.get(change.pilot) or self._networks.setdefault(change.pilot, Network.of(change.pilot))
            fresh = {row[0]: row for row in change.points if row[0] in network.watched}
            first = fresh.keys() - network.heard.keys()
            changed = any(
                ref.endswith(POSITION) if ref in first else _says(row) != _says(network.heard[ref]) for ref, row in fresh.items()
            )
            network.unsearched |= bool(first)
            network.heard |= fresh
            now_s = time.monotonic()
            if not changed and not (network.unsearched and now_s - network.searched_s >= FIRST_S):
                return change
            network.unsearched, network.searched_s = False, now_s
            return replace(change, supply=_encoded(supply(network.sections, _good(network, datetime.now(UTC)))))
        except DatabaseError as error:
            # The values are stored and go out; the next of them brings the supply too.
            log.warning("supply of %s waits for the database: %s", change.pilot, error)
            self._networks.pop(change.pilot, None)
            return change


def _says(row: PointRow) -> float | bool | None:
    """What of a reading the search looks at: a position, or whether there is anything; None where it is not good."""
    if not _is_good(row):
        return None
    return float(row[1]) if row[0].endswith(POSITION) else abs(row[1]) > NOTHING


def _is_good(row: PointRow) -> bool:
    return row[1] is not None and row[2] & 3 == Validity.GOOD


def _good(network: Network, now: datetime) -> dict[str, float]:
    """The values of the good readings that the sections rest on: the database's, and what was heard and is newer."""
    devices = {reference.partition("/")[0] for reference in network.watched}
    rows = LatestValue.objects.filter(point__device__code__in=devices, point__name__in=_NAMES)
    columns = (
        "point__device__code",
        "point__name",
        "value",
        "quality",
        "received_time",
        "point__max_interval_s",
        "point__period_s",
    )
    newest = dict(network.heard)
    for device, name, value, packed, received, promised, period in rows.values_list(*columns):
        reference, interval, received_ms = f"{device}/{name}", promised or period, milliseconds(received)
        if reference in network.watched and (reference not in newest or newest[reference][4] <= received_ms):
            quality = aged(Quality.unpack(packed), received=received, max_age_s=interval and 3.0 * interval, now=now)
            newest[reference] = [reference, value, quality.pack(), 0, received_ms]
    return {reference: row[1] for reference, row in newest.items() if _is_good(row)}


def _encoded(verdicts: Mapping[str, Verdict]) -> SupplyRows:
    return {key: [verdict.state.value, *verdict.basis] for key, verdict in verdicts.items()}
