"""The clock of the pages as a person chooses it: UTC on a pilot's trends, on a set-point's form, and back to the pilot's time."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
#: The helpers of the page's own scripts, over the night in which Madrid's clocks are set back and the one of spring.
HELPERS = """async () => {
  const own = document.querySelector('script[src*="/clock"]').src;
  const { momentOf, wallOf, zoneLabel } = await import(own.replace(/clock[^/]*$/, "time_zones.js"));
  const at = (wall, zone) => (Number.isNaN(momentOf(wall, zone)) ? "none" : new Date(momentOf(wall, zone)).toISOString());
  return [at("2026-10-25T02:30", "Europe/Madrid"), at("2026-03-29T02:30", "Europe/Madrid"), at("2026-03-29T02:30", "UTC"),
    at("", "UTC"), wallOf(Date.UTC(2026, 5, 1, 12), "Europe/Madrid"), zoneLabel(Date.UTC(2026, 5, 1), "Europe/Madrid"),
    zoneLabel(Date.UTC(2026, 0, 1), "America/St_Johns"), zoneLabel(0, "UTC")]; }"""


def choose(page: Page, words: str) -> None:
    with page.expect_navigation():
        page.locator(f"[data-clocks] [title='{words}']").press("Enter")
    page.locator(f"[data-clocks] [aria-pressed=true][title='{words}']").wait_for()


def axis(page: Page) -> str:
    page.locator("[data-chart] .g-xtitle").wait_for()
    return page.locator("[data-chart] .g-xtitle").text_content() or ""


def until(page: Page) -> str:
    """What the battery's form says of the end of a set-point that would be given now."""
    page.locator("[data-face-inside] [data-setpoint] [name=value]").first.fill("5")
    page.wait_for_function("document.querySelector('[data-setpoint] [data-until]')?.textContent.includes('UTC')")
    return page.locator("[data-setpoint] [data-until]").first.inner_text()


def test_utc_is_chosen_by_one_key_and_said_everywhere_until_it_is_given_back(scada: Installation, visitor: Visitor) -> None:
    scada.until(lambda: scada.api.value("es/es-STO01/active_power")["value"] is not None, 60, "a value of the battery")
    page = visitor.go("/pilots/es/trends/?points=es-STO01/active_power&hours=8")
    assert re.fullmatch(r"Madrid, UTC\+[12]", axis(page))
    elsewhere = visitor.context.new_page()
    elsewhere.goto(scada.url + "/journal/?pilot=es")
    choose(page, "UTC")
    assert "hours=8" in page.url and axis(page) == "UTC"
    assert page.locator("[data-clock] [data-zone]").inner_text() == "UTC"
    page.locator("[data-stage]").press("End")
    page.locator("[data-at]:has-text('At '):has-text(' UTC')").wait_for()
    # A page that was open meanwhile would get rows by another clock than it names: it comes anew.
    elsewhere.get_by_text("Times of UTC.").wait_for()
    elsewhere.close()

    page.click("[data-hours='']")
    wall: dict[str, Any] = {name: page.input_value(f"[name={name}]") for name in ("from", "to")}
    page.fill("[name=from]", wall["to"][:11] + "00:00")
    page.fill("[name=to]", wall["to"][:11] + "00:30")
    page.click("[data-window] [type=submit]")
    page.wait_for_url(re.compile(r"from=[^&]*T00%3A00%3A00\.000Z&to=[^&]*T00%3A30%3A00\.000Z"))

    visitor.open_faceplate("es", "es-STO01")
    assert re.match(r"\d\d:\d\d UTC, ", until(page))
    choose(page, "Pilot time")
    page.wait_for_selector("[data-face-inside] h2:has-text('es-STO01')")
    assert re.match(r"\d\d:\d\d Madrid, UTC\+[12], ", until(page))
    assert page.evaluate(HELPERS) == [
        *("2026-10-25T00:30:00.000Z", "none", "2026-03-29T02:30:00.000Z", "none", "2026-06-01T14:00:00"),
        *("Madrid, UTC+2", "St Johns, UTC−3:30", "UTC"),
    ]
    assert visitor.faults == []
