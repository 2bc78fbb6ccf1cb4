"""The links page, the downloads of its frames, the month's sheet."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from pilots.acquisition import asking
from pilots.models import Link, LinkHour, Role
from pilots.ui import link_views
from pilots.ui.live_state import link_figure_rows
from tests.builders import make_connection, make_device, make_point, new_sample, record_samples
from tests.ui.conftest import Plant, client_of

FRAMES = [[4, 1700000000123, True, 12, "000100000006010300000002", "read 2 holding registers"]]
FRAMES += [[5, 1700000000150, False, 9, "000100000003018302", "exception 2\nillegal data address"]]


@pytest.fixture
def line(plant: Plant) -> Any:
    line = make_connection(plant.pilot, "es-meter", protocol="modbus_tcp")
    Link.objects.update(connection=line, protocol="Modbus TCP")
    return line


@pytest.fixture
def answered(line: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []

    def newest(connection: Any, **question: Any) -> dict[str, Any]:
        asked.append(question)
        return {"count": 6, "frames": FRAMES}

    monkeypatch.setattr(link_views, "newest_frames", newest)
    return asked


def edges(answer: Any) -> list[dict[str, Any]]:
    found = re.search(r'<script id="edges" type="application/json">(.*?)</script>', answer.content.decode())
    assert found
    rows: list[dict[str, Any]] = json.loads(found[1])
    return rows


def test_a_link_is_shown_with_letter_protocol_medium_and_role(viewer: Client, line: Any) -> None:
    answer = viewer.get("/pilots/es/links/")
    html = answer.content.decode()
    assert all(words in html for words in ("Modbus TCP", "fibre", "our connection", ">es-SCADA</b>"))
    (edge,) = edges(answer)
    assert (edge["key"], edge["connection"], edge["captures"]) == ("a|es-SCADA|es-STO01", "es-meter", True)
    assert edge["points"] == ["es-STO01/comm_state", "es-STO01/round_trip"]


def test_links_of_one_letter_protocol_and_medium_share_a_row(viewer: Client, plant: Plant) -> None:
    first = Link.objects.get()
    for number in (2, 3):
        far = make_device(plant.pilot, f"es-STO0{number}")
        Link.objects.create(pilot=plant.pilot, letter="a", end_a=first.end_a, end_b=far, **shared(first))
    html = viewer.get("/pilots/es/links/").content.decode()
    assert html.count("data-group=") == 1
    assert "es-STO01..03" in html


def shared(link: Link) -> dict[str, Any]:
    return {"protocol": link.protocol, "medium": link.medium, "role": link.role, "connection": link.connection}


def test_a_wire_without_protocol_has_no_figures(viewer: Client, plant: Plant) -> None:
    Link.objects.update(protocol="none (DC)", medium="DC wiring")
    assert 'class="wire"' in viewer.get("/pilots/es/links/").content.decode()


def test_a_protocol_inside_a_cabinet_has_a_state_though_no_medium_is_named(viewer: Client, plant: Plant) -> None:
    Link.objects.update(protocol="internal bus", medium="battery cabinet")
    assert 'class="wire"' not in viewer.get("/pilots/es/links/").content.decode()


@pytest.mark.parametrize(
    ("change", "way"),
    [({}, "held"), ({"role": "observed"}, "observed"), ({"connection": None}, "platform")],
)
def test_it_is_told_who_keeps_a_link_up(viewer: Client, line: Any, change: dict[str, Any], way: str) -> None:
    Link.objects.update(**change)
    assert edges(viewer.get("/pilots/es/links/"))[0]["way"] == way


def test_a_pushed_link_is_kept_up_by_the_other_end(viewer: Client, plant: Plant) -> None:
    Link.objects.update(connection=plant.connection)
    assert edges(viewer.get("/pilots/es/links/"))[0]["way"] == "pushed"


def test_the_curve_of_a_row_begins_with_what_history_kept(viewer: Client, plant: Plant, line: Any) -> None:
    point = make_point(plant.storage, "round_trip", unit="s", address={"link": "a"})
    now = timezone.now()
    for minutes, seconds in ((30, 0.9), (4, 0.041), (2, None)):
        moment = now - timedelta(minutes=minutes)
        record_samples([new_sample(point.pk, source_time=moment, received_time=moment, value=seconds, quality=0)])
    html = viewer.get("/pilots/es/links/").content.decode()
    kept = json.loads(re.findall(r'<script id="trips" type="application/json">(.*?)</script>', html)[0])
    ((at_ms, trip_ms),) = kept["a|es-SCADA|es-STO01"]
    assert trip_ms == 41.0 and at_ms == pytest.approx((now - timedelta(minutes=4)).timestamp() * 1000, abs=2)


def test_a_pilot_without_links_says_where_they_come_from(viewer: Client, plant: Plant) -> None:
    Link.objects.all().delete()
    html = viewer.get("/pilots/es/links/").content.decode()
    assert "No links yet" in html and "links.js" not in html


def test_the_live_rows_of_observed_links_carry_no_figures(plant: Plant, line: Any) -> None:
    assert link_figure_rows(plant.pilot)[0][6]["connection"] == "es-meter"
    Link.objects.update(role="observed")
    assert link_figure_rows(plant.pilot)[0][6] == {}


def test_frames_are_for_operators_engineers_and_installers(
    viewer: Client, operator: Client, engineer: Client, plant: Plant, answered: list[dict[str, Any]]
) -> None:
    path = "/pilots/es/links/frames?connection=es-meter&after=3"
    assert viewer.get(path).status_code == 404
    assert "data-log-part" not in viewer.get("/pilots/es/links/").content.decode()
    for client in (operator, engineer, client_of(Role.INSTALLER, "ines", pilot=plant.pilot)):
        assert client.get(path).json() == {"count": 6, "frames": FRAMES}
    assert answered[0] == {"after": 3, "asked_by": "olaf"}


@pytest.mark.parametrize("query", ["", "?connection=es-nowhere", "?connection=es-push"])
def test_a_connection_that_has_no_frames_is_not_there(operator: Client, answered: list[Any], query: str) -> None:
    assert operator.get(f"/pilots/es/links/frames{query}").status_code == 404


def test_a_gateway_that_does_not_answer_is_said_so(operator: Client, line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PATIENCE_S", 0.1)
    answer = operator.get("/pilots/es/links/frames?connection=es-meter")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_gateway")


def test_the_text_has_a_line_a_frame_whatever_a_device_says(operator: Client, answered: list[Any]) -> None:
    lines = operator.get("/pilots/es/links/frames.txt?connection=es-meter").content.decode().splitlines()
    assert lines[0].split("\t") == ["4", "2023-11-14T22:13:20.123Z", "sent", "12", FRAMES[0][4], "read 2 holding registers"]
    assert lines[1].endswith("exception 2.illegal data address") and len(lines) == 2


def test_the_capture_is_a_pcap_of_every_frame(operator: Client, answered: list[Any]) -> None:
    answer = operator.get("/pilots/es/links/frames.pcap?connection=es-meter")
    assert answer["Content-Disposition"].endswith('.pcap"')
    assert struct.unpack("<I", answer.content[:4])[0] == 0xA1B2C3D4
    assert bytes.fromhex(FRAMES[1][4]) in answer.content


def test_the_month_shows_targets_and_what_was_missed(viewer: Client, plant: Plant) -> None:
    link = Link.objects.get()
    LinkHour.objects.create(link=link, hour="2026-10-05T07:00:00Z", up_s=1800, down_s=1800, requests=10)
    html = viewer.get("/pilots/es/links/quality/?month=2026-10").content.decode()
    assert "50.00" in html and "99.90" in html and "1 link missed a target" in html
    # A fibre's target is small, and no zero.
    assert "&lt; 0.001" in html
    assert "Nothing was measured in this month." in viewer.get("/pilots/es/links/quality/?month=2025-01").content.decode()


def test_the_sheet_as_csv_has_units_in_its_head_and_no_formulas(viewer: Client, plant: Plant) -> None:
    Link.objects.update(protocol="=1+1")
    answer = viewer.get("/pilots/es/links/quality.csv?month=2026-10")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert rows[0]["letter"] == "a" and rows[0]["protocol"] == "'=1+1"
    assert (rows[0]["availability_target_percent"], rows[0]["availability_percent"]) == ("99.9", "")
    assert 'es-links-2026-10.csv"' in answer["Content-Disposition"]
