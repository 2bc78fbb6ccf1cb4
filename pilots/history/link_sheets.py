"""The quality-of-service sheet of a pilot: what each link should achieve in a month and what it did (D7.1 1). [operation]"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import F, FloatField, Sum
from django.db.models.functions import Cast

from pilots.domain.media import medium_of
from pilots.models import Link, LinkHour, Pilot

SHEET_HEADER = [
    "letter", "from", "to", "protocol", "medium", "role",
    "availability_target_percent", "availability_percent", "observed_percent",
    "round_trip_p95_target_s", "round_trip_p50_s", "round_trip_p95_s",
    "loss_target_percent", "loss_percent", "requests", "lost", "retries", "reconnects", "sent_bytes", "received_bytes",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetRow:
    """One link's month; shares in per cent, None where nothing was measured or nothing can be asked."""

    link: Link
    availability_target: float | None
    availability: float | None
    observed: float
    round_trip_target_s: float | None
    round_trip_p50_s: float | None
    round_trip_p95_s: float | None
    loss_target: float | None
    loss: float | None
    requests: int
    lost: int
    retries: int
    reconnects: int
    sent_bytes: int
    received_bytes: int

    @property
    def misses(self) -> list[str]:
        """Which targets were missed: availability, round_trip, loss."""
        pairs = {
            "availability": (self.availability_target, self.availability),
            "round_trip": (self.round_trip_p95_s, self.round_trip_target_s),
            "loss": (self.loss, self.loss_target),
        }
        return [name for name, (more, less) in pairs.items() if more is not None and less is not None and more > less]

    @property
    def p50_ms(self) -> str:
        """For the page: whole milliseconds, a dash where nothing was measured."""
        return _whole_ms(self.round_trip_p50_s)

    @property
    def p95_ms(self) -> str:
        return _whole_ms(self.round_trip_p95_s)

    @property
    def target_ms(self) -> str:
        return _whole_ms(self.round_trip_target_s)

    @property
    def loss_target_words(self) -> str:
        """In per cent; a fibre's is too small for the column's three decimals, and not zero."""
        if self.loss_target is None:
            return "–"
        return f"{self.loss_target:.3f}" if self.loss_target >= 0.0005 else "< 0.001"

    @property
    def cells(self) -> list[object]:
        """The row under `SHEET_HEADER`; what was not measured is empty."""
        link = self.link
        cells: list[object] = [link.letter, link.end_a.code, link.end_b.code, link.protocol, link.medium, link.role]
        cells += [self.availability_target, self.availability, self.observed]
        cells += [self.round_trip_target_s, self.round_trip_p50_s, self.round_trip_p95_s, self.loss_target, self.loss]
        cells += [self.requests, self.lost, self.retries, self.reconnects, self.sent_bytes, self.received_bytes]
        return ["" if cell is None else round(cell, 6) if isinstance(cell, float) else cell for cell in cells]


def _whole_ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.0f}"


def month_of(pilot: Pilot, year: int, month: int) -> tuple[datetime, datetime]:
    """[start, end) in UTC of a month of the pilot's own clock."""
    zone = ZoneInfo(pilot.time_zone)
    start = datetime(year, month, 1, tzinfo=zone)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
    return start.astimezone(UTC), end.astimezone(UTC)


def month_sheet(pilot: Pilot, year: int, month: int, *, now: datetime) -> list[SheetRow]:
    """Every link of the pilot that a medium carries, by letter; a month that still runs is measured up to now."""
    start, end = month_of(pilot, year, month)
    span_s = max((min(end, now) - start).total_seconds(), 1.0)
    sums = {row["link"]: row for row in _sums(pilot, start, end)}
    links = Link.objects.filter(pilot=pilot).select_related("end_a", "end_b").order_by("letter", "id")
    return [_row(link, sums.get(link.pk, {}), span_s) for link in links if medium_of(link.medium) is not None]


def _sums(pilot: Pilot, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    names = ("up_s", "degraded_s", "down_s", "requests", "lost", "retries", "reconnects", "sent_bytes", "received_bytes")
    totals = {name: Sum(name) for name in names}
    hours = LinkHour.objects.filter(link__pilot=pilot, hour__gte=start, hour__lt=end).order_by()
    requests = Cast(F("requests"), FloatField())
    weighed = {f"weighed_{p}": Sum(F(f"round_trip_{p}_s") * requests) for p in ("p50", "p95")}
    timed = hours.filter(round_trip_p50_s__isnull=False).values("link").annotate(weight=Sum("requests"), **weighed)
    trips = {row["link"]: row for row in timed}
    for row in hours.values("link").annotate(**totals):
        yield dict(row) | dict(trips.get(row["link"], {}))


def _row(link: Link, sums: dict[str, Any], span_s: float) -> SheetRow:
    medium = medium_of(link.medium)
    assert medium is not None  # noqa: S101  the caller left the others out
    up_s, down_s = sums.get("up_s", 0.0) + sums.get("degraded_s", 0.0), sums.get("down_s", 0.0)
    watched_s, requests, weight = up_s + down_s, sums.get("requests", 0), sums.get("weight") or 0
    return SheetRow(
        link=link,
        availability_target=medium.availability if link.target_availability is None else link.target_availability,
        availability=100 * up_s / watched_s if watched_s else None,
        observed=min(100.0, 100 * watched_s / span_s),
        round_trip_target_s=medium.round_trip_p95_s if link.target_round_trip_s is None else link.target_round_trip_s,
        round_trip_p50_s=sums["weighed_p50"] / weight if weight else None,
        round_trip_p95_s=sums["weighed_p95"] / weight if weight else None,
        loss_target=200 * medium.loss,
        loss=100 * sums["lost"] / requests if requests else None,
        requests=int(requests),
        lost=int(sums.get("lost", 0)),
        retries=int(sums.get("retries", 0)),
        reconnects=int(sums.get("reconnects", 0)),
        sent_bytes=int(sums.get("sent_bytes", 0)),
        received_bytes=int(sums.get("received_bytes", 0)),
    )
