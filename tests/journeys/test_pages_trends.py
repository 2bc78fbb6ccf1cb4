"""Trends as a person uses them: a long window, zoomed to what was kept, saved and opened again by its address."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
POINT = "es-STO01/active_power"
CURVE = """() => { const traces = document.querySelector("[data-chart]").data ?? [];
  const curve = traces.find((trace) => trace.meta.kind === "curve"); return curve && { x: curve.x, y: [...curve.y] }; }"""
RESOLUTION = "[data-resolution]:has-text('%s')"


def zoom_to_newest(page: Page) -> None:
    """The last twentieth of the plot is dragged over, to its very edge."""
    area = page.locator("[data-chart] .nsewdrag").first.bounding_box()
    assert area is not None
    height = area["y"] + area["height"] / 2
    page.mouse.move(area["x"] + area["width"] * 0.95, height)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.98, height + 5, steps=3)
    page.mouse.move(area["x"] + area["width"] + 40, height + 5, steps=3)
    page.mouse.up()


def plotted(page: Page) -> dict[datetime, float]:
    """What the curve shows, in W by UTC: the pilot's winter or summer offset is the axis's own."""
    curve: dict[str, Any] = page.evaluate(CURVE)
    offset_h = 2 if "UTC+2" in page.locator("[data-chart] .g-xtitle").text_content() else 1  # type: ignore[operator]
    moments = [datetime.fromisoformat(f"{x}+0{offset_h}:00").astimezone(UTC) for x in curve["x"]]
    return {at: 1000 * value for at, value in zip(moments, curve["y"], strict=True) if value is not None}


def kept(scada: Installation, start: datetime, end: datetime) -> dict[datetime, float]:
    rows = scada.api.history([f"es/{POINT}"], start, end)
    good = [row for row in rows if row["quality"]["validity"] == "good" and row["value"] is not None]
    moments = [datetime.fromisoformat(row["t"]) for row in good]
    return {at.replace(microsecond=at.microsecond // 1000 * 1000): row["value"] for at, row in zip(moments, good, strict=True)}


def shows(page: Page, expected: dict[datetime, float]) -> bool:
    """The plot has these samples and none else, but for the newest reading that may stand behind them."""
    found = plotted(page)
    assert {at: value for at, value in found.items() if at in expected} == pytest.approx(expected)
    return all(at > max(expected) for at in found.keys() - expected.keys())


def test_a_long_window_is_zoomed_to_the_kept_samples_saved_and_opened_again(scada: Installation, visitor: Visitor) -> None:
    scada.until(lambda: scada.api.value(f"es/{POINT}")["value"] is not None, 60, "a value of the battery")
    page = visitor.go(f"/pilots/es/trends/?points={POINT}&hours=168")
    page.wait_for_selector(RESOLUTION % "15 min")
    zoom_to_newest(page)
    page.wait_for_selector(RESOLUTION % "every kept sample")
    asked = parse_qs(urlsplit(page.url).query)
    start, end = (datetime.fromisoformat(asked[name][0]) for name in ("from", "to"))
    expected = kept(scada, start, end)
    assert expected
    assert shows(page, expected)
    page.locator("[data-stage]").press("End")
    page.locator("[data-at]:has-text('At ')").wait_for()
    assert re.search(r"kW$", page.locator("[data-readings] tr td:last-child b").inner_text())

    page.locator("[data-saved] summary").click()
    page.fill("[data-save] [name=name]", "Battery, newest")
    page.click("[data-save] button")
    page.locator("[data-views] a:text-is('Battery, newest')").wait_for()
    page.click("[data-back]")
    page.wait_for_selector(RESOLUTION % "15 min")
    page.locator("[data-views] a:text-is('Battery, newest')").click()
    page.wait_for_selector(RESOLUTION % "every kept sample")
    opened = parse_qs(urlsplit(page.url).query)
    assert {name: opened[name] for name in ("points", "from", "to")} == {name: asked[name] for name in ("points", "from", "to")}
    assert shows(page, expected)
    assert visitor.faults == []
