"""Group set-points over the API: previewed, sent whole or not at all, kept by their key, aborted, within a token's reach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from pilots.control.guards import set_tag
from pilots.models import AuditEvent, Device, Point, Setpoint, SetpointGroup
from tests.api.conftest import Api, Plant, api, problem
from tests.builders import make_device, make_point


@pytest.fixture
def second(plant: Plant) -> Device:
    """Another battery beside the plant's, of half its power."""
    device = make_device(plant.es, "es-STO02", connection=plant.battery.connection)
    make_point(device, "active_power", max_interval_s=10)
    p_set = make_point(device, "p_set")
    Point.objects.filter(pk=p_set.pk).update(capability={**p_set.capability, "minimum": -50_000, "maximum": 50_000})
    return device


@pytest.fixture
def platform(second: Device) -> Api:
    return api("control", "read", name="platform")


def wish(**fields: Any) -> dict[str, Any]:
    """A group that nothing is wrong with."""
    valid_until = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    form = {"members": ["es-STO01", "es-STO02"], "point": "p_set", "target": -30_000, "unit": "W", "valid_until": valid_until}
    return {name: value for name, value in (form | fields).items() if value is not ...}


def created(platform: Api, **fields: Any) -> dict[str, Any]:
    answer = platform.post("/setpoint-groups", wish(**fields), key=str(uuid4()))
    assert answer.status_code == 201, answer.content
    record: dict[str, Any] = answer.json()
    return record


def test_s20_a_group_is_previewed_then_sent_as_it_was_shown(platform: Api) -> None:
    form = wish(reason="peak", service="congestion")
    shown = platform.post("/setpoint-groups/preview", form).json()
    assert [(each["device"], each["share"]) for each in shown["members"]] == [("es-STO01", -20_000.0), ("es-STO02", -10_000.0)]
    assert (shown["most"], shown["least"], shown["shared"], shown["refusal"]) == (-150_000.0, 0.0, -30_000.0, None)
    assert not SetpointGroup.objects.exists() and not AuditEvent.objects.exists()
    answer = platform.post("/setpoint-groups", form | {"preview": shown["preview"]}, key="k1")
    assert answer.status_code == 201, answer.content
    record = answer.json()
    assert answer["Location"].endswith(f"/setpoint-groups/{record['id']}")
    assert (record["state"], record["shared"], record["issuer"], record["priority"]) == ("under_way", -30_000.0, "platform", 5)
    assert platform.get(f"/setpoint-groups/{record['id']}").json() == record
    rows = platform.get("/setpoints", group=record["id"]).json()["results"]
    assert {(row["device"], row["value"], row["group_id"], row["service"]) for row in rows} == {
        ("es-STO01", -20_000.0, record["id"], "congestion"), ("es-STO02", -10_000.0, record["id"], "congestion"),
    }  # fmt: skip
    assert {row["id"] for row in rows} == {each["setpoint"] for each in record["members"]}


def test_who_is_left_out_and_a_target_beyond_reach_are_told_in_the_preview(platform: Api, second: Device) -> None:
    set_tag(second, owner="olaf", reason="people on site", now=datetime.now(UTC))
    shown = platform.post("/setpoint-groups/preview", wish(target=120_000)).json()
    assert shown["members"][1]["share"] is None
    assert (shown["members"][1]["code"], shown["members"][1]["reason"][:15]) == ("tagged", "Do not operate:")
    assert shown["refusal"]["detail"] == "All that can take part can do 100000 W together now, not 120000 W."
    assert (shown["refusal"]["field"], shown["preview"], shown["most"]) == ("target", None, 100_000.0)
    body = problem(platform.post("/setpoint-groups", wish(target=120_000), key="k"), 422, "out_of_range")
    assert (body["field"], body["detail"]) == ("target", shown["refusal"]["detail"])
    assert AuditEvent.objects.get(action="refuse group").reason == body["detail"]
    alone = problem(platform.post("/setpoint-groups/preview", wish(members=["es-STO01"])), 422, "out_of_range")
    assert alone["field"] == "members"


