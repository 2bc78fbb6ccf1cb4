"""Alarms of states: devices, connections, links and set-points, judged from their tables by whoever holds the lease. [operation]

What many share is one alarm: devices are members of their connection's alarm, connections of their pilot's. Members ask for
nothing, stand inside their cause, and end by themselves; those still lost when the cause has been gone for a while speak up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Max, Q, QuerySet, Sum

from pilots.alarms.occurrences import Coming, Going, tell, turn
from pilots.alarms.ourselves import Ourselves
from pilots.alarms.suppression import suppress_by_condition
from pilots.alarms.upkeep import keep_up
from pilots.domain.alarm import OF_OURSELVES, OF_VALUES, AlarmKind, AlarmState, Hidden, is_flood
from pilots.domain.quality import Flag
from pilots.domain.setpoint import SetpointState
from pilots.domain.topology import LinkState
from pilots.journal.services import of_alarm, record
from pilots.models import Alarm, AlarmRule, Connection, Device, LatestValue, Link, Pilot, Setpoint

_GONE_BITS = int(Flag.OLD | Flag.COMM_FAILURE) << 5
#: How long a member waits after its cause was gone before it speaks for itself.
SPEAKS_AFTER = timedelta(seconds=30)
#: Reading the device resolves most unknown set-points within this time.
UNRESOLVED = timedelta(seconds=30)
_OF_STATES = [kind for kind in AlarmKind if kind not in OF_VALUES]
_GROUPS = (AlarmKind.PILOT_LOST, AlarmKind.CONNECTION_LOST)


@dataclass(slots=True)
class Present:
    """Which rules' conditions are there, each with its sentence."""

    details: dict[int, str] = field(default_factory=dict)

    def note(self, rule: AlarmRule | None, detail: str = "") -> None:
        if rule is not None:
            self.details[rule.pk] = detail


