"""The SGAM page, the use cases against the devices, the alarms' key figures, and what a faceplate says of them."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.test import Client

from pilots.alarms.performance import performance
from pilots.catalogue.documents import check_documents
from pilots.domain.errors import CatalogueError
from pilots.domain.quality import INVALID
from pilots.models import Alarm, Device, LatestValue, Point
from tests.alarms.builders import make_rule
from tests.builders import make_device, make_latest, make_pilot, make_point
from tests.ui.conftest import Plant

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.content
    return " ".join(answer.content.decode().split())


def cell(page: str, address: str) -> str:
    return page.split(f'<span class="dim">{address}</span>')[1].split("</td>", maxsplit=1)[0]


# SGAM


def test_devices_stand_in_their_zone_and_domain_and_open_their_faceplate(plant: Plant, viewer: Client) -> None:
    page = text(viewer, "/pilots/es/sgam/")
    assert "/pilots/es/?device=es-STO01" in cell(page, "4.a")
    assert "es-SCADA" in cell(page, "3.d")
    assert "es-" not in cell(page, "5.b")


def test_links_stand_where_they_begin_and_lead_to_their_page(plant: Plant, viewer: Client) -> None:
    entry = cell(text(viewer, "/pilots/es/sgam/?layer=communication"), "3.d")
    assert 'data-keys="a|es-SCADA|es-STO01"' in entry
    assert "IEC 60870-5-104, fibre" in entry
    assert "/pilots/es/links/?link=a%7Ces-SCADA%7Ces-STO01" in entry


@pytest.mark.parametrize(("layer", "words"), [("information", "soc"), ("function", "UC-2-STO"), ("business", "Estabanell")])
def test_the_upper_layers_tell_of_the_same_places(plant: Plant, viewer: Client, layer: str, words: str) -> None:
    Device.objects.update(operator="Estabanell")
    assert words in cell(text(viewer, f"/pilots/es/sgam/?layer={layer}"), "4.a")


def test_a_layer_that_is_none_and_a_pilot_without_devices_are_told(plant: Plant, viewer: Client) -> None:
    answer = viewer.get("/pilots/es/sgam/?layer=cheese")
    assert (answer.status_code, "cheese is no layer." in answer.content.decode()) == (400, True)
    Device.objects.filter(parent__isnull=False).delete()
    Device.objects.all().delete()
    assert "No devices yet" in text(viewer, "/pilots/es/sgam/")


# Use cases


def rows(client: Client) -> dict[str, dict[str, str]]:
    body = client.get("/pilots/es/use-cases/export.csv").content.decode()
    return {row["item"]: row for row in csv.DictReader(StringIO(body)) if row["device"] == "es-STO01"}


def test_each_item_is_present_live_and_good_or_missing_in_words(plant: Plant, viewer: Client) -> None:
    found = rows(viewer)
    power, soc = found["electrical state at the storage unit - active power"], found["state of charge"]
    assert [power[name] for name in ("point", "present", "live", "good")] == ["active_power", "yes", "yes", "yes"]
    assert [soc[name] for name in ("present", "live", "good")] == ["yes", "no", "no"]
    assert [found["set-point of active power"][name] for name in ("point", "live")] == ["p_set", ""]
    page = text(viewer, "/pilots/es/use-cases/")
    assert "temperature: no point temperature" in page
    assert "1 device lacks something that D7.1 asks for" in page


def test_an_old_or_invalid_value_is_not_good(plant: Plant, viewer: Client) -> None:
    power = "electrical state at the storage unit - active power"
    LatestValue.objects.update(quality=INVALID.pack())
    assert [rows(viewer)[power][name] for name in ("live", "good")] == ["yes", "no"]
    Point.objects.update(max_interval_s=10)
    LatestValue.objects.update(received_time=NOW - timedelta(days=365), quality=0)
    assert [rows(viewer)[power][name] for name in ("live", "good")] == ["no", "no"]


def test_a_meter_stands_for_a_device_that_does_not_measure_itself(plant: Plant, viewer: Client) -> None:
    meter = make_device(plant.pilot, "es-PM01", kind="meter")
    make_latest(make_point(meter, "voltage", unit="V"), 230.0)
    Device.objects.filter(pk=plant.storage.pk).update(measured_by=meter)
    assert rows(viewer)["electrical state at the storage unit - voltage"]["point"] == "voltage"


def test_a_head_end_that_only_pushes_keeps_its_commands(plant: Plant, viewer: Client) -> None:
    plant.p_set.delete()
    assert rows(viewer)["set-point of active power"]["present"] == "no"
    assert "kept by its head-end system" in text(viewer, "/pilots/es/use-cases/")


def test_who_may_not_see_the_pilot_sees_neither_page(plant: Plant, viewer: Client) -> None:
    make_pilot("no")
    paths = ("sgam/", "use-cases/", "use-cases/export.csv")
    assert [viewer.get(f"/pilots/no/{path}").status_code for path in paths] == [404, 404, 404]


# Faceplate


def test_a_faceplate_tells_limits_links_use_cases_and_documents(plant: Plant, viewer: Client) -> None:
    make_rule(plant.power, limit=80_000.0)
    documents = [{"title": "Manual", "url": "https://example.org/m.pdf"}, {"title": "Trap", "url": "javascript:alert(1)"}]
    Device.objects.filter(pk=plant.storage.pk).update(documents=documents)
    page = text(viewer, "/pilots/es/faceplate/es-STO01/")
    assert "above 80 kW" in page
    assert "to es-SCADA, unknown" in page
    assert "UC-2-STO" in page and "asked for are there" in page
    assert 'href="https://example.org/m.pdf" target="_blank" rel="noopener noreferrer">Manual' in page
    assert "javascript:" not in page and "Trap" not in page


@pytest.mark.parametrize(
    "documents", [{}, ["x"], [{"title": "", "url": "https://a.b"}], [{"title": "T", "url": "file:///etc/passwd"}]]
)
def test_documents_that_are_none_are_refused_at_their_field(documents: object) -> None:
    with pytest.raises(CatalogueError) as refusal:
        check_documents(documents)
    assert refusal.value.field == "documents"


# Key figures


def alarms(plant: Plant, *minutes: float, **fields: object) -> None:
    rule = make_rule(plant.power, kind="state")
    for minute in minutes:
        at = NOW - timedelta(minutes=minute)
        form = {
            "pilot": plant.pilot,
            "subject": rule.subject,
            "kind": "high",
            "priority": 3,
            "what": "Power high",
            "state": "normal",
        }
        Alarm.objects.create(
            **(form | {"priority": 3, "raised_at": at, "recent_since": at, "changed_at": at, "closed_at": at} | fields)
        )


def test_rates_floods_and_shares_are_counted_in_periods_of_ten_minutes(plant: Plant) -> None:
    alarms(plant, *[5] * 11, 65, 65, 1430)
    found = performance([plant.pilot], NOW - timedelta(days=1), NOW)
    assert (found.announced, found.peak, found.a_day) == (14, 11, 14)
    assert found.mean_a_period == pytest.approx(14 / 144)
    assert found.flood_share == pytest.approx(1 / 144)
    assert found.top == (("es-STO01/active_power", "Power high", 14),)
    assert dict(found.priorities) == {1: 0, 2: 0, 3: 14, 4: 0}


def test_stale_chattering_and_time_to_acknowledge(plant: Plant) -> None:
    alarms(plant, 2 * 1440, state="unacknowledged", closed_at=None)
    Alarm.objects.update(rule=None)
    alarm = Alarm.objects.get()
    for wait_s in (10, 20, 30):
        alarm.pk, alarm.raised_at, alarm.closed_at = None, NOW - timedelta(hours=1), NOW  # type: ignore[assignment]
        alarm.acknowledged_at = alarm.raised_at + timedelta(seconds=wait_s)
        alarm.recent_times, alarm._state.adding = 5, True
        alarm.save()
    found = performance([plant.pilot], NOW - timedelta(days=1), NOW)
    assert (found.stale, found.chattering) == (1, 1)
    assert (found.mean_to_acknowledge_s, found.p95_to_acknowledge_s) == (20, pytest.approx(29))


def test_each_figure_stands_beside_its_target_and_source(plant: Plant, operator: Client) -> None:
    page = text(operator, "/alarms/performance/?days=1")
    assert "No alarm was announced in this time." in page
    assert "144 at most; 288 can be managed" in page and "EEMUA 191" in page and "IEC 62682" in page
    assert ">missed<" not in page
    refused = operator.get("/alarms/performance/?days=5")
    assert (refused.status_code, "5 is no days." in refused.content.decode()) == (400, True)
