"""An alarm from its coming to its end in a browser: raised, heard, acknowledged, returned; shelved and brought back."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation
from tests.journeys.peers import ForeignMeter

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
#: Mean phase voltage of the meter (PM5000 register list), V.
VOLTAGE, CALM_V, HIGH_V = 3035, 231.5, 280.0
WHICH = "text=far+too+high&pilot=xx"
#: Names of the diagram that a mark reaches into by more than a pixel.
COVERED = """() => {
  const boxes = (what) => [...document.querySelectorAll(`.diagram ${what}`)].map((one) => [one, one.getBoundingClientRect()]);
  const marks = boxes(".almark");
  return boxes(".name").filter(([, name]) => marks.some(([, mark]) => mark.left < name.right - 1 && name.left < mark.right - 1
    && mark.top < name.bottom - 1 && name.top < mark.bottom - 1)).map(([one]) => one.textContent);
}"""


@pytest.fixture
def voltage(foreign: ForeignMeter) -> Iterator[ForeignMeter]:
    """The foreign meter, calm again afterwards."""
    yield foreign
    show(foreign, CALM_V)


def show(meter: ForeignMeter, volts: float) -> None:
    meter.modbus.load(VOLTAGE, struct.pack(">f", volts))


def row(page: Page, state: str) -> Locator:
    return page.locator(f'tr[data-alarm][data-state="{state}"]:has-text("xx-PM01")')


def watching(visitor: Visitor) -> Page:
    """The list of this one alarm, live, in a browser whose reader has done something."""
    page = visitor.go(f"/alarms/?{WHICH}")
    page.locator("[data-alarms-live]:has-text('Live')").wait_for()
    page.click("[data-test-sound]")
    page.wait_for_function("() => Number(document.querySelector('[data-alarmstrip]').dataset.played) > 0")
    return page


def test_an_alarm_is_raised_heard_acknowledged_returns_and_ends(
    scada: Installation, visitor: Visitor, voltage: ForeignMeter
) -> None:
    page = watching(visitor)
    page.evaluate("window.untouched = true")
    show(voltage, HIGH_V)
    row(page, "unacknowledged").wait_for()
    before = page.evaluate("Number(document.querySelector('[data-alarmstrip]').dataset.played)")
    page.wait_for_function("(n) => Number(document.querySelector('[data-alarmstrip]').dataset.played) > n", arg=before)
    assert page.locator("[data-strip-inside] .tally").count() > 0
    # The same words, not fetched anew, get older by themselves.
    page.wait_for_function(
        """() => { const age = document.querySelector("[data-strip-inside] [data-aged]");
      return age && age.textContent !== (age.before ??= age.textContent); }""",
        timeout=90_000,
    )  # of some minutes it changes once in one
    row(page, "unacknowledged").locator("a.open").click()
    page.locator("[data-alarm-detail] h3:has-text('What to do')").wait_for()
    page.fill("#alarm-comment", "electrician called")
    page.click("[data-alarm-detail] button.primary")
    row(page, "acknowledged").wait_for()
    show(voltage, CALM_V)
    row(page, "acknowledged").wait_for(state="detached")
    assert page.evaluate("window.untouched") is True
    ended = visitor.go(f"/alarms/?{WHICH}&show=ended")
    row(ended, "normal").first.locator("a.open").click()
    ended.locator("[data-alarm-detail] .tl:has-text('electrician called')").wait_for()
    assert visitor.faults == []


def test_an_alarm_is_shelved_with_a_reason_and_brought_back_by_keys_and_a_click(
    scada: Installation, visitor: Visitor, voltage: ForeignMeter
) -> None:
    page = watching(visitor)
    show(voltage, HIGH_V)
    page.locator('tr[data-alarm]:has-text("xx-PM01")').wait_for()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.fill("#alarm-reason", "meter is being changed")
    page.click("[data-alarm-detail] button:has-text('Shelve')")
    page.locator("tr.is-quiet:has-text('shelved to')").wait_for()
    page.click("tr.is-quiet [data-post]:has-text('Return')")
    page.locator("tr.is-quiet").wait_for(state="detached")
    told = visitor.go("/audit/?text=xx-PM01").inner_text("main")
    assert "shelve alarm" in told
    assert "meter is being changed" in told
    assert visitor.faults == []


@pytest.mark.parametrize("code", ["es", "nl", "de"])
def test_the_mark_of_an_alarm_covers_no_name(scada: Installation, visitor: Visitor, code: str) -> None:
    page = visitor.go(f"/pilots/{code}/")
    devices = page.eval_on_selector_all(".diagram [data-device]", "all => all.map((one) => one.dataset.device)")
    worst = {device: [1 + number % 4, "unacknowledged"] for number, device in enumerate(devices)}
    page.route("**/alarms/marks", lambda route: route.fulfill(json=worst))
    page.evaluate("document.dispatchEvent(new CustomEvent('alarms'))")
    page.wait_for_function("(n) => document.querySelectorAll('.diagram .almark').length === n", arg=len(devices))
    assert page.evaluate(COVERED) == []
