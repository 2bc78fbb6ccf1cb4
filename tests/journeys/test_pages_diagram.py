"""The diagram from a browser: found by search, coloured by the server, a position by hand and its end."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
DEVICE = '.device[data-device="es-SW03"]'
PROVED = """() => { const lines = [...document.querySelectorAll(".diagram [data-section].con")];
  return lines.length > 20 && lines.every((line) => !line.matches(".dead, .unknown")); }"""


def quality(scada: Installation) -> tuple[float, str, bool]:
    told = scada.api.value("es/es-SW03/position")
    return told["value"], told["quality"]["source"], "old" in told["quality"]["flags"]


def test_the_socket_of_a_pilots_page_opens_before_its_scripts_and_is_the_only_one(scada: Installation, visitor: Visitor) -> None:
    opened: list[str] = []
    held: list[Route] = []
    page = visitor.page
    page.goto("about:blank")  # the overview's sockets are gone
    page.on("websocket", lambda socket: opened.append(socket.url))

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/js/pilot.js*", hold)
    page.goto(f"{scada.url}/pilots/es/", wait_until="commit")

    def feeds() -> list[str]:
        page.wait_for_timeout(100)
        return [url.rpartition("/ws")[2] for url in opened if "/pilots/" in url]

    wait_for(lambda: feeds() and held, 30, "a socket while the page's script is held back")
    for route in held:
        route.continue_()
    visitor.see_live()
    visitor.see_change()
    assert feeds() == ["/pilots/es/"]
    assert visitor.faults == []


def test_a_position_by_hand_is_marked_everywhere_and_the_field_has_the_last_word(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/pilots/es/")
    visitor.see_live()
    page.wait_for_function(PROVED)
    page.keyboard.press("/")
    page.keyboard.type("transformer switch")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.device") == "es-SW03"
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.dataset.device") == "es-SW01"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("[data-face-inside] h2", has_text="es-SW03").wait_for()
    page.locator("[data-substitute] summary").click()
    page.locator("[data-substitute] [name=point]").select_option("position")
    for name, text in (("value", "open"), ("reason", "seen on site")):
        page.locator(f"[data-substitute] [name={name}]").fill(text)
    page.locator("[data-substitute] button").click()
    page.locator(f"{DEVICE}.open").wait_for()
    assert page.locator(f"{DEVICE} [data-word-position]").text_content() == "open [S]"
    page.locator("[data-guarded=substitution]", has_text="seen on site").wait_for()
    assert quality(scada) == (1.0, "substituted", False)
    page.locator("[data-show=table]").click()
    page.locator(".tabled tr", has_text="es-SW03").locator(".mark", has_text="S").wait_for()
    page.locator("[data-show=table]").click()
    page.locator("[data-guarded=substitution] summary").click()
    page.locator("[data-guarded=substitution] form button").click()
    page.locator(f"{DEVICE}.closed").wait_for()
    scada.until(lambda: quality(scada)[0] == 2.0 and quality(scada)[1] != "substituted", 15, "the field's own position")
    with page.expect_download() as saved:
        page.locator("[data-save=svg]").click()
    drawing = saved.value.path().read_text()
    assert "Madrid, UTC+" in drawing and "state as of" in drawing and "var(" not in drawing
    assert visitor.faults == []
