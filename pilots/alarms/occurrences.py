"""Alarms come and go: rows of occurrences, written here for whoever has seen a condition turn. [operation]

Two processes may see the same: a rule has one open occurrence, the database sees to it, and rules are locked while they turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.db import transaction

from pilots.alarms.first_out import find_leaders
from pilots.alarms.statements import open_of
from pilots.audit.services import record_event
from pilots.domain.alarm import CHATTER_SHELF, CHATTER_TIMES, REPEAT, AlarmEvent, AlarmState, Chatter, Hidden, next_alarm_state
from pilots.journal.services import of_alarm, record
from pilots.live.frames import Change
from pilots.live.hub import hub
from pilots.models import Alarm, AlarmRule
from pilots.models.alarms import locked_rules

T = TypeVar("T")
#: So many rows a statement: SQLite bounds its parameters.
AT_ONCE = 500
CHATTER = "chatter"


@dataclass(frozen=True, slots=True)
class Coming:
    """The condition of a rule came; `cause` is the alarm that asks for it too."""

    rule: int
    at: datetime
    value: float | None = None
    limit: float | None = None
    detail: str = ""
    cause: UUID | None = None


@dataclass(frozen=True, slots=True)
class Going:
    """The condition of a rule is gone."""

    rule: int
    at: datetime


def alarms_topic(pilot: str) -> str:
    """The live channel that tells that a pilot's alarms changed."""
    return f"{pilot}/alarms"


@transaction.atomic(savepoint=False)  # whoever goes on after a failure has a savepoint of their own
def turn(comings: Sequence[Coming], goings: Sequence[Going], *, now: datetime) -> None:
    """The table holds what came and what went; pages hear of it after the commit."""
    rules: dict[int, AlarmRule] = {}
    turned = {coming.rule for coming in comings} | {going.rule for going in goings}
    for keys in _chunks(sorted(turned)):
        rules |= locked_rules(keys)
    for coming in _chunks([coming for coming in comings if coming.rule in rules and rules[coming.rule].enabled]):
        _raise(coming, rules, now)
    for going in _chunks([going for going in goings if going.rule in rules]):
        _return(going, rules, now)
    tell(rule.pilot.code for rule in rules.values())


def tell(pilots: Iterable[str]) -> None:
    """Pages look again once the transaction commits."""
    codes = sorted(set(pilots))
    if codes:
        news = [Change(alarms_topic(code)) for code in codes]
        # A page that cannot be told is no reason to call a flush that is committed a failure.
        transaction.on_commit(lambda: hub(settings.REDIS_URL).publish(news), robust=True)


def _raise(comings: Sequence[Coming], rules: Mapping[int, AlarmRule], now: datetime) -> None:
    known = _latest_of({coming.rule for coming in comings}, now)
    chosen = sorted(comings, key=lambda coming: coming.at)
    again = [
        _come_again(known[c.rule], rules[c.rule], c, now) for c in chosen if c.rule in known and not _is_active(known[c.rule])
    ]
    new = [_occurrence(rules[coming.rule], coming, now) for coming in chosen if coming.rule not in known]
    find_leaders(new)
    # No other process raises the same: the rules are locked.
    Alarm.objects.bulk_create(new)
    columns = ["state", "hidden", "cause_id", "raised_at", "returned_at", "closed_at", "value", "detail", "times"]
    _update(again, [*columns, "recent_times", "recent_since", "changed_at"])
    raised = [*new, *again]
    record(of_alarm(each, "raised", pilot=rules[each.rule_id or 0].pilot.code, at=each.raised_at) for each in raised)


def _return(goings: Sequence[Going], rules: Mapping[int, AlarmRule], now: datetime) -> None:
    moments = {going.rule: going.at for going in goings}
    gone = [alarm for alarm in open_of(moments) if _is_active(alarm)]
    for alarm in gone:
        rule = rules[alarm.rule_id or 0]
        alarm.state = next_alarm_state(
            AlarmState(alarm.state), AlarmEvent.RETURN, latched=rule.latched, hidden=bool(alarm.hidden)
        )
        alarm.returned_at, alarm.changed_at = moments[rule.pk], now
        alarm.closed_at = now if alarm.state == AlarmState.NORMAL else None
    _update(gone, ["state", "returned_at", "closed_at", "changed_at"])
    record(of_alarm(each, "returned", pilot=rules[each.rule_id or 0].pilot.code, at=each.returned_at or now) for each in gone)


