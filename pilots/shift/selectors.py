"""The facts of a shift at one pilot, as tables kept them: what stands at its end, and what happened in it. [operation]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from django.db.models import Count, F, Model, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Concat

from pilots.domain.journal import JournalKind
from pilots.domain.setpoint import SetpointState
from pilots.domain.shift import Shift
from pilots.domain.topology import LinkState
from pilots.journal.selectors import alarms_at
from pilots.models import (
    AlarmRule,
    AuditEvent,
    BlockingTag,
    CommandsOff,
    FallbackRun,
    JournalEntry,
    Link,
    OperatorHold,
    Pilot,
    Setpoint,
    ShiftNote,
    ShiftSignature,
    Substitution,
)
from pilots.models.guards import Guard

Row = TypeVar("Row")
Record = TypeVar("Record", bound=Model)
Set = TypeVar("Set", bound=Guard)
#: So many rows of a kind stand in a report; it says how many more there are, and the page of the kind has them all.
MOST = 100
TOP = 5
_HIDING = ("shelve alarm", "suppress alarm", "take alarm out of service")


@dataclass(frozen=True, slots=True)
class Some(Generic[Row]):
    """The first of what was found, and how many there are in all."""

    rows: Sequence[Row]
    all: int

    @property
    def left_out(self) -> int:
        return self.all - len(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A shift of one pilot. What stands, stands at `at`."""

    pilot: Pilot
    at: datetime
    standing: Some[JournalEntry]
    alarm_events: dict[str, int]
    most_often: list[tuple[str, str, int]]
    hidden: list[AlarmRule]
    hiding: Some[AuditEvent]
    setpoints: Some[Setpoint]
    setpoint_counts: dict[str, int]
    in_force: Some[Setpoint]
    tags: list[BlockingTag]
    holds: list[OperatorHold]
    off: list[CommandsOff]
    fallbacks: list[FallbackRun]
    substitutions: list[Substitution]
    link_losses: list[tuple[str, int, datetime]]
    links_not_up: list[tuple[str, str, datetime]]
    notes: list[ShiftNote]
    signatures: list[ShiftSignature]


def facts_of(pilot: Pilot, shift: Shift, now: datetime) -> Facts:
    """All of it, in some twenty statements whatever the shift holds."""
    at = shift.standing_at(now)
    given = _setpoints(pilot).filter(received_at__gte=shift.start, received_at__lt=shift.end)
    told = JournalEntry.objects.filter(pilot=pilot.code, at__gte=shift.start, at__lt=shift.end)
    standing = [entry for entry in alarms_at(pilot, at) if not entry.hidden]
    of_shift = {"pilot": pilot, "shift_start": shift.start, "shift_end": shift.end}
    return Facts(
        pilot=pilot,
        at=at,
        standing=Some(standing[:MOST], len(standing)),
        alarm_events=_counted(told.filter(kind=JournalKind.ALARM, hidden=""), "event"),
        most_often=_most_often(told),
        hidden=list(AlarmRule.objects.filter(pilot=pilot, hidden_at__lte=at).exclude(hidden="").order_by("priority", "subject")),
        hiding=_some(_deeds(pilot, shift, _HIDING)),
        setpoints=_some(given.order_by("-received_at", "-pk")),
        setpoint_counts=_counted(given, "state"),
        in_force=_some(_in_force(pilot, at)),
        tags=list(_in_force_then(BlockingTag, at).filter(device__pilot=pilot).select_related("device")),
        holds=list(
            _in_force_then(OperatorHold, at).filter(point__device__pilot=pilot, until__gt=at).select_related("point__device")
        ),
        off=list(_in_force_then(CommandsOff, at).filter(Q(pilot=pilot) | Q(pilot=None))),
        fallbacks=list(_in_force_then(FallbackRun, at).filter(point__device__pilot=pilot).select_related("point__device")),
        substitutions=list(
            _in_force_then(Substitution, at).filter(point__device__pilot=pilot, until__gt=at).select_related("point__device")
        ),
        link_losses=_link_losses(told),
        links_not_up=_links_not_up(pilot, at),
        notes=list(ShiftNote.objects.filter(**of_shift).select_related("corrects", "corrected_by")),
        signatures=list(ShiftSignature.objects.filter(**of_shift)),
    )


def _some(rows: QuerySet[Record]) -> Some[Record]:
    found = list(rows[: MOST + 1])
    return Some(found[:MOST], rows.count() if len(found) > MOST else len(found))


def _counted(rows: QuerySet[JournalEntry] | QuerySet[Setpoint], column: str) -> dict[str, int]:
    return dict(rows.order_by().values_list(column).annotate(n=Count("pk")))


def _most_often(told: QuerySet[JournalEntry]) -> list[tuple[str, str, int]]:
    """Subject, what and how often, the most frequent first."""
    raised = told.filter(kind=JournalKind.ALARM, event="raised", hidden="").order_by()
    return list(raised.values_list("subject", "what").annotate(n=Count("pk")).order_by("-n", "subject", "what")[:TOP])


def _deeds(pilot: Pilot, shift: Shift, actions: Sequence[str]) -> QuerySet[AuditEvent]:
    rows = AuditEvent.objects.filter(pilot=pilot.code, at__gte=shift.start, at__lt=shift.end, action__in=actions)
    return rows.order_by("-at", "-pk")


def _setpoints(pilot: Pilot) -> QuerySet[Setpoint]:
    return Setpoint.objects.filter(point__device__pilot=pilot).select_related("point__device")


def _in_force(pilot: Pilot, at: datetime) -> QuerySet[Setpoint]:
    held = _setpoints(pilot).filter(state=SetpointState.EXECUTED, finished_at__lte=at, valid_until__gt=at)
    return held.filter(Q(released_at=None) | Q(released_at__gt=at)).order_by("valid_until", "pk")


def _in_force_then(model: type[Set], at: datetime) -> QuerySet[Set]:
    rows: QuerySet[Set] = model._default_manager.filter(Q(removed_at=None) | Q(removed_at__gt=at), set_at__lte=at)
    return rows.order_by("set_at")


def _link_losses(told: QuerySet[JournalEntry]) -> list[tuple[str, int, datetime]]:
    """Link, how often it was lost, and when last; the most frequent first."""
    lost = told.filter(kind=JournalKind.LINK, event=LinkState.DOWN).order_by("at", "pk").values_list("subject", "at")
    found: dict[str, list[datetime]] = {}
    for subject, at in lost:
        found.setdefault(subject, []).append(at)
    losses = [(subject, len(times), times[-1]) for subject, times in found.items()]
    return sorted(losses, key=lambda loss: (-loss[1], loss[0]))


def _links_not_up(pilot: Pilot, at: datetime) -> list[tuple[str, str, datetime]]:
    """Link, state and since when, of the links that were down or weak at the moment."""
    subject = Concat(Value("link "), "letter", Value(" "), "end_a__code", Value(" "), "end_b__code")
    then = JournalEntry.objects.filter(kind=JournalKind.LINK, subject=OuterRef("subject"), at__lte=at).order_by("-at", "-pk")
    links = Link.objects.filter(pilot=pilot).annotate(subject=subject)
    keys = links.annotate(entry=Subquery(then.values("pk")[:1])).filter(entry__isnull=False).values_list("entry", flat=True)
    rows = JournalEntry.objects.filter(pk__in=list(keys), state__in=[LinkState.DOWN, LinkState.DEGRADED])
    return list(rows.order_by(F("state").desc(), "subject").values_list("subject", "state", "at"))
