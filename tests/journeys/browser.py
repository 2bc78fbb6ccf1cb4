"""Pages in Chromium: signed in, with every fault of a page written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.journeys.installation import PASSWORD

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run", "--disable-quic"]
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
#: A page waits this long for what the small, busy machine of a test run is slow to bring.
PATIENCE_MS = 40_000
#: Anything the policy blocks becomes an error of the page, wherever it is blocked.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber} ${event.sample}`));
"""
IS_LIVE = """() => document.querySelectorAll(".v:not(.never)").length > 0
  && !document.body.classList.contains("not-live") && document.querySelector("[data-lost]").hidden"""
NUMBERS = """() => [...document.querySelectorAll(".v .n")].map((each) => each.textContent).join(" ")"""


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """A person at one window. `faults` holds every console error, page error and policy violation so far."""

    def __init__(self, browser: Browser, url: Callable[[], str], **window: Any) -> None:
        self._url = url
        options: dict[str, Any] = {"viewport": DESKTOP, "color_scheme": "light", **window}
        self.context = browser.new_context(**options)
        self.context.add_init_script(TELL_VIOLATIONS)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.faults: list[str] = []
        self.page.on("console", lambda message: self._note(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self._note(str(error)))

    def _note(self, fault: str) -> None:
        self.faults.append(f"{self.page.url}: {fault}")

    def go(self, path: str) -> Page:
        self.page.goto(self._url() + path)
        return self.page

    def sign_in(self, name: str = "admin", password: str = PASSWORD) -> None:
        """At the overview."""
        self.go("/accounts/login/")
        self.page.fill("input[name=login]", name)
        self.page.fill("input[name=password]", password)
        self.page.click("main button[type=submit], main button.primary")
        self.page.wait_for_url(self._url() + "/")

    def speak(self, language: str) -> None:
        """The person's pages are in this language from now on."""
        self.go("/accounts/preferences/")
        self.page.select_option("select[name=language]", language)
        self.page.click("main button.primary")
        self.page.wait_for_url("**/preferences/?saved=1")

    def see_live(self) -> None:
        """Values stand on the page and the socket lives."""
        self.page.wait_for_function(IS_LIVE)

    def see_change(self) -> None:
        """Some number on the page becomes another, without a reload."""
        before = self.page.evaluate(NUMBERS)
        self.page.wait_for_function(f"(before) => ({NUMBERS})() !== before", arg=before)

    def open_faceplate(self, code: str, device: str) -> Page:
        page = self.go(f"/pilots/{code}/?device={device}")
        self.see_live()
        page.wait_for_selector(f'[data-life][data-device="{device}"], [data-face-inside] h2:has-text("{device}")')
        return page

    def leave(self) -> None:
        self.context.close()
