"""The page of exports: form and list, who sees what, what is refused and how."""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from pilots.exports import jobs
from pilots.models import AuditEvent, ExportJob, Role
from pilots.ui.export_form import presets
from tests.builders import make_device, make_pilot, make_point, new_sample, record_samples
from tests.ui.conftest import Plant, client_of

POINT, START = "es-STO01/active_power", datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> None:
    settings.EXPORT_DIR = tmp_path


def form(**more: str) -> dict[str, str]:
    wish = {"pilot": "es", "points": POINT, "start": "2026-06-01T02:00", "end": "2026-06-01T03:00", "zone": "Europe/Madrid"}
    return wish | {"resolution": "raw", "format": "csv_long"} | more


def asked(client: Client, **more: str) -> ExportJob:
    answer = client.post("/exports/create", form(**more))
    assert answer.status_code == 302, answer.content
    return ExportJob.objects.latest("requested_at")


def content_of(answer: Any) -> bytes:
    async def gathered() -> bytes:
        return b"".join([chunk async for chunk in answer.streaming_content])

    return async_to_sync(gathered)()


def test_an_export_is_asked_for_seen_and_downloaded(plant: Plant, viewer: Client) -> None:
    record_samples([new_sample(plant.power.pk, source_time=START, received_time=START, value=5.0, quality=0)])
    assert "No exports yet" in viewer.get("/exports/").content.decode()
    job = asked(viewer)
    assert (job.start, job.end) == (START, START + timedelta(hours=1))
    assert "waits for a worker" in viewer.get("/exports/rows").content.decode()
    jobs.run_exports()
    page = viewer.get("/exports/").content.decode()
    assert f"/exports/{job.pk}/file" in page
    answer = viewer.get(f"/exports/{job.pk}/file")
    content = content_of(answer)
    assert content.count(b"\n") == 2
    assert answer["Content-Length"] == str(len(content))
    assert answer["Content-Disposition"] == 'attachment; filename="es-20260601T0000Z-20260601T0100Z.csv"'
    manifest = viewer.get(f"/exports/{job.pk}/manifest.json").json()
    assert (manifest["rows"], manifest["requested_by"]) == (1, "vera")
    deeds = AuditEvent.objects.filter(subject=f"export {job.pk}").order_by("pk").values_list("actor", "action")
    assert list(deeds) == [("vera", "ask for export"), ("vera", "download export")]


def test_the_zone_of_the_form_is_the_pilots_or_utc(plant: Plant, viewer: Client) -> None:
    assert asked(viewer, zone="UTC").start == START + timedelta(hours=2)


def test_a_cancelled_export_says_so_and_a_second_cancel_is_refused_in_words(plant: Plant, viewer: Client) -> None:
    job = asked(viewer)
    assert viewer.post(f"/exports/{job.pk}/cancel").status_code == 302
    assert "cancelled" in viewer.get("/exports/rows").content.decode()
    refused = viewer.post(f"/exports/{job.pk}/cancel")
    assert refused.status_code == 400
    assert "It has ended already." in refused.content.decode()


def test_a_file_that_is_not_there_is_told_on_the_page(plant: Plant, viewer: Client) -> None:
    answer = viewer.get(f"/exports/{asked(viewer).pk}/file")
    assert answer.status_code == 400
    assert "There is no file" in answer.content.decode()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"points": ""}, "Choose at least one point."),
        ({"points": "es-STO01/nothing"}, "es-STO01/nothing is no point here."),
        ({"start": "soon"}, "Give both times as date and time."),
        ({"start": "2026-03-29T02:30"}, "There is no 2026-03-29 02:30 in Madrid"),
        ({"end": "2026-06-01T01:00"}, "The end must be after the beginning."),
        ({"zone": "Asia/Tokyo"}, "The zone is the pilot's, Europe/Madrid, or UTC."),
        ({"format": "pdf"}, "pdf is no format."),
        ({"resolution": "PT7M"}, "PT7M is no resolution."),
    ],
)
def test_a_refusal_is_a_sentence_and_the_form_keeps_what_was_sent(
    plant: Plant, viewer: Client, wrong: dict[str, str], words: str
) -> None:
    answer = viewer.post("/exports/create", form(**wrong))
    page = html.unescape(answer.content.decode())
    assert answer.status_code == 400
    assert words in page
    if "points" not in wrong:
        assert f'value="{POINT}" checked' in page
    assert not ExportJob.objects.exists()


def test_the_form_is_filled_from_the_address(plant: Plant, viewer: Client) -> None:
    address = f"/exports/?pilot=es&points={POINT},es-STO01/soc&start=2026-06-01T00:00:00.000Z&end=2026-06-01T04:30"
    page = viewer.get(address).content.decode()
    assert page.count(" checked") == 2
    assert 'name="start" step="1" required value="2026-06-01T02:00"' in page
    assert 'name="end" step="1" required value="2026-06-01T04:30"' in page


def test_everybody_sees_their_own_and_an_engineer_of_all_pilots_sees_all(plant: Plant, viewer: Client, operator: Client) -> None:
    job = asked(viewer)
    engineer_here = client_of(Role.ENGINEER, "enza", pilot=plant.pilot)
    for other in (operator, engineer_here):
        assert str(job.pk) not in other.get("/exports/").content.decode()
        assert other.get(f"/exports/{job.pk}/file").status_code == 404
        assert other.post(f"/exports/{job.pk}/cancel").status_code == 404
    everywhere = client_of(Role.ENGINEER, "eva")
    assert str(job.pk) in everywhere.get("/exports/").content.decode()


def test_a_pilot_out_of_sight_is_not_exported_and_its_old_exports_are_not_seen(plant: Plant, viewer: Client) -> None:
    make_point(make_device(make_pilot("nl"), "nl-EVSE01"))
    assert viewer.post("/exports/create", form(pilot="nl", points="nl-EVSE01/active_power")).status_code == 404
    job = asked(viewer)
    job.user.grants.all().delete()  # type: ignore[union-attr]
    page = viewer.get("/exports/")
    assert page.status_code == 200
    assert str(job.pk) not in page.content.decode()
    assert viewer.get(f"/exports/{job.pk}/manifest.json").status_code == 404


def test_presets_are_days_of_the_zones_clock() -> None:
    found = {
        each["name"]: (each["start"], each["end"]) for each in presets(ZoneInfo("Europe/Madrid"), START - timedelta(hours=1))
    }
    assert found["yesterday"] == ("2026-05-31T00:00", "2026-06-01T00:00")
    assert found["today"] == ("2026-06-01T00:00", "2026-06-01T01:00")
    assert found["last_month"] == ("2026-05-01T00:00", "2026-06-01T00:00")
