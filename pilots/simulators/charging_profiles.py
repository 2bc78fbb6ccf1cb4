"""Charging profiles as a station keeps and applies them. [zone: field, simulated]

OCPP 1.6 edition 2, 3.13: within a purpose the highest stack level valid now wins; a TxProfile overrules the
TxDefaultProfile for its transaction; between those and the ChargePointMaxProfile the lower limit holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

MAX, DEFAULT, TX = "ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"
PHASE_VOLTAGE = 230.0
MAX_STACK_LEVEL = 8


class ProfileRejected(Exception):
    """The station does not take this profile."""


@dataclass(frozen=True, slots=True)
class ChargingProfile:
    """One installed profile; limits in its own unit."""

    id: int
    connector: int
    stack_level: int
    purpose: str
    transaction_id: int | None
    valid_from: datetime | None
    valid_to: datetime | None
    start: datetime
    duration_s: float | None
    unit: str
    periods: tuple[tuple[float, float, int], ...]  # start in s, limit, phases
    recurrence_s: float | None

    def limit_w(self, now: datetime) -> float | None:
        """W it allows at `now`, None when it does not apply then."""
        if (self.valid_from is not None and now < self.valid_from) or (self.valid_to is not None and now >= self.valid_to):
            return None
        elapsed = (now - self.start).total_seconds()
        if self.recurrence_s is not None:
            elapsed %= self.recurrence_s
        if elapsed < 0 or (self.duration_s is not None and elapsed >= self.duration_s):
            return None
        limit = None
        for start, value, phases in self.periods:
            if elapsed >= start:
                limit = value if self.unit == "W" else value * PHASE_VOLTAGE * phases
        return limit


def parse_profile(connector: int, raw: Mapping[str, Any], *, now: datetime, phases: int) -> ChargingProfile:
    """The profile of a SetChargingProfile. Raises ProfileRejected."""
    purpose, schedule = str(raw["charging_profile_purpose"]), raw["charging_schedule"]
    periods = tuple(
        (float(period["start_period"]), float(period["limit"]), int(period.get("number_phases") or phases))
        for period in schedule["charging_schedule_period"]
    )
    if not periods or periods[0][0] != 0:
        raise ProfileRejected("the first period does not start at 0")
    if purpose == MAX and connector != 0:
        raise ProfileRejected("a ChargePointMaxProfile belongs to connector 0")
    if int(raw["stack_level"]) > MAX_STACK_LEVEL:
        raise ProfileRejected(f"stack level above {MAX_STACK_LEVEL}")
    duration = schedule.get("duration")
    recurring = raw.get("charging_profile_kind") == "Recurring"
    return ChargingProfile(
        id=int(raw["charging_profile_id"]),
        connector=connector,
        stack_level=int(raw["stack_level"]),
        purpose=purpose,
        transaction_id=raw.get("transaction_id"),
        valid_from=_moment(raw.get("valid_from")),
        valid_to=_moment(raw.get("valid_to")),
        start=_moment(schedule.get("start_schedule")) or now,
        duration_s=None if duration is None else float(duration),
        unit=str(schedule["charging_rate_unit"]),
        periods=periods,
        recurrence_s=(604800.0 if raw.get("recurrency_kind") == "Weekly" else 86400.0) if recurring else None,
    )


class ProfileStore:
    """The profiles of one station."""

    def __init__(self) -> None:
        self.installed: list[ChargingProfile] = []

    def install(self, new: ChargingProfile) -> None:
        """The new profile has replaced the one of its id, and the one of its purpose, level and connector."""
        place = (new.purpose, new.stack_level, new.connector)
        self.installed = [
            old for old in self.installed if old.id != new.id and (old.purpose, old.stack_level, old.connector) != place
        ]
        self.installed.append(new)

    def clear(self, *, id: int | None, connector: int | None, purpose: str | None, stack_level: int | None) -> int:
        """How many went; None matches all."""

        def matches(profile: ChargingProfile) -> bool:
            if id is not None:
                return profile.id == id
            wanted = ((connector, profile.connector), (purpose, profile.purpose), (stack_level, profile.stack_level))
            return all(value is None or value == actual for value, actual in wanted)

        kept = [profile for profile in self.installed if not matches(profile)]
        gone, self.installed = len(self.installed) - len(kept), kept
        return gone

    def end_transaction(self) -> None:
        """TxProfiles have died with their transaction."""
        self.installed = [profile for profile in self.installed if profile.purpose != TX]

    def limit_w(self, connector: int, now: datetime, *, charging: bool) -> float | None:
        """The ceiling in force on a connector; None: there is none."""
        own = self._best(TX, (connector,), now) if charging else None
        if own is None:
            # A default of the connector itself replaces the one for all connectors.
            own = self._best(DEFAULT, (connector,), now)
        if own is None:
            own = self._best(DEFAULT, (0,), now)
        limits = [limit for limit in (own, self._best(MAX, (0,), now)) if limit is not None]
        return min(limits, default=None)

    def _best(self, purpose: str, connectors: tuple[int, ...], now: datetime) -> float | None:
        valid = [
            (profile.stack_level, limit)
            for profile in self.installed
            if profile.purpose == purpose and profile.connector in connectors and (limit := profile.limit_w(now)) is not None
        ]
        return max(valid)[1] if valid else None

    def composite(
        self, connector: int, now: datetime, duration_s: int, *, charging: bool, ceiling_w: float
    ) -> list[dict[str, float]]:
        """`chargingSchedulePeriod` of the coming seconds, in W, one period per change."""
        edges = sorted({0, *(math.ceil(offset) for offset in self._edges(now) if 0 < offset < duration_s)})
        periods: list[dict[str, float]] = []
        for offset in edges:
            limit = self.limit_w(connector, now + timedelta(seconds=offset), charging=charging)
            limit = round(ceiling_w if limit is None else min(limit, ceiling_w), 1)
            if not periods or periods[-1]["limit"] != limit:
                periods.append({"startPeriod": offset, "limit": limit})
        return periods

    def _edges(self, now: datetime) -> list[float]:
        edges: list[float] = []
        for profile in self.installed:
            moments = [profile.valid_from, profile.valid_to]
            edges += [(moment - now).total_seconds() for moment in moments if moment is not None]
            begin = (profile.start - now).total_seconds()
            edges += [begin + start for start, _, _ in profile.periods]
            edges += [begin + profile.duration_s] if profile.duration_s is not None else []
        return edges


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
