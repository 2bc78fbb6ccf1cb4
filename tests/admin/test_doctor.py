"""What `doctor` says."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from pilots.audit.services import record_event
from pilots.audit.verification import verify_trail
from pilots.models import AuditVerification, Connection, Lease, OutboxMessage
from tests.builders import make_latest
from tests.conftest import Battery
from tests.tampering import unprotected

pytestmark = pytest.mark.django_db


@pytest.fixture
def data_dir(tmp_path: Path, settings: object) -> Path:
    settings.DATA_DIR = tmp_path
    (tmp_path / "secret_key").write_text("x" * 50)
    (tmp_path / "secret_key").chmod(0o600)
    return tmp_path


def doctor() -> dict[str, str]:
    """Its lines by what they are about."""
    told = StringIO()
    try:
        call_command("doctor", stdout=told)
    except CommandError as error:
        told.write(f"ends   verdict: {error}")
    lines = [line.split(maxsplit=1) for line in told.getvalue().splitlines() if ": " in line]
    return {rest.partition(": ")[0]: f"{verdict} {rest.partition(': ')[2]}" for verdict, rest in lines}


def test_a_fresh_installation_is_well_and_says_what_does_not_run(data_dir: Path) -> None:
    told = doctor()
    assert "verdict" not in told
    assert told["database"].startswith(("ok SQLite", "ok PostgreSQL", "notice SQLite"))
    assert told["roles"] == "notice alive: none; not running: web, field, worker, beat"
    assert told["ports"].startswith("notice none claimed yet")
    assert told["pilots"].startswith("notice none commissioned")
    assert told["catalogue"].startswith("ok 5 pilots")


def test_a_running_plant_is_told_in_words(data_dir: Path, battery: Battery) -> None:
    now = datetime.now(UTC)
    Connection.objects.update(state="down", last_error="Port 2404 does not open.")
    for role in ("web", "field", "worker", "beat"):
        Lease.objects.create(resource=f"role:{role}:here", owner="here", until=now + timedelta(seconds=10))
    OutboxMessage.objects.create(pilot=battery.pilot, epoch=1, sequence=1, created_at=now - timedelta(hours=1), values_json="[]")
    make_latest(battery.power)
    with socket.create_server(("127.0.0.1", 0)) as web:
        (data_dir / "ports.json").write_text(json.dumps({"web": web.getsockname()[1]}))
        told = doctor()
    assert told["ports"].startswith("ok all 1 listen: web")
    assert told["roles"] == "ok alive: beat 1, field 1, web 1, worker 1"
    assert told["connections"] == "notice 1 down. es-rtu01: Port 2404 does not open."
    assert told["outbox"] == "notice 1 waiting, 0 set aside, INVADE has accepted nothing yet"
    assert told["clock"].startswith("ok newest value received")


def test_a_secret_that_others_read_and_a_clock_set_back_need_repair(data_dir: Path, battery: Battery) -> None:
    (data_dir / "secret_key").chmod(0o644)
    make_latest(battery.power, at=datetime.now(UTC) + timedelta(hours=1))
    told = doctor()
    assert told["secret"].startswith("BROKEN others may read")
    assert "clock was set back" in told["clock"]
    assert told["verdict"] == "ends needs repair: secret, clock"


def test_the_audit_trail_is_told_with_its_last_verification(data_dir: Path) -> None:
    assert doctor()["audit trail"].startswith("notice 0 rows, never verified")
    record_event(at=datetime.now(UTC), actor="ana", action="test")
    connection.check_constraints()
    verify_trail(now=datetime.now(UTC))
    assert doctor()["audit trail"].startswith("ok 1 rows, verified up to 1 at ")
    AuditVerification.objects.update(at=datetime.now(UTC) - timedelta(days=3))
    assert doctor()["audit trail"].startswith("notice 1 rows, last verified ")
    AuditVerification.objects.update(fault="Row 1 is missing")
    assert doctor()["audit trail"] == "BROKEN 1 rows. Row 1 is missing"
    with unprotected():
        assert doctor()["audit trail"].startswith("BROKEN 1 rows, and its table can be changed")
