"""A wall screen: made by an engineer, opened by its link, live page after page, honest when it is not, gone when revoked."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
#: The page in sight holds live values, and no page has more than its one frame.
LIVE_IN_SIGHT = """() => {
  const page = document.querySelector("iframe.in-sight").contentDocument;
  return document.querySelectorAll("iframe").length === 2 && page?.querySelectorAll(".v:not(.never)").length > 0
    && !page.body.classList.contains("not-live") && page.querySelector("[data-lost]").hidden;
}"""


def test_a_screen_turns_live_pages_until_it_is_revoked(scada: Installation, chrome: Browser, visitor: Visitor) -> None:
    page = visitor.go("/kiosks/")
    page.fill("[name=name]", "Hall")
    page.check("[name=pilots][value=es]")
    page.select_option("[name=show_1]", "pilot/es")
    page.fill("[name=seconds_1]", "600")
    page.click("button:has-text('Make the kiosk')")
    link = page.locator("[data-link]").inner_text()

    screen = Visitor(chrome, lambda: "")
    wall = screen.go(link)
    wall.wait_for_url("**/kiosk/")
    wall.wait_for_function(LIVE_IN_SIGHT)
    wall.keyboard.press(" ")
    wall.locator("[data-pause][aria-pressed=true]").wait_for()
    wall.keyboard.press("ArrowRight")
    wall.locator("[data-name]:has-text('Diagram of')").wait_for()
    wall.wait_for_function(LIVE_IN_SIGHT)
    assert wall.frame_locator("iframe.in-sight").locator(".mainnav, .who, .switching").count() == 0
    assert screen.faults == []
    screen.context.set_offline(True)
    wall.locator("[data-lost]:has-text('NOT LIVE')").wait_for()
    screen.context.set_offline(False)
    wall.locator("[data-lost]").wait_for(state="hidden")
    wall.wait_for_function(LIVE_IN_SIGHT)

    page = visitor.go("/kiosks/")
    page.locator("tr:has-text('Hall'):has-text('in use')").wait_for()
    page.click("button[aria-label='Revoke Hall']")
    wall.locator("[data-over]:has-text('This kiosk is closed')").wait_for()
    assert wall.locator("iframe").count() == 0
    assert visitor.faults == []
    screen.leave()
