"""What every page shows of alarms: the strip's counts and first row, and a device's own on its faceplate."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Max, QuerySet

from pilots.alarms.selectors import ANNOUNCED, OPEN, WAITING, Tally, counts, seen_at, urgent_first
from pilots.domain.alarm import AlarmState
from pilots.models import Alarm, Pilot, Role, User
from pilots.models.access import Rights
from pilots.ui.alarm_rows import AGES, PRIORITY_WORDS, alarm_row, glyph


def strip_of(rights: Rights, pilots: Iterable[Pilot], now: datetime) -> dict[str, Any]:
    """Counts by priority, the most urgent one nobody has seen, and what sounds here; without alarms it costs two queries."""
    alarms = seen_at(pilots)
    tallies = [tally for tally in counts(alarms) if tally.all]
    waiting = sum(tally.new for tally in tallies)
    told = {"counts": [_tally(tally) for tally in tallies], "waiting": waiting, "sounds": "", "first": None, "last": None}
    told["ages"] = "|".join(map(str, AGES.values()))
    if waiting:
        return told | _most_urgent(rights, urgent_first(alarms.filter(ANNOUNCED, WAITING)), now)
    if not tallies:
        told["last"] = alarms.aggregate(at=Max("returned_at"))["at"]
    return told


def _tally(tally: Tally) -> dict[str, Any]:
    drawn = glyph(tally.priority, "unack" if tally.new else "active", "")
    return {"glyph": drawn, "all": tally.all, "new": tally.new, "words": PRIORITY_WORDS[tally.priority]}


def _most_urgent(rights: Rights, new: QuerySet[Alarm], now: datetime) -> dict[str, Any]:
    answered = [pilot.pk for pilot in rights.pilots_where(Role.OPERATOR, Role.ENGINEER)]
    first = new.first()
    sounding = new.filter(pilot__in=answered, state=AlarmState.UNACKNOWLEDGED).values_list("priority", flat=True).first()
    row = first and alarm_row(first, now, may_answer=first.pilot_id in answered, may_return=False)
    return {"first": row, "sounds": sounding or ""}


def device_alarms(device: int, user: User, pilot: Pilot, now: datetime) -> list[dict[str, Any]]:
    """The open alarms of a device, for its faceplate."""
    may = user.has_role(Role.OPERATOR, pilot) or user.has_role(Role.ENGINEER, pilot)
    rows = urgent_first(seen_at([pilot]).filter(OPEN, device=device))[:20]
    return [alarm_row(alarm, now, may_answer=may, may_return=may) for alarm in rows]
