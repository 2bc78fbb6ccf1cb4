"""Measurements over the API: pushed, newest, history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pilots.domain.quality import Flag, Quality, Source
from pilots.history.selectors import read_samples
from pilots.models import Connection, LatestValue, Point
from tests.api.conftest import Api, Plant, api, build_plant, problem
from tests.builders import make_latest, new_sample, record_samples

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def value(**fields: Any) -> dict[str, Any]:
    """A good value of the battery, measured a second ago."""
    t = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    form = {"device": "es-STO01", "point": "active_power", "t": t, "value": -42_150.0, "unit": "W"}
    return {name: given for name, given in (form | fields).items() if given is not ...}


def message(*values: Any, **fields: Any) -> dict[str, Any]:
    form = {"pilot": "es", "epoch": 1, "sequence": 1, "sent_at": datetime.now(UTC).isoformat(), "values": list(values)}
    return {name: given for name, given in (form | fields).items() if given is not ...}


@pytest.fixture
def pushed(transactional_db: None, ingesting: None) -> Plant:
    """The plant, with the one door open for its rows."""
    return build_plant()


def test_a_pushed_value_is_committed_before_the_answer(pushed: Plant) -> None:
    answer = api("ingest").post("/measurements", message(value()))
    assert (answer.status_code, answer.json()) == (200, {"stored": 1, "late": 0, "repeated": 0, "refused": []})
    row = api().get("/measurements/latest").json()["results"][0]
    assert (row["device"], row["point"], row["value"], row["unit"]) == ("es-STO01", "active_power", -42_150.0, "W")
    assert row["quality"] == {"validity": "good", "source": "process", "flags": []}


def test_a_bad_value_is_refused_by_its_index_and_the_good_ones_stay(pushed: Plant) -> None:
    values = [
        value(value="5"), value(), value(unit="kW"), value(device="es-STO99"), value(point="nothing"),
        value(t="2024-05-01T10:00:00"), 5, value(device="nl-EVSE01"),
        value(quality={"validity": "fine"}), value(quality=5), value(t=...), value(value=...),
        value(text="x"), value(device=5), value(value=True), value(unit=...), value(quality={"flags": ["odd"]}), value(point=...),
    ]  # fmt: skip
    form = api("ingest").post("/measurements", message(*values)).json()
    assert form["stored"] == 1
    assert [(row["index"], row["field"], row["code"]) for row in form["refused"]] == [
        (0, "value", "invalid_field"), (2, "unit", "wrong_unit"), (3, "device", "unknown_device"), (4, "point", "unknown_point"),
        (5, "t", "invalid_field"), (6, "", "invalid_value"), (7, "device", "unknown_device"), (8, "quality", "invalid_field"),
        (9, "quality", "invalid_field"), (10, "t", "missing_field"), (11, "value", "missing_field"),
        (12, "text", "invalid_field"),
        (13, "device", "invalid_field"), (14, "value", "invalid_field"), (15, "unit", "missing_field"),
        (16, "quality", "invalid_field"),
        (17, "point", "missing_field"),
    ]  # fmt: skip


def test_a_token_pushes_only_for_its_devices(pushed: Plant) -> None:
    form = api("ingest", devices=[pushed.charger]).post("/measurements", message(value())).json()
    assert (form["stored"], form["refused"][0]["code"]) == (0, "unknown_device")
    problem(api("ingest", pilots=[pushed.nl]).post("/measurements", message(value())), 404, "unknown_pilot")


@pytest.mark.parametrize(
    ("field", "given"),
    [("pilot", ...), ("pilot", 5), ("values", ...), ("values", {}), ("sent_at", "noon"), ("sequence", "1"), ("epoch", -1)],
)
def test_a_wrong_field_of_the_message_is_named(pushed: Plant, field: str, given: Any) -> None:
    answer = api("ingest").post("/measurements", message(value(), **{field: given}))
    assert problem(answer, 400, answer.json()["code"])["field"] == field


def test_a_message_from_a_wrong_clock_is_refused(pushed: Plant) -> None:
    skewed = (datetime.now(UTC) - timedelta(seconds=90)).isoformat()
    body = problem(api("ingest").post("/measurements", message(value(), sent_at=skewed)), 422, "clock_skew")
    assert body["field"] == "sent_at"


def test_a_message_of_5001_values_is_too_large(pushed: Plant) -> None:
    problem(api("ingest").post("/measurements", message(*[5] * 5001)), 413, "too_large")


def test_late_and_repeated_values_are_told_apart(pushed: Plant) -> None:
    client = api("ingest")
    now = datetime.now(UTC)
    new, old = value(t=now.isoformat()), value(t=(now - timedelta(seconds=30)).isoformat(), value=7)
    assert client.post("/measurements", message(new, new)).json() == {"stored": 1, "late": 0, "repeated": 1, "refused": []}
    assert client.post("/measurements", message(old, new)).json() == {"stored": 1, "late": 1, "repeated": 1, "refused": []}
    assert client.post("/measurements", message(old, new)).json() == {"stored": 0, "late": 0, "repeated": 2, "refused": []}
    assert LatestValue.objects.get().value == -42_150.0
    assert len(read_samples([pushed.power], now - timedelta(hours=1), now + timedelta(hours=1), limit=9)) == 2


def test_a_repeat_with_its_key_gets_the_first_answer(pushed: Plant) -> None:
    client, body = api("ingest"), message(value())
    first, second = (client.post("/measurements", body, key="es:1:1") for _ in range(2))
    assert first.json() == second.json() == {"stored": 1, "late": 0, "repeated": 0, "refused": []}
    problem(client.post("/measurements", message(value(value=1)), key="es:1:1"), 409, "idempotency_conflict")


def test_a_missing_value_is_invalid_and_not_zero(pushed: Plant) -> None:
    api("ingest").post("/measurements", message(value(value=None)))
    row = api().get("/measurements/latest").json()["results"][0]
    assert (row["value"], row["quality"]["validity"]) == (None, "invalid")


def test_a_text_point_takes_text_only(pushed: Plant) -> None:
    words = {"point": "serial_number", "unit": ..., "value": ...}
    form = (
        api("ingest")
        .post("/measurements", message(value(**words, text="SN-1"), value(**words), value(**words | {"value": 5})))
        .json()
    )
    assert [(row["index"], row["field"]) for row in form["refused"]] == [(1, "text"), (2, "value")]
    row = api().get("/measurements/latest", point="serial_number").json()["results"][0]
    assert (row["value"], row["text"]) == (None, "SN-1")


def test_nobody_can_push_a_simulated_value_as_measured(pushed: Plant) -> None:
    Connection.objects.update(simulated=True)
    api("ingest").post("/measurements", message(value(quality={"source": "process"})))
    assert api().get("/measurements/latest").json()["results"][0]["quality"]["source"] == "simulated"


def test_a_source_that_is_not_process_is_kept(pushed: Plant) -> None:
    api("ingest").post("/measurements", message(value(quality={"source": "estimated", "validity": "questionable"})))
    quality = api().get("/measurements/latest").json()["results"][0]["quality"]
    assert (quality["source"], quality["validity"]) == ("estimated", "questionable")


def test_5000_values_cost_a_handful_of_queries(pushed: Plant) -> None:
    start = datetime.now(UTC) - timedelta(hours=2)
    values = [value(t=(start + timedelta(seconds=number)).isoformat(), value=number) for number in range(5000)]
    client = api("ingest")
    with CaptureQueriesContext(connection) as queries:
        form = client.post("/measurements", message(*values)).json()
    assert form == {"stored": 5000, "late": 0, "repeated": 0, "refused": []}
    assert len(queries) < 20


def test_a_value_not_renewed_in_time_is_shown_as_old(plant: Plant) -> None:
    make_latest(plant.power, 5.0, at=datetime.now(UTC) - timedelta(minutes=5))
    quality = api().get("/measurements/latest", point="es/es-STO01/active_power").json()["results"][0]["quality"]
    assert (quality["validity"], quality["flags"]) == ("questionable", ["old"])


def test_points_that_never_had_a_value_have_no_row(plant: Plant) -> None:
    assert api().get("/measurements/latest").json() == {"results": [], "next": None}


def fill(point: Point, count: int, *, step_s: int = 60) -> None:
    """`count` samples 0, 1, 2, ... from noon on."""
    quality = Quality(source=Source.SIMULATED).pack()
    moments = [NOON + timedelta(seconds=step_s * number) for number in range(count)]
    rows = [new_sample(point.pk, source_time=t, received_time=t, value=float(n), quality=quality) for n, t in enumerate(moments)]
    record_samples(rows)


def test_the_history_is_read_page_by_page_without_gap_or_overlap(plant: Plant) -> None:
    fill(plant.power, 25)
    client, seen = api(), []
    answer = client.get(
        "/measurements",
        **{"point": "es/es-STO01/active_power", "from": "2024-05-01T12:00:00Z", "to": "2024-05-01T12:24:00Z", "limit": 10},
    )
    while True:
        form = answer.json()
        seen += [row["value"] for row in form["results"]]
        if form["next"] is None:
            break
        answer = client.client.get(form["next"], headers=client.headers)
    assert seen == [float(number) for number in range(24)]


def test_a_sample_says_when_it_was_measured_and_where_it_comes_from(plant: Plant) -> None:
    fill(plant.power, 1)
    row = (
        api()
        .get("/measurements", **{"point": "es/es-STO01/active_power", "from": "2024-05-01T14:00:00+02:00"})
        .json()["results"][0]
    )
    assert (row["t"], row["received"]) == ("2024-05-01T12:00:00.000Z", "2024-05-01T12:00:00.000Z")
    assert row["quality"]["source"] == "simulated"


def test_intervals_are_labelled_by_their_start_on_a_fixed_grid(plant: Plant) -> None:
    fill(plant.power, 30)
    query = {
        "point": "es/es-STO01/active_power",
        "from": "2024-05-01T12:07:00Z",
        "to": "2024-05-01T12:30:00Z",
        "resolution": "PT15M",
    }
    rows = api().get("/measurements", **query, agg="mean,max").json()["results"]
    assert [row["t"] for row in rows] == ["2024-05-01T12:00:00.000Z", "2024-05-01T12:15:00.000Z"]
    assert [(row["mean"], row["max"], row["count"]) for row in rows] == [(7.0, 14.0, 15), (22.0, 29.0, 15)]
    assert "min" not in rows[0]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"point": ""}, "point"), ({"point": "es-STO01"}, "point"), ({"from": ""}, "from"),
        ({"from": "2024-05-01T12:00:00"}, "from"),
        ({"to": "2024-04-01T12:00:00Z"}, "to"), ({"resolution": "15"}, "resolution"), ({"resolution": "PT0S"}, "resolution"),
        ({"agg": "mean"}, "agg"), ({"agg": "median", "resolution": "PT1M"}, "agg"),
        ({"limit": "0"}, "limit"), ({"limit": "10001"}, "limit"),
        ({"cursor": "abc"}, "cursor"), ({"cursor": "W10="}, "cursor"), ({"cursor": "WyJ4Il0="}, "cursor"),
        ({"cursor": "WyIyMDI0LTAxLTAxIiwgMV0=", "resolution": "PT1M"}, "cursor"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(plant: Plant, query: dict[str, str], field: str) -> None:
    form = {"point": "es/es-STO01/active_power", "from": "2024-05-01T12:00:00Z"} | query
    answer = api().get("/measurements", **form)
    assert problem(answer, 400, answer.json()["code"])["field"] == field


def test_another_pilots_history_does_not_exist(plant: Plant) -> None:
    client = api(pilots=[plant.es])
    for reference in ("nl/nl-EVSE01/active_power", "nl/nl-EVSE99/active_power", "es/nl-EVSE01/active_power"):
        answer = client.get("/measurements", **{"point": reference, "from": "2024-05-01T12:00:00Z"})
        assert problem(answer, 404, "unknown_point")["field"] == "point"


def test_an_overflowing_value_keeps_its_flag(pushed: Plant) -> None:
    api("ingest").post("/measurements", message(value(quality={"validity": "questionable", "flags": ["overflow"]})))
    assert LatestValue.objects.get().unpacked_quality.flags == Flag.OVERFLOW


def test_without_a_token_nothing_is_taken(pushed: Plant) -> None:
    problem(Api().post("/measurements", message(value())), 401, "not_authenticated")
