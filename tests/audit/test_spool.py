"""What waits for the trail in a file: safe from a power cut, taken in once, in the chain like every other row."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, transaction

from pilots.audit import spool
from pilots.audit.selectors import in_order
from pilots.audit.services import audited, audited_or_spooled, record_event, take_in_spool
from pilots.audit.verification import examine
from pilots.domain.errors import AuditUnavailable
from pilots.models import AuditEvent, Pilot
from tests.builders import make_pilot
from tests.tampering import TABLE, execute, trail_out_of_order

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
pytestmark = pytest.mark.django_db(transaction=True)


def record(subject: str) -> None:
    record_event(at=NOW, actor="clock", action="test", pilot="es", subject=subject, details={"value": 2.0})


def told() -> list[str]:
    return [event.subject for event in in_order(AuditEvent.objects.all())]


def rename(pilot: Pilot, name: str) -> bool:
    record(name)
    return bool(Pilot.objects.filter(pk=pilot.pk).update(name=name))


def waiting() -> list[str]:
    with spool.locked() as file:
        return [row["subject"] for row in spool.rows(file)]


def test_while_the_trail_can_be_written_the_file_stays_empty(data_dir: Path) -> None:
    assert audited_or_spooled(lambda: rename(make_pilot(), "safe"))
    assert told() == ["safe"] and spool.is_empty() and take_in_spool() == 0


def test_s25_a_safe_deed_is_done_once_and_its_row_waits_in_the_file(data_dir: Path) -> None:
    pilot = make_pilot()
    with trail_out_of_order():
        assert audited_or_spooled(lambda: rename(pilot, "safe"))
        assert waiting() == ["safe"] and not told()
        with pytest.raises(AuditUnavailable):
            take_in_spool()
        assert waiting() == ["safe"]
    assert Pilot.objects.get().name == "safe"
    record("the trail is back")
    assert take_in_spool() == 1
    assert told() == ["the trail is back", "safe"] and examine([], now=NOW).fault == ""
    assert len(AuditEvent.objects.get(subject="safe").details["spooled"]) == 32
    assert spool.is_empty() and take_in_spool() == 0


def test_s25_a_commit_that_cannot_link_its_rows_is_made_with_the_file(data_dir: Path) -> None:
    """PostgreSQL links rows where it commits: what fails there fails after the deed."""
    pilot = make_pilot()
    record("first")
    if connection.vendor == "postgresql":
        there, back = [f"ALTER TABLE {TABLE} {each} CONSTRAINT no_more" for each in ("ADD", "DROP")]
        there += " CHECK (number < 2)"
    else:
        there = f"CREATE TRIGGER no_more BEFORE INSERT ON {TABLE} BEGIN SELECT RAISE(ABORT, 'no more'); END"
        back = "DROP TRIGGER no_more"
    execute(there)
    try:
        assert audited_or_spooled(lambda: rename(pilot, "safe"))
    finally:
        execute(back)
    assert (Pilot.objects.get().name, told(), waiting()) == ("safe", ["first"], ["safe"])
    assert take_in_spool() == 1 and told() == ["first", "safe"]


def test_rows_taken_in_right_before_a_crash_are_not_taken_twice(data_dir: Path) -> None:
    with trail_out_of_order():
        audited_or_spooled(lambda: record("one"))
    crashed = spool.spool_file().read_bytes()
    take_in_spool()
    spool.spool_file().write_bytes(crashed)
    assert take_in_spool() == 1
    assert told() == ["one"]


def test_a_torn_line_costs_only_itself(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with trail_out_of_order():
        audited_or_spooled(lambda: record("one"))
        with spool.spool_file().open("ab") as file:
            file.write(b'{"spooled": "power cu')
        audited_or_spooled(lambda: record("two"))
    take_in_spool()
    assert told() == ["one", "two"]
    assert "a line is no audit row" in caplog.text


def test_without_trail_and_disk_nothing_is_done(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pilot = make_pilot()
    monkeypatch.setattr(spool, "spool_file", lambda: data_dir)  # a folder takes no rows
    with trail_out_of_order(), pytest.raises(AuditUnavailable):
        audited_or_spooled(lambda: rename(pilot, "safe"))
    assert Pilot.objects.get().name == "Granollers"


def test_inside_an_audited_deed_nothing_is_spooled(data_dir: Path) -> None:
    with trail_out_of_order(), pytest.raises(AuditUnavailable), audited():
        audited_or_spooled(lambda: record("of the outer deed"))
    assert spool.is_empty()


def test_a_safe_deed_that_fails_by_itself_is_not_tried_again(data_dir: Path) -> None:
    tries = []

    def fail() -> None:
        tries.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM nothing_here")

    with pytest.raises(DatabaseError, match="nothing_here"), transaction.atomic():
        audited_or_spooled(fail)
    assert len(tries) == 1


def test_s24_the_canonical_form_is_the_documented_one(data_dir: Path) -> None:
    """docs/admins.md tells others how to verify the trail: this is its recipe, word by word."""
    for subject in ("a", "b"):
        record(subject)
    before = "0" * 64
    for event in in_order(AuditEvent.objects.all()):
        content = {
            "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "actor": event.actor, "action": event.action, "pilot": event.pilot,
            "subject": event.subject, "reason": event.reason, "details": {"value": 2},
        }  # fmt: skip
        row = sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        before = sha256(f"{before}{event.number}{row}".encode()).hexdigest()
        assert event.hash == before
