"""Forecasts over the API: a run is kept once and whole, or refused by its field; read as it was known at any moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots import tasks
from pilots.models import AuditEvent, Forecast, LatestValue, OutboxMessage
from tests.api.conftest import Api, Plant, api, problem

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
POINT = "es/es-STO01/active_power"


def run(issued_h: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A forecast that nothing is wrong with, issued so many hours ago."""
    issued = HOUR - timedelta(hours=issued_h)
    form: dict[str, Any] = {"kind": "load", "device": "es-STO01", "point": "active_power", "unit": "W"}
    form |= {"issued_at": issued.isoformat(), "start": issued.isoformat(), "resolution": "PT1H", "values": [1000.5, None, 3000]}
    return {name: value for name, value in (form | fields).items() if value is not ...}


@pytest.fixture
def forecaster(plant: Plant) -> Api:
    return api("ingest", "read", name="forecaster")


def test_a_run_is_kept_once_and_is_no_measurement(forecaster: Api) -> None:
    first, again = (forecaster.post("/forecasts", run(low=[900, None, None], issuer="model 3")) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200), first.content
    record = first.json()
    assert again.json() == record == forecaster.get(f"/forecasts/{record['id']}").json()
    assert (record["values"], record["low"], record["high"]) == ([1000.5, None, 3000.0], [900.0, None, None], None)
    assert (record["source"], record["issuer"], record["pilot"], record["resolution"]) == ("forecaster", "model 3", "es", "PT1H")
    assert first["Location"].endswith(record["id"])
    assert not LatestValue.objects.exists() and not OutboxMessage.objects.exists()
    assert forecaster.get("/measurements", **{"point": POINT, "from": HOUR.isoformat()}).json()["results"] == []
    event = AuditEvent.objects.get(action="put forecast")
    assert (event.actor, event.pilot, event.subject, event.details["steps"]) == ("forecaster", "es", "es-STO01/active_power", 3)
    assert problem(forecaster.post("/forecasts", run()), 409, "forecast_exists")["field"] == "issued_at"


def test_the_same_key_gets_the_same_answer(forecaster: Api) -> None:
    first, again = (forecaster.post("/forecasts", run(), key="k") for _ in range(2))
    assert (first.status_code, again.status_code, first.content) == (201, 201, again.content)


