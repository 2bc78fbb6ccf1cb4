"""The audit trail is one unbroken chain, and the database refuses to change it."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, connections, transaction

from pilots.audit.selectors import head, in_order, is_protected
from pilots.audit.services import audited, record_event, record_events
from pilots.audit.verification import examine
from pilots.domain.chain import GENESIS, digest, link
from pilots.domain.errors import AuditUnavailable
from pilots.models import AuditEvent, Pilot
from tests.builders import make_pilot
from tests.tampering import MIGRATION, TABLE, execute, trail_out_of_order, unprotected

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def record(subject: str = "es-STO01", **fields: Any) -> None:
    form: dict[str, Any] = {"at": NOW, "actor": "ana", "action": "test", "pilot": "es", "subject": subject}
    record_event(**(form | fields))


def rows() -> list[AuditEvent]:
    return list(in_order(AuditEvent.objects.all()))


def is_intact() -> bool:
    return examine([], now=NOW).fault == ""


def fail_after(subject: str) -> None:
    """A transaction, or a savepoint of one, that audits and fails."""
    with suppress(RuntimeError), transaction.atomic():
        record(subject)
        raise RuntimeError


def rename_and_audit(pilot: Pilot) -> None:
    with audited():
        Pilot.objects.filter(pk=pilot.pk).update(name="changed")
        record()


@pytest.mark.django_db(transaction=True)
def test_each_row_carries_the_hash_of_the_one_before() -> None:
    for subject in "abc":
        record(subject)
    before = GENESIS
    for number, event in enumerate(rows(), 1):
        before = link(before, number, digest(vars(event)))
        assert (event.number, event.hash) == (number, before)
    assert head() == (3, before)


@pytest.mark.django_db(transaction=True)
def test_many_events_at_once_follow_one_another() -> None:
    record("first")
    record_events([{"at": NOW, "actor": "ingest", "action": "test", "subject": subject} for subject in "abc"])
    record_events([])
    assert [(event.number, event.subject) for event in rows()] == [(1, "first"), (2, "a"), (3, "b"), (4, "c")]
    assert is_intact()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_is_rolled_back_leaves_no_gap() -> None:
    record("kept")
    fail_after("lost")
    with transaction.atomic():
        fail_after("lost with its savepoint")
        record("kept as well")
    assert [(event.number, event.subject) for event in rows()] == [(1, "kept"), (2, "kept as well")]
    assert is_intact()


@pytest.mark.django_db(transaction=True)
def test_what_the_database_gives_back_has_the_hash_that_was_written() -> None:
    values = [1.0, -0.0, 0.1, 1e22, 1e23, 1e300, 5e-324, -1e-7, 2**70, math.nan, math.inf]
    for value in [*values, True, None, "a\0b", "\ud800", NOW, (1, [2.5])]:
        record(details={"value": value, "Ä\0": {"inner": value}}, reason="ž\0")
        assert is_intact(), value


@pytest.mark.django_db(transaction=True)
def test_long_texts_are_cut_to_their_columns() -> None:
    record("s" * 999, actor="a" * 999, action="b" * 999, pilot="c" * 99, reason="d" * 999)
    row = AuditEvent.objects.get()
    assert [len(text) for text in (row.subject, row.actor, row.action, row.pilot, row.reason)] == [200, 120, 64, 16, 300]


REPLACING = f"""INSERT OR REPLACE INTO {TABLE} (id, number, at, actor, action, pilot, subject, reason, details, hash)
SELECT id, 2, at, 'nobody', action, pilot, subject, reason, details, hash FROM {TABLE}"""


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_to_change_remove_or_replace_a_row() -> None:
    record()
    changes = ("actor = 'nobody'", "number = 7", "number = NULL", "hash = 'x'", "details = '{}'")
    refused = [*(f"UPDATE {TABLE} SET {change}" for change in changes), f"DELETE FROM {TABLE}"]
    refused.append(f"TRUNCATE {TABLE}" if connection.vendor == "postgresql" else REPLACING)
    for statement in refused:
        with pytest.raises(DatabaseError, match="only added to"):
            execute(statement)
    assert len(rows()) == 1 and is_intact()


@pytest.mark.django_db(transaction=True)
def test_a_row_that_brings_its_own_number_is_refused() -> None:
    record()
    with pytest.raises(DatabaseError, match="only added to"):
        AuditEvent.objects.create(at=NOW, actor="nobody", action="forge", number=9, hash="x" * 64)
    assert len(rows()) == 1 and is_intact()


@pytest.mark.django_db(transaction=True)
def test_a_missing_trigger_is_noticed() -> None:
    assert is_protected()
    with unprotected():
        assert not is_protected()
    assert is_protected()


@pytest.mark.django_db(transaction=True)
def test_writers_side_by_side_make_one_chain() -> None:
    writers, each = 8, 25

    def write(writer: int) -> None:
        try:
            for number in range(each):
                with transaction.atomic():
                    record(f"{writer}: {number}")
                    record(f"{writer}: {number} again")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    assert [event.number for event in rows()] == list(range(1, 2 * writers * each + 1))
    assert is_intact()


@pytest.fixture
def two_pilots(transactional_db: None) -> list[Pilot]:
    return [make_pilot("es"), make_pilot("nl")]


def test_whoever_audits_first_does_not_stop_who_holds_the_rows_it_wants(two_pilots: list[Pilot]) -> None:
    """One transaction audits and then wants a row; another holds that row and audits: with a lock taken at once, a deadlock."""
    if connection.vendor != "postgresql":
        test_writers_side_by_side_make_one_chain()  # SQLite has one writer at a time, from the beginning of a transaction
        return
    held, audited_first = threading.Event(), threading.Event()

    def hold_and_audit() -> None:
        try:
            with transaction.atomic():
                Pilot.objects.filter(code="es").update(name="held")
                held.set()
                audited_first.wait(30)
                record("second")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(hold_and_audit)
        with transaction.atomic():
            record("first")
            held.wait(30)
            audited_first.set()
            Pilot.objects.filter(code="es").update(name="wanted")
        other.result(30)
    assert [event.subject for event in rows()] == ["second", "first"]  # in the order of their commits
    assert Pilot.objects.get(code="es").name == "wanted"


def test_crossing_transactions_never_deadlock(two_pilots: list[Pilot]) -> None:
    """Each holds rows of its own for a while, some of them shared, and audits in between."""

    def deed(turn: int) -> None:
        try:
            with transaction.atomic():
                record(f"{turn} begins")
                Pilot.objects.filter(code="es").update(name=str(turn))
                record(f"{turn} goes on")
                Pilot.objects.filter(code="nl").update(name=str(turn))
                record(f"{turn} ends")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(deed, range(60)))
    assert len(rows()) == 180 and is_intact()


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_audited_does_not_happen() -> None:
    pilot = make_pilot("es")
    with trail_out_of_order(), pytest.raises(AuditUnavailable):
        rename_and_audit(pilot)
    assert Pilot.objects.get().name == "Granollers" and not rows()


@pytest.mark.django_db(transaction=True)
def test_a_commit_whose_rows_cannot_be_linked_is_no_commit() -> None:
    pilot = make_pilot("es")
    record()
    if connection.vendor == "postgresql":  # SQLite links with the INSERT
        execute(f"ALTER TABLE {TABLE} ADD CONSTRAINT test_no_more CHECK (number < 2)")
    else:
        execute(f"CREATE TRIGGER test_no_more BEFORE INSERT ON {TABLE} BEGIN SELECT RAISE(ABORT, 'no more'); END")
    try:
        with pytest.raises(AuditUnavailable):
            rename_and_audit(pilot)
    finally:
        if connection.vendor == "postgresql":
            execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT test_no_more")
        else:
            execute("DROP TRIGGER test_no_more")
    assert Pilot.objects.get().name == "Granollers" and len(rows()) == 1


@pytest.mark.django_db(transaction=True)
def test_another_failure_of_the_database_keeps_its_name() -> None:
    with pytest.raises(DatabaseError, match="nothing_here"), audited():
        execute("SELECT * FROM nothing_here")


@pytest.mark.django_db(transaction=True)
def test_the_migration_links_the_rows_that_stand_already() -> None:
    for subject in "abc":
        record(subject, details={"limit": 4.0, "share": 0.25})
    with unprotected():
        execute(f"UPDATE {TABLE} SET number = NULL, hash = ''")
    with unprotected():
        MIGRATION.chain(apps, SimpleNamespace(connection=connection))
    assert [(event.number, event.subject) for event in rows()] == [(1, "a"), (2, "b"), (3, "c")]
    assert is_intact()
