"""The audit trail in the hands of the database's owner, who can take its triggers away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from django.db import connection, transaction

TABLE = "pilots_auditevent"
MIGRATION = import_module("pilots.migrations.0005_audit_trail")


@contextmanager
def unprotected() -> Iterator[None]:
    """Inside, every statement on the trail is allowed; afterwards it is protected again."""
    away, back = [f"DROP TRIGGER {name}" for name in MIGRATION.TRIGGERS], MIGRATION.SQLITE
    if connection.vendor == "postgresql":
        away, back = [f"ALTER TABLE {TABLE} DISABLE TRIGGER USER"], [f"ALTER TABLE {TABLE} ENABLE TRIGGER USER"]
    with transaction.atomic():
        execute(*away)
        yield
        execute(*back)


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def trail_out_of_order() -> Iterator[None]:
    """Inside, no audit event can be written."""
    if connection.vendor == "postgresql":
        execute(
            "CREATE FUNCTION test_disk_full() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$",
            f"CREATE TRIGGER test_disk_full BEFORE INSERT ON {TABLE} FOR EACH ROW EXECUTE FUNCTION test_disk_full()",
        )
        back = [f"DROP TRIGGER test_disk_full ON {TABLE}", "DROP FUNCTION test_disk_full()"]
    else:
        execute(f"CREATE TRIGGER test_disk_full BEFORE INSERT ON {TABLE} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
        back = ["DROP TRIGGER test_disk_full"]
    try:
        yield
    finally:
        execute(*back)
