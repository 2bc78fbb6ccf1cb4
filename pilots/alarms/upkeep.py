"""What time does to alarms: shelves end, seen ones ask again, alarms of rules that are gone end. [operation]"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from pilots.alarms.occurrences import tell
from pilots.domain.alarm import AlarmState
from pilots.journal.services import of_alarm, record
from pilots.models import Alarm, AlarmRule, NotifiedAlarm
from pilots.models.alarms import locked_rules

#: What a rule says when it speaks again.
_OPEN_AGAIN = {"hidden": "", "hidden_until": None, "hidden_at": None, "hidden_by": "", "hidden_reason": ""}


@transaction.atomic
def keep_up(now: datetime) -> None:
    """Everything whose time has come has had its turn."""
    _end_shelves(now)
    _ask_again(now)
    _end_orphans(now)


def speak_again(rules: list[AlarmRule], *, now: datetime) -> None:
    """The rules' alarms ask for attention from now on, those that are there at once."""
    keys = [rule.pk for rule in rules]
    AlarmRule.objects.filter(pk__in=keys).update(**_OPEN_AGAIN)
    own = Alarm.objects.filter(rule__in=keys, closed_at=None)
    own.filter(cause=None).update(hidden="", changed_at=now)
    own.exclude(cause=None).update(hidden="member", changed_at=now)
    tell({rule.pilot.code for rule in rules})


def _end_shelves(now: datetime) -> None:
    over = AlarmRule.objects.filter(hidden_until__lte=now).exclude(hidden="")
    rules = locked_rules(over.values_list("pk", flat=True))
    # Prolonged meanwhile is not over.
    ended = [rule for rule in rules.values() if rule.hidden and rule.hidden_until is not None and rule.hidden_until <= now]
    if ended:
        speak_again(ended, now=now)


def _ask_again(now: datetime) -> None:
    seen = Alarm.objects.filter(state=AlarmState.ACKNOWLEDGED, closed_at=None, hidden="", rule__realarm_s__isnull=False)
    due = [
        alarm
        for alarm in seen.select_related("rule", "pilot")
        if alarm.rule and alarm.acknowledged_at and now - alarm.acknowledged_at >= timedelta(seconds=alarm.rule.realarm_s or 0)
    ]
    locked_rules(alarm.rule_id for alarm in due)
    Alarm.objects.filter(pk__in=[alarm.pk for alarm in due], state=AlarmState.ACKNOWLEDGED).update(
        state=AlarmState.UNACKNOWLEDGED, changed_at=now
    )
    # Everybody is told again, from the first to whom it escalates.
    NotifiedAlarm.objects.filter(alarm__in=due).delete()
    for alarm in due:
        alarm.state = AlarmState.UNACKNOWLEDGED
    record(of_alarm(alarm, "again", pilot=alarm.pilot.code, at=now) for alarm in due)
    tell({alarm.pilot.code for alarm in due})


def _end_orphans(now: datetime) -> None:
    """Nothing tells any more whether it is there: its rule is gone or off."""
    orphans = Alarm.objects.filter(Q(rule=None) | Q(rule__enabled=False), closed_at=None)
    rows = list(orphans.select_related("pilot"))
    if rows:
        locked_rules(alarm.rule_id for alarm in rows)
        list(orphans.filter(rule=None).order_by("pk").select_for_update(of=("self",)))  # these have no rule to lock
        orphans.filter(returned_at=None).update(returned_at=now)
        end(rows, now)
        tell({alarm.pilot.code for alarm in rows})


def end(alarms: list[Alarm], now: datetime) -> None:
    """They are over, whoever has seen them; the journal says so."""
    Alarm.objects.filter(pk__in=[alarm.pk for alarm in alarms]).update(state=AlarmState.NORMAL, closed_at=now, changed_at=now)
    for alarm in alarms:
        alarm.state = AlarmState.NORMAL
    record(of_alarm(alarm, "ended", pilot=alarm.pilot.code, at=now) for alarm in alarms)
