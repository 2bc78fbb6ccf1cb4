"""Values by hand over the API: the same door and the same refusals as on the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.models import AuditEvent, Point, Substitution
from tests.api.conftest import Api, Plant, api, problem
from tests.builders import make_point


def by_hand(**fields: Any) -> dict[str, Any]:
    form: dict[str, Any] = {"device": "es-STO01", "point": "active_power", "value": 20_000, "unit": "W"}
    form |= {"until": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), "reason": "read at the meter"}
    return {name: value for name, value in (form | fields).items() if value is not ...}


@pytest.fixture
def desk(plant: Plant) -> Api:
    Point.objects.filter(pk=plant.power.pk).update(low=-100_000.0, high=100_000.0)
    return api("control", "read", name="desk")


def test_a_value_is_substituted_listed_and_withdrawn_by_the_token(desk: Api) -> None:
    answer = desk.post("/substitutions", by_hand(), key="k")
    assert answer.status_code == 201, answer.content
    assert desk.post("/substitutions", by_hand(until=answer.json()["until"]), key="other").status_code == 409
    record = answer.json()
    assert (record["owner"], record["value"], record["label"], record["unit"]) == ("desk", 20_000.0, None, "W")
    assert desk.get("/substitutions", device="es-STO01").json()["results"] == [record]
    assert desk.get("/substitutions", pilot="nl").json()["results"] == []
    withdrawn = desk.post("/substitutions/withdraw", {"device": "es-STO01", "point": "active_power", "reason": "repaired"})
    assert (withdrawn.status_code, withdrawn.json()) == (200, record)
    assert desk.get("/substitutions").json()["results"] == []
    assert Substitution.objects.get().removed_by == "desk"
    told = list(AuditEvent.objects.order_by("id").values_list("actor", "action", "reason"))
    assert told[0] == ("desk", "substitute value", "read at the meter")
    assert told[-1] == ("desk", "withdraw substituted value", "repaired")
    again = desk.post("/substitutions/withdraw", {"device": "es-STO01", "point": "active_power"})
    assert problem(again, 404, "not_found")["field"] == "point"


@pytest.mark.parametrize(
    ("fields", "status", "code", "field"),
    [
        ({"value": "open"}, 400, "invalid_field", "value"),
        ({"value": True}, 400, "invalid_field", "value"),
        ({"value": 1e12}, 409, "substitution", "value"),
        ({"unit": ...}, 400, "missing_field", "unit"),
        ({"unit": "kW"}, 422, "wrong_unit", "unit"),
        ({"reason": ...}, 400, "missing_field", "reason"),
        ({"reason": " "}, 409, "substitution", "reason"),
        ({"until": ...}, 400, "missing_field", "until"),
        ({"until": "2020-01-01T00:00:00Z"}, 409, "substitution", "until"),
        ({"until": "2099-01-01T00:00:00Z"}, 409, "substitution", "until"),
        ({"point": "p_set"}, 409, "substitution", "point"),
        ({"point": "nothing"}, 404, "unknown_point", "point"),
        ({"device": "xx"}, 404, "unknown_device", "device"),
    ],
)  # fmt: skip
def test_what_is_refused_on_the_page_is_refused_here(
    desk: Api, plant: Plant, fields: dict[str, Any], status: int, code: str, field: str
) -> None:
    assert problem(desk.post("/substitutions", by_hand(**fields)), status, code)["field"] == field
    assert not Substitution.objects.exists()
    assert AuditEvent.objects.get(action="refuse substitution").details["field"] == field


def test_a_state_is_given_by_its_number_and_told_with_its_word(desk: Api, plant: Plant) -> None:
    make_point(plant.battery, "storage_state", kind="status", unit="", labels={"3": "charging"})
    answer = desk.post("/substitutions", by_hand(point="storage_state", unit=..., value=3))
    assert (answer.status_code, answer.json()["label"]) == (201, "charging")


def test_it_takes_the_scope_and_the_reach(plant: Plant) -> None:
    problem(api("read", "ingest", name="reader").post("/substitutions", by_hand()), 403, "not_authorised")
    dutch = api("control", "read", name="dutch", pilots=[plant.nl])
    problem(dutch.post("/substitutions", by_hand()), 404, "unknown_device")
    assert api("control", name="desk").post("/substitutions", by_hand(value=1_000)).status_code == 201
    assert dutch.get("/substitutions").json()["results"] == []