class StateAlarms:
    """Looks every second; memory holds only how long a condition has been on its way."""

    def __init__(self) -> None:
        self._basis: object = None
        self._rules: list[AlarmRule] = []
        self._since: dict[int, datetime] = {}
        self._ourselves = Ourselves()

    def look(self, now: datetime) -> int:
        """The table holds what is; returns how many alarms came or went."""
        keep_up(now)
        suppress_by_condition(now)
        self._read_rules()
        self._ourselves.look(now)
        present = self._present(now)
        active = _active(self._rules)
        turned = self._turn([rule for rule in self._rules if rule.kind in _GROUPS], present, active, now, {})
        causes = self._causes(present)
        _gather_members(self._rules, causes, now)
        others = [rule for rule in self._rules if rule.kind not in _GROUPS]
        return turned + self._turn(others, present, active, now, causes) + _let_members_speak(now)

    def _turn(
        self, rules: list[AlarmRule], present: Present, active: set[int], now: datetime, causes: dict[int, UUID | None]
    ) -> int:
        comings, goings = [], []
        for rule in rules:
            is_there = rule.pk in present.details
            if is_there == (rule.pk in active):
                self._since.pop(rule.pk, None)
                continue
            since = self._since.setdefault(rule.pk, now)
            if is_there and rule.pk in causes and causes[rule.pk] is None:
                continue  # its cause is on its way and will ask for it
            delay_s = rule.on_delay_s if is_there else rule.off_delay_s
            if now - since < timedelta(seconds=delay_s):
                continue
            del self._since[rule.pk]
            if is_there:
                comings.append(Coming(rule.pk, now, detail=present.details[rule.pk], cause=causes.get(rule.pk)))
            else:
                goings.append(Going(rule.pk, now))
        if comings or goings:
            turn(comings, goings, now=now)
        return len(comings) + len(goings)

    def _read_rules(self) -> None:
        basis = Pilot.objects.aggregate(Count("id"), Sum("revision")) | AlarmRule.objects.aggregate(Count("pk"), Max("pk"))
        if basis != self._basis:
            rules = AlarmRule.objects.filter(enabled=True, kind__in=_OF_STATES).select_related("device", "pilot")
            self._rules, self._basis = list(rules), basis

    def _present(self, now: datetime) -> Present:
        present = Present()
        by = {(rule.kind, _key(rule)): rule for rule in self._rules}
        lost = _lost_devices()
        for device in lost:
            present.note(by.get((AlarmKind.DEVICE_LOST, device)))
        down = _lost_connections(set(lost))
        for connection, (_pilot, sentence) in down.items():
            present.note(by.get((AlarmKind.CONNECTION_LOST, connection)), sentence)
        for pilot, sentence in _lost_pilots(down).items():
            present.note(by.get((AlarmKind.PILOT_LOST, pilot)), sentence)
        for key, state in Link.objects.filter(state__in=[LinkState.DOWN, LinkState.DEGRADED]).values_list("pk", "state"):
            kind = AlarmKind.LINK_DOWN if state == LinkState.DOWN else AlarmKind.LINK_DEGRADED
            present.note(by.get((kind, key)))
        for point, sentence in failed_setpoints(now):
            present.note(by.get((AlarmKind.SETPOINT_FAILED, point)), sentence)
        for rule in self._rules:
            if rule.kind in OF_OURSELVES and (sentence := self._ourselves.beyond(rule, now)):
                present.note(rule, sentence)
        return present

    def _causes(self, present: Present) -> dict[int, UUID | None]:
        """By rule: the alarm that asks for it too; None while that one is still on its way."""
        groups = [rule for rule in self._rules if rule.kind in _GROUPS and rule.pk in present.details]
        raised = dict(Alarm.objects.filter(rule__in=[r.pk for r in groups], closed_at=None).values_list("rule_id", "pk"))
        of_pilot = {rule.pilot_id: raised.get(rule.pk) for rule in groups if rule.kind == AlarmKind.PILOT_LOST}
        of_line = {rule.connection_id: raised.get(rule.pk) for rule in groups if rule.kind == AlarmKind.CONNECTION_LOST}
        causes: dict[int, UUID | None] = {}
        for rule in self._rules:
            line = rule.connection_id if rule.kind == AlarmKind.CONNECTION_LOST else rule.device and rule.device.connection_id
            if rule.kind not in (AlarmKind.DEVICE_LOST, AlarmKind.CONNECTION_LOST):
                continue
            if rule.pilot_id in of_pilot and (rule.kind == AlarmKind.CONNECTION_LOST or line in of_line):
                causes[rule.pk] = of_pilot[rule.pilot_id]
            elif rule.kind == AlarmKind.DEVICE_LOST and line in of_line:
                causes[rule.pk] = of_line[line]
        return causes


def failed_setpoints(now: datetime) -> list[tuple[int, str]]:
    """Points whose newest outcome is a failure that still matters, with what is said of it.

    Until its time is over or another one at the point was executed; unknown ones as long as reading does not resolve them.
    """
    unresolved = Q(state=SetpointState.UNKNOWN, claimed_at__lte=now - UNRESOLVED)
    bad = Q(state=SetpointState.FAILED, valid_until__gt=now) | unresolved
    rows = list(Setpoint.objects.filter(bad).order_by("received_at").values_list("point_id", "received_at", "explanation"))
    if not rows:
        return []
    done = Setpoint.objects.filter(point__in={point for point, _, _ in rows}, state=SetpointState.EXECUTED)
    newest = dict(done.values_list("point_id").annotate(Max("received_at")))
    return [(point, words) for point, received, words in rows if point not in newest or newest[point] < received]


def _key(rule: AlarmRule) -> int:
    """What the rule watches, as its table's key."""
    point = rule.point_id if rule.kind == AlarmKind.SETPOINT_FAILED else None
    return point or rule.link_id or rule.connection_id or rule.device_id or rule.pilot_id


