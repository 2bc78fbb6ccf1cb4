"""A newcomer walks the tour by the keyboard with the alarms always in sight, and finds the help of the page beside it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from pilots.ui.handbook.tour import STEPS
from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation
from tests.journeys.test_pages import AXE, BARRIERS

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
#: A person who may not command has no form of a set-point, so no step there.
SEEN = [str(step.title) for step in STEPS if "setpoint" not in step.at]
#: Whether the alarm strip stands in the window with nothing over its beginning, its middle and its end.
STRIP_IN_SIGHT = """() => { const strip = document.querySelector("[data-alarmstrip]"), box = strip.getBoundingClientRect();
  const over = (part) => document.elementFromPoint(box.left + part * box.width, box.top + box.height / 2);
  return [0.02, 0.5, 0.98].every((part) => strip.contains(over(part))); }"""


def step(page: Page, number: int) -> str:
    """The title of a step once it stands there: focused, pointing at something, and not over the alarms."""
    page.locator(f".tourcard #tour-step:has-text('Step {number} of {len(SEEN)}')").wait_for()
    assert page.evaluate("document.activeElement.classList.contains('tourcard')")
    assert page.locator(".toured").count() == 1
    assert page.evaluate(STRIP_IN_SIGHT)
    return page.locator(".tourcard h2").inner_text()


#: With trouble and without, before the next frame says which it is.
OFFERED = """() => [true, false].map((trouble) => {
  document.querySelector("[data-state-line]").classList.toggle("trouble", trouble);
  return document.querySelector("[data-tour]").checkVisibility();
})"""


def test_where_something_is_not_live_no_tour_is_offered_before_it_is_said(scada: Installation, viewer: Visitor) -> None:
    page = viewer.go("/pilots/es/")
    viewer.see_live()
    assert page.evaluate(OFFERED) == [False, True]


def test_a_newcomer_walks_the_tour_and_finds_help_beside_the_page(scada: Installation, viewer: Visitor) -> None:
    page = viewer.go("/")
    page.focus("[data-tour] [data-start]")
    page.keyboard.press("Enter")
    titles = []
    for number in range(1, len(SEEN) + 1):
        titles.append(step(page, number))
        if number == 2:
            page.keyboard.press("ArrowLeft")
            step(page, 1)
            page.keyboard.press("ArrowRight")
            step(page, 2)
        page.keyboard.press("ArrowRight" if number % 2 else "Enter")
    assert titles == SEEN
    page.locator(".tourcard").wait_for(state="detached")
    assert page.evaluate("document.activeElement.matches('[data-help]')")
    assert "tour" not in page.url
    viewer.see_live()

    page.keyboard.press("?")
    page.locator(".helppanel h2:has-text('Diagram')").wait_for()
    page.locator(".helppanel .keyrows:has-text('walks towards the grid')").wait_for()
    assert page.evaluate(STRIP_IN_SIGHT)
    page.evaluate(AXE)
    assert page.evaluate(BARRIERS) == []
    page.keyboard.press("Escape")
    page.locator(".helppanel").wait_for(state="detached")
    assert page.evaluate("document.activeElement.matches('[data-help]')")

    page = viewer.go("/help/")
    page.keyboard.press("/")
    page.keyboard.type("shelve alarm")
    page.locator("#alarms").wait_for()
    page.locator("#trends").wait_for(state="hidden")
    page = viewer.go("/")
    viewer.see_live()
    assert page.locator("[data-tour]").count() == 0
    assert viewer.faults == []

    viewer.context.set_offline(True)
    page.keyboard.press("?")
    page.locator(".helppanel:has-text('the server is not reached')").wait_for()
    page.keyboard.press("Escape")
    page.locator(".helppanel").wait_for(state="detached")
