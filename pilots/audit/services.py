"""The only writer of the audit trail. [all zones]

A row is written in its caller's transaction and leaves with it: rolled back, it was never there and leaves no gap. Numbers
and hashes are given in the order of commits. SQLite has one writer at a time, so the row is linked at once. On PostgreSQL a
deferred trigger links it at COMMIT under an advisory lock (migration 0005): a lock taken earlier would be held while the
transaction waits for rows of others who wait for the lock, and while Python thinks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import DatabaseError, connection, transaction

from pilots.domain.chain import GENESIS, clean, digest, link, plain
from pilots.domain.errors import AuditUnavailable
from pilots.models import AuditEvent

#: The trigger's function, as PostgreSQL names it where a commit fails (migration 0005).
CHAIN_FUNCTION = "audit_chain()"


def record_event(
    *,
    at: datetime,
    actor: str,
    action: str,
    pilot: str = "",
    subject: str = "",
    reason: str = "",
    details: Mapping[str, Any] | None = None,
) -> None:
    """The event stands in the trail once the caller's transaction commits. Long texts are cut.

    Raises AuditUnavailable when it cannot be written: then the deed must not happen either.
    """
    form = {"at": at, "actor": actor, "action": action, "pilot": pilot, "subject": subject, "reason": reason}
    record_events([{**form, "details": details or {}}])


def record_events(forms: Iterable[Mapping[str, Any]]) -> None:
    """Many events at once, as `record_event` takes each: some thousands cost one statement."""
    events = [_event(form) for form in forms]
    try:
        # Without a savepoint of its own: the caller's transaction is lost with the rows anyway.
        with transaction.atomic(savepoint=False):
            if connection.vendor != "postgresql":
                _link(events)
            AuditEvent.objects.bulk_create(events)
    except DatabaseError as error:
        raise AuditUnavailable from error


@contextmanager
def audited() -> Iterator[None]:
    """A transaction that commits with its audit rows or not at all.

    Raises AuditUnavailable, also for what goes wrong where PostgreSQL links the rows, at the outermost COMMIT.
    """
    try:
        with transaction.atomic():
            yield
    except DatabaseError as error:
        if not is_of_audit(error):
            raise
        raise AuditUnavailable from error


def is_of_audit(error: BaseException) -> bool:
    """Whether a COMMIT failed because the audit rows could not be linked."""
    context = getattr(getattr(error.__cause__, "diag", None), "context", None)
    return CHAIN_FUNCTION in (context or "")


def _event(form: Mapping[str, Any]) -> AuditEvent:
    """The row without its place in the chain: its hash covers its content alone."""
    texts = {name: _fitting(name, form.get(name, "")) for name in ("actor", "action", "pilot", "subject", "reason")}
    event = AuditEvent(at=form["at"], details=plain(form.get("details", {})), **texts)
    event.hash = digest(vars(event))
    return event


def _link(events: Iterable[AuditEvent]) -> None:
    last = AuditEvent.objects.order_by("-number").values_list("number", "hash").first()
    newest, before = last or (0, GENESIS)
    for number, event in enumerate(events, (newest or 0) + 1):
        event.number, event.hash = number, link(before, number, event.hash)
        before = event.hash


def _fitting(field: str, text: str) -> str:
    longest: int = getattr(AuditEvent._meta.get_field(field), "max_length", 0)
    return clean(text)[:longest]
