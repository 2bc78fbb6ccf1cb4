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
    desktop.go("/pilots/es/")
    desktop.see_live()
    desktop.page.wait_for_timeout(SETTLE_MS)
    # The last picture: the server is gone and the page says so.
    scada.children["all"].terminate()
    desktop.page.wait_for_selector("body.not-live")
    keep(desktop, "es-not-live")


def visitor(scada: Installation, browser: Browser, **window: object) -> Visitor:
    found = Visitor(browser, lambda: scada.url, **window)
    found.sign_in()
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
