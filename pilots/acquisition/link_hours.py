"""What each link achieved in each hour, for the quality-of-service sheet. [station]

Seconds in each state, and the growth of its connection's counters. Kept in memory and added to the hour's row twice a
minute: a gateway that dies loses half a minute, which the sheet shows as not observed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from django.db import transaction

from pilots.acquisition.link_quality import ConnectionFigures
from pilots.domain.topology import LinkState
from pilots.models import LinkHour

WRITE_EVERY = timedelta(seconds=30)
#: A longer pause between two looks was no observation.
LONGEST_LOOK_S = 15.0


@dataclass(slots=True)
class Growth:
    """What is to be added to one link's hour; round trips are summed with their requests as weights."""

    up_s: float = 0.0
    degraded_s: float = 0.0
    down_s: float = 0.0
    unknown_s: float = 0.0
    requests: int = 0
    lost: int = 0
    retries: int = 0
    reconnects: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    weighed_p50_s: float = 0.0
    weighed_p95_s: float = 0.0
    weight: int = 0


class LinkHours:
    """Adds up what the link watch sees."""

    def __init__(self) -> None:
        self._grown: dict[tuple[int, datetime], Growth] = {}
        self._before: dict[str, Mapping[str, int]] = {}
        self._seen_at: datetime | None = None
        self._written_at: datetime | None = None

    def note(self, links: Sequence[tuple[int, LinkState, ConnectionFigures | None]], now: datetime) -> None:
        """These links were in these states since the last look."""
        span_s = 0.0 if self._seen_at is None else (now - self._seen_at).total_seconds()
        self._seen_at = now
        if 0 < span_s <= LONGEST_LOOK_S:
            hour = now.replace(minute=0, second=0, microsecond=0)
            for link, state, figures in links:
                growth = self._grown.setdefault((link, hour), Growth())
                setattr(growth, f"{state}_s", getattr(growth, f"{state}_s") + span_s)
                if figures is not None:
                    self._add(growth, figures)
        self._before = {figures.name: figures.counters for _, _, figures in links if figures is not None}
        if self._written_at is None:
            self._written_at = now
        if now - self._written_at >= WRITE_EVERY:
            self._written_at = now
            self.write()

    def _add(self, growth: Growth, figures: ConnectionFigures) -> None:
        grown = growth_of(self._before.get(figures.name), figures.counters)
        growth.requests += grown["sent"]
        growth.lost += grown["lost"]
        for name in ("retries", "reconnects", "sent_bytes", "received_bytes"):
            setattr(growth, name, getattr(growth, name) + grown[name])
        if figures.p50_ms is not None and figures.p95_ms is not None and grown["sent"]:
            growth.weighed_p50_s += figures.p50_ms / 1000 * grown["sent"]
            growth.weighed_p95_s += figures.p95_ms / 1000 * grown["sent"]
            growth.weight += grown["sent"]

    @transaction.atomic
    def write(self) -> None:
        """The hours' rows hold what was noted so far."""
        grown, self._grown = self._grown, {}
        hours = {hour for _, hour in grown}
        rows = {(row.link_id, row.hour): row for row in LinkHour.objects.filter(hour__in=hours)}
        new = [LinkHour(link_id=link, hour=hour) for link, hour in grown if (link, hour) not in rows]
        for row in new:
            rows[row.link_id, row.hour] = row
        for key, growth in grown.items():
            _grow(rows[key], growth)
        LinkHour.objects.bulk_create(new)
        names = [field.name for field in LinkHour._meta.fields if field.name not in ("id", "link", "hour")]
        LinkHour.objects.bulk_update([row for key, row in rows.items() if key in grown and row not in new], names)


def growth_of(before: Mapping[str, int] | None, after: Mapping[str, int]) -> dict[str, int]:
    """How much each counter rose; a counter below its former value began anew with another gateway.

    >>> growth_of({"sent": 5}, {"sent": 7}), growth_of({"sent": 5}, {"sent": 3}), growth_of(None, {"sent": 3})
    ({'sent': 2}, {'sent': 3}, {'sent': 0})
    """
    if before is None:
        return dict.fromkeys(after, 0)
    return {name: value - before.get(name, 0) if value >= before.get(name, 0) else value for name, value in after.items()}


def _grow(row: LinkHour, growth: Growth) -> None:
    weight = row.requests
    for each in fields(growth):
        if hasattr(row, each.name):
            setattr(row, each.name, getattr(row, each.name) + getattr(growth, each.name))
    for name, weighed in (("round_trip_p50_s", growth.weighed_p50_s), ("round_trip_p95_s", growth.weighed_p95_s)):
        if growth.weight:
            known = getattr(row, name)
            mean = weighed / growth.weight
            share = growth.weight / (weight + growth.weight) if known is not None else 1.0
            setattr(row, name, mean if known is None else known + (mean - known) * share)
