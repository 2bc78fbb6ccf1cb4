"""Something happens, stands in the journal by itself, and its link shows the diagram of then, which nobody takes for now."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation
from tests.journeys.peers import ForeignMeter
from tests.journeys.test_pages_alarms import CALM_V, HIGH_V, show, voltage

__all__ = ["voltage"]
pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
KEPT = """
from datetime import datetime
from pilots.history.selectors import read_samples
from pilots.models import Point
point = Point.objects.get(device__code="xx-PM01", name="voltage")
start, at = datetime.fromisoformat("2000-01-01T00:00Z"), datetime.fromisoformat("{at}")
print("kept", read_samples([point], start, at, limit=100_000)[-1].value)
"""


def number(page: Page) -> str:
    return page.locator('[data-face-inside] [data-ref="xx-PM01/voltage"] .n').inner_text()


def test_what_happened_is_told_and_replayed_as_it_was(scada: Installation, visitor: Visitor, voltage: ForeignMeter) -> None:
    page = visitor.go("/journal/?pilot=xx&device=xx-PM01&kind=alarm&text=far+too+high")
    page.locator("[data-journal-live]:has-text('Live')").wait_for()
    page.evaluate("window.untouched = true")
    show(voltage, HIGH_V)
    came = page.locator("tr.is-new:has-text('came')").first
    came.wait_for()
    show(voltage, CALM_V)
    page.locator("tr.is-new:has-text('returned to normal')").first.wait_for()
    assert page.evaluate("window.untouched") is True
    came.locator("a:has-text('Diagram then')").click()

    page.locator('[data-face-inside] [data-ref="xx-PM01/voltage"]:not(.never)').wait_for()
    at = page.evaluate("new URLSearchParams(location.search).get('at')")
    kept = next(line for line in scada.manage("shell", "-c", KEPT.format(at=at)).stdout.splitlines() if line.startswith("kept"))
    assert float(number(page)) == round(float(kept.split()[1]), 1) == HIGH_V
    assert page.locator("[data-past] li:has-text('far too high')").count() > 0
    assert page.locator(".replayband b").inner_text() == "REPLAY, not live"
    assert page.locator("[data-lag]").inner_text() == "not live"
    assert page.locator("main form[method=post], [data-setpoint], [data-select], main [data-acknowledge]").count() == 0

    page.locator("[data-past] li:has-text('returned to normal') a").first.click()
    page.locator(f'[data-face-inside] [data-ref="xx-PM01/voltage"] .n:text-is("{CALM_V}")').wait_for()
    page.focus("input[name=slider]")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("(at) => new URLSearchParams(location.search).get('at') < at", arg=at)
    assert visitor.faults == []
