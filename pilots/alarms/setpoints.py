"""A set-point that failed is an alarm in the transaction that fails it; `states` says when it is over. [operation]"""

from __future__ import annotations

from datetime import datetime

from pilots.alarms.occurrences import Coming, turn
from pilots.domain.alarm import AlarmKind
from pilots.models import AlarmRule


def raise_setpoint_alarm(point: int, sentence: str, *, now: datetime) -> None:
    """The alarm of the point stands, if it has such a rule."""
    rules = AlarmRule.objects.filter(point=point, kind=AlarmKind.SETPOINT_FAILED, enabled=True)
    comings = [Coming(key, now, detail=sentence) for key in rules.values_list("pk", flat=True)]
    if comings:
        turn(comings, [], now=now)
