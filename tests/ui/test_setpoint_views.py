"""A set-point from the page: who may, what is refused and how, what is recorded."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from pilots.audit.origin import fingerprint
from pilots.models import AuditEvent, Setpoint
from tests.ui.conftest import Plant

PATH = "/pilots/es/setpoints/"


def wish(**changes: Any) -> dict[str, Any]:
    form = {
        "device": "es-STO01",
        "point": "p_set",
        "value": -20_000,
        "unit": "W",
        "mode": "absolute",
        "valid_for_s": 900,
        "reason": "test",
    }
    return form | changes


def post(client: Client, body: Any, path: str = PATH) -> Any:
    data = body if isinstance(body, str) else json.dumps(body)
    return client.post(path, data, content_type="application/json", headers={"Accept": "application/json"})


def test_a_good_wish_is_recorded_with_who_and_why(operator: Client, plant: Plant) -> None:
    answer = post(operator, wish())
    assert (answer.status_code, answer.json()["state"]) == (202, "validated")
    setpoint = Setpoint.objects.get(pk=answer.json()["id"])
    assert (setpoint.issuer, setpoint.requested_by, setpoint.reason, setpoint.priority) == ("operator", "olaf", "test", 3)
    assert AuditEvent.objects.filter(actor="olaf").exists()


def test_s24_the_trail_says_in_which_role_and_session_and_from_where(operator: Client, plant: Plant) -> None:
    post(operator, wish())
    asked = AuditEvent.objects.get(action="request set-point")
    session = fingerprint(str(operator.session.session_key))
    assert asked.details["by"] == {"role": "operator", "session": session, "address": "127.0.0.1"}
    assert {name: asked.details[name] for name in ("before", "value", "limits")} == {
        "before": 20_000,
        "value": -20_000,
        "limits": [-100_000, 100_000],
    }


def test_s4_an_operator_who_clicks_too_often_is_told_to_wait(
    operator: Client, plant: Plant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime.now(UTC)
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)
    settings.SETPOINT_RATE, settings.SETPOINT_BURST = 1, 1
    assert post(operator, wish()).status_code == 202
    answer = post(operator, wish())
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")


def test_the_same_wish_sent_twice_makes_one_record(operator: Client, plant: Plant) -> None:
    body = wish(id=str(uuid4()))
    assert [post(operator, body).status_code for _ in range(2)] == [202, 409]
    assert Setpoint.objects.count() == 1


def test_a_wish_out_of_range_is_refused_with_its_code_and_kept(operator: Client, plant: Plant) -> None:
    answer = post(operator, wish(value=120_000))
    assert (answer.status_code, answer.json()["code"]) == (422, "out_of_range")
    assert Setpoint.objects.get().state == "rejected"


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ("no json", "malformed", ""),
        ("[1]", "malformed", ""),
        (wish(value="20"), "malformed", "value"),
        (wish(value=True), "malformed", "value"),
        ('{"value": NaN}', "malformed", ""),
        (wish(valid_for_s=0), "out_of_range", "valid_for_s"),
        (wish(valid_for_s=1e9), "out_of_range", "valid_for_s"),
        (wish(device="nl-STO01"), "unknown_device", "device"),
        (wish(point="p_sett"), "unknown_point", "point"),
        (wish(id="7"), "malformed", "id"),
        (wish(reason=["x"]), "malformed", "reason"),
        (wish(on_expiry="for ever"), "malformed", "on_expiry"),
        (wish(on_expiry="fallback"), "malformed", "fallback_value"),
    ],
)
def test_a_wish_that_cannot_be_read_is_refused_by_its_field(
    operator: Client, plant: Plant, body: Any, code: str, field: str
) -> None:
    answer = post(operator, body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, code, field)
    assert not Setpoint.objects.exists()


@pytest.mark.parametrize(
    ("chosen", "kept", "told"),
    [
        ({}, ("release", None), "0.0 kW"),
        ({"on_expiry": "fallback", "fallback_value": 5_000}, ("fallback", 5_000.0), "5.0 kW"),
    ],
)
def test_what_happens_at_its_end_is_chosen_and_told(
    operator: Client, plant: Plant, chosen: dict[str, Any], kept: tuple[str, Any], told: str
) -> None:
    setpoint = Setpoint.objects.get(pk=post(operator, wish(**chosen)).json()["id"])
    assert (setpoint.on_expiry, setpoint.fallback_value) == kept
    assert f"<dd>then {told} is written and the point is free</dd>" in operator.get(f"/setpoints/{setpoint.pk}/").content.decode()


@pytest.mark.parametrize(
    ("chosen", "code"),
    [({"on_expiry": "hold"}, "not_capable"), ({"on_expiry": "fallback", "fallback_value": 1e6}, "out_of_range")],
)
def test_an_end_that_the_point_cannot_have_is_refused(operator: Client, plant: Plant, chosen: dict[str, Any], code: str) -> None:
    answer = post(operator, wish(**chosen))
    assert (answer.status_code, answer.json()["code"]) == (422, code)


@pytest.mark.parametrize(
    ("capability", "offered"),
    [
        ({}, ["release", "fallback"]),
        ({"watchdog_s": 60}, ["release", "hold", "fallback"]),
        ({"minimum": 5_000, "watchdog_s": 60}, ["hold", "fallback"]),
    ],
)
def test_the_form_offers_the_ends_that_the_point_can_have_the_usual_one_chosen(
    operator: Client, plant: Plant, capability: dict[str, Any], offered: list[str]
) -> None:
    plant.p_set.capability |= capability
    plant.p_set.save()
    form = operator.get("/pilots/es/faceplate/es-STO01/").content.decode()
    choices = re.search(r'<select[^>]*name="ending".*?</select>', form, re.S)
    assert choices is not None
    assert re.findall(r'<option value="(\w+)" data-then="then [^"]+"', choices[0]) == offered
    assert re.findall(r'value="(\w+)"[^>]* selected', choices[0]) == offered[:1]


def test_viewers_and_engineers_may_not_switch(viewer: Client, engineer: Client, plant: Plant) -> None:
    for client in (viewer, engineer):
        answer = post(client, wish())
        assert (answer.status_code, answer.json()["code"]) == (403, "not_authorised")
    assert not Setpoint.objects.exists()


def test_a_post_without_the_csrf_token_does_nothing(plant: Plant, operator: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert post(strict, wish()).status_code == 403
    assert not Setpoint.objects.exists()


def test_an_open_set_point_can_be_cancelled_once(operator: Client, plant: Plant) -> None:
    identity = post(operator, wish()).json()["id"]
    path = f"{PATH}{identity}/cancel"
    assert post(operator, {}, path).json()["state"] == "cancelled"
    assert post(operator, {}, path).status_code == 409
    assert post(operator, {}, f"{PATH}{uuid4()}/cancel").status_code == 404
