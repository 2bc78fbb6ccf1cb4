"""What an operator waits for: a pilot's page from the server, its weight on the wire, its first live value in Chromium. [bench]

The demonstration runs beside it with its five pilots and their simulators, on the same two cores.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from playwright.sync_api import Browser, Page

from pilots.domain.alarm import AlarmState
from pilots.models import Alarm, Device
from tests.bench import plant
from tests.bench.figures import Goal, note, quantile, report
from tests.journeys.browser import DESKTOP, IS_LIVE, chromium

CODES = ("bg", "es", "nl", "no", "de")
ROUNDS, ASKED, ALARMS = 3, 40, 5_000
SETTLED_S = 10.0
#: ms until values are live, and until the page's HTML is read.
Wait = tuple[float, float]


def main() -> None:
    cookie = plant.session_cookie()
    plant.close_connections()
    with plant.product("all", "--demo") as product:
        time.sleep(SETTLED_S)
        note("pages: from the server")
        rendered = [_rendered(product.origin, cookie) for _ in range(ROUNDS)]
        note("pages: in Chromium")
        with chromium() as browser:
            opened = [_slowest(browser, product.origin, cookie) for _ in range(ROUNDS)]
    note("pages: five thousand alarms")
    _make_alarms()
    with plant.product("web", REDIS_URL=os.environ["TEST_REDIS_URL"]) as product:
        alarms = [_alarms_page(product.origin, cookie) for _ in range(ROUNDS)]
    bare = "a page without content"
    report("page.render_ms", "ms p95, the slowest pilot's page", bare, rendered, Goal("value", "<=", 100))
    sizes = [(size / 1024, page / 1024) for *_, size, page in opened]
    report("page.wire_kib", "KiB, everything the largest pilot's page loads", "its HTML alone", sizes, Goal("value", "<=", 150))
    report("page.alarms_ms", f"ms p95, the alarm page with {ALARMS:,} open", bare, alarms, Goal("value", "<=", 1000))
    usable, again = Goal("value", "<=", 1000), "ms to live values, its files cached"
    report("page.usable_ms", "ms to live values, nothing cached", "its HTML is read", [each[0] for each in opened], usable)
    report("page.usable_again_ms", again, "its HTML is read", [each[1] for each in opened], usable)


def _rendered(origin: str, cookie: str) -> tuple[float, float]:
    with httpx.Client(base_url=origin, headers={"Cookie": cookie}, trust_env=False, timeout=30) as client:
        waits = {path: _p95(client, path) for path in (*(f"/pilots/{code}/" for code in CODES), "/healthz")}
    bare = waits.pop("/healthz")
    note(f"pages: {', '.join(f'{wait:.0f}' for wait in waits.values())} ms p95")
    return max(waits.values()), bare


def _make_alarms() -> None:
    """So many within ten seconds, which nobody has seen."""
    device, now = Device.objects.select_related("pilot").filter(pilot__code="es").first(), datetime.now(UTC)
    assert device is not None
    form = {"pilot": device.pilot, "device": device, "kind": "high", "priority": 3, "what": "High", "changed_at": now}
    form |= {"state": AlarmState.UNACKNOWLEDGED, "value": 1.0, "unit": "W"}
    moments = [now - timedelta(seconds=10 * number / ALARMS) for number in range(ALARMS)]
    Alarm.objects.bulk_create(
        Alarm(subject=f"{device.code}/p{number}", raised_at=at, recent_since=at, **form) for number, at in enumerate(moments)
    )
    plant.close_connections()


def _alarms_page(origin: str, cookie: str) -> tuple[float, float]:
    with httpx.Client(base_url=origin, headers={"Cookie": cookie}, trust_env=False, timeout=30) as client:
        return _p95(client, "/alarms/"), _p95(client, "/healthz")


def _p95(client: httpx.Client, path: str) -> float:
    waits = []
    for _ in range(ASKED):
        started = time.perf_counter()
        client.get(path).raise_for_status()
        waits.append(1000 * (time.perf_counter() - started))
        time.sleep(0.02)
    return quantile(waits, 0.95)


def _slowest(browser: Browser, origin: str, cookie: str) -> tuple[Wait, Wait, float, float]:
    """Of the pilots' pages the slowest the first time and the second, and the bytes of the largest and of its HTML."""
    found = [_open(browser, f"{origin}/pilots/{code}/", cookie) for code in CODES]
    *_, size, page = max(found, key=lambda each: each[2])
    return max(each[0] for each in found), max(each[1] for each in found), size, page


def _open(browser: Browser, url: str, cookie: str) -> tuple[Wait, Wait, float, float]:
    context = browser.new_context(viewport=DESKTOP)
    try:
        name, _, value = cookie.partition("=")
        context.add_cookies([{"name": name, "value": value, "domain": "127.0.0.1", "path": "/"}])
        page = context.new_page()
        first, size, plain = _measured(page, url)
        again, *_ = _measured(page, url)
        return first, again, size, plain
    finally:
        context.close()


def _measured(page: Page, url: str) -> tuple[Wait, float, float]:
    wire = page.context.new_cdp_session(page)
    sizes: list[float] = []
    wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    wire.send("Network.enable")
    page.goto(url, wait_until="commit")
    page.wait_for_function(IS_LIVE, polling="raf")
    usable: float = page.evaluate("performance.now()")
    page.wait_for_timeout(1000)  # what is loaded late counts too
    timing: dict[str, Any] = page.evaluate("performance.getEntriesByType('navigation')[0].toJSON()")
    wire.detach()
    return (usable, timing["responseEnd"]), sum(sizes), timing["transferSize"]
