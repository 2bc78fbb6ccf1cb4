"""A forecast told over the API is drawn against the measurement under its own words, and named on the faceplate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.journeys.api import stamp
from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
LEGEND = "[data-chart] .legendtext"
DRAWN_TO_MS = """() => { const traces = document.querySelector("[data-chart]").data ?? [];
  const found = traces.find((trace) => trace.meta.kind === "forecast"); return found && [...found.y].pop(); }"""


def test_a_forecast_is_drawn_ahead_of_now_and_named_on_the_faceplate(scada: Installation, visitor: Visitor) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    run = {"kind": "load", "device": "es-AN01", "point": "active_power", "unit": "W", "resolution": "PT30M"}
    run |= {"issued_at": stamp(now), "start": stamp(now), "values": [21_000.0] * 7 + [42_000.0], "issuer": "load model"}
    assert scada.api.send("POST", "forecasts", json=run).status_code == 201

    page = visitor.go("/pilots/es/trends/?points=es-AN01/active_power&hours=1")
    page.locator(f"{LEGEND}:has-text('es-AN01 active power, forecast, issued ')").wait_for()
    page.click("[data-choice=ahead] button[value='6']")
    page.wait_for_function(f"() => ({DRAWN_TO_MS})() === 42")
    assert "ahead=6" in page.url
    row = page.locator("[data-readings] tr:has-text('forecast, issued')")
    assert "21.00 kW" in row.inner_text()
    page.locator("[data-shows] input[value=forecasts]").uncheck()
    page.wait_for_function(f"() => ({DRAWN_TO_MS})() === undefined")

    page = visitor.open_faceplate("es", "es-AN01")
    said = page.locator(".foreseen li:has-text('load model')")
    assert "Active power, forecast: 21.0 kW from" in said.inner_text()
    following = (now + timedelta(minutes=30)).minute
    assert f":{following:02}" in said.inner_text()
    assert visitor.faults == []
