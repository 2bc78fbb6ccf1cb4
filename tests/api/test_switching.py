"""Switching by machines: select, operate, cancel, approve; only by scopes, never without a selection (S10, S11, S12)."""

from __future__ import annotations

from typing import Any

import pytest

from pilots.models import AuditEvent, Point, Selection, Setpoint
from tests.api.conftest import Api, Plant, api, problem
from tests.builders import make_latest, make_point

LABELS = {"1": "open", "2": "closed"}
CAPABILITY = {"minimum": 1, "maximum": 2, "step": 1, "tolerance": 0}
WISH = {"device": "es-STO01", "point": "position_cmd", "value": 1, "reason": "islanding test"}
SWITCHES = ("switch", "switch_critical", "read")


@pytest.fixture
def breaker(plant: Plant) -> Point:
    make_latest(make_point(plant.battery, "position", kind="status", unit="", labels=LABELS), 2.0)
    form = {"kind": "command", "unit": "", "labels": LABELS, "feedback": "position", "capability": CAPABILITY}
    return make_point(plant.battery, "position_cmd", **form)


@pytest.fixture
def platform(breaker: Point) -> Api:
    return api(*SWITCHES, name="invade")


def selected(client: Api, key: str = "s", **changes: Any) -> dict[str, Any]:
    answer = client.post("/selections", WISH | changes, key=key)
    assert answer.status_code == 201, answer.content
    assert answer["Location"].endswith(f"/selections/{answer.json()['id']}")
    made: dict[str, Any] = answer.json()
    return made


def test_a_machine_selects_operates_and_follows_the_commands_record(platform: Api) -> None:
    made = selected(platform)
    assert (made["state"], made["label"], made["before"], made["command_class"]) == ("selected", "open", 2.0, "critical")
    answer = platform.post(f"/selections/{made['id']}/operate", {"value": 1}, key="o")
    assert (answer.status_code, answer.json()["kind"], answer.json()["label"]) == (202, "command", "open")
    assert (answer.json()["issuer"], answer.json()["priority"]) == ("platform", 5)
    over = platform.get(f"/selections/{made['id']}").json()
    assert (over["state"], over["setpoint"]) == ("operated", answer.json()["id"])
    assert platform.get(f"/setpoints/{over['setpoint']}").json()["state"] == answer.json()["state"]


def test_the_selection_tells_what_would_refuse(platform: Api, breaker: Point) -> None:
    breaker.capability = CAPABILITY | {"interlock": "active_power < 5"}
    breaker.save()
    assert [each["code"] for each in selected(platform)["refusals"]] == ["interlock"]


def test_s10_operate_without_another_value_or_by_another_token_is_refused(platform: Api) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    problem(platform.post(f"/selections/{unknown}/operate", {"value": 1}, key="a"), 404, "not_found")
    made = selected(platform)
    path = f"/selections/{made['id']}/operate"
    problem(platform.post(path, {"value": 2}, key="b"), 409, "selection_differs")
    problem(platform.post(path, {"value": True}, key="c"), 400, "invalid_field")
    problem(api(*SWITCHES).post(path, {"value": 1}, key="d"), 403, "other_session")
    problem(api(*SWITCHES).post("/selections", WISH, key="e"), 409, "already_selected")
    problem(platform.post(path, {"value": 1}), 400, "idempotency_key_missing")
    assert not Setpoint.objects.exists()
    codes = list(AuditEvent.objects.filter(action="refuse operate").order_by("pk").values_list("details__code", flat=True))
    assert codes == ["not_found", "selection_differs", "invalid_field", "other_session", "idempotency_key_missing"]


def test_s11_a_critical_command_needs_its_own_scope(breaker: Point) -> None:
    problem(api("control").post("/selections", WISH, key="a"), 403, "not_authorised")
    problem(api("switch").post("/selections", WISH, key="b"), 403, "step_up_required")
    breaker.capability = CAPABILITY | {"command_class": "ordinary"}
    breaker.save()
    assert selected(api("switch", "read"))["command_class"] == "ordinary"


