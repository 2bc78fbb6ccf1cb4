"""The audit trail's page and its exports: who reads what, found how, and signed."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from pilots.audit.selectors import head, in_order
from pilots.audit.services import record_event
from pilots.audit.verification import verify_trail
from pilots.models import AuditEvent, AuditVerification, Role
from pilots.ui.audit_export import KINDS, export_lines, verify_export
from tests.builders import make_pilot
from tests.tampering import trail_out_of_order
from tests.ui.conftest import Plant, client_of

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def deed(subject: str, **fields: Any) -> None:
    form: dict[str, Any] = {"at": NOW, "actor": "ana", "action": "edit device", "pilot": "es", "subject": subject}
    record_event(**(form | fields))


@pytest.fixture
def trail(plant: Plant) -> None:
    make_pilot("nl", name="Arnhem")
    deed("es-STO01", reason="new limits", details={"old": 50, "new": 75, "id": "c0ffee"})
    deed("nl-EV01", pilot="nl", actor="bob", at=NOW + timedelta(hours=1))
    deed("invade", pilot="", action="create token", at=NOW + timedelta(hours=2))
    deed("olaf", pilot="", actor="olaf", action="change password", at=NOW + timedelta(hours=3))
    connection.check_constraints()


@pytest.fixture
def auditor(trail: None) -> Client:
    return client_of(Role.SECAUD, "sam")


def subjects(client: Client, **query: Any) -> list[str]:
    answer = client.get("/audit/", query)
    assert answer.status_code == 200
    return [row.subject for row in answer.context["rows"]]


ALL = ["olaf", "invade", "nl-EV01", "es-STO01"]


@pytest.mark.parametrize(
    ("role", "pilot", "seen"),
    [
        (Role.SECAUD, None, ALL),
        (Role.SECADM, None, ALL),
        (Role.SECAUD, "es", ["es-STO01"]),
        (Role.OPERATOR, "es", ["olaf", "es-STO01"]),
        (Role.ENGINEER, "es", ["olaf", "es-STO01"]),
        (Role.OPERATOR, None, ["olaf", "nl-EV01", "es-STO01"]),
    ],
)
def test_each_reads_what_concerns_him(plant: Plant, trail: None, role: Role, pilot: str | None, seen: list[str]) -> None:
    where = plant.pilot if pilot else None
    assert subjects(client_of(role, "olaf", pilot=where)) == seen


@pytest.mark.parametrize("path", ["/audit/", "/audit/export.csv", "/audit/export.jsonl"])
@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.INSTALLER, Role.RBACMNT])
def test_nobody_else_reads_it(trail: None, role: Role | None, path: str) -> None:
    assert client_of(role, "vera").get(path).status_code == 403


@pytest.mark.parametrize("path", ["/audit/", "/audit/export.csv"])
def test_without_a_session_it_leads_to_the_login(db: None, path: str) -> None:
    assert Client().get(path)["Location"].startswith("/accounts/login/?next=")


def test_the_menu_has_it_for_those_who_may_read_it(operator: Client, viewer: Client) -> None:
    assert b'href="/audit/"' in operator.get("/").content
    assert b'href="/audit/"' not in viewer.get("/").content


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"text": "new limits"}, ["es-STO01"]),
        ({"text": "C0FFEE"}, ["es-STO01"]),
        ({"text": "token"}, ["invade"]),
        ({"text": "100%"}, []),
        ({"pilot": "nl"}, ["nl-EV01"]),
        ({"actor": "bob"}, ["nl-EV01"]),
        ({"action": "password"}, ["olaf"]),
        ({"from": "2026-11-24T09:00", "to": "2026-11-24T10:00"}, ["nl-EV01"]),
        ({"from": "2026-11-24T12:00+02:00"}, ["olaf", "invade"]),
        ({"actor": "ana", "action": "edit", "pilot": "nl"}, []),
    ],
)
def test_the_filters_find_rows(auditor: Client, query: dict[str, str], found: list[str]) -> None:
    assert subjects(auditor, **query) == found


def test_a_row_opens_with_its_details_and_no_text_is_markup(auditor: Client) -> None:
    deed("<b>x</b>", reason="<script>", details={"new": "<img>"})
    connection.check_constraints()
    page = auditor.get("/audit/").content.decode()
    assert "<details><summary>edit device</summary><dl>" in page and "<dt>new</dt><dd>75</dd>" in page
    assert "&lt;script&gt;" in page and "<script>" not in page and "<img>" not in page


def test_older_rows_come_page_by_page_without_a_gap(auditor: Client) -> None:
    for number in range(150):
        deed(f"row {number}")
    connection.check_constraints()
    first = auditor.get("/audit/", {"actor": "ana"})
    second = auditor.get("/audit/", {"actor": "ana", "before": first.context["older"]})
    numbers = [row.number for page in (first, second) for row in page.context["rows"]]
    assert (len(numbers), numbers) == (152, sorted(numbers, reverse=True))
    assert b"before=" in first.content and b"No older rows" in second.content


@pytest.mark.parametrize(
    "query",
    [
        {"from": "x"},
        {"to": "9999-99-99"},
        {"from": "2026-11-24T10:00", "to": "2026-11-24T09:00"},
        {"before": "-1"},
        {"text": "\0"},
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused_in_words(auditor: Client, query: dict[str, str]) -> None:
    answer = auditor.get("/audit/", query)
    assert answer.status_code == 400 and b'role="alert"' in answer.content and not answer.context["rows"]


def test_an_empty_trail_says_so(plant: Plant) -> None:
    assert b"Nothing has happened yet" in client_of(Role.SECAUD, "sam").get("/audit/").content


def test_a_search_without_hits_says_so(auditor: Client) -> None:
    assert b"Nothing you may read matches" in auditor.get("/audit/", {"text": "zzz"}).content


def test_the_state_of_the_chain_is_shown(auditor: Client, settings: Any, tmp_path: Path) -> None:
    assert b"Not verified yet" in auditor.get("/audit/").content
    settings.DATA_DIR = tmp_path
    verify_trail(now=NOW)
    assert b"Verified up to row 4 at 2026-11-24 08:00 UTC" in auditor.get("/audit/").content
    AuditVerification.objects.update(fault="Row 2 is missing")
    assert b"The trail is broken" in auditor.get("/audit/").content


def test_the_metrics_tell_the_state_of_the_chain(auditor: Client, settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    verify_trail(now=NOW)
    lines = auditor.get("/metrics").content.decode().splitlines()
    told = [f"invade_audit_verified_timestamp_seconds {NOW.timestamp()}", "invade_audit_rows 4", "invade_audit_intact 1"]
    assert {*told, "invade_audit_verified_rows 4"} <= set(lines)


# Exports


def body(answer: Any) -> bytes:
    async def chunks() -> list[bytes]:
        return [chunk async for chunk in answer.streaming_content]

    return b"".join(async_to_sync(chunks)())


def file_of(kind: str) -> bytes:
    lines = export_lines(
        in_order(AuditEvent.objects.all()), kind, {"made_at": NOW, "made_by": "sam", "filter": {}, "head": head()[0]}
    )
    return "".join(lines).encode()


def test_an_export_is_a_signed_file_of_the_filtered_rows(auditor: Client) -> None:
    answer = auditor.get("/audit/export.jsonl", {"actor": "ana"})
    lines = [json.loads(line) for line in body(answer).decode().splitlines()]
    assert [line["subject"] for line in lines[:-1]] == ["es-STO01", "invade"]
    manifest = lines[-1]["manifest"]
    assert (manifest["rows"], manifest["made_by"], manifest["filter"], manifest["reach"]) == (2, "sam", {"actor": "ana"}, "all")
    assert (manifest["head"], manifest["head_hash"]) == (4, lines[-1]["manifest"]["head_hash"]) and len(
        manifest["head_hash"]
    ) == 64
    told = AuditEvent.objects.get(action="export audit trail").details
    assert (told["kind"], told["filter"]) == ("jsonl", {"actor": "ana"})


def test_an_operators_export_holds_his_rows_only(plant: Plant, trail: None) -> None:
    answer = client_of(Role.OPERATOR, "olaf", pilot=plant.pilot).get("/audit/export.csv")
    table = list(csv.reader(io.StringIO(body(answer).decode("utf-8-sig"), newline="")))
    assert [row[6 - 1] for row in table[1:-1]] == ["es-STO01", "olaf"]
    assert json.loads(table[-1][1])["reach"] == ["es"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_not_what_was_signed(trail: None, kind: str) -> None:
    deed("äöü\n=1+1", details={"text": "a,b\r\n"})
    connection.check_constraints()
    file = file_of(kind)
    manifest = verify_export(file)
    assert manifest is not None and manifest["rows"] == 5
    for old, new in (
        (b"es-STO01", b"es-STO02"),
        (b"sam", b"tom"),
        (b"hmac-sha256:", b"hmac-sha256:0"),
        (b"edit device", b"edit"),
    ):
        assert old in file and verify_export(file.replace(old, new, 1)) is None
    assert verify_export(file[:40] + file[60:]) is None
    assert all(verify_export(other) is None for other in (b"", b"\n", b"{}", b"manifest", b"[1]", b"\xff\xfe", file[:-20]))


def test_no_cell_of_an_export_is_a_formula(trail: None) -> None:
    deed("=HYPERLINK(1)", actor="+1+1", reason="@x", action="-cmd")
    connection.check_constraints()
    row = list(csv.reader(io.StringIO(file_of("csv").decode("utf-8-sig"), newline="")))[5]
    assert row[2:7] == ["'+1+1", "'-cmd", "es", "'=HYPERLINK(1)", "'@x"]


def test_the_command_checks_an_export(trail: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "audit.csv"
    path.write_bytes(file_of("csv"))
    call_command("verify_audit", export=path)
    assert "audit.csv is as signed 2026-11-24T08:00:00.000000+00:00 for sam: 4 rows, head 4" in capsys.readouterr().out
    path.write_bytes(path.read_bytes().replace(b"bob", b"rob"))
    with pytest.raises(CommandError, match="not what this installation signed"):
        call_command("verify_audit", export=path)
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("verify_audit", export=tmp_path / "none.csv")


# Without the trail


def test_a_setpoint_from_the_page_is_refused_in_words_when_it_cannot_be_audited(operator: Client) -> None:
    form = {"device": "es-STO01", "point": "p_set", "value": -20_000, "unit": "W", "valid_for_s": 300}
    with trail_out_of_order():
        answer = operator.post("/pilots/es/setpoints/", json.dumps(form), content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (503, "audit_unavailable")
    assert answer.json()["reason"].startswith("The audit trail cannot be written, so nothing was done.")


@pytest.mark.django_db(transaction=True)
def test_any_other_deed_that_cannot_be_audited_is_refused_in_words() -> None:
    auditor = client_of(Role.SECAUD, "sam")
    with trail_out_of_order():
        answer = auditor.get("/audit/export.csv")
    assert answer.status_code == 503 and b"so nothing was done" in answer.content
