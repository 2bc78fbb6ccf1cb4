"""What every page shows of alarms: the strip's counts and first row, and a device's own on its faceplate."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pilots.alarms.selectors import ANNOUNCED, OPEN, WAITING, counts, seen_at, urgent_first
from pilots.domain.alarm import AlarmState
from pilots.models import Pilot, Role, User
from pilots.ui.alarm_rows import PRIORITY_WORDS, alarm_row, glyph


def strip_of(user: User, now: datetime) -> dict[str, Any]:
    """Counts by priority, the most urgent one nobody has seen, and what sounds here."""
    pilots = list(user.visible_pilots())
    alarms = seen_at(pilots)
    tallies = counts(alarms)
    answered = {pilot.pk for pilot in pilots_of(user, Role.OPERATOR, Role.ENGINEER)}
    new = urgent_first(alarms.filter(ANNOUNCED, WAITING))
    first = new.order_by("priority", "-raised_at").first()
    sounding = new.filter(pilot__in=answered, state=AlarmState.UNACKNOWLEDGED).order_by("priority").first()
    last = (
        None if any(each.all for each in tallies) else alarms.filter(returned_at__isnull=False).order_by("-returned_at").first()
    )
    return {
        "counts": [
            {
                "glyph": glyph(each.priority, "unack" if each.new else "active", ""),
                "all": each.all,
                "new": each.new,
                "words": PRIORITY_WORDS[each.priority],
            }
            for each in tallies
            if each.all
        ],
        "first": first and alarm_row(first, now, may_answer=first.pilot_id in answered, may_return=False),
        "waiting": sum(each.new for each in tallies),
        "sounds": "" if sounding is None else sounding.priority,
        "last": last,
    }


def device_alarms(device: int, user: User, pilot: Pilot, now: datetime) -> list[dict[str, Any]]:
    """The open alarms of a device, for its faceplate."""
    may = user.has_role(Role.OPERATOR, pilot) or user.has_role(Role.ENGINEER, pilot)
    rows = urgent_first(seen_at([pilot]).filter(OPEN, device=device))[:20]
    return [alarm_row(alarm, now, may_answer=may, may_return=may) for alarm in rows]


def pilots_of(user: User, *roles: Role) -> list[Pilot]:
    """The pilots where this person acts as one of these roles."""
    seen, grants = user.visible_pilots(), user.grants.filter(role__in=roles)
    if user.is_superuser or grants.filter(pilot=None).exists():
        return list(seen)
    return list(seen.filter(pk__in=grants.values("pilot")))
