"""One address at a time: who may, what is asked of the gateway, what becomes a point, what is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from pilots.acquisition import asking
from pilots.acquisition.asking import Refused
from pilots.models import AuditEvent, Connection, FieldRequest, Point
from pilots.ui import commissioning_views
from tests.builders import make_device, make_point
from tests.ui.conftest import Plant

HERE = "/pilots/es/commissioning/"


@pytest.fixture
def meter(plant: Plant) -> Any:
    line = Connection.objects.create(pilot=plant.pilot, name="es-line", protocol="modbus_tcp", port=502, state="up")
    return make_device(plant.pilot, "es-AN01", kind="meter", connection=line, address={"unit": 3})


@pytest.fixture
def asked(meter: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What a gateway would be asked; it answers one reading."""
    questions: list[tuple[str, dict[str, Any]]] = []

    def answer(_connection: Any, kind: str, question: dict[str, Any], **_who: Any) -> dict[str, Any]:
        questions.append((kind, question))
        return {
            "raw": "4366 8000",
            "wire": 230.5,
            "value": 230.5,
            "unit": "V",
            "quality": {"validity": "good"},
            "source_time": None,
        }

    monkeypatch.setattr(commissioning_views, "asked_and_answered", answer)
    return questions


def question(**changes: Any) -> dict[str, Any]:
    return {"device": "es-AN01", "address": {"register": 3027, "type": "float32"}, "unit": "V", **changes}


def post(client: Client, what: str, body: Any) -> Any:
    return client.post(HERE + what, body, content_type="application/json")


def test_only_engineers_commission(viewer: Client, operator: Client, engineer: Client, meter: Any) -> None:
    assert engineer.get(HERE).status_code == 200
    for client in (viewer, operator):
        assert client.get(HERE).status_code == 403
        assert post(client, "write", question(value=1)).status_code == 403
        assert "Commissioning" not in client.get("/pilots/es/").content.decode()


def test_the_page_offers_the_devices_that_can_be_asked(engineer: Client, meter: Any) -> None:
    html = engineer.get(HERE).content.decode()
    assert "es-AN01 · es-line" in html and "es-STO01 ·" not in html
    Connection.objects.update(enabled=False)
    assert "No device can be asked" in engineer.get(HERE).content.decode()


def test_the_points_of_a_device_are_offered_as_the_form_can_ask_them(engineer: Client, meter: Any) -> None:
    form = {"kind": "measurement", "unit": "V", "scale": 0.1}
    make_point(meter, "voltage_l1", address={"register": 3027, "type": ["float32", "int16"]}, **form)
    make_point(meter, "current_l1", address={"register": 9, "scale_register": 12}, **form)
    html = engineer.get(HERE).content.decode()
    known = json.loads(re.findall(r'<script id="known" type="application/json">(.*?)</script>', html)[0])
    address = {"register": 3027, "type": "float32"}
    assert known == {"es-AN01": {"voltage_l1": {"address": address, **form, "offset": 0.0, "sign": 1}}}


def test_only_devices_that_can_list_themselves_are_asked_what_they_offer(engineer: Client, meter: Any) -> None:
    html = engineer.get(HERE).content.decode()
    families = re.findall(r'<fieldset data-protocols="([^"]*)"( data-browses)?', html)
    assert {protocols: bool(browses) for protocols, browses in families} == {
        "modbus_tcp modbus_rtu": False,
        "iec104 iec101": False,
        "iec61850": True,
    }


def test_a_reading_is_asked_with_its_scale_and_sign(engineer: Client, asked: list[Any]) -> None:
    answer = post(engineer, "read", question(scale=0.1, sign=-1, address={"register": "3027", "type": "float32", "bit": ""}))
    assert answer.json()["value"] == 230.5
    (kind, sent) = asked[0]
    assert (kind, sent["address"], sent["scale"], sent["sign"]) == ("read", {"register": 3027, "type": "float32"}, 0.1, -1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"device": "es-STO01"}, "device"),
        ({"address": 5}, "address"),
        ({"address": {"register": "-1"}}, "register"),
        ({"kind": "spoon"}, "kind"),
        ({"scale": "much"}, "scale"),
    ],
)
def test_a_wrong_question_names_its_field(engineer: Client, asked: list[Any], change: dict[str, Any], field: str) -> None:
    answer = post(engineer, "read", question(**change))
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert not asked


def test_what_is_no_json_is_refused(engineer: Client, asked: list[Any]) -> None:
    assert post(engineer, "read", "{").status_code == 400
    assert post(engineer, "read", "[]").status_code == 422


def test_a_refusal_of_the_device_comes_in_its_words(engineer: Client, asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_question: Any, **_who: Any) -> Any:
        raise Refused("unit 3: exception 2, illegal data address")

    monkeypatch.setattr(commissioning_views, "asked_and_answered", refuse)
    answer = post(engineer, "read", question())
    assert (answer.status_code, answer.json()["reason"]) == (422, "unit 3: exception 2, illegal data address")


def test_a_write_needs_a_value_and_is_a_set_point(engineer: Client, asked: list[Any]) -> None:
    assert post(engineer, "write", question()).json()["field"] == "value"
    assert post(engineer, "write", question(value="high")).json()["field"] == "value"
    assert post(engineer, "write", question(value=5)).status_code == 200
    assert asked == [("write", {**asked[0][1], "kind": "setpoint", "value": 5.0})]


def test_a_question_nobody_answers_expires_and_says_so(
    engineer: Client, meter: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(commissioning_views, "PATIENCE_S", 0.1)
    answer = post(engineer, "read", question())
    assert (answer.status_code, answer.json()["code"]) == (503, "no_gateway")
    assert FieldRequest.objects.get().expires_at is not None
    assert asking.PATIENCE_S > 0


def test_a_configured_set_point_is_not_written_here(engineer: Client, meter: Any) -> None:
    form = {"kind": "setpoint", "unit": "W", "capability": {"minimum": 0, "maximum": 9}, "address": {"register": 3027}}
    Point.objects.create(device=meter, name="p_set", **form)
    answer = post(engineer, "write", question(value=5, address={"register": 3027}))
    assert answer.status_code == 422 and "use a set-point" in answer.json()["reason"]
    assert not FieldRequest.objects.exists()


def test_an_address_becomes_a_point_and_the_audit_trail_says_who(engineer: Client, meter: Any) -> None:
    answer = post(engineer, "save", question(name="voltage_l1", period_s=10))
    assert answer.json() == {"point": "es-AN01/voltage_l1"}
    point = Point.objects.get(name="voltage_l1")
    assert (point.unit, point.period_s, point.address) == ("V", 10.0, {"register": 3027, "type": "float32"})
    assert AuditEvent.objects.get(action="create point").actor == "enza"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Voltage L1"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x", "address": {"register": 70000}}, "address"),
        ({"name": "x", "kind": "setpoint"}, "minimum"),
        ({"name": "x", "period_s": 0.001}, "period_s"),
    ],
)
def test_what_is_no_point_is_not_saved(engineer: Client, meter: Any, change: dict[str, Any], field: str) -> None:
    answer = post(engineer, "save", question(**change))
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert not Point.objects.filter(device=meter).exists()


def test_a_name_is_given_once(engineer: Client, meter: Any) -> None:
    for expected in (200, 422):
        assert post(engineer, "save", question(name="voltage_l1")).status_code == expected
