"""Pilots, topology, devices, points, and what the API says about itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from pilots.control import guards
from pilots.models import AuditEvent, Link, ServiceToken
from tests.api.conftest import BASE, Api, Plant, api, problem
from tests.builders import make_device, make_latest, make_point, make_user

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_a_pilot_tells_how_many_devices_and_links_it_has(plant: Plant) -> None:
    scada = make_device(plant.es, "es-SCADA", kind="scada")
    Link.objects.create(pilot=plant.es, letter="a", end_a=scada, end_b=plant.battery, protocol="x", medium="fibre", role="ours")
    row = api().get("/pilots/es").json()
    assert (row["code"], row["name"], row["country"], row["devices"], row["links"]) == ("es", "Granollers", "ES", 2, 1)
    assert api().get("/pilots").json()["results"][0] == row


def test_the_topology_has_nodes_and_lettered_links(plant: Plant) -> None:
    scada = make_device(plant.es, "es-SCADA", kind="scada", parent=plant.battery)
    Link.objects.create(
        pilot=plant.es, letter="a", end_a=scada, end_b=plant.battery, protocol="IEC 104", medium="fibre", role="ours"
    )
    form = api().get("/pilots/es/topology").json()
    assert {"id": "es-SCADA", "kind": "scada", "sgam": "E.4.a", "parent": "es-STO01"} in form["nodes"]
    link = form["links"][0]
    assert (link["letter"], link["ends"], link["role"], link["state"]) == ("a", ["es-SCADA", "es-STO01"], "ours", "unknown")
    assert form["revision"] == 1


def test_the_use_cases_tell_what_a_device_offers_of_what_is_asked(plant: Plant) -> None:
    (found,) = api().get("/pilots/es/use-cases").json()["results"]
    assert (found["use_case"], found["device"]) == ("UC-2-STO", "es-STO01")
    items = {item["item"]: item for item in found["items"]}
    asked = items["set-point of active power"]
    assert (asked["direction"], asked["points"], asked["present"], asked["live"]) == ("commanded", ["p_set"], True, None)
    assert (items["lifespan"]["present"], items["lifespan"]["point"], items["lifespan"]["asked"]) == (False, None, True)
    assert api(devices=[plant.charger]).get("/pilots/nl/use-cases").json()["results"][0]["device"] == "nl-EVSE01"


def test_devices_are_filtered_by_pilot_and_kind(plant: Plant) -> None:
    assert [row["id"] for row in api().get("/devices", pilot="es").json()["results"]] == ["es-STO01"]
    assert [row["id"] for row in api().get("/devices", kind="charge_point").json()["results"]] == ["nl-EVSE01"]
    assert problem(api().get("/devices", kind="spoon"), 400, "invalid_field")["field"] == "kind"


def test_a_devices_capabilities_name_limits_and_modes(plant: Plant) -> None:
    form = api().get("/devices/es-STO01/capabilities").json()
    taken = form["setpoints"][0]
    assert (taken["point"], taken["minimum"], taken["maximum"], taken["unit"]) == ("p_set", -100_000, 100_000, "W")
    assert (taken["modes"], taken["feedback"], form["support"]["reactive_power"]) == (["absolute"], "active_power", False)


def test_capabilities_tell_the_limits_of_operation_the_rest_and_the_interlock(plant: Plant) -> None:
    plant.p_set.operating_minimum = -60_000
    plant.p_set.capability = {**(plant.p_set.capability or {}), "min_interval_s": 5, "interlock": "soc > 5"}
    plant.p_set.save()
    taken = api().get("/devices/es-STO01/capabilities").json()["setpoints"][0]
    assert (taken["minimum"], taken["maximum"], taken["min_interval_s"]) == (-60_000, 100_000, 5)
    assert (taken["interlock"], taken["interlock_words"]) == ("soc > 5", "")


def test_capabilities_tell_what_is_so_at_this_moment(plant: Plant) -> None:
    rules = {"watchdog_s": 60, "ramp": 5_000.0, "soc": "soc", "soc_max": 90, "min_interval_s": 2, "max_per_hour": 30}
    plant.p_set.capability = {**(plant.p_set.capability or {}), **rules}
    plant.p_set.save()
    make_latest(make_point(plant.battery, "soc", unit="%"), 95.0)
    now = timezone.now()
    guards.hold_point(plant.p_set, owner="ana", reason="test run", until=now + timedelta(hours=1), now=now)
    taken = api().get("/devices/es-STO01/capabilities").json()["setpoints"][0]
    assert (taken["maximum"], taken["maximum_now"], taken["minimum_now"], taken["max_per_hour"]) == (100_000, 0, -100_000, 30)
    assert (taken["ramp"], taken["ramp_by"], taken["watchdog"]) == (5_000, "steps", "reversion_timer")
    assert taken["holder"] == {"priority": 3, "words": "operator ana (test run)"}


def test_a_charge_points_limit_ends_by_its_own_validity(plant: Plant) -> None:
    limit = {"minimum": 0, "maximum": 11_000, "modes": ["limit"], "self_expiring": True}
    make_point(plant.charger, "p_limit", kind="setpoint", capability=limit)
    taken = api().get("/devices/nl-EVSE01/capabilities").json()["setpoints"][0]
    assert (taken["watchdog"], taken["holder"], taken["ramp"]) == ("valid_to", None, None)


def test_a_tag_stands_in_the_devices_record_while_it_hangs(plant: Plant) -> None:
    assert api().get("/devices/es-STO01").json()["tags"] == []
    tag = guards.set_tag(plant.battery, owner="ana", reason="crew", now=NOW)
    row = api().get("/devices/es-STO01").json()
    assert row["tags"] == [{"owner": "ana", "reason": "crew", "since": "2026-11-23T08:00:00.000Z"}]
    assert row == next(each for each in api().get("/devices").json()["results"] if each["id"] == "es-STO01")
    assert api().get("/devices/es-STO01/capabilities").json()["blocked"] == "Do not operate: tagged by ana, crew."
    guards.remove_tag(tag, by="ana", reason="", now=NOW)
    assert api().get("/devices/es-STO01").json()["tags"] == []


def test_where_commands_are_off_is_told_to_whom_it_concerns(plant: Plant) -> None:
    guards.switch_commands_off(plant.es, by="ana", reason="storm", now=NOW)
    guards.switch_commands_off(None, by="olga", reason="exercise", now=NOW)
    rows = api().get("/capabilities").json()["commands_off"]
    assert {(row["pilot"], row["owner"], row["reason"]) for row in rows} == {("es", "ana", "storm"), (None, "olga", "exercise")}
    assert [row["pilot"] for row in api("read", pilots=[plant.nl]).get("/capabilities").json()["commands_off"]] == [None]
    assert "Commands are off" in api().get("/devices/es-STO01/capabilities").json()["blocked"]


def test_points_tell_unit_and_age(plant: Plant) -> None:
    rows = api().get("/points", device="es-STO01").json()["results"]
    assert rows == api().get("/devices/es-STO01/points").json()["results"]
    power = next(row for row in rows if row["point"] == "active_power")
    assert (power["unit"], power["kind"], power["max_age_s"], power["writable"]) == ("W", "measurement", 30.0, False)


def test_lists_are_paged_by_an_opaque_cursor(plant: Plant) -> None:
    client = api()
    first = client.get("/points", limit=3).json()
    second = client.client.get(first["next"], headers=client.headers).json()
    assert (len(first["results"]), len(second["results"]), second["next"]) == (3, 1, None)
    assert problem(client.get("/points", cursor="nonsense"), 400, "invalid_field")["field"] == "cursor"


@pytest.mark.parametrize("path", ["/devices/%00", "/pilots/a%00b", "/setpoints/%00", "/devices/%00/points"])
def test_an_odd_name_is_just_unknown(plant: Plant, path: str) -> None:
    assert api().get(path).status_code == 404


def test_a_parameter_given_twice_is_named(plant: Plant) -> None:
    assert problem(api().get("/devices?pilot=es&pilot=nl"), 400, "invalid_field")["field"] == "pilot"


def test_the_clock_is_utc_with_milliseconds(plant: Plant) -> None:
    now = api().get("/clock").json()["now"]
    assert TIME.fullmatch(now)
    assert parse_datetime(now) is not None


def test_capabilities_list_only_the_clients_pilots(plant: Plant) -> None:
    form = api(pilots=[plant.nl]).get("/capabilities").json()
    assert (form["pilots"], form["limits"]["values_per_message"], form["version"]) == (["nl"], 5000, "1")


def test_large_answers_are_compressed(plant: Plant) -> None:
    client = api()
    client.headers["Accept-Encoding"] = "gzip"
    assert client.get("/points")["Content-Encoding"] == "gzip"


def test_the_openapi_document_is_valid_and_without_warnings() -> None:
    out = StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=out)
    assert out.getvalue().startswith("openapi: 3.1")


def test_the_docs_page_has_no_inline_script_or_style(plant: Plant) -> None:
    client = Api()
    client.client.force_login(make_user())
    page = client.get("/docs/")
    html = page.content.decode()
    assert page.status_code == 200
    assert "<style" not in html
    assert not re.search(r"<script(?![^>]*src=)", html)
    script = client.client.get(f"{BASE}/docs/?script=")
    assert script["Content-Type"].startswith("application/javascript")
    assert f"{BASE}/schema/" in script.content.decode() or "schema" in script.content.decode()
    problem(Api().get("/docs/"), 401, "not_authenticated")


def test_a_made_token_stands_alone_on_the_last_line(plant: Plant) -> None:
    out, log = StringIO(), StringIO()
    call_command("create_token", "platform", scope="read,control", pilot="es", stdout=out, stderr=log)
    token = out.getvalue().splitlines()[-1]
    assert [row["code"] for row in Api(token).get("/pilots").json()["results"]] == ["es"]
    assert token not in log.getvalue()
    assert ServiceToken.objects.get().sha256 != token
    assert AuditEvent.objects.get().action == "create token"


def test_a_token_name_is_taken_once_unless_replaced(plant: Plant) -> None:
    call_command("create_token", "p", scope="read", pilot="all", stdout=StringIO(), stderr=StringIO())
    with pytest.raises(CommandError, match="exists"):
        call_command("create_token", "p", scope="read", pilot="all", stdout=StringIO(), stderr=StringIO())
    out = StringIO()
    call_command("create_token", "p", scope="ingest", pilot="all", replace=True, stdout=out, stderr=StringIO())
    assert Api(out.getvalue().split()[-1]).get("/clock").status_code == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scope": "root", "pilot": "all"}, "root"),
        ({"scope": "read", "pilot": "xx"}, "No pilot xx"),
        ({"scope": "ingest", "pilot": "es", "device": ["nl-EVSE01"]}, "No device nl-EVSE01"),
        ({"scope": "read", "pilot": "all", "days": 0}, "days"),
        ({"scope": ",", "pilot": "all"}, "empty"),
    ],
)
def test_a_token_that_cannot_be_is_refused_in_words(plant: Plant, options: dict[str, object], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("create_token", "p", stdout=StringIO(), stderr=StringIO(), **options)
    assert ServiceToken.objects.count() == 0


def test_a_token_for_one_device_pushes_only_for_it(plant: Plant) -> None:
    out = StringIO()
    call_command("create_token", "p", scope="read", pilot="all", device=["es-STO01"], stdout=out, stderr=StringIO())
    assert [row["id"] for row in Api(out.getvalue().split()[-1]).get("/devices").json()["results"]] == ["es-STO01"]
