"""Alarms over the API: what a client sees, acknowledges and shelves is what its token reaches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pilots.alarms.occurrences import Coming, turn
from pilots.models import Alarm, AuditEvent, Pilot, Point
from tests.alarms.builders import make_rule
from tests.api.conftest import Api
from tests.builders import make_device, make_pilot, make_point, make_token

pytestmark = pytest.mark.django_db


def raised(pilot: Pilot, device: str, *, priority: int = 3) -> Alarm:
    """An alarm of a point of a device of its own."""
    point: Point = make_point(make_device(pilot, device))
    rule = make_rule(point, priority=priority)
    now = datetime.now(UTC)
    turn([Coming(rule.pk, now, 91.5, 80.0)], [], now=now)
    return Alarm.objects.get(rule=rule)


@pytest.fixture
def pilot(db: None) -> Pilot:
    return make_pilot()


@pytest.fixture
def alarm(pilot: Pilot) -> Alarm:
    return raised(pilot, "es-STO01")


@pytest.fixture
def api(pilot: Pilot) -> Api:
    return Api(make_token("read", "control", pilots=[pilot]))


def soon(minutes: int = 30) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


def test_an_alarm_says_what_why_and_what_to_do(api: Api, alarm: Alarm) -> None:
    (record,) = api.get("/alarms").json()["results"]
    assert (record["id"], record["device"], record["priority"], record["state"]) == (
        str(alarm.pk),
        "es-STO01",
        "medium",
        "unacknowledged",
    )
    assert (record["value"], record["limit"], record["unit"], record["todo"]) == (91.5, 80.0, "W", "Use less.")


def test_lists_are_filtered_and_paged(api: Api, pilot: Pilot, alarm: Alarm) -> None:
    urgent = raised(pilot, "es-STO02", priority=1)
    assert [row["id"] for row in api.get("/alarms", priority="critical").json()["results"]] == [str(urgent.pk)]
    assert [row["id"] for row in api.get("/alarms", device="es-STO01", open="true").json()["results"]] == [str(alarm.pk)]
    assert api.get("/alarms", open="false").json()["results"] == []
    first = api.get("/alarms", limit=1).json()
    assert (len(first["results"]), "cursor=" in first["next"]) == (1, True)
    assert api.get("/alarms", state="nonsense").json()["field"] == "state"


def test_a_client_sees_and_answers_only_what_its_token_reaches(api: Api, alarm: Alarm) -> None:
    other = raised(make_pilot("nl"), "nl-STO01")
    assert len(api.get("/alarms").json()["results"]) == 1
    assert api.post("/alarms/acknowledge", {"ids": [str(other.pk)]}).status_code == 409
    assert api.post(f"/alarms/{other.pk}/shelve", {"until": soon(), "reason": "x"}).status_code == 404
    bound = Api(make_token("read", devices=[make_device(alarm.pilot, "es-STO09")], all_pilots=True))
    assert bound.get("/alarms").json()["results"] == []


def test_one_or_many_are_acknowledged_with_a_comment(api: Api, pilot: Pilot, alarm: Alarm) -> None:
    other = raised(pilot, "es-STO02")
    answer = api.post("/alarms/acknowledge", {"ids": [str(alarm.pk), str(other.pk)], "comment": "seen by INVADE"})
    assert answer.status_code == 200
    assert {row["state"] for row in answer.json()["results"]} == {"acknowledged"}
    assert AuditEvent.objects.filter(action="acknowledge alarm", reason="seen by INVADE").count() == 2
    refused = api.post("/alarms/acknowledge", {"ids": [str(alarm.pk)]})
    assert (refused.status_code, refused.json()["code"]) == (409, "alarm")


@pytest.mark.parametrize("ids", [None, [], "all", ["no id"]])
def test_ids_are_a_list_of_ids(api: Api, alarm: Alarm, ids: object) -> None:
    answer = api.post("/alarms/acknowledge", {"ids": ids})
    assert (answer.status_code, answer.json()["field"][:3]) == (400, "ids")


def test_an_alarm_is_shelved_and_returned(api: Api, alarm: Alarm) -> None:
    shelved = api.post(f"/alarms/{alarm.pk}/shelve", {"until": soon(), "reason": "being repaired"})
    assert (shelved.status_code, shelved.json()["hidden"]) == (200, "shelved")
    assert shelved.json()["hidden_until"] is not None
    back = api.post(f"/alarms/{alarm.pk}/unshelve", {})
    assert (back.status_code, back.json()["hidden"]) == (200, None)


def test_a_shelf_without_reason_or_end_is_refused_by_name(api: Api, alarm: Alarm) -> None:
    no_reason = api.post(f"/alarms/{alarm.pk}/shelve", {"until": soon()})
    assert (no_reason.status_code, no_reason.json()["field"]) == (409, "reason")
    assert api.post(f"/alarms/{alarm.pk}/shelve", {"reason": "x"}).json()["field"] == "until"
    too_long = api.post(f"/alarms/{alarm.pk}/shelve", {"until": soon(60 * 25), "reason": "x"})
    assert (too_long.status_code, too_long.json()["field"]) == (409, "until")


def test_reading_does_not_let_answer(alarm: Alarm) -> None:
    reader = Api(make_token("read"))
    assert reader.get("/alarms").status_code == 200
    assert reader.post("/alarms/acknowledge", {"ids": [str(alarm.pk)]}).status_code == 403
    assert Api().get("/alarms").status_code == 401
