"""What people do about alarms: acknowledge, shelve, take out of service, return. Each deed is audited. [operation]

Who may, decide the callers (pages by role, the API by scope and reach), as they do for set-points.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from pilots.alarms.occurrences import AT_ONCE, tell
from pilots.alarms.suppression import BY_CONDITION
from pilots.alarms.upkeep import end, speak_again
from pilots.audit.services import audited, record_event, record_events
from pilots.domain.alarm import AlarmEvent, AlarmState, Hidden, next_alarm_state
from pilots.domain.errors import PilotsError
from pilots.journal.services import of_alarm, record
from pilots.models import Alarm, AlarmRule, JournalEntry
from pilots.models.alarms import locked_rules

#: No shift shelves for the next but one.
LONGEST_SHELF = timedelta(hours=24)
WAITING = [AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED]


class AlarmRefused(PilotsError):
    """An alarm cannot be answered like this; the sentence says why."""

    code = "alarm"


def acknowledge(keys: Collection[UUID], *, among: QuerySet[Alarm], by: str, comment: str, now: datetime) -> list[Alarm]:
    """Those of the alarms that wait for it have been seen; active ones stay until they return. One event each.

    Raises AlarmRefused when none of them waits.
    """
    if len(keys) > AT_ONCE:
        raise AlarmRefused(f"At most {AT_ONCE} alarms are acknowledged at once.")
    with audited():
        waiting = among.filter(pk__in=list(keys), state__in=WAITING, closed_at=None).order_by("pk")
        locked_rules(waiting.values_list("rule_id", flat=True))
        alarms = list(waiting.select_for_update(of=("self",)).select_related("pilot", "rule"))
        if not alarms:
            raise AlarmRefused("None of these waits for an acknowledgement any more.")
        for alarm in alarms:
            _move(alarm, AlarmEvent.ACKNOWLEDGE, now)
            alarm.acknowledged_at, alarm.acknowledged_by, alarm.comment = now, by[:120], comment.strip()[:300]
        columns = ["state", "closed_at", "changed_at", "acknowledged_at", "acknowledged_by", "comment"]
        Alarm.objects.bulk_update(alarms, columns)
        record_events(_event(alarm, "acknowledge alarm", by=by, reason=comment.strip(), now=now) for alarm in alarms)
        record(_entry(alarm, "acknowledged", by=by, said=comment.strip(), now=now) for alarm in alarms)
        tell({alarm.pilot.code for alarm in alarms})
    return alarms


def reset(alarm: Alarm, *, by: str, now: datetime) -> None:
    """A latched alarm ends. Raises AlarmRefused while it is there or was not seen."""
    with audited():
        latched = Alarm.objects.filter(pk=alarm.pk, state=AlarmState.LATCHED, closed_at=None)
        if not latched.update(state=AlarmState.NORMAL, closed_at=now, changed_at=now):
            raise AlarmRefused("It is reset once it has returned and was acknowledged.")
        alarm.state = AlarmState.NORMAL
        record_events([_event(alarm, "reset alarm", by=by, reason="", now=now)])
        record([_entry(alarm, "reset", by=by, said="", now=now)])
        tell([alarm.pilot.code])


def shelve(rule: AlarmRule, *, by: str, reason: str, until: datetime, now: datetime) -> None:
    """Silent until then, when it comes back by itself. Raises AlarmRefused without a reason or beyond 24 h."""
    if not timedelta(0) < until - now <= LONGEST_SHELF:
        raise AlarmRefused("Shelve for 24 h at most, and until a time to come.")
    _hide(rule, Hidden.SHELVED, "shelve alarm", by=by, reason=reason, until=until, now=now)


def suppress(rule: AlarmRule, *, by: str, reason: str, now: datetime) -> None:
    """Silent by design until an engineer says otherwise. Raises AlarmRefused without a reason."""
    _hide(rule, Hidden.SUPPRESSED, "suppress alarm", by=by, reason=reason, until=None, now=now)


def take_out_of_service(rule: AlarmRule, *, by: str, reason: str, now: datetime) -> None:
    """Silent for upkeep until somebody returns it. Raises AlarmRefused without a reason."""
    _hide(rule, Hidden.OUT_OF_SERVICE, "take alarm out of service", by=by, reason=reason, until=None, now=now)


def bring_back(rule: AlarmRule, *, by: str, reason: str = "", now: datetime) -> None:
    """It asks for attention again, at once if it is there. Raises AlarmRefused when it does already."""
    with audited():
        now_hidden = locked_rules([rule.pk]).get(rule.pk)
        if now_hidden is None or not now_hidden.hidden:
            raise AlarmRefused("It was brought back before.")
        if now_hidden.hidden_by == BY_CONDITION:
            raise AlarmRefused(f"It is silent while {now_hidden.suppress_when}: change its rule to hear it.")
        speak_again([rule], now=now)
        _audit(rule, f"return {rule.hidden.replace('_', ' ')} alarm", by=by, reason=reason, now=now)


def _hide(rule: AlarmRule, how: Hidden, action: str, *, by: str, reason: str, until: datetime | None, now: datetime) -> None:
    if not reason.strip():
        raise AlarmRefused("Say why it may be silent: others will read it.")
    columns = {
        "hidden": how,
        "hidden_until": until,
        "hidden_at": now,
        "hidden_by": by[:120],
        "hidden_reason": reason.strip()[:300],
    }
    with audited():
        # A shelf is prolonged; what an engineer took away is no operator's to shelve.
        free = AlarmRule.objects.filter(pk=rule.pk, hidden__in=["", Hidden.SHELVED] if how is Hidden.SHELVED else list(_ANY))
        if not free.update(**columns):
            raise AlarmRefused("It is suppressed or out of service already: return it first.")
        Alarm.objects.filter(rule=rule, closed_at=None).update(hidden=how, changed_at=now)
        ended = list(Alarm.objects.filter(rule=rule, state=AlarmState.RETURNED).select_related("pilot"))
        end(ended, now)
        _audit(rule, action, by=by, reason=reason, now=now, until=None if until is None else until.isoformat())
        tell([rule.pilot.code])


_ANY = ("", *Hidden)


def _move(alarm: Alarm, event: AlarmEvent, now: datetime) -> None:
    latched = alarm.rule is not None and alarm.rule.latched
    alarm.state = next_alarm_state(AlarmState(alarm.state), event, latched=latched, hidden=bool(alarm.hidden))
    alarm.changed_at = now
    alarm.closed_at = now if alarm.state == AlarmState.NORMAL else None


def _event(alarm: Alarm, action: str, *, by: str, reason: str, now: datetime) -> dict[str, object]:
    details = {"id": str(alarm.pk), "what": alarm.what, "state": alarm.state}
    told = {"at": now, "actor": by, "action": action, "pilot": alarm.pilot.code, "subject": alarm.subject}
    return {**told, "reason": reason, "details": details}


def _entry(alarm: Alarm, event: str, *, by: str, said: str, now: datetime) -> JournalEntry:
    return of_alarm(alarm, event, pilot=alarm.pilot.code, at=now, actor=by, detail=said)


def _audit(rule: AlarmRule, action: str, *, by: str, reason: str, now: datetime, until: str | None = None) -> None:
    details = {"what": rule.what, "kind": rule.kind, **({"until": until} if until else {})}
    record_event(
        at=now, actor=by, action=action, pilot=rule.pilot.code, subject=rule.subject, reason=reason.strip(), details=details
    )