def _update(alarms: Sequence[Alarm], columns: Sequence[str]) -> None:
    """One is told sooner by a plain statement."""
    if len(alarms) == 1:
        Alarm.objects.filter(pk=alarms[0].pk).update(**{name: getattr(alarms[0], name) for name in columns})
    else:
        Alarm.objects.bulk_update(alarms, columns)


def _latest_of(rules: set[int], now: datetime) -> dict[int, Alarm]:
    """By rule: the open occurrence, else the one that ended a moment ago."""
    # An open one last, so that it counts.
    known = sorted(
        open_of(rules, returned_after=now - REPEAT), key=lambda alarm: (alarm.closed_at is None, alarm.returned_at or now)
    )
    return {alarm.rule_id or 0: alarm for alarm in known}


def _is_active(alarm: Alarm) -> bool:
    return AlarmState(alarm.state).is_active


def _occurrence(rule: AlarmRule, coming: Coming, now: datetime) -> Alarm:
    return Alarm(
        rule=rule,
        pilot=rule.pilot,
        device_id=rule.device_id,
        subject=rule.subject,
        kind=rule.kind,
        priority=rule.priority,
        what=rule.what,
        detail=coming.detail[:300],
        value=coming.value,
        limit=coming.limit,
        unit=rule.point.unit if rule.point is not None else "",
        state=AlarmState.UNACKNOWLEDGED,
        hidden=_hidden(rule, coming),
        cause_id=coming.cause,
        raised_at=coming.at,
        recent_since=coming.at,
        changed_at=now,
    )


def _come_again(alarm: Alarm, rule: AlarmRule, coming: Coming, now: datetime) -> Alarm:
    """The same occurrence goes on: seen ones that ended a moment ago do not ask a second time."""
    seen = alarm.closed_at is not None and not alarm.hidden
    state = next_alarm_state(AlarmState(alarm.state), AlarmEvent.RAISE)
    chatter = Chatter(alarm.recent_times, alarm.recent_since).again(coming.at)
    if chatter.is_chatter and not rule.hidden:
        _shelve_chatter(rule, now)
    alarm.state = AlarmState.ACKNOWLEDGED if seen else state
    alarm.raised_at, alarm.returned_at, alarm.closed_at, alarm.changed_at = coming.at, None, None, now
    alarm.value, alarm.detail, alarm.cause_id = coming.value, coming.detail[:300], coming.cause
    alarm.hidden = _hidden(rule, coming)
    alarm.times, alarm.recent_times, alarm.recent_since = alarm.times + 1, chatter.times, chatter.since
    return alarm


def _hidden(rule: AlarmRule, coming: Coming) -> str:
    return rule.hidden or (Hidden.MEMBER.value if coming.cause is not None else "")


def _shelve_chatter(rule: AlarmRule, now: datetime) -> None:
    """Nobody can answer what comes and goes all the time: silent for a while, and said so."""
    rule.hidden, rule.hidden_by, rule.hidden_at, rule.hidden_until = Hidden.SHELVED, CHATTER, now, now + CHATTER_SHELF
    rule.hidden_reason = f"Came {CHATTER_TIMES} times in a few minutes."
    rule.save(update_fields=["hidden", "hidden_by", "hidden_at", "hidden_until", "hidden_reason"])
    record_hiding(rule, "shelve alarm", now=now)


def record_hiding(rule: AlarmRule, action: str, *, now: datetime) -> None:
    """The audit trail has what no person did: who hid or returned the rule's alarm, and why."""
    details = {"what": rule.what, "kind": rule.kind, **({"until": rule.hidden_until.isoformat()} if rule.hidden_until else {})}
    told = {"actor": rule.hidden_by, "subject": rule.subject, "reason": rule.hidden_reason}
    record_event(at=now, action=action, pilot=rule.pilot.code, details=details, **told)


def _chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]