def test_a_repeat_of_operate_gets_the_first_answer_and_switches_once(platform: Api) -> None:
    path = f"/selections/{selected(platform)['id']}/operate"
    first, again = (platform.post(path, {"value": 1}, key="same") for _ in range(2))
    assert first.content == again.content
    assert Setpoint.objects.count() == 1


def test_a_cancelled_selection_is_over(platform: Api) -> None:
    made = selected(platform)
    assert platform.post(f"/selections/{made['id']}/cancel", {}).json()["state"] == "cancelled"
    problem(platform.post(f"/selections/{made['id']}/operate", {"value": 1}, key="o"), 409, "selection_over")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"device": "es-NOT"}, 404, "unknown_device"),
        ({"point": "p_setx"}, 404, "unknown_point"),
        ({"point": "p_set"}, 422, "not_capable"),
        ({"value": 3}, 422, "out_of_range"),
        ({"value": "open"}, 400, "invalid_field"),
        ({"reason": ""}, 400, "invalid_field"),
        ({"reason": "  "}, 422, "reason_missing"),
        ({"reason": None}, 400, "missing_field"),
    ],
)
def test_what_cannot_be_selected_is_refused_and_kept(platform: Api, changes: dict[str, Any], status: int, code: str) -> None:
    problem(platform.post("/selections", WISH | changes, key="k"), status, code)
    assert AuditEvent.objects.get(action="refuse select").details["code"] == code
    assert not Selection.objects.exists()


def test_s12_another_token_agrees_and_the_first_operates(platform: Api, plant: Plant) -> None:
    plant.es.four_eyes = "critical"
    plant.es.save()
    made = selected(platform)
    path = f"/selections/{made['id']}"
    problem(platform.post(f"{path}/operate", {"value": 1}, key="early"), 403, "approval_required")
    approval = platform.post(f"{path}/approval", {})
    assert (approval.status_code, approval.json()["approved"]) == (202, None)
    assert platform.get(path).json()["state"] == "awaiting_approval"
    desk = api("approve", "switch_critical", name="desk")
    waiting = desk.get("/approvals").json()["results"]
    assert [(row["id"], row["command"]["label"]) for row in waiting] == [(approval.json()["id"], "open")]
    assert desk.post(f"/approvals/{waiting[0]['id']}/approve", {"reason": "seen"}).json()["decided_by"] == "desk"
    assert platform.post(f"{path}/operate", {"value": 1}, key="now").status_code == 202


def test_s12_a_token_never_agrees_to_its_own(breaker: Point, plant: Plant) -> None:
    plant.es.four_eyes = "all"
    plant.es.save()
    client = api(*SWITCHES, "approve")
    approval = client.post(f"/selections/{selected(client)['id']}/approval", {}).json()
    problem(client.post(f"/approvals/{approval['id']}/approve", {}), 403, "self_approval")
    desk = api("approve", "switch_critical")
    assert desk.post(f"/approvals/{approval['id']}/refuse", {"reason": "no"}).json()["approved"] is False
    problem(desk.post(f"/approvals/{approval['id']}/approve", {}), 409, "approval_over")


def test_another_pilots_selections_and_approvals_do_not_exist(platform: Api, plant: Plant) -> None:
    plant.es.four_eyes = "all"
    plant.es.save()
    made = selected(platform)
    approval = platform.post(f"/selections/{made['id']}/approval", {}).json()
    elsewhere = api(*SWITCHES, "approve", pilots=[plant.nl])
    problem(elsewhere.get(f"/selections/{made['id']}"), 404, "not_found")
    problem(elsewhere.post(f"/selections/{made['id']}/cancel", {}), 404, "not_found")
    problem(elsewhere.post(f"/approvals/{approval['id']}/approve", {}), 404, "not_found")
    assert elsewhere.get("/approvals").json()["results"] == []
    problem(elsewhere.post("/selections", WISH, key="k"), 404, "unknown_device")


def test_capabilities_tell_which_commands_are_critical(platform: Api) -> None:
    rows = {row["point"]: row["command_class"] for row in platform.get("/devices/es-STO01/capabilities").json()["setpoints"]}
    assert rows == {"p_set": None, "position_cmd": "critical"}
