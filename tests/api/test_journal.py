"""The journal over the API: pages, filters, and only what the token reaches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pilots.audit.services import record_event
from tests.api.conftest import Plant, api, problem

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def told(plant: Plant) -> Plant:
    """Three deeds, the newest of the Netherlands, and one that is no machine's business."""
    deeds = [("set-point executed", "es", "es-STO01/p_set"), ("operate", "es", "es-SW01/position")]
    deeds += [("import points", "es", "es"), ("set-point failed", "nl", "nl-EVSE01/p_limit")]
    for number, (action, pilot, subject) in enumerate(deeds):
        at = NOW + timedelta(seconds=number)
        record_event(at=at, actor="invade", action=action, pilot=pilot, subject=subject, details={"value": 5, "unit": "W"})
    return plant


def events(body: dict[str, list[dict[str, str]]]) -> list[str]:
    return [row["event"] for row in body["results"]]


def test_newest_first_a_page_at_a_time(told: Plant) -> None:
    client = api("read")
    first = client.get("/journal", limit=2).json()
    assert events(first) == ["set-point failed", "operate"]
    rest = client.client.get(first["next"], headers=client.headers).json()
    assert (events(rest), rest["next"]) == (["set-point executed"], None)
    row = rest["results"][0]
    assert {name: row[name] for name in ("at", "device", "point", "kind", "who", "value", "unit")} == {
        "at": "2026-11-30T12:00:00.000Z",
        "device": "es-STO01",
        "point": "p_set",
        "kind": "setpoint",
        "who": "invade",
        "value": 5.0,
        "unit": "W",
    }


def test_a_token_reads_its_own_pilots_and_devices(told: Plant) -> None:
    assert events(api("read", pilots=[told.nl]).get("/journal").json()) == ["set-point failed"]
    assert events(api("read", pilots=[told.es], devices=[told.battery]).get("/journal").json()) == ["set-point executed"]
    problem(api("ingest").get("/journal"), 403, "not_authorised")


def test_filters_narrow_and_refuse_what_cannot_be(told: Plant) -> None:
    client = api("read")
    assert events(client.get("/journal", kind="command").json()) == ["operate"]
    assert events(client.get("/journal", device="es-STO01").json()) == ["set-point executed"]
    window = {"from": "2026-11-30T12:00:01Z", "to": "2026-11-30T12:00:02Z"}
    assert events(client.get("/journal", **window).json()) == ["operate"]
    assert problem(client.get("/journal", kind="gossip"), 400, "invalid_field")["field"] == "kind"
    assert problem(client.get("/journal", cursor="x"), 400, "invalid_field")["field"] == "cursor"
    assert problem(client.get("/journal", **{"from": "2026-11-30T12:00:02Z", "to": "2026-11-30T12:00:01Z"}), 400, "invalid_field")
