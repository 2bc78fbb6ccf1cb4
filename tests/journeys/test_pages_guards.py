"""A tag, a hold and the commands-off switch from a browser: what they stop, and where everybody sees them."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
TAG, HOLD = 'form[data-guard][action$="/tags/"]', 'form[data-guard][action$="/holds/"]'


def asked(scada: Installation) -> tuple[str, str]:
    """What became of a wish of the platform: code and sentence."""
    record = scada.api.ask("es-STO01", "p_set", 1000.0).json()
    return record["code"], record["reason"]


def fill_in(page: Page, form: str, reason: str) -> None:
    """The form stands behind its fold."""
    page.locator(f"details:has({form}) > summary").last.click()
    page.locator(f"{form} [name=reason]").fill(reason)
    for box in page.locator(f"{form} [type=checkbox]").all():
        box.check()
    page.locator(f"{form} button").click()


def take_away(page: Page, kind: str) -> None:
    page.locator(f"[data-guarded={kind}] summary").click()
    page.locator(f"[data-guarded={kind}] form button").click()
    page.locator(f"[data-guarded={kind}]").wait_for(state="detached")


def test_a_tag_stops_everybody_and_stands_on_faceplate_and_diagram_until_it_is_taken_away(
    scada: Installation, visitor: Visitor
) -> None:
    page = visitor.open_faceplate("es", "es-STO01")
    fill_in(page, TAG, "crew at the battery")
    page.locator('.device.tagged[data-device="es-STO01"] .tagmark').wait_for()
    page.locator("[data-guarded=tag]").wait_for()
    assert "crew at the battery" in page.locator("[data-guarded=tag]").inner_text()
    assert page.locator('.device[data-device="es-STO01"] .tagword').is_visible()
    assert page.locator("form[data-setpoint] [data-send]:enabled").count() == 0
    assert asked(scada) == ("tagged", "Do not operate: tagged by admin, crew at the battery.")
    take_away(page, "tag")
    page.locator('.device[data-device="es-STO01"]:not(.tagged)').wait_for(state="attached")
    assert asked(scada)[0] != "tagged"
    assert visitor.faults == []


def test_a_held_point_refuses_the_platform_until_it_is_handed_back(scada: Installation, visitor: Visitor) -> None:
    page = visitor.open_faceplate("es", "es-STO01")
    fill_in(page, HOLD, "test run")
    page.locator("[data-guarded=hold]").wait_for()
    page.locator('.device.held[data-device="es-STO01"] .holdmark').wait_for()
    assert page.locator('.device[data-device="es-STO01"] .holdmark').text_content() == "M"
    assert asked(scada)[0] == "conflict_priority"
    take_away(page, "hold")
    assert "test run" not in asked(scada)[1]
    assert visitor.faults == []


def test_commands_off_is_said_on_every_page_of_the_pilot_and_stops_its_commands(scada: Installation, visitor: Visitor) -> None:
    page = visitor.open_faceplate("es", "es-STO01")
    fill_in(page, "[data-off-form]", "storm")
    page.locator("[data-off]:not([hidden])").wait_for()
    assert asked(scada) == ("commands_off", "Commands are off at Granollers: admin, storm.")
    for path in ("links/", "trends/"):
        assert "storm" in visitor.go(f"/pilots/es/{path}").locator("[data-off]").inner_text()
    assert visitor.go("/pilots/de/").locator("[data-off]").is_hidden()
    page = visitor.go("/pilots/es/links/")
    fill_in(page, "[data-on-form]", "over")
    page.locator("[data-off]").wait_for(state="hidden")
    assert asked(scada)[0] != "commands_off"
    assert visitor.faults == []
