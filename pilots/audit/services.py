"""The only writer of the audit trail. [all zones]

A row is written in its caller's transaction and leaves with it: rolled back, it was never there and leaves no gap. Numbers
and hashes are given in the order of commits. SQLite has one writer at a time, so the row is linked at once. On PostgreSQL a
deferred trigger links it at COMMIT under an advisory lock (migration 0005): a lock taken earlier would be held while the
transaction waits for rows of others who wait for the lock, and while Python thinks.

One deed needs no trail: what brings a device to its safe state (`audited_or_spooled`). Its rows wait in a file instead.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, TypeVar

from django.db import DatabaseError, connection, transaction

from pilots.audit import spool
from pilots.audit.origin import origin_words
from pilots.domain.chain import CONTENT, GENESIS, clean, digest, link, plain
from pilots.domain.errors import AuditUnavailable
from pilots.models import AuditEvent

#: The trigger's function, as PostgreSQL names it where a commit fails (migration 0005).
CHAIN_FUNCTION = "audit_chain()"
T = TypeVar("T")
log = logging.getLogger(__name__)
#: Whether a transaction with audit rows is open already: only the outermost can tell that they cannot be written.
_inside: ContextVar[bool] = ContextVar("audit_inside", default=False)
#: Rows that wait for the file; None: they go into the table.
_spooling: ContextVar[list[dict[str, Any]] | None] = ContextVar("audit_spooling", default=None)


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
    waiting = _spooling.get()
    if waiting is not None:
        waiting.extend({name: getattr(event, name) for name in CONTENT} for event in events)
        return
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
        with _variable(_inside, True), transaction.atomic():
            yield
    except DatabaseError as error:
        if not is_of_audit(error):
            raise
        raise AuditUnavailable from error


def is_inside() -> bool:
    """Whether an audited transaction is open already, whose failure this one's is."""
    return _inside.get()


def audited_or_spooled(deed: Callable[[], T]) -> T:
    """The deed is done and audited, and where the trail cannot be written its rows are on the disk before it commits.

    Only for what brings a device to its safe state. The deed may be tried twice, the first time without a trace. Inside
    another audited transaction it is that one's business. Raises AuditUnavailable when the disk refuses too.
    """
    if is_inside():
        return deed()
    try:
        with audited():
            return deed()
    except AuditUnavailable as error:
        log.error("done without the audit trail, to a safe state: %s", error.__cause__)
    waiting: list[dict[str, Any]] = []
    with _variable(_inside, True), _variable(_spooling, waiting), transaction.atomic():
        done = deed()
        if waiting:
            _spool(waiting)
    return done


def take_in_spool() -> int:
    """What waited in the file stands in the trail, once; returns how many rows. Raises AuditUnavailable while it cannot."""
    if spool.is_empty():
        return 0
    with spool.locked() as file:
        forms = [form | {"at": datetime.fromisoformat(form["at"])} for form in spool.rows(file)]
        with audited():
            record_events(_spooled(form) for form in forms if not _is_taken(form))
        # After a crash right here the marks tell that the rows stand in the trail already.
        os.ftruncate(file, 0)
        os.fsync(file)
    log.warning("audit trail: %d rows of the time without it were taken in", len(forms))
    return len(forms)


def _spool(forms: list[dict[str, Any]]) -> None:
    try:
        spool.append(forms)
    except OSError as error:
        raise AuditUnavailable from error


def _spooled(form: dict[str, Any]) -> dict[str, Any]:
    return form | {"details": {**form["details"], "spooled": form["spooled"]}}


def _is_taken(form: dict[str, Any]) -> bool:
    return AuditEvent.objects.filter(at=form["at"], details__spooled=form["spooled"]).exists()


@contextmanager
def _variable(variable: ContextVar[T], value: T) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def is_of_audit(error: BaseException) -> bool:
    """Whether a COMMIT failed because the audit rows could not be linked."""
    context = getattr(getattr(error.__cause__, "diag", None), "context", None)
    return CHAIN_FUNCTION in (context or "")


def _event(form: Mapping[str, Any]) -> AuditEvent:
    """The row without its place in the chain: its hash covers its content alone."""
    texts = {name: _fitting(name, form.get(name, "")) for name in ("actor", "action", "pilot", "subject", "reason")}
    origin = origin_words()
    details = plain({**form.get("details", {}), **({"by": origin} if origin else {})})
    event = AuditEvent(at=form["at"], details=details, **texts)
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