@pytest.mark.parametrize(
    ("fields", "status", "code", "field"),
    [
        ({"members": ...}, 400, "missing_field", "members"),
        ({"members": "es-STO01"}, 400, "invalid_field", "members"),
        ({"members": ["es-STO01", 2]}, 400, "invalid_field", "members[1]"),
        ({"members": ["es-STO01"] * 101}, 400, "invalid_field", "members"),
        ({"members": ["es-STO01"]}, 422, "out_of_range", "members"),
        ({"members": ["es-STO01", "es-STO01"]}, 422, "not_capable", "members[1]"),
        ({"members": ["es-STO01", "es-STO09"]}, 404, "unknown_device", "members[1]"),
        ({"members": ["es-STO01", "nl-EVSE01"]}, 404, "unknown_point", "members[1]"),
        ({"point": ...}, 400, "missing_field", "point"),
        ({"point": "active_power"}, 422, "not_capable", "members[0]"),
        ({"target": ...}, 400, "missing_field", "target"),
        ({"target": True}, 400, "invalid_field", "target"),
        ({"target": "5"}, 400, "invalid_field", "target"),
        ({"target": 10**400}, 400, "invalid_field", "target"),
        ({"target": 1e9}, 422, "out_of_range", "target"),
        ({"unit": ...}, 400, "missing_field", "unit"),
        ({"unit": "kW"}, 422, "wrong_unit", "unit"),
        ({"valid_until": ...}, 400, "missing_field", "valid_until"),
        ({"valid_until": "2020-01-01T00:00:00Z"}, 422, "stale_request", "valid_until"),
        ({"issued_at": "2020-01-01T00:00:00Z"}, 422, "clock_skew", "issued_at"),
        ({"priority": 0}, 400, "invalid_field", "priority"),
        ({"id": "x"}, 400, "invalid_field", "id"),
        ({"preview": "x"}, 409, "preview_over", "preview"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_is_kept(
    platform: Api, fields: dict[str, Any], status: int, code: str, field: str
) -> None:
    body = problem(platform.post("/setpoint-groups", wish(**fields), key="k"), status, code)
    assert body["field"] == field
    assert not SetpointGroup.objects.exists() and not Setpoint.objects.exists()
    assert AuditEvent.objects.get().details["field"] == field


def test_the_same_key_gets_the_same_answer_and_another_body_is_refused(platform: Api) -> None:
    form = wish()
    first, again = (platform.post("/setpoint-groups", form, key="k") for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert (SetpointGroup.objects.count(), Setpoint.objects.count()) == (1, 2)
    problem(platform.post("/setpoint-groups", form | {"target": 1000}, key="k"), 409, "idempotency_conflict")
    problem(platform.post("/setpoint-groups", form), 400, "idempotency_key_missing")
    problem(platform.post("/setpoint-groups", form | {"id": first.json()["id"]}, key="k2"), 409, "duplicate_id")


def test_s20_a_group_is_aborted_and_each_member_told(platform: Api) -> None:
    record = created(platform)
    answer = platform.post(f"/setpoint-groups/{record['id']}/abort", {"reason": "wrong feeder"}, key="a")
    assert answer.status_code == 200, answer.content
    aborted = answer.json()
    assert (aborted["state"], aborted["aborted_by"], aborted["abort_reason"]) == ("aborted", "platform", "wrong feeder")
    assert {(each["state"], each["reason"]) for each in aborted["members"]} == {("cancelled", "Its group was aborted.")}
    assert platform.post(f"/setpoint-groups/{record['id']}/abort", {"reason": "wrong feeder"}, key="a").json() == aborted
    problem(platform.post(f"/setpoint-groups/{record['id']}/abort", {}), 409, "already_finished")
    assert AuditEvent.objects.filter(action="abort group").count() == 1
    assert AuditEvent.objects.get(action="refuse abort").details["code"] == "already_finished"


def test_a_token_reaches_groups_of_its_devices_only(platform: Api, plant: Plant, second: Device) -> None:
    record = created(platform)
    narrow = api("control", "read", devices=[plant.battery], name="narrow")
    elsewhere = api("control", "read", pilots=[plant.nl], name="elsewhere")
    for other in (narrow, elsewhere):
        problem(other.get(f"/setpoint-groups/{record['id']}"), 404, "not_found")
        problem(other.post(f"/setpoint-groups/{record['id']}/abort", {}), 404, "not_found")
    body = problem(narrow.post("/setpoint-groups", wish(), key="k"), 404, "unknown_device")
    assert body["field"] == "members[1]"
    problem(narrow.post("/setpoint-groups/preview", wish()), 404, "unknown_device")
    whole = api("control", "read", devices=[plant.battery, second], name="whole")
    assert whole.get(f"/setpoint-groups/{record['id']}").status_code == 200
    problem(platform.get("/setpoint-groups/none"), 404, "not_found")
    assert platform.get("/setpoints", group=str(uuid4())).json()["results"] == []
    problem(platform.get("/setpoints", group="x"), 400, "invalid_field")


def test_reading_is_no_right_to_send(second: Device) -> None:
    reader = api("read")
    problem(reader.post("/setpoint-groups", wish(), key="k"), 403, "not_authorised")
    problem(reader.post("/setpoint-groups/preview", wish()), 403, "not_authorised")
    problem(reader.post(f"/setpoint-groups/{uuid4()}/abort", {}), 403, "not_authorised")


def test_s20_many_devices_need_the_scope_of_what_is_critical(plant: Plant) -> None:
    codes = [f"es-X{number:02}" for number in range(51)]
    for code in codes:
        make_point(make_device(plant.es, code, connection=plant.battery.connection), "p_set")
    form = wish(members=codes)
    body = problem(api("control", name="one").post("/setpoint-groups", form, key="k"), 403, "step_up_required")
    assert (body["field"], "switch_critical" in body["detail"]) == ("members", True)
    assert api("control", "switch_critical", name="two").post("/setpoint-groups", form, key="k").status_code == 201
