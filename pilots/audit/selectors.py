"""Reading the audit trail: who may read which rows, and which of them are wanted. [operation]"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from pilots.models import AuditEvent, AuditVerification, Pilot, Role, User

#: Read everything where they hold the role (IEC 62351-8: audit).
AUDITORS = (Role.SECAUD, Role.SECADM)
#: Read what was done at their pilots, and their own deeds.
CONCERNED = (Role.OPERATOR, Role.ENGINEER)
READERS = (*AUDITORS, *CONCERNED)
#: Triggers of migration 0005.
_TRIGGERS = ("audit_chained", "audit_unchanged", "audit_kept")
_PAGE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which rows are looked for; what is empty does not matter."""

    text: str = ""
    pilot: str = ""
    actor: str = ""
    action: str = ""
    start: datetime | None = None
    end: datetime | None = None


def may_read(user: User) -> bool:
    """Whether this person may read any of the trail."""
    return user.rights().somewhere(*READERS)


def reads_all(user: User) -> bool:
    """Whether this person is an auditor of all pilots."""
    return any(user.has_role(role) for role in AUDITORS)


def readable_by(user: User) -> QuerySet[AuditEvent]:
    """The rows this person may read: auditors all of it, or their pilots'; operators and engineers their pilots' and their own.

    What belongs to no pilot (users, tokens) is for auditors of all pilots.
    """
    if not may_read(user):
        return AuditEvent.objects.none()
    if reads_all(user):
        return AuditEvent.objects.all()
    reach = Q(pilot__in=[pilot.code for pilot in pilots_of(user)])
    if user.rights().somewhere(*CONCERNED):
        reach |= Q(actor=user.get_username())
    return AuditEvent.objects.filter(reach)


def pilots_of(user: User) -> QuerySet[Pilot]:
    """The pilots whose rows this person may read."""
    return user.rights().pilots_where(*READERS)


def search(rows: QuerySet[AuditEvent], wanted: Wanted) -> QuerySet[AuditEvent]:
    """The rows that are wanted. `text` is looked for in all that a row says, other words in their own column."""
    for field, word in (("actor", wanted.actor), ("action", wanted.action)):
        if word:
            rows = rows.filter(**{f"{field}__icontains": word})
    if wanted.pilot:
        rows = rows.filter(pilot=wanted.pilot)
    if wanted.start is not None:
        rows = rows.filter(at__gte=wanted.start)
    if wanted.end is not None:
        rows = rows.filter(at__lt=wanted.end)
    if not wanted.text:
        return rows
    said = [Q(**{f"{field}__icontains": wanted.text}) for field in ("actor", "action", "subject", "reason", "said")]
    anywhere = said[0]
    for each in said[1:]:
        anywhere |= each
    return rows.annotate(said=Cast("details", TextField())).filter(anywhere)


def in_order(rows: QuerySet[AuditEvent], *, after: int = 0, up_to: int | None = None) -> Iterator[AuditEvent]:
    """The rows by number, oldest first, a page in memory at a time."""
    bounded = rows if up_to is None else rows.filter(number__lte=up_to)
    while True:
        page = list(bounded.filter(number__gt=after).order_by("number")[:_PAGE])
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].number or 0


def head() -> tuple[int, str]:
    """Number and hash of the newest row; 0 and nothing while there is none."""
    newest = AuditEvent.objects.exclude(number=None).order_by("-number").values_list("number", "hash").first()
    return (0, "") if newest is None else (newest[0] or 0, newest[1])


def last_verification() -> AuditVerification | None:
    """How the last verification ended; None before the first."""
    return AuditVerification.objects.order_by("pk").first()


def is_protected() -> bool:
    """Whether the database still refuses every change of the trail."""
    if connection.vendor == "postgresql":
        sql = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'pilots_auditevent'::regclass AND tgenabled <> 'D'"
    else:
        sql = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'pilots_auditevent'"
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return set(_TRIGGERS) <= {name for (name,) in cursor.fetchall()}
