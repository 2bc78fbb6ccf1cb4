"""Pages in a browser: live, honest when they are not, and without a single error or policy violation."""

from __future__ import annotations

import csv
import io
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.journeys.browser import DESKTOP, PHONE, Visitor
from tests.journeys.installation import CODES, Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
OWN_PAGES = ["/", *(f"/pilots/{code}/" for code in CODES), "/pilots/es/trends/", "/audit/", "/setpoints/"]
OWN_PAGES += ["/alarms/", "/exports/", "/journal/", "/replay/?pilot=es", "/accounts/password/change/", "/api/v1/docs/"]
FIELD_PAGES = [
    *(f"/pilots/{code}/links/" for code in CODES),
    "/pilots/es/links/quality/",
    *(f"/pilots/es/{page}/" for page in ("sgam", "use-cases")),
    "/alarms/performance/",
    "/pilots/bg/commissioning/",
    *(f"/pilots/es/commissioning/{part}/" for part in ("table", "alarms", "scl", "tests")),
    *("/handover/?pilot=es", "/dashboards/", "/kiosks/"),
    *("/training/", "/help/"),
]
#: Controls that a screen reader could only call "edit" or "button".
NAMELESS = """() => [...document.querySelectorAll("main :is(input:not([type=hidden]), select, button, a)")].filter((each) =>
  each.checkVisibility() && !each.labels?.length && !each.getAttribute("aria-label") && !each.textContent.trim()
).map((each) => each.outerHTML)"""
#: Each scheme, window and language once; `make rig` walks the other six as well.
WINDOWS = [("light", DESKTOP, "en"), ("dark", PHONE, "bg")]
OTHERS = [each for each in product(("light", "dark"), (DESKTOP, PHONE), ("en", "bg")) if each not in WINDOWS]
AXE = Path("tests/peers/node_modules/axe-core/axe.min.js").read_text()
#: What WCAG 2.2 AA asks and a program can see. A symbol's text are its live values, its name says what it is: no mismatch.
BARRIERS = """async () => {
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
  const { violations } = await axe.run(document, { resultTypes: ["violations"], runOnly: tags, preload: false });
  return violations.flatMap(({ id, nodes }) => nodes
    .filter((node) => id !== "label-content-name-mismatch" || !node.html.startsWith("<g "))
    .map((node) => `${id}: ${node.html.slice(0, 200)}`));
}"""


def test_nothing_is_shown_without_a_login(scada: Installation, chrome: Browser) -> None:
    stranger = Visitor(chrome, lambda: scada.url)
    for path in [*OWN_PAGES[:7], *FIELD_PAGES, "/admin/"]:
        stranger.go(path)
        assert "/accounts/login/" in stranger.page.url, path
    assert stranger.faults == []
    stranger.leave()


