"""Schedules over the API: a document is taken whole or refused with the place named; revisions, cancelling, scopes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from pilots.control.stepping import run_schedules
from pilots.models import AuditEvent, Schedule, Setpoint
from tests.api.conftest import Api, Plant, api, problem
from tests.builders import make_point


def quarter(number: int = 1) -> datetime:
    """The beginning of a quarter hour from now on; 0 is the running one."""
    now = datetime.now(UTC)
    return now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0) + timedelta(minutes=15 * number)


def document(**fields: Any) -> dict[str, Any]:
    """A schedule that nothing is wrong with."""
    form = {"device": "es-STO01", "point": "p_set", "unit": "W", "start": quarter().isoformat(), "resolution": "PT15M"}
    form |= {"values": [-1000, -2000, None, 3000]}
    return {name: value for name, value in (form | fields).items() if value is not ...}


@pytest.fixture
def platform(plant: Plant) -> Api:
    return api("control", "read", name="platform")


def created(platform: Api, **fields: Any) -> dict[str, Any]:
    answer = platform.post("/schedules", document(**fields), key=str(uuid4()))
    assert answer.status_code == 201, answer.content
    record: dict[str, Any] = answer.json()
    return record


def test_a_schedule_is_taken_and_shown_whole(platform: Api) -> None:
    answer = platform.post("/schedules", document(service="congestion", reason="day ahead"), key="k1")
    assert answer.status_code == 201, answer.content
    record = answer.json()
    assert (record["state"], record["revision"], record["priority"], record["issuer"]) == ("accepted", 1, 6, "platform")
    assert [step["state"] for step in record["steps"]] == ["waiting", "waiting", "gap", "waiting"]
    assert record["steps"][1]["begins"] == quarter(2).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert (answer["ETag"], answer["Location"][-len(record["id"]) :]) == ('"1"', record["id"])
    assert platform.get(f"/schedules/{record['id']}").json() == record
    (row,) = platform.get("/schedules", device="es-STO01", state="accepted").json()["results"]
    assert row == {name: value for name, value in record.items() if name != "steps"}


@pytest.mark.parametrize(
    ("fields", "status", "code", "field"),
    [
        ({"values": [0, "5"]}, 400, "invalid_field", "values[1]"),
        ({"values": [0, True]}, 400, "invalid_field", "values[1]"),
        ({"values": [10**400]}, 400, "invalid_field", "values[0]"),
        ({"values": "5,6"}, 400, "invalid_field", "values"),
        ({"values": ...}, 400, "missing_field", "values"),
        ({"values": []}, 422, "out_of_range", "values"),
        ({"values": [0] * 193}, 422, "out_of_range", "values"),
        ({"values": [0, 0, 200_000]}, 422, "out_of_range", "values[2]"),
        ({"values": [0, 50]}, 422, "out_of_range", "values[1]"),
        ({"start": ...}, 400, "missing_field", "start"),
        ({"start": "2026-10-25T02:30:00"}, 400, "invalid_field", "start"),
        ({"start": "2020-01-01T00:00:00Z"}, 422, "stale_request", "start"),
        ({"resolution": "PT7M"}, 400, "invalid_field", "resolution"),
        ({"unit": ...}, 400, "missing_field", "unit"),
        ({"unit": "kW"}, 422, "wrong_unit", "unit"),
        ({"mode": "limit"}, 422, "not_capable", "mode"),
        ({"mode": "delta"}, 422, "not_capable", "mode"),
        ({"on_expiry": "for_ever"}, 400, "invalid_field", "on_expiry"),
        ({"on_expiry": "fallback"}, 400, "missing_field", "fallback_value"),
        ({"fallback_value": 0}, 400, "invalid_field", "fallback_value"),
        ({"on_expiry": "fallback", "fallback_value": 200_000}, 422, "out_of_range", "fallback_value"),
        ({"priority": 10}, 400, "invalid_field", "priority"),
        ({"device": "es-STO99"}, 404, "unknown_device", "device"),
        ({"device": "nl-EVSE01", "point": "p_set"}, 404, "unknown_point", "point"),
        ({"point": "active_power"}, 422, "not_capable", "point"),
        ({"issued_at": "2020-01-01T00:00:00Z"}, 422, "clock_skew", "issued_at"),
        ({"draft": "yes"}, 400, "invalid_field", "draft"),
        ({"id": "x"}, 400, "invalid_field", "id"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_is_kept(
    platform: Api, fields: dict[str, Any], status: int, code: str, field: str
) -> None:
    body = problem(platform.post("/schedules", document(**fields), key="k"), status, code)
    assert body["field"] == field
    assert Schedule.objects.count() == 0
    assert AuditEvent.objects.get(action="refuse schedule").details["field"] == field


def test_the_sentence_names_the_step_and_its_time(platform: Api) -> None:
    body = problem(platform.post("/schedules", document(values=[0, 2e5]), key="k"), 422, "out_of_range")
    assert body["detail"].startswith(f"Step 1, {quarter(2):%Y-%m-%d %H:%M} UTC: 200000 W is outside -100000 to 100000 W")


def test_a_command_takes_no_schedule(platform: Api, plant: Plant) -> None:
    make_point(plant.battery, "close", kind="command", unit="", capability={"minimum": 1, "maximum": 2})
    body = problem(platform.post("/schedules", document(point="close", unit="", values=[1]), key="k"), 422, "not_capable")
    assert body["field"] == "point"


def test_the_same_key_gets_the_same_answer_and_another_body_is_refused(platform: Api) -> None:
    form = document()
    first, again = (platform.post("/schedules", form, key="k") for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content)
    problem(platform.post("/schedules", form | {"values": [1000]}, key="k"), 409, "idempotency_conflict")
    problem(platform.post("/schedules", form), 400, "idempotency_key_missing")
    assert Schedule.objects.count() == 1


def test_an_id_is_given_once(platform: Api) -> None:
    record = created(platform, id=str(uuid4()))
    body = problem(platform.post("/schedules", document(id=record["id"]), key="other"), 409, "duplicate_id")
    assert body["field"] == "id"


def test_a_revision_replaces_what_is_not_dispatched(platform: Api) -> None:
    record = created(platform)
    answer = platform.put(f"/schedules/{record['id']}", document(values=[5000, 6000], revision=2))
    assert answer.status_code == 200, answer.content
    assert (answer.json()["revision"], answer.json()["values"], answer["ETag"]) == (2, [5000.0, 6000.0], '"2"')


@pytest.mark.parametrize(
    ("change", "headers", "status", "code", "field"),
    [
        ({"revision": ...}, {}, 400, "missing_field", "revision"),
        ({"revision": 1}, {}, 409, "revision_conflict", "revision"),
        ({"revision": 3}, {}, 409, "revision_conflict", "revision"),
        ({}, {"If-Match": '"7"'}, 412, "revision_conflict", "If-Match"),
        ({"point": "q_set"}, {}, 422, "out_of_range", "point"),
        ({"start": "2030-01-01T00:00:00Z"}, {}, 422, "out_of_range", "start"),
        ({"resolution": "PT1H"}, {}, 422, "out_of_range", "resolution"),
        ({"values": [0, 2e5]}, {}, 422, "out_of_range", "values[1]"),
    ],
)
def test_a_wrong_revision_is_refused_whole(
    platform: Api, change: dict[str, Any], headers: dict[str, str], status: int, code: str, field: str
) -> None:
    record = created(platform)
    answer = platform.put(f"/schedules/{record['id']}", document(**({"revision": 2} | change)), **headers)
    assert problem(answer, status, code)["field"] == field
    assert platform.get(f"/schedules/{record['id']}").json()["revision"] == 1


def test_a_matching_etag_passes(platform: Api) -> None:
    record = created(platform)
    answer = platform.put(f"/schedules/{record['id']}", document(revision=2), **{"If-Match": '"1"'})
    assert answer.status_code == 200, answer.content


def test_a_draft_is_put_in_force_by_a_revision(platform: Api) -> None:
    record = created(platform, draft=True)
    assert (record["state"], record["steps"][0]["state"]) == ("draft", "draft")
    answer = platform.put(f"/schedules/{record['id']}", document(revision=2))
    assert answer.json()["state"] == "accepted"


@pytest.mark.parametrize("way", ["cancel", "delete"])
def test_a_schedule_is_cancelled(platform: Api, way: str) -> None:
    record = created(platform)
    path = f"/schedules/{record['id']}"
    answer = platform.delete(path) if way == "delete" else platform.post(f"{path}/cancel", {"reason": "storm"})
    assert answer.status_code == 200, answer.content
    assert (answer.json()["state"], answer.json()["steps"][0]["state"]) == ("cancelled", "cancelled")
    problem(platform.post(f"{path}/cancel", {}), 409, "already_finished")
    problem(platform.put(path, document(revision=2)), 409, "already_finished")


def test_a_step_in_force_shows_its_set_point(platform: Api) -> None:
    record = created(platform, start=quarter(0).isoformat())
    run_schedules(now=datetime.now(UTC))
    found = platform.get(f"/schedules/{record['id']}").json()
    setpoint = Setpoint.objects.get(step=0)
    step = found["steps"][0]
    assert (found["state"], step["state"], step["setpoint"]) == ("running", "validated", str(setpoint.pk))
    assert platform.get(f"/setpoints/{setpoint.pk}").json()["schedule_id"] == record["id"]


def test_scopes_and_devices_are_kept(plant: Plant, platform: Api) -> None:
    record = created(platform)
    path = f"/schedules/{record['id']}"
    reader, stranger = api("read"), api("control", "read", pilots=[plant.nl])
    problem(reader.post("/schedules", document(), key="k"), 403, "not_authorised")
    problem(reader.put(path, document(revision=2)), 403, "not_authorised")
    problem(reader.delete(path), 403, "not_authorised")
    problem(stranger.get(path), 404, "not_found")
    problem(stranger.put(path, document(revision=2)), 404, "not_found")
    problem(stranger.post(f"{path}/cancel", {}), 404, "not_found")
    problem(stranger.post("/schedules", document(), key="k"), 404, "unknown_device")
    assert stranger.get("/schedules").json()["results"] == []
    charger = api("control", "read", devices=[plant.charger])
    problem(charger.get(path), 404, "not_found")


def test_a_list_comes_in_pages(platform: Api) -> None:
    ids = [created(platform)["id"] for _ in range(3)]
    first = platform.get("/schedules", limit=2).json()
    rest = platform.client.get(first["next"], headers=platform.headers).json()
    assert [row["id"] for row in first["results"] + rest["results"]] == ids[::-1]
    problem(platform.get("/schedules", state="odd"), 400, "invalid_field")


def test_capabilities_say_that_schedules_are_taken(platform: Api) -> None:
    answer = platform.get("/devices/es-STO01/capabilities").json()
    assert (answer["schedules"], answer["setpoints"][0]["schedules"]) == (True, True)
