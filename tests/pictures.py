"""`python -m tests.pictures`: starts the demo in a folder of its own and photographs it for docs/pictures."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from tests.journeys.browser import PHONE, Visitor, chromium
from tests.journeys.installation import CODES, ROOT, Installation

PLACE = ROOT / "docs" / "pictures"
LARGEST = 300_000
#: A picture shows a life of some seconds: sessions, pushes and a state of charge that has moved.
SETTLE_MS = 4_000
PATIENCE_MS = 120_000
#: A row that is wrong beside rows that are right: the page shows both before anything changes.
TABLE = """device,point,deadband,period_s
no-SM01,active_power,75,
no-SM02,active_power,80,30
no-SM03,active_power,much,
no-SM99,active_power,1,
"""


def main() -> int:
    """0 once every picture stands in docs/pictures."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="invade-pictures-") as folder:
        scada = Installation(Path(folder) / "demo", "embedded")
        try:
            scada.spawn("all", "run_scada", "--demo")
            scada.wait_ready()
            with chromium() as browser:
                photograph(scada, browser)
        finally:
            scada.stop()
    too_large = [path.name for path in PLACE.glob("*.png") if path.stat().st_size > LARGEST]
    if too_large:
        print(f"larger than {LARGEST} bytes: {', '.join(too_large)}", file=sys.stderr)
    return 1 if too_large else 0


def photograph(scada: Installation, browser: Browser) -> None:
    desktop = visitor(scada, browser)
    take(desktop, "overview", "/")
    for code in CODES:
        take(desktop, code, f"/pilots/{code}/")
    dark = visitor(scada, browser, color_scheme="dark")
    take(dark, "es-dark", "/pilots/es/")
    take(visitor(scada, browser, viewport=PHONE), "phone", "/pilots/es/")
    photograph_setpoints(desktop)
    photograph_schedule(desktop)
    photograph_commissioning(desktop, Path(scada.folder))
    photograph_a_fault(desktop)
    photograph_links(desktop)
    photograph_a_shift(desktop)
    desktop.go("/pilots/es/")
    desktop.see_live()
    desktop.page.wait_for_timeout(SETTLE_MS)
    # The last picture: the server is gone and the page says so.
    scada.children["all"].terminate()
    desktop.page.wait_for_selector("body.not-live")
    keep(desktop, "es-not-live")


def photograph_setpoints(person: Visitor) -> None:
    """A wish that is too much, one that goes out, its page, and the list of all."""
    page = person.open_faceplate("es", "es-STO01")
    form = page.locator('form[data-setpoint][data-point="p_set"]')
    for typed, reason in (
        ("20.05", "feeder 2 test"),
        ("20", "feeder 2 test"),
        ("30", "evening peak, by phone with the grid operator"),
    ):
        form.locator("[name=value]").fill(typed)
        form.locator("[name=reason]").fill(reason)
        form.locator("[data-send]:enabled").click()
        form.locator("[data-refused]:not([hidden]), [data-progress][data-state=executed]").first.wait_for()
    form.locator("[data-progress]").scroll_into_view_if_needed()
    keep(person, "faceplate")
    page.locator("[data-held] a.link").first.click()
    page.wait_for_selector("[data-chart] .scatterlayer .trace", state="attached")
    person.page.wait_for_timeout(SETTLE_MS)
    keep(person, "setpoint")
    person.go("/setpoints/")
    page.locator("[data-state-live]:has-text('Live')").wait_for()
    page.keyboard.press("j")
    keep(person, "setpoints")


def photograph_schedule(person: Visitor) -> None:
    """The simulated platform's day ahead, with a step in force."""
    page = person.go("/pilots/nl/schedules/")
    while not page.locator("tr:has-text('nl-EVSE42') a").count():  # it comes some seconds after the start
        page.wait_for_timeout(SETTLE_MS)
        page.reload()
    page.locator("tr:has-text('nl-EVSE42') a").first.click()
    page.wait_for_selector("[data-chart] .scatterlayer .trace", state="attached")
    page.locator("aside", has_text="executed, in force").wait_for()
    keep(person, "schedule")