def test_the_overview_shows_five_pilots_whose_numbers_move(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/")
    visitor.see_live()
    shown = [row.get_attribute("data-pilot") for row in page.locator("section[data-pilot]").all()]
    assert set(CODES) <= set(shown)
    assert len(shown) == len(set(shown))
    page.wait_for_function("() => document.querySelectorAll('section .v.big:not(.never)').length >= 5")
    visitor.see_change()
    assert visitor.faults == []


@pytest.mark.parametrize("code", CODES)
def test_a_pilots_page_is_live_and_moves(scada: Installation, visitor: Visitor, code: str) -> None:
    visitor.go(f"/pilots/{code}/")
    visitor.see_live()
    visitor.see_change()
    assert visitor.faults == []


@pytest.mark.parametrize(
    ("scheme", "window", "language"), [*WINDOWS, *(pytest.param(*each, marks=pytest.mark.rig) for each in OTHERS)]
)
def test_no_page_breaks_the_policy_shows_an_error_or_keeps_somebody_out(
    scada: Installation, chrome: Browser, scheme: str, window: dict[str, int], language: str
) -> None:
    person = Visitor(chrome, lambda: scada.url, color_scheme=scheme, viewport=window)
    person.sign_in()
    person.speak(language)
    barriers: list[str] = []
    for path in OWN_PAGES + FIELD_PAGES:
        page = person.go(path)
        page.wait_for_load_state("networkidle" if path.startswith("/api") else "load")
        if path in OWN_PAGES and path.startswith("/pilots/") and "trends" not in path:
            person.see_live()
        assert path.startswith("/api") or page.evaluate(NAMELESS) == [], path
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert path.startswith("/api") or wide <= 0, f"{path} is {wide} px wider than its window"
        page.evaluate(AXE)
        if not path.startswith("/api"):
            barriers += [f"{path} {barrier}" for barrier in page.evaluate(BARRIERS)]
    person.speak("en")
    assert (barriers, person.faults) == ([], [])
    person.leave()


@pytest.mark.parametrize(("scheme", "window"), [("light", DESKTOP), ("dark", PHONE)])
def test_every_page_of_the_configuration_opens_without_an_error(
    scada: Installation, chrome: Browser, scheme: str, window: dict[str, int]
) -> None:
    person = Visitor(chrome, lambda: scada.url, color_scheme=scheme, viewport=window)
    person.sign_in()
    page = person.go("/admin/")
    links = [link.get_attribute("href") or "" for link in page.locator('#content a[href^="/admin/"]').all()]
    lists = sorted({path for path in links if path.count("/") == 4})
    assert any(path.endswith("/device/") for path in lists), lists
    for path in lists:
        assert opens(person, path), path
        row = page.locator("#result_list tbody th a").first
        if row.count():
            assert opens(person, str(row.get_attribute("href"))), page.url
    assert person.faults == []
    person.leave()


def opens(person: Visitor, path: str) -> bool:
    person.go(path)
    return "/accounts/" not in person.page.url and person.page.locator("#content h1").count() > 0


def test_the_keyboard_reaches_a_symbol_and_opens_and_closes_its_faceplate(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/pilots/es/")
    visitor.see_live()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('device')"):
            break
    page.keyboard.press("ArrowDown")
    device = page.evaluate("document.activeElement.dataset.device")
    assert device
    page.keyboard.press("Enter")
    page.wait_for_selector(f'[data-face-inside] h2:text-is("{device}")')
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('[data-face-inside] h2')")
    assert page.evaluate("document.activeElement.dataset.device") == device
    assert visitor.faults == []


def test_the_trends_page_draws_and_exports(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/pilots/es/trends/?points=es-STO01/active_power")
    page.wait_for_selector("[data-chart] .scatterlayer .trace, [data-chart] canvas", state="attached")
    page.wait_for_selector('[data-csv]:not([aria-disabled="true"])')
    with page.expect_download() as waiting:
        page.click("[data-csv]")
    rows = list(csv.reader(io.StringIO(waiting.value.path().read_text(encoding="utf-8-sig"))))
    assert len(rows) > 2
    text = " ".join(rows[0]).lower()
    assert "unit" in text
    assert "quality" in text or "validity" in text
    assert any("+01:00" in cell or "+02:00" in cell for cell in rows[1]), rows[1]
    assert visitor.faults == []


def test_without_its_simulators_a_page_shows_old_values_and_recovers(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/pilots/bg/")
    visitor.see_live()
    page.wait_for_function("() => document.querySelectorAll('.diagram .v.is-old').length === 0", timeout=40_000)
    scada.children["simulators"].kill()
    # Three poll periods of the meters (5 s) are the issue's own limit.
    page.wait_for_selector(".diagram .v.is-old", timeout=20_000, state="attached")
    page.set_viewport_size(PHONE)
    # The window became a phone's: the ladder says the same of the same value.
    page.locator(".ladder .said:has(.v.is-old) .word.age", has_text="◷").first.wait_for()
    page.set_viewport_size(DESKTOP)
    scada.start_simulators()
    page.wait_for_function("() => document.querySelectorAll('.diagram .v.is-old').length === 0", timeout=60_000)
    assert visitor.faults == []


def test_a_lost_server_covers_the_page_and_it_comes_back_without_a_reload(scada: Installation, visitor: Visitor) -> None:
    page = visitor.open_faceplate("es", "es-STO01")
    form = page.locator("form[data-setpoint][data-point=p_set]")
    form.locator("[name=value]").fill("5")
    form.locator("[data-send]:enabled").wait_for()
    page.evaluate("window.sameDocument = true")
    scada.children["all"].terminate()
    page.wait_for_selector("body.not-live")
    page.wait_for_selector("[data-lost]:not([hidden])")
    assert form.locator("[data-send]").is_disabled()
    assert page.locator("[data-life] button:enabled").count() == 0
    scada.start_server("all")
    scada.wait_ready()
    page.wait_for_function("() => !document.body.classList.contains('not-live')", timeout=40_000)
    visitor.see_live()
    form.locator("[data-send]:enabled").wait_for()
    assert page.evaluate("window.sameDocument")
