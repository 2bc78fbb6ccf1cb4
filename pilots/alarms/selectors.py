"""Alarms as people and machines look at them: open ones in the order of their urgency, all of them by time. [operation]"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, Q, QuerySet, Value, When

from pilots.domain.alarm import AlarmState, Hidden, Priority
from pilots.models import Alarm, AlarmRule, Pilot

#: What asks for attention: open, and neither hidden nor a member of another.
ANNOUNCED = Q(closed_at=None, hidden="")
WAITING = Q(state__in=[AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED])
OPEN = Q(closed_at=None)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of a priority ask for attention, and how many of them nobody has seen."""

    priority: Priority
    all: int
    new: int


def seen_at(pilots: Iterable[Pilot]) -> QuerySet[Alarm]:
    """The alarms of these pilots with what their rows show."""
    return Alarm.objects.filter(pilot__in=pilots).select_related("pilot", "device", "rule", "led_by")


def urgent_first(alarms: QuerySet[Alarm]) -> QuerySet[Alarm]:
    """New first, then by priority, what is still there before what has returned, then newest."""
    new = Case(When(WAITING, then=Value(0)), default=Value(1))
    gone = Case(When(returned_at=None, then=Value(0)), default=Value(1))
    return alarms.order_by(new, "priority", gone, "-raised_at", "pk")


def counts(alarms: QuerySet[Alarm]) -> list[Tally]:
    """By priority, most urgent first."""
    rows = alarms.filter(ANNOUNCED).order_by().values("priority").annotate(all=Count("pk"), new=Count("pk", filter=WAITING))
    found = {row["priority"]: row for row in rows}
    return [Tally(each, found[each]["all"], found[each]["new"]) if each in found else Tally(each, 0, 0) for each in Priority]


def hidden_rules(pilots: Iterable[Pilot]) -> QuerySet[AlarmRule]:
    """What does not ask although it may be there: shelved, suppressed, out of service."""
    rules = AlarmRule.objects.filter(pilot__in=pilots).exclude(hidden="")
    return rules.select_related("pilot", "device").order_by("priority", "subject")


def worst_by_device(pilot: Pilot) -> dict[str, list[Any]]:
    """Device -> [priority, state] of its most urgent alarm that asks for attention."""
    rows = urgent_first(Alarm.objects.filter(ANNOUNCED, pilot=pilot, device__isnull=False))
    found: dict[str, list[Any]] = {}
    for code, priority, state in rows.values_list("device__code", "priority", "state"):
        if code not in found or priority < found[code][0]:
            found[code] = [priority, state]
    return found


def figures(alarms: QuerySet[Alarm], now: datetime) -> Mapping[str, Any]:
    """Key figures of EEMUA 191 / IEC 62682 over what was announced: rates, most frequent, stale."""
    told = alarms.filter(hidden="")
    day = told.filter(raised_at__gt=now - timedelta(days=1))
    often = day.order_by().values("subject", "what").annotate(n=Count("pk")).order_by("-n", "subject").first()
    waits = [
        (seen - raised).total_seconds()
        for seen, raised in day.filter(acknowledged_at__isnull=False).values_list("acknowledged_at", "raised_at")[:1000]
        if seen is not None
    ]
    return {
        "last_10_min": told.filter(raised_at__gt=now - timedelta(minutes=10)).count(),
        "last_day": day.count(),
        "day_before": told.filter(raised_at__gt=now - timedelta(days=2), raised_at__lte=now - timedelta(days=1)).count(),
        "most_often": often,
        "median_to_acknowledge_s": sorted(waits)[len(waits) // 2] if waits else None,
        "stale": told.filter(OPEN, raised_at__lte=now - timedelta(days=1)).count(),
    }


def members_of(alarms: Iterable[Alarm], *, most: int) -> dict[Any, list[Alarm]]:
    """Cause -> its open members, at most so many of each."""
    keys = [alarm.pk for alarm in alarms]
    found: dict[Any, list[Alarm]] = {}
    rows = (
        Alarm.objects.filter(OPEN, cause__in=keys, hidden=Hidden.MEMBER).select_related("device").order_by("raised_at", "subject")
    )
    for alarm in rows[: most * max(1, len(keys))]:
        own = found.setdefault(alarm.cause_id, [])
        if len(own) < most:
            own.append(alarm)
    return found
