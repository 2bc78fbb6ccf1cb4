"""What the pages contain and what they must never contain."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from pilots.domain.moments import microseconds
from pilots.exports.sample_csv import csv_lines, harmless
from pilots.history.selectors import stream_samples
from pilots.models import LatestValue, OutboxMessage
from pilots.ui.plotly_files import PACKAGE_DATA, style_hashes
from pilots.ui.single_line import CHARACTER
from tests.builders import NewSample, make_point, record_samples
from tests.ui.conftest import Plant, client_of

NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
PAGES = [
    "/",
    "/pilots/es/",
    "/setpoints/",
    "/exports/",
    "/pilots/es/trends/",
    "/pilots/es/links/",
    "/pilots/es/links/quality/",
    "/pilots/es/faceplate/es-STO01/",
    "/accounts/password/change/",
    "/nowhere/",
    "/admin/",
]


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_inline_script_or_style(operator: Client, path: str) -> None:
    html = operator.get(path).content.decode()
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", html) == []
    scripts = re.findall(r"<script([^>]*)>", html)
    assert [
        attributes for attributes in scripts if "src=" not in attributes and 'type="application/json"' not in attributes
    ] == []


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_carries_the_strict_policy(operator: Client, path: str) -> None:
    policy = operator.get(path)["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_plotlys_styles_are_allowed_on_the_history_page_only(viewer: Client) -> None:
    empty = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    assert len(style_hashes()) == 2
    assert f"'sha256-{empty}'" in viewer.get("/pilots/es/trends/")["Content-Security-Policy"]
    assert "sha256" not in viewer.get("/pilots/es/")["Content-Security-Policy"]
    assert (PACKAGE_DATA / "plotly.min.js").exists()


def test_the_drawing_names_no_value_before_the_first_frame(viewer: Client) -> None:
    html = viewer.get("/pilots/es/").content.decode()
    assert 'data-ref="es-STO01/active_power"' in html
    assert 'class="v never"' in html
    assert 'class="con unknown"' in html


def test_each_symbol_is_a_button_with_a_sentence(viewer: Client) -> None:
    html = viewer.get("/pilots/es/").content.decode()
    assert html.count('role="button"') == 3
    assert 'aria-label="Battery es-STO01"' in html


def test_operators_get_the_form_and_viewers_the_reason_why_not(viewer: Client, operator: Client) -> None:
    path = "/pilots/es/faceplate/es-STO01/"
    assert "data-setpoint" in operator.get(path).content.decode()
    html = viewer.get(path).content.decode()
    assert "data-setpoint" not in html
    assert "not switch there" in html


def test_simulated_values_wear_their_badge(viewer: Client, plant: Plant) -> None:
    assert ">SIM<" in viewer.get("/").content.decode()
    plant.connection.simulated = False
    plant.connection.save()
    assert ">SIM<" not in viewer.get("/").content.decode()


def test_somebody_without_pilots_is_told_so(plant: Plant) -> None:
    assert "You have no role at any pilot" in client_of(None, "nils").get("/").content.decode()


def test_the_history_page_opens_with_the_power_of_the_infeed_and_the_first_battery(viewer: Client, plant: Plant) -> None:
    make_point(plant.storage.parent or plant.storage)
    html = viewer.get("/pilots/es/trends/").content.decode()
    assert re.findall(r'value="([^"]+)" checked', html) == ["es-GRID/active_power", "es-STO01/active_power"]
    chosen = viewer.get("/pilots/es/trends/", {"points": "es-STO01/soc"}).content.decode()
    assert re.findall(r'value="([^"]+)" checked', chosen) == ["es-STO01/soc"]


def test_a_curve_holds_up_to_its_newest_good_reading_and_not_beyond(viewer: Client, plant: Plant) -> None:
    earlier = datetime.now(UTC) - timedelta(minutes=30)
    record_samples([NewSample(plant.power.pk, microseconds(earlier), 0, -21_500.0, 0)])
    ask = {"points": "es-STO01/active_power", "hours": "1"}
    assert viewer.get("/pilots/es/trends/data", ask).json()["data"][0]["y"] == [-21.5, 20.0]
    LatestValue.objects.update(quality=2)
    figure = viewer.get("/pilots/es/trends/data", ask).json()
    assert figure["data"][0]["y"] == [-21.5]
    (label,) = figure["layout"]["annotations"]
    assert label["text"] == "es-STO01 active power −21.5"
    assert figure["layout"]["margin"]["r"] > CHARACTER * len(label["text"])


def test_the_overview_counts_set_points_in_force_and_waiting_messages(viewer: Client, plant: Plant) -> None:
    moment = datetime.now(UTC)
    OutboxMessage.objects.create(pilot=plant.pilot, epoch=1, sequence=1, created_at=moment, values_json="[]")
    totals = viewer.get("/totals").json()
    assert (totals["setpoints"], totals["setpoints_note"], totals["waiting"]) == ("0", "none in force", "1")
    assert totals["waiting_note"] == "nothing accepted yet"
    assert 'data-total="infeed"' in viewer.get("/").content.decode()


def test_totals_count_only_what_their_reader_may_see(plant: Plant) -> None:
    OutboxMessage.objects.create(pilot=plant.pilot, epoch=1, sequence=1, created_at=datetime.now(UTC), values_json="[]")
    assert client_of(None, "nils").get("/totals").json()["waiting"] == "0"


def test_browsers_that_guess_the_icon_find_it(plant: Plant) -> None:
    answer = Client().get("/favicon.ico")
    assert (answer.status_code, answer["Location"].endswith(".svg")) == (302, True)


def test_the_configuration_pages_name_the_icon(plant: Plant) -> None:
    chief = client_of(None, "ada", is_staff=True, is_superuser=True)
    assert 'rel="icon"' in chief.get("/admin/").content.decode()


def test_the_figure_has_a_lane_a_unit_and_gaps_as_gaps(viewer: Client, plant: Plant) -> None:
    first = microseconds(NOW)
    record_samples(
        [
            NewSample(plant.power.pk, first, 0, 1000.0, 0),
            NewSample(plant.power.pk, first + 1_000_000, 0, None, 2),
            NewSample(plant.power.pk, first + 2_000_000, 0, 3000.0, 0),
        ]
    )
    window = {"from": "2026-03-29T01:00", "to": "2026-03-29T02:00+01:00"}
    figure = viewer.get("/pilots/es/trends/data", {"points": "es-STO01/active_power", **window}).json()
    (trace,) = figure["data"]
    assert trace["y"] == [1.0, None, 3.0]
    assert trace["x"][0] == "2026-03-29T01:30:00.000"
    assert trace["connectgaps"] is False
    assert figure["layout"]["yaxis"]["title"]["text"] == "kW"


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"points": "es-STO01/nothing", "hours": "1"},
        {"points": "es-STO01/active_power", "hours": "-1"},
        {"points": "es-STO01/active_power", "hours": "9" * 30},
        {"points": "es-STO01/active_power", "from": "yesterday", "to": "now"},
        {"points": "es-STO01/active_power", "from": "2026-01-02T00:00", "to": "2026-01-01T00:00"},
        {"points": "es-STO01/active_power", "from": "2020-01-01T00:00", "to": "2026-01-01T00:00"},
    ],
)
@pytest.mark.parametrize("path", ["/pilots/es/trends/data", "/pilots/es/trends/export.csv"])
def test_a_window_that_cannot_be_is_refused_in_words(viewer: Client, path: str, query: dict[str, str]) -> None:
    answer = viewer.get(path, query)
    assert answer.status_code == 400
    assert answer.content


def test_the_export_has_offset_unit_and_quality_of_every_sample(plant: Plant) -> None:
    # One sample before and one after the change to summer time of 29 March 2026, 01:00 UTC.
    times = [microseconds(NOW), microseconds(NOW + timedelta(hours=1))]
    record_samples(
        [
            NewSample(plant.power.pk, times[0], 250, 1500.0, 12),
            NewSample(plant.power.pk, times[1], 0, None, 2 | 64 << 5),
        ]
    )
    samples = stream_samples([plant.power], NOW - timedelta(hours=1), NOW + timedelta(hours=2))
    lines = "".join(csv_lines([plant.power], samples, ZoneInfo("Europe/Madrid"))).splitlines()
    assert lines == [
        "time,device,point,value,unit,validity,source,flags,received",
        "2026-03-29T01:30:00.000+01:00,es-STO01,active_power,1500.0,W,good,simulated,,2026-03-29T01:30:00.250+01:00",
        "2026-03-29T03:30:00.000+02:00,es-STO01,active_power,,W,invalid,process,comm_failure,2026-03-29T03:30:00.000+02:00",
    ]


def test_the_export_is_a_streamed_file(viewer: Client) -> None:
    answer = viewer.get("/pilots/es/trends/export.csv", {"points": "es-STO01/active_power", "hours": "1"})
    assert (answer.status_code, answer.streaming) == (200, True)
    assert answer["Content-Type"].startswith("text/csv")
    assert answer["Content-Disposition"].startswith('attachment; filename="es-')


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_the_export_is_taken_for_a_formula(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
