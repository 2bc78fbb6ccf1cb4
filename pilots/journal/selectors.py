"""The journal read: two tables as one list, newest first, a page after a key and never by counting rows. [operation]"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, Subquery

from pilots.audit.selectors import readable_by
from pilots.domain.alarm import AlarmState
from pilots.domain.journal import ACTIONS, LEFT_OUT, SHARED, JournalKind, kind_of
from pilots.domain.moments import microseconds, moment_of
from pilots.models import Alarm, AuditEvent, JournalEntry, Pilot, Setpoint, User

Row = TypeVar("Row", JournalEntry, AuditEvent)
PAGE = 1000
#: Which table a row is from; of one instant the audit trail's stand above.
JOURNAL, TRAIL = 0, 1


class Key(NamedTuple):
    """The place of an entry in the list; nothing else has the same."""

    at: datetime
    table: int
    row: int

    def __str__(self) -> str:
        return f"{microseconds(self.at)}-{self.table}-{self.row}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """Raises ValueError or OverflowError for what `str` of a key never is."""
        at, table, row = text.split("-")
        if not (text.replace("-", "").isascii() and text.replace("-", "").isdigit() and table in ("0", "1") and len(row) < 19):
            raise ValueError(text)
        return cls(moment_of(int(at)), int(table), int(row))


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of the journal. `limit`, `priority` and `state` are an alarm's; `reference` is the set-point's or alarm's id."""

    key: Key
    pilot: str
    kind: JournalKind
    event: str
    subject: str
    who: str
    what: str = ""
    why: str = ""
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    priority: int | None = None
    state: str = ""
    hidden: str = ""
    reference: UUID | None = None

    @property
    def at(self) -> datetime:
        return self.key.at


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """Whose entries may be read: of these pilots, and only of these devices where that is not None.

    `trail` are audit rows beyond what every viewer sees.
    """

    pilots: Collection[str]
    trail: QuerySet[AuditEvent]
    devices: Collection[str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which entries are looked for; what is empty does not matter."""

    text: str = ""
    pilot: str = ""
    device: str = ""
    kind: str = ""
    who: str = ""
    start: datetime | None = None
    end: datetime | None = None


def reach_of(user: User) -> Reach:
    """What this person may read: their pilots, with as much of the audit trail as they may see there."""
    codes = list(user.visible_pilots().values_list("code", flat=True))
    return Reach(pilots=codes, trail=readable_by(user).filter(pilot__in=[*codes, ""]))


def reach_of_pilot(pilot: Pilot) -> Reach:
    """What everybody who sees the pilot may read of it."""
    return Reach(pilots=[pilot.code], trail=AuditEvent.objects.none())


def entries(reach: Reach, wanted: Wanted, *, limit: int, after: Key | None = None, oldest_first: bool = False) -> list[Entry]:
    """At most `limit` entries in order, those that stand after the key `after` in it."""
    order = ("at", "pk") if oldest_first else ("-at", "-pk")
    told = _after(_told(reach, wanted), JOURNAL, after, oldest_first).order_by(*order)[:limit]
    deeds = _after(_deeds(reach, wanted), TRAIL, after, oldest_first).order_by(*order)[:limit]
    found = [*map(_of_journal, told), *map(_of_trail, deeds)]
    found.sort(key=lambda entry: entry.key, reverse=not oldest_first)
    return _with_quantities(found[:limit])


def stream(reach: Reach, wanted: Wanted) -> Iterator[Entry]:
    """Every entry, newest first, a page in memory at a time."""
    after: Key | None = None
    while page := entries(reach, wanted, limit=PAGE, after=after):
        yield from page
        after = page[-1].key


def newest_rows() -> str:
    """Another text as soon as either table has a row more."""
    tables = (JournalEntry.objects.order_by("-pk"), AuditEvent.objects.order_by("-pk"))
    return ".".join(str(rows.values_list("pk", flat=True).first() or 0) for rows in tables)


def alarms_at(pilot: Pilot, moment: datetime) -> list[JournalEntry]:
    """The alarms that stood at the moment, each as its newest entry by then, most urgent first."""
    standing = Alarm.objects.filter(Q(closed_at=None) | Q(closed_at__gt=moment), pilot=pilot)
    newest = JournalEntry.objects.filter(alarm=OuterRef("pk"), at__lte=moment).order_by("-at", "-pk").values("pk")[:1]
    keys = standing.annotate(entry=Subquery(newest)).filter(entry__isnull=False).values_list("entry", flat=True)
    rows = JournalEntry.objects.filter(pk__in=list(keys)).exclude(state=AlarmState.NORMAL)
    return list(rows.order_by("priority", "-at", "-pk"))


def link_since(subject: str, state: str, moment: datetime) -> datetime | None:
    """Since when the link was in this state at the moment; None where the journal does not tell."""
    last = JournalEntry.objects.filter(kind=JournalKind.LINK, subject=subject, at__lte=moment).order_by("-at").first()
    return last.at if last is not None and last.state == state else None


def _told(reach: Reach, wanted: Wanted) -> QuerySet[JournalEntry]:
    rows = JournalEntry.objects.filter(pilot__in=reach.pilots)
    if wanted.kind:
        rows = rows.filter(kind=wanted.kind)
    if wanted.text:
        rows = rows.filter(_said(wanted.text, "subject", "what", "detail", "actor"))
    return rows.filter(_narrow(reach, wanted))


def _deeds(reach: Reach, wanted: Wanted) -> QuerySet[AuditEvent]:
    shared = AuditEvent.objects.filter(pilot__in=[*reach.pilots, ""]).filter(action__in=_actions(SHARED))
    rows = (shared | reach.trail).exclude(action__in=LEFT_OUT)
    if wanted.kind == JournalKind.ADMINISTRATION:
        rows = rows.exclude(action__in=_actions(ACTIONS))
    elif wanted.kind:
        rows = rows.filter(action__in=ACTIONS[JournalKind(wanted.kind)])
    if wanted.text:
        rows = rows.filter(_said(wanted.text, "subject", "action", "reason", "actor"))
    return rows.filter(_narrow(reach, wanted))


def _actions(kinds: Collection[JournalKind]) -> list[str]:
    return [action for kind in kinds for action in ACTIONS[kind]]


def _narrow(reach: Reach, wanted: Wanted) -> Q:
    """What both tables have the same columns for."""
    condition = Q()
    if wanted.pilot:
        condition &= Q(pilot=wanted.pilot)
    if wanted.who:
        condition &= Q(actor__icontains=wanted.who)
    if wanted.start is not None:
        condition &= Q(at__gte=wanted.start)
    if wanted.end is not None:
        condition &= Q(at__lt=wanted.end)
    if wanted.device:
        condition &= _of_devices([wanted.device])
    if reach.devices is not None:
        condition &= _of_devices(reach.devices)
    return condition


def _of_devices(codes: Collection[str]) -> Q:
    """A subject names the device alone, before its point, behind its pilot, or as the end of a link."""
    condition = Q(subject__in=list(codes))
    for code in codes:
        condition |= Q(subject__startswith=f"{code}/") | Q(subject__contains=f"/{code}/")
        condition |= Q(subject__contains=f" {code} ") | Q(subject__endswith=f" {code}")
    return condition


def _said(text: str, *columns: str) -> Q:
    condition = Q()
    for column in columns:
        condition |= Q(**{f"{column}__icontains": text})
    return condition


def _after(rows: QuerySet[Row], table: int, key: Key | None, oldest_first: bool) -> QuerySet[Row]:
    """The rows beyond the key; of its own instant what the order of tables and rows puts there."""
    if key is None:
        return rows
    beyond = rows.filter(at__gte=key.at) if oldest_first else rows.filter(at__lte=key.at)
    if table == key.table:
        passed = Q(pk__lte=key.row) if oldest_first else Q(pk__gte=key.row)
        return beyond.exclude(passed, at=key.at)
    comes_later = table > key.table if oldest_first else table < key.table
    return beyond if comes_later else beyond.exclude(at=key.at)


def _of_journal(row: JournalEntry) -> Entry:
    return Entry(
        key=Key(row.at, JOURNAL, row.pk),
        pilot=row.pilot,
        kind=JournalKind(row.kind),
        event=row.event,
        subject=row.subject,
        who=row.actor,
        what=row.what,
        why=row.detail,
        value=row.value,
        limit=row.limit,
        unit=row.unit,
        priority=row.priority,
        state=row.state,
        hidden=row.hidden,
        reference=row.alarm,
    )


def _of_trail(row: AuditEvent) -> Entry:
    value, unit, reference = (row.details.get(name) for name in ("value", "unit", "id"))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Entry(
        key=Key(row.at, TRAIL, row.pk),
        pilot=row.pilot,
        kind=kind_of(row.action),
        event=row.action,
        subject=row.subject,
        who=row.actor,
        why=row.reason,
        value=float(str(value)) if is_number else None,
        unit=unit if isinstance(unit, str) else "",
        reference=_uuid(reference),
    )


def _uuid(given: object) -> UUID | None:
    try:
        return UUID(given) if isinstance(given, str) else None
    except ValueError:
        return None


def _with_quantities(found: list[Entry]) -> list[Entry]:
    """Transitions of a set-point say what was wanted."""
    bare = {entry.reference for entry in found if entry.kind is JournalKind.SETPOINT and entry.value is None and entry.reference}
    if not bare:
        return found
    wanted = {key: (value, unit) for key, value, unit in Setpoint.objects.filter(pk__in=bare).values_list("pk", "value", "unit")}
    return [
        replace(entry, value=wanted[entry.reference][0], unit=wanted[entry.reference][1])
        if entry.reference in bare and entry.reference in wanted and entry.value is None
        else entry
        for entry in found
    ]
