"""The ladder on a phone: live rows that a tap opens, walked by keys, with the picture one control away."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.journeys.browser import PHONE, Visitor
from tests.journeys.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
ROWS = "[...document.querySelectorAll('.ladder .v:not(.never, .is-old) .n')].map((each) => each.textContent).join(' ')"


def test_a_phone_shows_the_pilot_as_a_ladder(scada: Installation, chrome: Browser) -> None:
    person = Visitor(chrome, lambda: scada.url, viewport=PHONE, has_touch=True)
    person.sign_in()
    page = person.go("/pilots/es/")
    ladder, picture = page.locator(".ladder"), page.locator(".picture .scroller")
    battery = ladder.locator('[data-device="es-STO01"]')
    battery.wait_for()
    assert not picture.is_visible()
    page.wait_for_function(f"() => {ROWS} !== ''")
    before = page.evaluate(ROWS)
    page.wait_for_function(f"(before) => {ROWS} !== before", arg=before)
    expect(ladder.get_by_role("button", name="es-SW01 Switch, Line switch 1 energised closed")).to_be_visible()
    ladder.locator("[data-balance] .total .v:not(.never)").wait_for()
    # The pages stand at the thumb; what is rarely wanted comes with More.
    nav, log_out = page.locator(".mainnav"), page.get_by_role("button", name="Log out")
    box = nav.bounding_box()
    assert box is not None and round(box["y"] + box["height"]) == PHONE["height"]
    expect(log_out).to_be_hidden()
    page.locator(".morenav summary").tap()
    expect(log_out).to_be_visible()
    page.locator(".morenav summary").tap()
    battery.tap()
    page.locator("[data-face-inside] h2", has_text="es-STO01").wait_for()
    expect(battery).to_have_attribute("aria-pressed", "true")
    page.locator("[data-face-inside] [data-close]").click()
    expect(battery).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(ladder.locator('[data-device="es-PE01"]')).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(battery).to_be_focused()
    page.emulate_media(media="print")
    assert (picture.is_visible(), ladder.is_visible()) == (True, False)
    page.emulate_media(media="screen")
    page.locator("[data-show=picture]").click()
    expect(picture).to_be_visible()
    expect(ladder).to_be_hidden()
    assert person.faults == []
    person.leave()