@pytest.mark.parametrize(
    ("fields", "status", "code", "field"),
    [
        ({"kind": ...}, 400, "missing_field", "kind"),
        ({"kind": "weather"}, 400, "invalid_field", "kind"),
        ({"device": ...}, 400, "missing_field", "device"),
        ({"device": "xx-1"}, 404, "unknown_device", "device"),
        ({"point": "nothing"}, 404, "unknown_point", "point"),
        ({"point": "p_set"}, 422, "not_capable", "point"),
        ({"point": "serial_number", "kind": "capacity"}, 422, "not_capable", "point"),
        ({"unit": "kW"}, 422, "wrong_unit", "unit"),
        ({"issued_at": ...}, 400, "missing_field", "issued_at"),
        ({"issued_at": (HOUR + timedelta(hours=2)).isoformat()}, 422, "clock_skew", "issued_at"),
        ({"issued_at": (HOUR - timedelta(days=91)).isoformat()}, 422, "stale_request", "issued_at"),
        ({"start": "2026-10-25T02:30:00"}, 400, "invalid_field", "start"),
        ({"start": (HOUR - timedelta(hours=3)).isoformat()}, 422, "out_of_range", "start"),
        ({"start": (HOUR + timedelta(days=8)).isoformat()}, 422, "out_of_range", "start"),
        ({"resolution": "PT7M"}, 400, "invalid_field", "resolution"),
        ({"values": ...}, 400, "missing_field", "values"),
        ({"values": []}, 400, "invalid_field", "values"),
        ({"values": [None]}, 422, "out_of_range", "values"),
        ({"values": [1, True]}, 400, "invalid_field", "values[1]"),
        ({"values": [10**400]}, 400, "invalid_field", "values[0]"),
        ({"values": [0] * 169}, 422, "out_of_range", "values"),
        ({"values": [0] * 673, "resolution": "PT1M"}, 422, "out_of_range", "values"),
        ({"low": [0]}, 422, "out_of_range", "low"),
        ({"low": [0, 0, 3001]}, 422, "out_of_range", "low[2]"),
        ({"high": [0, 0, 4000]}, 422, "out_of_range", "high[0]"),
        ({"kind": "price"}, 400, "missing_field", "pilot"),
        ({"kind": "price", "pilot": "es"}, 422, "wrong_unit", "unit"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_is_kept(
    forecaster: Api, fields: dict[str, Any], status: int, code: str, field: str
) -> None:
    assert problem(forecaster.post("/forecasts", run(**fields)), status, code)["field"] == field
    assert not Forecast.objects.exists()
    assert AuditEvent.objects.get(action="refuse forecast").details["field"] == field


def test_runs_are_read_as_they_were_known(forecaster: Api) -> None:
    for issued_h in (26, 2, 1):
        assert forecaster.post("/forecasts", run(issued_h)).status_code == 201
    assert forecaster.post("/forecasts", run(1, kind="capacity", point="p_set")).status_code == 201

    def issued(**asked: str) -> list[float]:
        rows = forecaster.get("/forecasts", point=POINT, **asked).json()["results"]
        return [(HOUR - datetime.fromisoformat(row["issued_at"])) / timedelta(hours=1) for row in rows]

    assert issued() == [1, 2, 26], "received last first"
    assert issued(issued="latest") == [1]
    assert issued(issued=(HOUR - timedelta(hours=2)).isoformat()) == [2]
    assert issued(known_at=(HOUR - timedelta(hours=3)).isoformat()) == [26]
    assert issued(**{"from": (HOUR - timedelta(hours=22)).isoformat()}) == [1, 2]
    assert issued(to=(HOUR - timedelta(hours=20)).isoformat()) == [26]
    newest = forecaster.get("/forecasts", pilot="es", issued="latest").json()["results"]
    assert {(row["point"], row["kind"]) for row in newest} == {("active_power", "load"), ("p_set", "capacity")}
    problem(forecaster.get("/forecasts", point="active_power"), 400, "invalid_field")
    problem(forecaster.get("/forecasts", kind="x"), 400, "invalid_field")
    problem(forecaster.get("/forecasts", issued="soon"), 400, "invalid_field")


def test_a_token_reaches_its_own_devices_only(forecaster: Api, plant: Plant) -> None:
    number = forecaster.post("/forecasts", run()).json()["id"]
    price = run(kind="price", pilot="es", device=..., point=..., unit="EUR/MWh", values=[-5.2, 80, 90])
    assert forecaster.post("/forecasts", price).status_code == 201
    problem(api("read", "control", name="c").post("/forecasts", run()), 403, "not_authorised")
    dutch = api("read", "ingest", name="dutch", pilots=[plant.nl])
    assert dutch.get("/forecasts").json()["results"] == []
    problem(dutch.get(f"/forecasts/{number}"), 404, "not_found")
    problem(dutch.get("/forecasts/x"), 404, "not_found")
    problem(dutch.post("/forecasts", run()), 404, "unknown_device")
    bound = api("read", "ingest", name="bound", devices=[plant.battery])
    assert {row["kind"] for row in bound.get("/forecasts").json()["results"]} == {"load", "price"}
    assert api("read", name="other", devices=[plant.charger]).get("/forecasts").json()["results"] == []
    problem(bound.post("/forecasts", price), 403, "not_authorised")


def test_old_runs_go_and_the_others_stay(forecaster: Api, plant: Plant) -> None:
    for issued_h in (24 * 89, 1):
        forecaster.post("/forecasts", run(issued_h))
    Forecast.objects.filter(issued_at__lt=HOUR - timedelta(days=2)).update(issued_at=HOUR - timedelta(days=91))
    tasks.maintain_history.apply().get()
    assert [found.issued_at for found in Forecast.objects.all()] == [HOUR - timedelta(hours=1)]
