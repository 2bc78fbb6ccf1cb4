"""Set-points over the API: read strictly, stored once, answered with the whole record."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from pilots.api import idempotency
from pilots.models import AuditEvent, IdempotencyKey, Setpoint
from tests.api.conftest import Api, Plant, api, build_plant, problem
from tests.builders import make_point, make_token
from tests.tampering import trail_out_of_order


def wish(**fields: Any) -> dict[str, Any]:
    """A set-point that nothing is wrong with."""
    until = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    form = {"device": "es-STO01", "point": "p_set", "value": -20_000, "unit": "W", "valid_until": until}
    return {name: value for name, value in (form | fields).items() if value is not ...}


def test_a_good_set_point_is_stored_and_shown_whole(plant: Plant) -> None:
    answer = api("control", name="platform").post("/setpoints", wish(reason="test", service="test"), key="k1")
    assert answer.status_code == 202, answer.content
    record = answer.json()
    assert (record["state"], record["value"], record["issuer"]) == ("validated", -20_000.0, "platform")
    assert (record["requested_by"], record["priority"], record["request_reason"]) == ("platform", 5, "test")
    assert [event["state"] for event in record["events"]] == ["received", "validated"]
    assert answer["Location"].endswith(f"/api/v1/setpoints/{record['id']}")
    assert api().get(f"/setpoints/{record['id']}").json() == record


def test_a_set_point_out_of_range_is_stored_as_rejected(plant: Plant) -> None:
    record = api("control").post("/setpoints", wish(value=200_000), key="k").json()
    assert (record["state"], record["code"]) == ("rejected", "out_of_range")
    assert Setpoint.objects.get().state == "rejected"


def test_unknown_fields_are_ignored(plant: Plant) -> None:
    assert api("control").post("/setpoints", wish(colour="blue"), key="k").status_code == 202


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", 5), ("device", ...), ("device", ""), ("point", None), ("value", "5"), ("value", True), ("value", ...),
        ("value", 10**400), ("unit", ...), ("unit", 3), ("valid_until", ...), ("valid_until", "2030-01-01T00:00:00"),
        ("valid_until", 5), ("valid_until", "9999-12-31T23:59:59Z"), ("valid_from", "tomorrow"), ("priority", 0),
        ("priority", 1.5), ("priority", True), ("mode", "sideways"), ("mode", ["absolute"]), ("on_expiry", "explode"),
        ("service", "x"), ("id", "not-a-uuid"), ("id", 5), ("correlation_id", "x" * 65), ("reason", 5),
        ("issued_at", "2024-01-01"),
        ("ramp", "fast"), ("ramp", True), ("sequence", -1), ("sequence", 1.5), ("kind", "command"), ("reason", "a\0b"),
    ],
)  # fmt: skip
def test_an_unreadable_field_is_named_and_only_audited(plant: Plant, field: str, value: Any) -> None:
    body = problem(answer := api("control").post("/setpoints", wish(**{field: value}), key="k"), 400, answer.json()["code"])
    assert body["field"] == field
    assert body["code"] in ("missing_field", "invalid_field")
    assert Setpoint.objects.count() == 0
    assert AuditEvent.objects.filter(action="refuse set-point").count() == 1


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        ({"device": "es-STO99"}, 404, "unknown_device", "device"),
        ({"point": "p_sett"}, 404, "unknown_point", "point"),
        ({"unit": "kW"}, 422, "wrong_unit", "unit"),
        ({"mode": "delta"}, 422, "not_capable", "mode"),
        ({"on_expiry": "fallback"}, 400, "missing_field", "fallback_value"),
        ({"fallback_value": 0.0}, 400, "invalid_field", "fallback_value"),
    ],
)
def test_what_cannot_be_a_set_point_is_refused_at_once(
    plant: Plant, change: dict[str, Any], status: int, code: str, field: str
) -> None:
    body = problem(api("control").post("/setpoints", wish(**change), key="k"), status, code)
    assert body["field"] == field
    assert Setpoint.objects.count() == 0
    assert AuditEvent.objects.get().details["code"] == code


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"device":"es-STO01","value":NaN}', "value"), (b'{"value":Infinity}', "value"), (b'{"value":-1e999}', "value"),
        (b'{"value":1,"value":2}', "value"), (b"{", ""), (b"", "unit"), (b"[]", ""), (b"5", ""), (b"\xff", ""),
        (b'"\\ud800"', ""), (b"[" * 30 + b"]" * 30, ""), (b"[" * 100_000, ""), (b'{"\\ud800":1,"\\ud800":2}', "?"),
    ],
)  # fmt: skip
def test_what_is_not_strict_json_is_refused(plant: Plant, raw: bytes, field: str) -> None:
    answer = api("control").client.post(
        "/api/v1/setpoints",
        raw,
        content_type="application/json",
        headers={"Authorization": f"Bearer {make_token('control')}", "Idempotency-Key": "k"},
    )
    body = answer.json()
    assert answer.status_code == 400
    assert body.get("field", "") in (field, "valid_until")
    assert AuditEvent.objects.count() == 1
    assert Setpoint.objects.count() == 0


def test_a_form_is_not_json(plant: Plant) -> None:
    client = api("control")
    answer = client.client.post("/api/v1/setpoints", {"a": "b"}, headers=client.headers | {"Idempotency-Key": "k"})
    problem(answer, 415, "unsupported_media_type")


def test_a_body_over_4_mb_is_too_large(plant: Plant) -> None:
    problem(api("control").post("/setpoints", wish(reason="x" * 4_200_000), key="k"), 413, "too_large")


def test_the_key_is_mandatory(plant: Plant) -> None:
    assert problem(api("control").post("/setpoints", wish()), 400, "idempotency_key_missing")["field"] == "Idempotency-Key"


def test_s7_the_same_key_and_body_get_the_first_answer_again(plant: Plant) -> None:
    client, body = api("control"), wish()
    first, second = (client.post("/setpoints", body, key="k") for _ in range(2))
    assert (first.status_code, first.json(), first["Location"]) == (second.status_code, second.json(), second["Location"])
    assert Setpoint.objects.count() == 1


def test_a_refusal_is_repeated_too(plant: Plant) -> None:
    client, body = api("control"), wish(unit="kW")
    first, second = (client.post("/setpoints", body, key="k") for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (422, second.json())


def test_s7_the_same_key_with_another_body_is_a_conflict(plant: Plant) -> None:
    client = api("control")
    client.post("/setpoints", wish(), key="k")
    problem(client.post("/setpoints", wish(value=5), key="k"), 409, "idempotency_conflict")


def test_two_clients_may_use_the_same_key(plant: Plant) -> None:
    assert [api("control").post("/setpoints", wish(), key="k").status_code for _ in range(2)] == [202, 202]


@pytest.mark.parametrize(("hours", "status"), [(47.9, 409), (48.1, 202)])
def test_s7_a_key_is_remembered_for_two_days(plant: Plant, hours: float, status: int) -> None:
    client = api("control")
    client.post("/setpoints", wish(), key="k")
    IdempotencyKey.objects.update(created_at=datetime.now(UTC) - timedelta(hours=hours))
    idempotency.forget_old_keys()
    assert client.post("/setpoints", wish(value=5_000), key="k").status_code == status


def test_the_same_id_under_another_key_is_a_duplicate(plant: Plant) -> None:
    client, body = api("control"), wish(id=str(uuid4()))
    assert client.post("/setpoints", body, key="k1").json()["id"] == body["id"]
    problem(client.post("/setpoints", body, key="k2"), 409, "duplicate_id")
    assert Setpoint.objects.count() == 1


def test_a_failure_of_ours_keeps_no_answer(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    client, body = api("control"), wish()
    with monkeypatch.context() as broken:
        broken.setattr("pilots.api.setpoint_views.request_setpoint", lambda **_: 1 / 0)
        problem(client.post("/setpoints", body, key="k"), 500, "internal_error")
    assert client.post("/setpoints", body, key="k").status_code == 202


def test_a_set_point_that_cannot_be_audited_is_refused_and_may_be_tried_again(plant: Plant) -> None:
    client, body = api("control"), wish()
    with trail_out_of_order():
        answer = client.post("/setpoints", body, key="k")
        problem(client.post("/setpoints", wish(device="none"), key="k2"), 503, "audit_unavailable")
    assert problem(answer, 503, "audit_unavailable")["detail"].startswith("The audit trail cannot be written")
    assert answer["Retry-After"] == "5"
    assert (Setpoint.objects.count(), IdempotencyKey.objects.count(), AuditEvent.objects.count()) == (0, 0, 0)
    assert client.post("/setpoints", body, key="k").status_code == 202


def test_a_cancelling_that_cannot_be_audited_is_refused(plant: Plant) -> None:
    client = api("control")
    found = client.post("/setpoints", wish(), key="k").json()
    with trail_out_of_order():
        problem(client.post(f"/setpoints/{found['id']}/cancel", {}), 503, "audit_unavailable")
    assert Setpoint.objects.get().state == "validated"


@pytest.mark.django_db(transaction=True)
def test_s7_ten_repeats_at_once_make_one_record() -> None:
    build_plant()
    token, body, answers = make_token("control"), wish(), []

    def send() -> None:
        answers.append(Api(token).post("/setpoints", body, key="k"))
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert Setpoint.objects.count() == 1


def test_a_command_is_no_set_point_to_post(plant: Plant) -> None:
    capability = {"minimum": 1, "maximum": 2, "modes": ["absolute"]}
    make_point(plant.battery, "position_cmd", kind="command", unit="", feedback="position", capability=capability)
    body = wish(point="position_cmd", value=2, unit="", kind="command")
    problem(api("control", "switch", "switch_critical").post("/setpoints", body, key="a"), 403, "not_selected")
    assert not Setpoint.objects.exists()


def test_another_pilots_device_cannot_be_commanded(plant: Plant) -> None:
    problem(api("control", pilots=[plant.nl]).post("/setpoints", wish(), key="k"), 404, "unknown_device")
    problem(api("control", devices=[plant.charger]).post("/setpoints", wish(), key="k"), 404, "unknown_device")


def test_another_pilots_set_point_is_not_found(plant: Plant) -> None:
    made = api("control").post("/setpoints", wish(), key="k").json()
    problem(api(pilots=[plant.nl]).get(f"/setpoints/{made['id']}"), 404, "not_found")
    problem(api("control", pilots=[plant.nl]).post(f"/setpoints/{made['id']}/cancel", {}), 404, "not_found")
    problem(api().get("/setpoints/5"), 404, "not_found")


def test_a_cancelled_set_point_is_cancelled_once(plant: Plant) -> None:
    client = api("control")
    made = client.post("/setpoints", wish(), key="k").json()
    first = client.post(f"/setpoints/{made['id']}/cancel", {"reason": "enough"}, key="c")
    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    again = client.post(f"/setpoints/{made['id']}/cancel", {"reason": "enough"}, key="c")
    assert again.json() == first.json()
    problem(client.post(f"/setpoints/{made['id']}/cancel", {}), 409, "already_finished")


def test_set_points_are_listed_newest_first_page_by_page(plant: Plant) -> None:
    client = api("control", "read")
    ids = [client.post("/setpoints", wish(value=value), key=str(value)).json()["id"] for value in (100, 200, 300)]
    page = client.get("/setpoints", limit=2, device="es-STO01").json()
    rest = client.client.get(page["next"], headers=client.headers).json()
    assert [row["id"] for row in page["results"] + rest["results"]] == ids[::-1]
    assert rest["next"] is None
    assert len(client.get("/setpoints", state="validated").json()["results"]) == 1
    assert problem(client.get("/setpoints", state="asleep"), 400, "invalid_field")["field"] == "state"
