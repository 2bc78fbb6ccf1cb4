"""Changing the configuration by hand: checked, told to the gateways, kept in the audit trail."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from pilots.domain.quality import GOOD
from pilots.domain.setpoint import Issuer
from pilots.models import AuditEvent, Connection, Device, OutboxMessage, Pilot, Point, Role, ServiceToken, Setpoint
from tests.admin.conftest import FormReader, LogIn, read_form, said, staff
from tests.builders import make_connection, make_device, make_latest, make_pilot, make_point
from tests.conftest import Battery

pytestmark = pytest.mark.django_db


@pytest.fixture
def engineer(battery: Battery, log_in: LogIn) -> Client:
    Device.objects.filter(pk=battery.device.pk).update(profile="iec104-storage", address={"ca": 1, "ioa": 700})
    Device.objects.update(nameplate={"rated_power_w": 100_000, "capacity_wh": 200_000})
    Point.objects.filter(pk=battery.power.pk).update(address={"ioa": 1, "type": [36, 13]})
    Point.objects.filter(pk=battery.p_set.pk).update(address={"ioa": 50, "command_type": 50})
    return staff(log_in, Role.ENGINEER, battery.pilot)


def page_of(row: object) -> str:
    return reverse(f"admin:pilots_{type(row).__name__.lower()}_change", args=[row.pk])  # type: ignore[attr-defined]


def refusal(client: Client, row: object, **changed: str) -> dict[str, list[str]]:
    """The errors by field that this change meets."""
    page = client.post(page_of(row), read_form(client, page_of(row)) | changed)
    assert page.status_code == 200
    errors: dict[str, list[str]] = page.context["adminform"].form.errors
    return errors


def order(point: Point) -> Setpoint:
    now = datetime.now(UTC)
    return Setpoint.objects.create(
        point=point, value=1, state="executed", issuer=Issuer.OPERATOR, requested_by="ana", priority=1,
        valid_from=now, valid_until=now + timedelta(hours=1), received_at=now,
    )  # fmt: skip


def test_a_fallback_that_holds_for_ever_is_refused_at_its_field(engineer: Client, battery: Battery) -> None:
    errors = refusal(engineer, battery.device, fallback='{"platform_lost": "hold_for_ever"}')
    assert "platform_lost is hold (till the set-point ends, then the default) or default (at once)" in errors["fallback"][0]
    errors = refusal(engineer, battery.device, fallback='{"value": 1e9}')
    assert "is outside -100000 to 100000 W of p_set" in errors["fallback"][0]


def test_a_point_changed_on_its_devices_page_raises_the_revision_and_is_audited(engineer: Client, battery: Battery) -> None:
    form = read_form(engineer, page_of(battery.device))
    row = next(name.removesuffix("-name") for name, value in form.items() if value == "active_power" and name.endswith("-name"))
    answer = engineer.post(page_of(battery.device), form | {f"{row}-unit": "var"})
    assert answer.status_code == 302, answer.context["errors"]
    battery.power.refresh_from_db()
    battery.pilot.refresh_from_db()
    assert (battery.power.unit, battery.pilot.revision) == ("var", 2)
    event = AuditEvent.objects.get()
    assert (event.actor, event.action, event.pilot) == ("engineer-es", "change device", "es")
    assert event.details["es-STO01/active_power"] == {"unit": ["W", "var"]}
    assert event.details["by"]["role"] == "staff"


def test_saving_without_a_change_changes_nothing(engineer: Client, battery: Battery) -> None:
    assert engineer.post(page_of(battery.device), read_form(engineer, page_of(battery.device))).status_code == 302
    battery.pilot.refresh_from_db()
    assert battery.pilot.revision == 1
    assert not AuditEvent.objects.exists()


def test_saving_a_connection_leaves_the_gateways_columns_alone(engineer: Client, battery: Battery) -> None:
    form = read_form(engineer, page_of(battery.connection)) | {"simulated": "on"}
    Connection.objects.update(state="down", last_error="port 2404 does not open")
    assert engineer.post(page_of(battery.connection), form).status_code == 302
    battery.connection.refresh_from_db()
    assert (battery.connection.simulated, battery.connection.state) == (True, "down")
    assert battery.connection.last_error == "port 2404 does not open"


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("address", "{ca: 1}", "JSON"),
        ("address", "[1]", "no JSON object"),
        ("address", '{"ca": 1}', "needs ioa"),
        ("address", '{"ca": 1, "ioa": "x"}', "no ioa"),
        ("nameplate", '{"rated_power_w": "big"}', "rated_power_w is no number"),
        ("profile", "nobody-knows-me", "unknown profile"),
        ("profile", "/etc/secret.yaml", "commission"),
        ("profile", "modbus-switch", "speaks modbus_tcp"),
    ],
)
def test_a_wrong_device_form_names_the_field(engineer: Client, battery: Battery, field: str, value: str, word: str) -> None:
    errors = refusal(engineer, battery.device, **{field: value})
    assert list(errors) == [field]
    assert word in str(errors[field])


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("labels", '{"open": 0}', "whole numbers"),
        ("labels", "7", "no JSON object"),
        ("capability", '{"minimum": 1}', "maximum is missing"),
        ("capability", '{"minimum": 5, "maximum": 1}', "above the maximum"),
        ("capability", '{"minimum": 0, "maximum": 1, "colour": 3}', "it has only"),
        ("capability", '{"minimum": 0, "maximum": 1, "maximum_from": "p_max"}', "no point of this device"),
        ("capability", '{"minimum": 0, "maximum": 1, "interlock": "active_power >"}', "missing at the end"),
        ("capability", '{"minimum": 0, "maximum": 1, "interlock": "es-XX/power > 1"}', "no point of this pilot"),
        ("capability", '{"minimum": 0, "maximum": 1, "interlock": 5}', "interlock is a text"),
        ("operating_maximum", "100001", "outside -100000 to 100000"),
        ("address", '{"ioa": "far", "type": 36}', "whole number"),
        ("address", '{"ioa": 99999999}', "outside"),
        ("feedback", "nothing", "no point of es-STO01"),
        ("scale", "0", "scale_not_zero"),
    ],
)
def test_a_wrong_point_form_names_the_field(engineer: Client, battery: Battery, field: str, value: str, word: str) -> None:
    errors = refusal(engineer, battery.p_set, **{field: value})
    assert word in str(errors)
    assert field == "scale" or list(errors) == [field]


def test_modbus_addresses_are_tried_on_the_driver(engineer: Client, battery: Battery) -> None:
    line = make_connection(battery.pilot, "es-gw01", protocol="modbus_tcp", port=502)
    point = make_point(make_device(battery.pilot, "es-MET01", connection=line), address={"register": 10, "type": "float32"})
    assert "unknown table" in str(
        refusal(engineer, point, address='{"register": 1, "table": "shelf", "type": "int16"}')["address"]
    )
    assert "outside" in str(refusal(engineer, point, address='{"register": 65535, "type": "float32"}')["address"])


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("options", '{"periods": {"N": -1}}', "above 0"),
        ("options", '{"periods": {"Q": 1}}', "not Q"),
        ("host", "http://rtu", "without http"),
        ("port", "70000", "65535"),
        ("port", "", "needs a port"),
    ],
)
def test_a_wrong_connection_form_names_the_field(engineer: Client, battery: Battery, field: str, value: str, word: str) -> None:
    Connection.objects.update(port=2404)
    errors = refusal(engineer, battery.connection, **{field: value})
    assert list(errors) == [field]
    assert word in str(errors[field])


def test_no_device_becomes_its_own_ancestor(engineer: Client, battery: Battery) -> None:
    child = make_device(battery.pilot, "es-INV01", parent=battery.device)
    errors = refusal(engineer, battery.device, parent=str(child.pk))
    assert "its own ancestor" in str(errors["parent"])


def test_a_point_that_set_points_refer_to_is_neither_deleted_nor_renamed(engineer: Client, battery: Battery) -> None:
    order(battery.p_set)
    page = engineer.post(reverse("admin:pilots_point_delete", args=[battery.p_set.pk]), {"post": "yes"}, follow=True)
    assert "Set-points refer to es-STO01/p_set" in page.content.decode()
    page = engineer.get(reverse("admin:pilots_device_delete", args=[battery.device.pk]))
    assert "Set-points refer to es-STO01/p_set" in page.content.decode()
    assert "make another point" in str(refusal(engineer, battery.p_set, name="p_wanted")["name"]).lower()
    assert Point.objects.filter(pk=battery.p_set.pk, name="p_set").exists()


def test_a_device_with_latest_values_and_no_set_points_can_be_deleted(engineer: Client, battery: Battery) -> None:
    make_latest(battery.power)
    engineer.post(reverse("admin:pilots_device_delete", args=[battery.device.pk]), {"post": "yes"})
    assert not Device.objects.exists()
    assert AuditEvent.objects.get().action == "delete device"
    assert Pilot.objects.get().revision == 2


def test_a_new_device_gets_the_points_of_its_profile(engineer: Client, battery: Battery) -> None:
    add = reverse("admin:pilots_device_add")
    form = read_form(engineer, add) | {"pilot": battery.pilot.pk, "code": "es-STO02", "kind": "storage_unit", "sgam": "E.4.a"}
    form |= {"profile": "iec104-storage", "connection": battery.connection.pk, "address": '{"ca": 1, "ioa": 900}'}
    answer = engineer.post(add, form | {"nameplate": '{"rated_power_w": 50000, "capacity_wh": 90000}'})
    assert answer.status_code == 302, answer.context["errors"]
    made = Device.objects.get(code="es-STO02")
    assert made.points.get(name="p_set").spec.capability.maximum == 50_000
    url = page_of(made)
    form = read_form(engineer, url) | {"nameplate": '{"rated_power_w": 60000, "capacity_wh": 90000}'}
    assert engineer.post(url, form).status_code == 302
    assert made.points.get(name="p_set").spec.capability.maximum == 60_000


def test_a_points_page_shows_value_quality_and_age(engineer: Client, battery: Battery) -> None:
    make_latest(battery.power, 1250, at=datetime.now(UTC) - timedelta(minutes=5), quality=GOOD)
    page = engineer.get(page_of(battery.power)).content.decode()
    assert "1250 W" in page
    assert "questionable: old" in page
    assert "5 min ago" in page


def test_pages_carry_no_inline_code(engineer: Client, battery: Battery) -> None:
    for row in (battery.pilot, battery.device, battery.connection, battery.p_set):
        reader = FormReader()
        reader.feed(engineer.get(page_of(row)).content.decode())
        assert reader.inline_code == []


def test_a_charge_point_key_is_shown_once_and_kept_as_digest(engineer: Client, battery: Battery) -> None:
    line = make_connection(battery.pilot, "es-ocpp", protocol="ocpp16")
    station = make_device(battery.pilot, "es-EVSE01", kind="charge_point", connection=line)
    form = {"action": "new_key", "_selected_action": [station.pk, battery.device.pk]}
    page = engineer.post(reverse("admin:pilots_device_changelist"), form, follow=True)
    assert "es-STO01 is no charge point of ours" in said(page)
    key = next(word for word in said(page).replace(":", " ").split() if len(word) == 40)
    station.refresh_from_db()
    assert station.key_sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert key not in engineer.get(page_of(station)).content.decode()
    assert not [event for event in AuditEvent.objects.all() if key in str(event.details)]


def test_a_token_is_shown_once_and_revoked(superuser: Client) -> None:
    pilot = make_pilot()
    form = {"name": "dso", "scopes": ["read"], "pilots": [pilot.pk], "all_devices": "on", "days": "30"}
    page = superuser.post(reverse("admin:pilots_servicetoken_add"), form, follow=True)
    secret = said(page).split()[7]
    token = ServiceToken.objects.get()
    assert token.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert list(token.pilots.all()) == [pilot]
    assert secret not in superuser.get(page_of(token)).content.decode()
    superuser.post(reverse("admin:pilots_servicetoken_changelist"), {"action": "revoke", "_selected_action": [token.pk]})
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert [event.action for event in AuditEvent.objects.order_by("id")] == ["create token", "revoke token"]


def test_a_token_for_a_device_of_another_pilot_is_refused_in_words(superuser: Client) -> None:
    pilot, stranger = make_pilot("es"), make_device(make_pilot("nl"))
    form = {"name": "dso", "scopes": ["ingest"], "pilots": [pilot.pk], "devices": [stranger.pk], "days": ""}
    page = superuser.post(reverse("admin:pilots_servicetoken_add"), form)
    assert "No device nl-STO01" in page.content.decode()
    assert not ServiceToken.objects.exists()


@pytest.mark.parametrize(
    ("reach", "words"),
    [
        ({"all_devices": "on"}, "Choose the pilots, or every one of them"),
        ({"all_pilots": "on"}, "Choose the devices, or every one of them"),
    ],
)
def test_a_token_for_nothing_in_particular_is_refused(superuser: Client, reach: dict[str, str], words: str) -> None:
    form = {"name": "dso", "scopes": ["control"], "days": "", **reach}
    assert words in superuser.post(reverse("admin:pilots_servicetoken_add"), form).content.decode()
    assert not ServiceToken.objects.exists()


def test_a_token_for_chosen_devices_reaches_no_other(superuser: Client) -> None:
    device = make_device(make_pilot("es"))
    form = {"name": "dso", "scopes": ["control"], "all_pilots": "on", "devices": [device.pk], "days": ""}
    superuser.post(reverse("admin:pilots_servicetoken_add"), form)
    token = ServiceToken.objects.get()
    assert (token.all_pilots, token.all_devices, list(token.devices.all())) == (True, False, [device])


def test_a_set_aside_message_is_offered_again(engineer: Client, battery: Battery) -> None:
    now = datetime.now(UTC)
    rows = [
        OutboxMessage.objects.create(pilot=battery.pilot, epoch=1, sequence=n, created_at=now, values_json="[]", refused_at=at)
        for n, at in ((1, now), (2, None))
    ]
    form = {"action": "offer_again", "_selected_action": [row.pk for row in rows]}
    page = engineer.post(reverse("admin:pilots_outboxmessage_changelist"), form, follow=True)
    assert said(page).startswith("1 messages")
    assert not OutboxMessage.objects.exclude(refused_at=None).exists()