def photograph_commissioning(person: Visitor, folder: Path) -> None:
    page = person.go("/pilots/bg/commissioning/")
    page.select_option("[data-device]", "bg-PM01")
    page.select_option("[data-known]", "active_power")
    page.wait_for_function("() => /[0-9]/.test(document.querySelector('[data-value]').textContent)")
    keep(person, "commissioning")
    page = person.go("/pilots/no/commissioning/table/")
    (folder / "points.csv").write_text(TABLE)
    page.set_input_files("[name=file]", str(folder / "points.csv"))
    page.click("button:has-text('Compare')")
    page.wait_for_selector("[data-outcome] table")
    keep(person, "point-table")
    page = person.go("/pilots/es/commissioning/tests/")
    page.click("[data-start-button]")
    page.wait_for_url("**/commissioning/tests/*/")
    page.fill("[data-filter]", "es-STO01")
    for row, result in zip(page.locator("tr[data-test]:not([hidden])").all(), ("passed", "passed", "failed"), strict=False):
        row.locator(".v:not(.never)").wait_for()
        row.locator("[name=expected]").fill("0.05 1/h" if result == "failed" else "")
        row.locator(f"[data-as={result}]").click()
        page.wait_for_selector(f"tr.is-{result}[data-test='{row.get_attribute('data-test')}']")
    keep(person, "point-test")


def photograph_a_fault(person: Visitor) -> None:
    for place, kind in (("de-gw01", "refuse"), ("nl-ocpp", "slowness")):
        page = person.go(f"/training/?at={place}")
        page.check(f"[name=kind][value={kind}]")
        page.locator("[data-deed]:enabled").click()
        page.wait_for_selector(f"[data-fault]:has-text('{place}')")
    page.check("[name=kind][value=half_open]")
    keep(person, "training")
    page = person.go("/pilots/de/links/")
    page.wait_for_selector("[data-d-letter].down")
    page.wait_for_selector("[data-log] li[data-n]")
    keep(person, "links-down")
    page = person.go("/alarms/")
    page.locator("tr[data-alarm]").first.wait_for()
    keep(person, "alarms")
    page = person.go("/training/")
    page.click("text=End all")
    page.wait_for_function("() => !document.querySelector('[data-fault]')")


def photograph_links(person: Visitor) -> None:
    page = person.go("/pilots/es/links/?link=a|es-SCADA|es-RTU01")
    page.wait_for_function("() => document.querySelectorAll('[data-log] li[data-n]').length > 20")
    page.wait_for_function("() => document.querySelectorAll('[data-letter].down').length === 0")
    keep(person, "links")
    person.go("/pilots/es/links/quality/")
    keep(person, "quality")


def photograph_a_shift(person: Visitor) -> None:
    """What the faults and set-points before have left: the journal, a replay, a trend, the handover."""
    page = person.go("/journal/?pilot=de")
    page.locator("table.journal tbody tr").nth(3).wait_for()
    keep(person, "journal")
    page.locator("a:has-text('Diagram then')").first.click()
    page.wait_for_function("() => document.querySelectorAll('.diagram .v:not(.never)').length > 5")
    keep(person, "replay")
    page = person.go("/pilots/es/trends/?points=es-STO01/active_power,es-STO01/soc,es-GRID/active_power&seconds=300")
    page.wait_for_selector("[data-chart] .scatterlayer .trace", state="attached")
    page.wait_for_timeout(SETTLE_MS)
    keep(person, "trends")
    page = person.go("/pilots/nl/trends/?points=nl-SM14/active_power&hours=1&ahead=24")
    page.locator("[data-chart] .legendtext:has-text('capacity forecast')").wait_for()
    page.wait_for_timeout(SETTLE_MS)
    keep(person, "forecast")
    person.go("/pilots/es/sgam/").wait_for_timeout(SETTLE_MS)
    keep(person, "sgam")
    person.go("/pilots/es/use-cases/").wait_for_timeout(SETTLE_MS)
    keep(person, "use-cases")
    person.go("/handover/?pilot=de")
    keep(person, "handover")


def visitor(scada: Installation, browser: Browser, **window: object) -> Visitor:
    found = Visitor(browser, lambda: scada.url, **window)
    found.page.set_default_timeout(PATIENCE_MS)
    found.sign_in()
    # The offer of a newcomer's tour is on no picture.
    if found.page.locator("[data-tour] form button").count():
        found.page.click("[data-tour] form button")
    return found


def take(person: Visitor, name: str, path: str) -> None:
    person.go(path)
    person.see_live()
    person.page.wait_for_timeout(SETTLE_MS)
    keep(person, name)


def keep(person: Visitor, name: str) -> None:
    person.page.screenshot(path=PLACE / f"{name}.png")
    print(f"docs/pictures/{name}.png")


if __name__ == "__main__":
    sys.exit(main())
