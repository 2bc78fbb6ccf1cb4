"""Exports over the API: asked for, followed, downloaded, cancelled; each client sees its own."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from pilots.api.permissions import RATE_LIMIT
from pilots.exports import jobs
from pilots.models import AuditEvent, ExportJob, ServiceToken
from tests.api.conftest import Api, Plant, api, problem
from tests.builders import make_token, new_sample, record_samples

pytestmark = pytest.mark.django_db
START = datetime(2026, 6, 1, tzinfo=UTC)
POINT = "es/es-STO01/active_power"


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> None:
    settings.EXPORT_DIR = tmp_path


def body(**more: Any) -> dict[str, Any]:
    return {"points": [POINT], "start": "2026-06-01T00:00:00Z", "end": "2026-06-02T00:00:00Z", "format": "csv_long"} | more


def content_of(answer: Any) -> bytes:
    async def gathered() -> bytes:
        return b"".join([chunk async for chunk in answer.streaming_content])

    return async_to_sync(gathered)()


def test_an_export_is_asked_for_followed_and_downloaded(plant: Plant) -> None:
    record_samples([new_sample(plant.power.pk, source_time=START, received_time=START, value=5.0, quality=0)])
    client = api("read")
    asked = client.post("/exports", body(), key="one")
    assert asked.status_code == 202
    key = asked.json()["id"]
    assert client.post("/exports", body(), key="one").json()["id"] == key
    problem(client.get(f"/exports/{key}/file"), 409, "no_file")
    jobs.run_exports()
    record = client.get(f"/exports/{key}").json()
    assert (record["state"], record["percent"], record["rows"], record["points"]) == ("done", 100, 1, [POINT])
    content = content_of(client.get(f"/exports/{key}/file"))
    assert hashlib.sha256(content).hexdigest() == record["sha256"] == record["manifest"]["sha256"]
    assert len(content) == record["size"]
    deeds = AuditEvent.objects.filter(subject=f"export {key}").order_by("pk").values_list("action", flat=True)
    assert list(deeds) == ["ask for export", "download export"]
    assert [row["id"] for row in client.get("/exports").json()["results"]] == [key]


def test_a_file_is_given_as_it_is_whatever_is_accepted(plant: Plant) -> None:
    client = api("read")
    key = client.post("/exports", body()).json()["id"]
    jobs.run_exports()
    answer = client.client.get(
        f"/api/v1/exports/{key}/file", headers=client.headers | {"Accept": "text/csv", "Accept-Encoding": "gzip"}
    )
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/csv")
    assert answer["Content-Encoding"] == "identity"
    assert answer["Content-Length"] == str(ExportJob.objects.get().size)
    assert content_of(answer).startswith(b"time,device")


def test_an_export_is_cancelled_once(plant: Plant) -> None:
    client = api("read")
    key = client.post("/exports", body()).json()["id"]
    assert client.post(f"/exports/{key}/cancel", {}).json()["state"] == "cancelled"
    problem(client.post(f"/exports/{key}/cancel", {}), 409, "already_finished")


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ({"points": []}, "invalid_field", "points"),
        ({"points": None}, "missing_field", "points"),
        ({"points": ["es-STO01"]}, "invalid_field", "points"),
        ({"points": [POINT, "nl/nl-EVSE01/active_power"]}, "invalid_field", "points"),
        ({"start": "yesterday"}, "invalid_field", "start"),
        ({"end": None}, "missing_field", "end"),
        ({"end": "2026-06-01T00:00:00Z"}, "invalid_field", "end"),
        ({"start": "1980-06-01T00:00:00Z"}, "invalid_field", "start"),
        ({"format": None}, "missing_field", "format"),
        ({"format": "pdf"}, "invalid_field", "format"),
        ({"resolution": "PT7M"}, "invalid_field", "resolution"),
        ({"zone": "Asia/Tokyo"}, "invalid_field", "zone"),
    ],
)
def test_a_wrong_field_is_named(plant: Plant, wrong: dict[str, Any], code: str, field: str) -> None:
    refused = problem(api("read").post("/exports", body(**wrong)), 400, code)
    assert refused["field"] == field
    assert not ExportJob.objects.exists()


def test_a_client_exports_its_own_points_and_sees_its_own_exports_only(plant: Plant) -> None:
    mine, other, dutch = api("read"), api("read"), api("read", pilots=[plant.nl])
    assert problem(dutch.post("/exports", body()), 404, "unknown_point")["field"] == "points"
    key = mine.post("/exports", body()).json()["id"]
    jobs.run_exports()
    for path in (f"/exports/{key}", f"/exports/{key}/file"):
        problem(other.get(path), 404, "not_found")
    problem(other.post(f"/exports/{key}/cancel", {}), 404, "not_found")
    assert other.get("/exports").json()["results"] == []


def test_a_token_that_lost_a_device_loses_its_exports(plant: Plant) -> None:
    client = Api(make_token("read", name="bound", devices=[plant.battery]))
    key = client.post("/exports", body()).json()["id"]
    jobs.run_exports()
    ServiceToken.objects.get(name="bound").devices.set([plant.charger])
    problem(client.get(f"/exports/{key}/file"), 404, "not_found")


def test_without_the_scope_nothing_is_exported(plant: Plant) -> None:
    problem(api("ingest").post("/exports", body()), 403, "not_authorised")


def test_too_many_open_ones_are_refused(plant: Plant) -> None:
    client = api("read")
    for _ in range(20):
        assert client.post("/exports", body()).status_code == 202
    RATE_LIMIT.forget()
    problem(client.post("/exports", body()), 409, "too_many")
