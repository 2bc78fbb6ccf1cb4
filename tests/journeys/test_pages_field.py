"""Links, frames, commissioning and training in a browser, against the running simulators."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import CODES, Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
#: Register 3059 (wire) of the Albena meters: total active power, float32 in kW.
POWER = {"register": "3059", "type": "float32"}


def links(visitor: Visitor, code: str) -> Page:
    page = visitor.go(f"/pilots/{code}/links/")
    page.wait_for_function("() => document.querySelectorAll('.linklist .letter.up').length > 0")
    return page


def choose(page: Page, letter: str) -> None:
    row = page.locator("tr[data-group]", has=page.locator(f"[data-letter]:text-is('{letter}')")).first
    row.locator("[data-open]").click()
    page.wait_for_selector(f"[data-d-letter]:text-is('{letter}')")


@pytest.mark.parametrize("code", CODES)
def test_every_pilots_links_are_shown_with_letter_and_state(scada: Installation, visitor: Visitor, code: str) -> None:
    page = links(visitor, code)
    letters = {text.strip() for text in page.locator("[data-letter]").all_inner_texts()}
    assert {"a", "b", "c"} <= letters
    assert visitor.faults == []


def test_a_link_of_ours_shows_its_round_trip_and_frames_in_words(scada: Installation, visitor: Visitor) -> None:
    page = links(visitor, "bg")
    choose(page, "b")
    page.wait_for_function("() => /^[0-9]+$/.test(document.querySelector('tr.on [data-p50]').textContent)")
    page.wait_for_function("() => document.querySelectorAll('[data-log] li[data-n]').length > 5")
    page.fill("[data-log-filter]", "read")
    shown = page.locator("[data-log] li[data-n]")
    shown.first.wait_for()
    assert all("read" in text.lower() for text in shown.all_inner_texts())
    page.fill("[data-log-filter]", "no frame says this")
    page.wait_for_selector("[data-log] li.none")
    assert visitor.faults == []


def test_the_frames_download_as_a_capture_that_tshark_reads(scada: Installation, visitor: Visitor, tmp_path: Path) -> None:
    page = links(visitor, "bg")
    choose(page, "b")
    page.wait_for_function("() => document.querySelectorAll('[data-log] li[data-n]').length > 5")
    with page.expect_download() as waiting:
        page.click("[data-log-capture]")
    path = tmp_path / "frames.pcap"
    waiting.value.save_as(path)
    fields = ["-T", "fields", "-e", "mbtcp.unit_id", "-e", "modbus.func_code"]
    done = subprocess.run(["tshark", "-r", str(path), *fields], capture_output=True, text=True, check=True, timeout=60)
    assert re.search(r"^\d+\t3$", done.stdout, flags=re.M), done.stdout[:300]


def test_paused_frames_stand_still(scada: Installation, visitor: Visitor) -> None:
    page = links(visitor, "bg")
    choose(page, "b")
    page.wait_for_function("() => document.querySelectorAll('[data-log] li[data-n]').length > 5")
    page.click("[data-log-pause]")
    first = page.locator("[data-log] li[data-n]").first.get_attribute("data-n")
    page.wait_for_timeout(2500)
    assert page.locator("[data-log] li[data-n]").first.get_attribute("data-n") == first


def test_the_months_quality_is_one_click_away(scada: Installation, visitor: Visitor) -> None:
    page = links(visitor, "es")
    page.click("text=Quality of service")
    page.wait_for_selector("h1:has-text('Quality of service, Granollers')")
    assert page.locator("table.linklist tbody tr").count() > 5
    with page.expect_download() as waiting:
        page.click("text=Export CSV")
    assert waiting.value.path().read_text().startswith("letter,from,to")
    assert visitor.faults == []


def commissioning(visitor: Visitor, device: str, address: dict[str, str]) -> Page:
    page = visitor.go("/pilots/bg/commissioning/")
    page.select_option("[data-device]", device)
    for name, value in address.items():
        page.fill(f"fieldset:not([hidden]) [data-part={name}]", value)
    return page


def test_an_engineer_reads_an_address_and_makes_it_a_point(scada: Installation, visitor: Visitor) -> None:
    page = commissioning(visitor, "bg-PM01", POWER)
    page.fill("[name=unit]", "W")
    page.fill("[name=scale]", "1000")
    page.click("[data-read-button]")
    page.wait_for_function("() => /[0-9]/.test(document.querySelector('[data-value]').textContent)")
    assert page.locator("[data-raw]").inner_text().strip() not in ("", "–")
    page.fill("[name=name]", "power_of_the_journey")
    page.fill("[name=period_s]", "2")
    page.click("[data-save-button]")
    page.wait_for_selector("[data-said]:has-text('bg-PM01/power_of_the_journey')")
    page = visitor.go("/pilots/bg/trends/?points=bg-PM01/power_of_the_journey")
    page.wait_for_selector("[data-chart] .scatterlayer .trace", state="attached")
    assert visitor.faults == []


def test_a_refused_address_is_said_in_words_and_nothing_breaks(scada: Installation, visitor: Visitor) -> None:
    page = commissioning(visitor, "bg-PM01", {"register": "65000", "type": "float32"})
    page.click("[data-read-button]")
    page.wait_for_selector("[data-refused]:not([hidden])")
    assert "illegal data address" in page.locator("[data-refused]").inner_text().lower()


def test_a_write_asks_twice_and_never_passes_a_set_point_by(scada: Installation, visitor: Visitor) -> None:
    page = commissioning(visitor, "bg-STO01", {"register": "40313", "type": "int32"})
    page.fill("[name=value]", "1")
    page.click("[data-write-button]")
    page.wait_for_selector("[data-confirm]:not([hidden])")
    assert "straight to the equipment" in page.locator("[data-confirm]").inner_text()
    page.select_option("[data-device]", "bg-PM01")
    assert page.locator("[data-confirm]").is_hidden()


def test_a_point_table_is_compared_before_it_is_applied(scada: Installation, visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.go("/pilots/no/commissioning/table/")
    path = tmp_path / "points.csv"
    path.write_text("device,point,deadband\nno-SM01,active_power,75\nno-SM99,active_power,1\n")
    page.set_input_files("[name=file]", str(path))
    page.click("button:has-text('Compare')")
    page.wait_for_selector("[data-refused]:not([hidden])")
    assert page.locator("[data-apply-button]").is_disabled()
    path.write_text("device,point,deadband\nno-SM01,active_power,75\n")
    page.set_input_files("[name=file]", str(path))
    page.click("button:has-text('Compare')")
    page.locator("[data-apply-button]:enabled").wait_for()
    page.click("[data-apply-button]")
    page.wait_for_selector("[data-said]:has-text('Applied')")


def test_a_point_test_is_recorded_with_the_live_value(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/pilots/es/commissioning/tests/")
    page.click("[data-start-button]")
    page.wait_for_url("**/commissioning/tests/*/")
    page.fill("[data-filter]", "es-STO01 active_power")
    row = page.locator("tr[data-test]:not([hidden])").first
    row.locator(".v:not(.never)").wait_for()
    row.locator("[data-as=passed]").click()
    page.wait_for_selector("[data-progress]:has-text('1 of')")
    assert row.locator("[name=shown]").input_value() != ""
    assert visitor.faults == []


def test_a_fault_of_the_training_page_is_seen_on_the_links_page_and_ends(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/training/?at=de-gw01")
    page.check("[name=kind][value=refuse]")
    page.locator("[data-deed]:enabled").click()
    page.wait_for_selector("[data-fault]:has-text('de-gw01')")
    watched = visitor.go("/pilots/de/links/")
    watched.wait_for_selector("[data-letter].down")
    assert "de-GW01" in watched.locator("[data-trouble]").inner_text()
    page = visitor.go("/training/?at=de-gw01")
    page.locator("[data-fault] button").first.click()
    page.wait_for_function("() => !document.querySelector('[data-fault]')")
    watched = visitor.go("/pilots/de/links/")
    watched.wait_for_function("() => document.querySelectorAll('[data-letter].down').length === 0")
    assert visitor.faults == []
