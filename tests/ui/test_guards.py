"""Tags, holds and the commands-off switch from the pages: who may, what is said, where it is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from pilots.control import guards
from pilots.models import AuditEvent, BlockingTag, CommandsOff, OperatorHold, Role, Setpoint
from pilots.ui.consumers import PilotConsumer
from tests.builders import make_device, make_pilot
from tests.ui.conftest import Plant, client_of

NOW = datetime.now(UTC)


def post(client: Client, path: str, **form: Any) -> Any:
    return client.post(path, form, headers={"Accept": "application/json"})


def face(client: Client) -> str:
    return client.get("/pilots/es/faceplate/es-STO01/").content.decode()


def test_an_operator_tags_a_device_and_another_takes_the_tag_away(operator: Client, plant: Plant) -> None:
    assert post(operator, "/pilots/es/tags/", device="es-STO01", reason="crew at work").status_code == 204
    tag = BlockingTag.objects.get()
    assert (tag.device, tag.owner, tag.reason, tag.removed_at) == (plant.storage, "olaf", "crew at work", None)
    other = client_of(Role.OPERATOR, "otto", pilot=plant.pilot)
    assert post(other, f"/pilots/es/tags/{tag.pk}/remove", reason="done").status_code == 204
    tag.refresh_from_db()
    assert (tag.removed_by, tag.removed_at is not None) == ("otto", True)
    assert [event.actor for event in AuditEvent.objects.order_by("pk")] == ["olaf", "otto"]


def test_a_tag_stands_on_the_faceplate_with_owner_and_reason(viewer: Client, operator: Client, plant: Plant) -> None:
    guards.set_tag(plant.storage, owner="ana", reason="crew at work", now=NOW)
    for client, forms in ((viewer, 0), (operator, 1)):
        html = face(client)
        assert "<b>Do not operate</b> ana" in html and "crew at work" in html
        assert html.count("Take away the tag of ana") == forms


def test_what_is_refused_is_told_in_a_sentence(operator: Client, plant: Plant) -> None:
    answer = post(operator, "/pilots/es/tags/", device="es-STO01", reason=" ")
    assert (answer.status_code, answer.json()["reason"]) == (409, "Say why: others will read it.")
    assert not BlockingTag.objects.exists()


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("tags/", {"device": "es-STO01"}),
        ("holds/", {"device": "es-STO01", "point": "p_set", "minutes": "15"}),
        ("commands/off", {}),
        ("commands/on", {}),
    ],
)
def test_who_may_only_look_sets_no_guard(viewer: Client, plant: Plant, path: str, form: dict[str, str]) -> None:
    answer = post(viewer, f"/pilots/es/{path}", reason="why not", **form)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_authorised")
    assert not AuditEvent.objects.exists()


def test_nothing_of_another_pilot_is_reached_from_this_one(operator: Client, plant: Plant) -> None:
    elsewhere = make_device(make_pilot("de"), "de-STO01")
    tag = guards.set_tag(elsewhere, owner="ana", reason="crew", now=NOW)
    assert post(operator, "/pilots/es/tags/", device="de-STO01", reason="x").status_code == 404
    assert post(operator, f"/pilots/es/tags/{tag.pk}/remove").status_code == 404
    assert post(operator, "/pilots/de/commands/off", reason="x").status_code == 404


def test_commands_are_switched_off_and_on_at_a_pilot_and_every_page_of_it_says_so(operator: Client, plant: Plant) -> None:
    assert post(operator, "/pilots/es/commands/off", reason="storm").status_code == 204
    for path in ("/pilots/es/", "/pilots/es/trends/", "/pilots/es/links/"):
        html = operator.get(path).content.decode()
        assert "Commands are off at Granollers: olaf, storm." in html
        assert 'data-off role="status">' in html
    assert post(operator, "/pilots/es/commands/on", reason="over").status_code == 204
    assert 'data-off role="status" hidden>' in operator.get("/pilots/es/").content.decode()
    assert post(operator, "/pilots/es/commands/on").status_code == 404


def test_everybodys_commands_are_switched_by_who_is_operator_everywhere(operator: Client, plant: Plant) -> None:
    assert post(operator, "/commands/off", reason="storm").status_code == 403
    everywhere = client_of(Role.OPERATOR, "olga")
    assert "Switch commands off at every pilot" in everywhere.get("/").content.decode()
    assert "Switch commands off at every pilot" not in operator.get("/").content.decode()
    assert post(everywhere, "/commands/off", reason="storm").status_code == 204
    assert CommandsOff.objects.get().pilot is None
    assert "Commands are off at every pilot: olga, storm." in operator.get("/pilots/es/").content.decode()
    assert post(operator, "/commands/on").status_code == 403
    assert post(everywhere, "/commands/on").status_code == 204


def test_a_point_is_held_until_its_end_and_handed_back(operator: Client, plant: Plant) -> None:
    form = {"device": "es-STO01", "point": "p_set", "minutes": "60", "reason": "test run"}
    assert post(operator, "/pilots/es/holds/", **form).status_code == 204
    hold = OperatorHold.objects.get()
    assert (hold.point, hold.owner, hold.until - hold.set_at) == (plant.p_set, "olaf", timedelta(hours=1))
    assert "test run" in face(operator)
    assert post(operator, f"/pilots/es/holds/{hold.pk}/end").status_code == 204
    assert "test run" not in face(operator)


@pytest.mark.parametrize("minutes", ["", "0", "-5", "1441", "a", "9" * 40, "٣"])
def test_a_hold_without_a_sensible_end_is_refused(operator: Client, plant: Plant, minutes: str) -> None:
    answer = post(operator, "/pilots/es/holds/", device="es-STO01", point="p_set", minutes=minutes, reason="x")
    assert answer.status_code == (204 if minutes == "٣" else 409)


def test_the_faceplate_shows_the_limits_set_for_operation(operator: Client, plant: Plant) -> None:
    plant.p_set.operating_maximum = 40_000
    plant.p_set.save()
    html = face(operator)
    assert 'data-maximum="40000"' in html.replace(".0", "")
    assert "to 40 kW" in html


def test_the_diagram_carries_the_marks_and_the_snapshot_who_and_why(viewer: Client, plant: Plant) -> None:
    html = viewer.get("/pilots/es/").content.decode()
    assert html.count('class="tagmark"') == html.count("do not operate</text>") > 0
    guards.set_tag(plant.storage, owner="ana", reason="crew", now=NOW)
    guards.switch_commands_off(None, by="ana", reason="storm", now=NOW)
    state = PilotConsumer().snapshot_rows("es")["guards"]
    assert [(row["device"], row["owner"], row["reason"]) for row in state["tags"]] == [("es-STO01", "ana", "crew")]
    assert [(row["everywhere"], row["reason"]) for row in state["off"]] == [(True, "storm")]


def test_a_snapshot_knows_every_holder_however_many_set_points_came_since(operator: Client, plant: Plant) -> None:
    now = datetime.now(UTC)
    form: dict[str, Any] = {"unit": "W", "issuer": "operator", "requested_by": "olaf", "priority": 3, "valid_from": now}
    form |= {"valid_until": now + timedelta(hours=1), "value": 1000.0, "point": plant.p_set}
    holding = Setpoint.objects.create(**form, state="executed", received_at=now - timedelta(minutes=30))
    for minute in range(25):
        Setpoint.objects.create(**form, state="rejected", received_at=now - timedelta(minutes=minute))
    records = PilotConsumer().snapshot_rows("es")["setpoints"]
    assert (records[0]["id"], records[0]["active"], len(records)) == (str(holding.pk), True, 21)
