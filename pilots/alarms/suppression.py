"""Suppression by design: alarms that are silent while a condition on other points holds (ISA-18.2, 3.1). [operation]

The condition is an expression of `domain.interlock`. What is unknown, old or invalid suppresses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import transaction

from pilots.alarms.occurrences import record_hiding, tell
from pilots.alarms.upkeep import end, speak_again
from pilots.catalogue.alarm_rules import condition_references
from pilots.domain.alarm import AlarmState, Hidden
from pilots.domain.interlock import InterlockError, Reading, holds
from pilots.models import Alarm, AlarmRule, LatestValue
from pilots.models.alarms import locked_rules
from pilots.models.values import reading_of

BY_CONDITION = "condition"


def suppress_by_condition(now: datetime) -> int:
    """Rules whose condition holds are silent, those it has left speak again; returns how many changed."""
    rules = list(AlarmRule.objects.exclude(suppress_when="").select_related("device"))
    readings = _readings(rules, now) if rules else {}
    wrong = [rule.pk for rule in rules if _holds(rule, readings) != (rule.hidden_by == BY_CONDITION)]
    left = AlarmRule.objects.filter(hidden_by=BY_CONDITION, suppress_when="")
    wrong += left.values_list("pk", flat=True)
    return _change(wrong, readings, now) if wrong else 0


@transaction.atomic
def _change(keys: list[int], readings: Mapping[str, Reading], now: datetime) -> int:
    changed = 0
    for rule in locked_rules(keys).values():
        held = bool(rule.suppress_when) and rule.enabled and _holds(rule, readings)
        if held and not rule.hidden:
            _suppress(rule, now)
        elif not held and rule.hidden_by == BY_CONDITION:
            record_hiding(rule, "return suppressed alarm", now=now)
            speak_again([rule], now=now)
        else:
            continue  # somebody hid it otherwise: that is not ours to end
        changed += 1
    return changed


def _suppress(rule: AlarmRule, now: datetime) -> None:
    rule.hidden, rule.hidden_by, rule.hidden_at, rule.hidden_until = Hidden.SUPPRESSED, BY_CONDITION, now, None
    rule.hidden_reason = rule.suppress_when[:300]
    rule.save(update_fields=["hidden", "hidden_by", "hidden_at", "hidden_until", "hidden_reason"])
    own = Alarm.objects.filter(rule=rule, closed_at=None)
    own.update(hidden=Hidden.SUPPRESSED, changed_at=now)
    end(list(own.filter(state=AlarmState.RETURNED).select_related("pilot")), now)
    record_hiding(rule, "suppress alarm", now=now)
    tell([rule.pilot.code])


def _holds(rule: AlarmRule, readings: Mapping[str, Reading]) -> bool:
    own = rule.device.code if rule.device is not None else ""
    try:
        names = condition_references(rule.suppress_when, own)
        return holds(rule.suppress_when, {name: readings.get(full, Reading(None)) for name, full in names.items()})
    except InterlockError:
        return False


def _readings(rules: Iterable[AlarmRule], now: datetime) -> dict[str, Reading]:
    """By `device/point`, all that the conditions refer to."""
    wanted: set[str] = set()
    for rule in rules:
        try:
            wanted |= set(condition_references(rule.suppress_when, rule.device.code if rule.device is not None else "").values())
        except InterlockError:
            continue  # as if its values were missing
    devices, points = zip(*(name.split("/", 1) for name in wanted), strict=True) if wanted else ((), ())
    rows = LatestValue.objects.filter(point__device__code__in=devices, point__name__in=points).select_related("point__device")
    found = {f"{row.point.device.code}/{row.point.name}": row for row in rows}
    return {name: reading_of(row, now) for name, row in found.items() if name in wanted}