def _active(rules: list[AlarmRule]) -> set[int]:
    kinds = {rule.kind for rule in rules}
    found = Alarm.objects.filter(kind__in=kinds, closed_at=None, state__in=[s for s in AlarmState if s.is_active])
    return {key for key in found.values_list("rule_id", flat=True) if key is not None}


def _lost_devices() -> dict[int, int | None]:
    """Devices none of whose renewed values arrives any more, each with its connection."""
    renewed = LatestValue.objects.filter(Q(point__max_interval_s__isnull=False) | Q(point__period_s__isnull=False))
    renewed = renewed.exclude(point__device__connection__enabled=False).annotate(bits=F("quality").bitand(_GONE_BITS))
    by_device = renewed.values("point__device", "point__device__connection")
    lost = by_device.annotate(all=Count("pk"), gone=Count("pk", filter=~Q(bits=0))).filter(all=F("gone"))
    return dict(lost.values_list("point__device", "point__device__connection"))


def _lost_connections(lost: set[int]) -> dict[int, tuple[int, str]]:
    """Connections that are down, or much of what hangs on them is lost: with their pilot and a sentence."""
    hanging = dict(Device.objects.exclude(connection=None).values_list("connection_id").annotate(Count("pk")))
    gone = Counter(Device.objects.filter(pk__in=lost).values_list("connection_id", flat=True)) if lost else Counter()
    rows = Connection.objects.filter(enabled=True).filter(Q(state=LinkState.DOWN) | Q(pk__in=[key for key in gone if key]))
    found = {}
    for key, pilot, state, error in rows.values_list("pk", "pilot_id", "state", "last_error"):
        if state == LinkState.DOWN:
            found[key] = (pilot, error)
        elif is_flood(gone[key], hanging.get(key, 0)):
            found[key] = (pilot, "")
    return found


def _lost_pilots(down: dict[int, tuple[int, str]]) -> dict[int, str]:
    if not down:
        return {}
    of = dict(Connection.objects.filter(enabled=True).values_list("pilot_id").annotate(Count("pk")))
    lost = Counter(pilot for pilot, _ in down.values())
    return {pilot: "" for pilot, count in lost.items() if is_flood(count, of[pilot])}


def _gather_members(rules: Iterable[AlarmRule], causes: dict[int, UUID | None], now: datetime) -> None:
    """What spoke for itself before its cause was known is a member now."""
    wanted = {key: cause for key, cause in causes.items() if cause is not None}
    if not wanted:
        return
    alone = _members_to_be().filter(rule__in=list(wanted), cause=None)
    pilots = set()
    for alarm in alone.select_related("pilot"):
        alarm.cause_id, alarm.changed_at = wanted[alarm.rule_id or 0], now
        alarm.hidden = alarm.hidden or Hidden.MEMBER
        alarm.save(update_fields=["cause", "hidden", "changed_at"])
        pilots.add(alarm.pilot.code)
    tell(pilots)


def _members_to_be() -> QuerySet[Alarm]:
    return Alarm.objects.filter(closed_at=None, returned_at=None)


@transaction.atomic
def _let_members_speak(now: datetime) -> int:
    """What is still lost a while after its cause was gone asks for itself."""
    over = Q(cause__closed_at__isnull=False) | Q(cause__returned_at__isnull=False)
    left = _members_to_be().filter(over, cause__returned_at__lte=now - SPEAKS_AFTER, hidden__in=["", Hidden.MEMBER])
    rows = list(left.select_related("pilot"))
    for alarm in rows:
        alarm.cause, alarm.hidden, alarm.state, alarm.changed_at = None, "", AlarmState.UNACKNOWLEDGED, now
        alarm.save(update_fields=["cause", "hidden", "state", "changed_at"])
    record(of_alarm(alarm, "again", pilot=alarm.pilot.code, at=now) for alarm in rows)
    tell({alarm.pilot.code for alarm in rows})
    return len(rows)
