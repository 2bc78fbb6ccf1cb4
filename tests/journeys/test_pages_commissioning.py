"""Commissioning in a browser: an address read and written live, a table compared, a test list signed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import PASSWORD, Installation
from tests.journeys.peers import ForeignIed, ForeignMeter

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
#: Register 3059 (wire) of the Albena meters: total active power, float32 in kW.
POWER = {"register": "3059", "type": "float32"}
#: A register of the foreign meter that no point of ours names.
FREE = {"register": "3200", "type": "uint16"}
HAS_VALUE = "() => /[0-9]/.test(document.querySelector('[data-value]').textContent)"


def commissioning(visitor: Visitor, code: str, device: str) -> Page:
    page = visitor.go(f"/pilots/{code}/commissioning/")
    page.select_option("[data-device]", device)
    return page


def enter(page: Page, address: dict[str, str]) -> None:
    for name, value in address.items():
        page.fill(f"fieldset:not([hidden]) [data-part={name}]", value)


def test_an_engineer_reads_an_address_and_makes_it_a_point(scada: Installation, visitor: Visitor) -> None:
    page = commissioning(visitor, "bg", "bg-PM01")
    enter(page, POWER)
    page.fill("[name=unit]", "W")
    page.fill("[name=scale]", "1000")
    page.click("[data-read-button]")
    page.wait_for_function(HAS_VALUE)
    wire, shown = (number(page, part) for part in ("wire", "value"))
    assert shown == pytest.approx(1000 * wire, rel=1e-4)
    assert re.fullmatch(r"[0-9a-f]{4} [0-9a-f]{4}", page.locator("[data-raw]").inner_text())
    assert page.locator("[data-quality]").inner_text() == "good, simulated"
    page.fill("[name=name]", "power_of_the_journey")
    page.fill("[name=period_s]", "2")
    page.click("[data-save-button]")
    page.wait_for_selector("[data-said]:has-text('bg-PM01/power_of_the_journey is a point now')")
    page.click("[data-said] a")
    page.wait_for_url("**/pilots/bg/trends/?points=bg-PM01*")
    page.wait_for_selector("[data-chart] .scatterlayer .trace", state="attached")
    assert visitor.faults == []


def number(page: Page, part: str) -> float:
    return float(re.sub(r"\s", "", page.locator(f"[data-{part}]").inner_text()).replace("−", "-"))


def test_a_reading_is_repeated_live_until_it_is_stopped(scada: Installation, visitor: Visitor) -> None:
    page = commissioning(visitor, "bg", "bg-PM01")
    enter(page, POWER)
    page.click("[data-repeat]")
    page.wait_for_function(HAS_VALUE)
    before = page.locator("[data-value]").inner_text()
    page.wait_for_function("(before) => document.querySelector('[data-value]').textContent !== before", arg=before)
    page.click("[data-repeat]")
    page.wait_for_selector("[data-repeat][aria-pressed=false]")
    assert visitor.faults == []


def test_a_configured_point_of_an_rtu_is_read_by_its_object_address(scada: Installation, visitor: Visitor) -> None:
    page = commissioning(visitor, "es", "es-STO01")
    assert page.locator("[data-browsing]").is_hidden()
    page.select_option("[data-known]", "active_power")
    page.wait_for_function(HAS_VALUE)
    assert re.search(r"requested, CA \d+: IOA \d+ = ", page.locator("[data-raw]").inner_text())
    assert page.locator("[data-shown-unit]").inner_text() == "W"
    assert visitor.faults == []


def test_an_mms_reference_is_found_in_what_the_device_offers_and_read(
    scada: Installation, foreign_ied: ForeignIed, visitor: Visitor
) -> None:
    page = commissioning(visitor, "xm", "xm-SW01")
    page.click("[data-browse-button]")
    offer = page.locator("[data-offers] button", has_text=re.compile(r"MMXU1\.TotW\.mag\.f \[MX\]"))
    offer.click()
    page.wait_for_function(HAS_VALUE)
    assert "MMXU1" in page.locator("[data-where]").inner_text()
    assert page.locator("[data-quality]").inner_text().startswith("good")
    assert visitor.faults == []


def test_a_refused_address_is_said_in_words_and_the_last_value_is_old(scada: Installation, visitor: Visitor) -> None:
    page = commissioning(visitor, "bg", "bg-PM01")
    enter(page, POWER)
    page.click("[data-read-button]")
    page.wait_for_function(HAS_VALUE)
    enter(page, {"register": "65000"})
    page.click("[data-read-button]")
    page.wait_for_selector("[data-refused]:has-text('illegal data address')")
    page.wait_for_selector("[data-shown].is-old")


def test_a_write_asks_twice_then_stands_in_the_device(scada: Installation, foreign: ForeignMeter, visitor: Visitor) -> None:
    page = commissioning(visitor, "xx", "xx-PM01")
    enter(page, FREE)
    page.click("[data-write-button]")
    page.wait_for_selector("[data-refused]:has-text('Give the value')")
    page.fill("[name=value]", "7")
    page.click("[data-write-button]")
    page.wait_for_selector("[data-confirm]:has-text('Write 7 to xx-PM01 3200 uint16 now')")
    page.select_option("[data-device]", "xx-PM02")
    assert page.locator("[data-confirm]").is_hidden()
    page.select_option("[data-device]", "xx-PM01")
    page.click("[data-write-button]")
    page.click("[data-write-button]:has-text('Write 7')")
    page.wait_for_selector("[data-said]:has-text('Written at')")
    page.wait_for_selector("[data-raw]:text-is('0007')")
    assert foreign.modbus.registers[3200] == 7
    assert visitor.faults == []


def table(visitor: Visitor) -> Page:
    return visitor.go("/pilots/no/commissioning/table/")


def compare(page: Page, path: Path) -> None:
    page.set_input_files("[name=file]", str(path))
    page.click("button:has-text('Compare')")


def test_a_point_table_is_compared_before_it_is_applied(scada: Installation, visitor: Visitor, tmp_path: Path) -> None:
    page, path = table(visitor), tmp_path / "points.csv"
    path.write_text("device,point,deadband\nno-SM01,active_power,75\nno-SM99,active_power,1\nno-SM02,active_power,much\n")
    compare(page, path)
    page.wait_for_selector("[data-refused]:has-text('2 faults')")
    faults = [row.inner_text().split("\t") for row in page.locator("[data-outcome] table").first.locator("tbody tr").all()]
    assert [(row, column) for row, column, _ in faults] == [("3", "device"), ("4", "deadband")]
    assert page.locator("[data-apply-button]").is_disabled()
    path.write_text("device,point,deadband\nno-SM01,active_power,75\n")
    compare(page, path)
    page.locator("[data-apply-button]:enabled:has-text('Apply one change')").wait_for()
    assert page.locator("[data-outcome] tbody td").last.inner_text() == "deadband 20.0 → 75.0"
    page.click("[data-apply-button]")
    page.wait_for_selector("[data-said]:has-text('Applied')")
    compare(page, path)
    page.wait_for_selector("[data-said]:has-text('Nothing to apply')")


@pytest.mark.parametrize("kind", ["CSV", "XLSX"])
def test_a_table_taken_and_brought_back_says_what_is_there(
    scada: Installation, visitor: Visitor, tmp_path: Path, kind: str
) -> None:
    page, path = table(visitor), tmp_path / f"points.{kind.lower()}"
    with page.expect_download() as waiting:
        page.click(f"text=Take as {kind}")
    waiting.value.save_as(path)
    compare(page, path)
    page.wait_for_selector("[data-said]:has-text('Nothing to apply')")
    assert visitor.faults == []


def test_a_point_test_is_recorded_signed_exported_and_checked(
    scada: Installation, foreign_ied: ForeignIed, visitor: Visitor, tmp_path: Path
) -> None:
    page = visitor.go("/pilots/xm/commissioning/tests/")
    page.click("[data-start-button]")
    page.wait_for_url("**/commissioning/tests/*/")
    # A list is dated by the pilot's own clock, and says which.
    assert page.locator("[data-lists] option").first.inner_text().endswith("UTC, admin")
    live = page.locator("tr[data-test]", has=page.locator("[data-ref='xm-SW01/active_power']"))
    live.locator(".v:not(.never)").wait_for()
    live.locator("[data-as=passed]").click()
    page.wait_for_selector("[data-progress]:has-text('1 of')")
    assert "kW" in live.locator("[name=shown]").input_value()
    page.click("[data-sign-form] button")  # without a password the browser itself says no
    assert page.locator("tr.is-open").count() > 0
    while page.locator("tr.is-open").count():
        row = page.locator("tr.is-open").first
        key = row.get_attribute("data-test")
        row.locator("[name=remark]").fill("not part of this journey")
        row.locator("[data-as=not_applicable]").click()
        page.wait_for_selector(f"tr.is-not_applicable[data-test='{key}']")
    page.fill("[data-sign-form] [name=password]", PASSWORD)
    page.click("[data-sign-form] button")
    page.wait_for_selector("text=the signature holds")
    assert page.locator("tr[data-test] input").count() == 0
    export = tmp_path / "list.csv"
    with page.expect_download() as waiting:
        page.click("text=Export CSV")
    waiting.value.save_as(export)
    assert "xm-SW01/active_power" in export.read_text(encoding="utf-8-sig")
    page.set_input_files("[data-export]", str(export))
    page.wait_for_selector("[data-said]:has-text('what was signed here')")
    export.write_text(export.read_text(encoding="utf-8-sig").replace("not part of this journey", "done"))
    page.set_input_files("[data-export]", str(export))
    page.wait_for_selector("[data-refused]:has-text('not what was signed')")
    assert visitor.faults == []
