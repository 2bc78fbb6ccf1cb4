"""How soon pages hear of alarms and of what becomes of set-points, beside 5,000 points/s of other values. [bench]

Each second a level of some device turns, which raises its alarm or ends it; the answer that first says so is stamped.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from pilots.api.authentication import digest
from pilots.models import AlarmRule, Connection, Device, Pilot, Point, ServiceToken
from tests.bench import plant
from tests.bench.control import make_batteries
from tests.bench.field import echo_p95
from tests.bench.figures import Goal, note, quantile, report
from tests.bench.peers import LEVELS, LEVELS_FROM, age_ms, peer

DEVICES, LINKS, LEVEL_LINKS, BATTERIES = 100, 10, 4, 12
ROUNDS, WINDOW_S, WARM_UP_S, PAUSE_S = 3, 30.0, 8.0, 0.5
TOKEN = "token-of-the-bench"
NEWS = '{"type":"news","now_ms":1790000000000}'


class Pages:
    """What open pages saw in a window, all moments by the machine's monotonic clock."""

    def __init__(self) -> None:
        self.levels: dict[str, float] = {}
        self.turned: list[float] = []
        self.told: list[float] = []
        self.read: list[tuple[float, float]] = []  # asked for, and there
        self.news = asyncio.Event()
        self.measured_ms: dict[str, int] = {}
        self.states: set[tuple[str, str]] = set()
        self.waits_ms: dict[str, list[float]] = {"dispatched": [], "executed": []}

    def forget(self) -> None:
        self.turned, self.told, self.read, self.waits_ms = [], [], [], {name: [] for name in self.waits_ms}

    def p95_of_alarms(self) -> tuple[float, float]:
        """ms from the turn of a level to the first news after it, and to the strip that was asked for since."""
        hearing, reading = [], []
        for turn in self.turned:
            told = min((at for at in self.told if at >= turn), default=turn + WINDOW_S)
            hearing.append(told - turn)
            reading.append(min((there for asked, there in self.read if asked >= told), default=turn + WINDOW_S) - turn)
        return 1000 * quantile(hearing, 0.95), 1000 * quantile(reading, 0.95)


def main() -> None:
    with peer("modbus") as (port, _):
        pilot = plant.make_meters(DEVICES, connections=LINKS, port=port)
        _make_levels(pilot, port)
        batteries = [point.device.code for point in make_batteries(pilot, port, BATTERIES)]
        ServiceToken.objects.create(name="bench", sha256=digest(TOKEN), scopes=["control"], all_pilots=True, all_devices=True)
        cookie = plant.session_cookie()
        plant.close_connections()
        url = os.environ["TEST_REDIS_URL"]
        with plant.product("field", REDIS_URL=url), plant.product("web", REDIS_URL=url) as product:
            note("news: alarms and set-points")
            rounds = asyncio.run(_rounds(product, cookie, batteries))
        echoes = [asyncio.run(echo_p95(NEWS)) for _ in range(ROUNDS)]
    said, goal = f"{DEVICES * plant.POINTS:,} points/s beside", Goal("value", "<=", 25)
    told, shown, dispatched, executed = zip(*rounds, strict=True)
    echo = "websocket echo of so short a text"
    report("live.alarm_ms", f"ms p95, answer to page, {said}", echo, list(zip(told, echoes, strict=True)), goal)
    report("live.alarm_shown_ms", "ms p95, until the page has the strip", "it hears of it", list(zip(shown, told, strict=True)))
    report("live.dispatched_ms", "ms p95, sent to page", echo, list(zip(dispatched, echoes, strict=True)), goal)
    report("live.executed_ms", "ms p95, its measurement to page", echo, list(zip(executed, echoes, strict=True)), goal)


def _make_levels(pilot: Pilot, port: int) -> None:
    lines = [
        Connection.objects.create(pilot=pilot, name=f"es-levels{number}", protocol="modbus_tcp", host="127.0.0.1", port=port)
        for number in range(LEVEL_LINKS)
    ]
    for number in range(LEVELS):
        device = Device.objects.create(
            pilot=pilot,
            code=f"es-L{number:02d}",
            kind="meter",
            connection=lines[number % LEVEL_LINKS],
            address={"unit": number + 1},
        )
        form = {"device": device, "kind": "measurement", "unit": "W", "period_s": 1.0}
        Point.objects.create(**form, name="stamp", address={"register": LEVELS_FROM, "type": "float32"})
        level = Point.objects.create(**form, name="level", address={"register": LEVELS_FROM + 2, "type": "float32"})
        AlarmRule.objects.create(
            pilot=pilot,
            device=device,
            point=level,
            subject=f"{device.code}/level",
            kind="high",
            limit=50,
            priority=3,
            what="High",
        )


async def _rounds(product: plant.Product, cookie: str, batteries: list[str]) -> list[tuple[float, ...]]:
    """ms p95 of an alarm at the socket and with its strip, and of two states of set-points, a round each."""
    pages, address = Pages(), f"ws://127.0.0.1:{product.port}/ws/alarms/"
    options: dict[str, Any] = {"additional_headers": {"Cookie": cookie}, "origin": product.origin, "compression": None}
    async with (
        connect(product.websocket, max_size=None, **options) as values,
        connect(address, **options) as alarms,
        httpx.AsyncClient(base_url=product.origin, headers={"Cookie": cookie}, trust_env=False) as browser,
        httpx.AsyncClient(base_url=product.origin, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as platform,
    ):
        at_work: list[Coroutine[Any, Any, None]] = [
            _watch(values, pages),
            _hear(alarms, pages),
            _read(browser, pages),
            _ask(platform, batteries),
        ]
        tasks = [asyncio.create_task(each) for each in at_work]
        await asyncio.sleep(WARM_UP_S)
        rounds = []
        for _ in range(ROUNDS):
            pages.forget()
            await asyncio.sleep(WINDOW_S)
            pages.turned = [turn for turn in pages.turned if turn < time.monotonic() - 1]  # what is on its way is no failure
            states = [quantile(waits, 0.95) for waits in pages.waits_ms.values()]
            rounds.append((*pages.p95_of_alarms(), *states))
            note(f"news: {len(pages.turned)} alarms, {len(pages.waits_ms['executed'])} set-points")
        for task in tasks:
            task.cancel()
        for fault in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(fault, Exception):
                raise fault
    return rounds


async def _watch(page: ClientConnection, pages: Pages) -> None:
    """The pilot's page: levels that turned, states of set-points."""
    said = 0.0
    async for text in page:
        body, now = json.loads(text), time.monotonic()
        if now - said > 1.0:
            said = now
            await page.send(json.dumps({"type": "seen", "n": body["n"]}))
        if body["type"] != "frame":  # a snapshot tells what is stored, which may be older than what was shown
            continue
        values = {row[0]: row[1] for row in body["points"]}
        for reference, level in values.items():
            if reference.endswith("/level") and pages.levels.get(reference, level) != level:
                pages.turned.append(now - age_ms(values[reference.replace("level", "stamp")]) / 1000)
            if reference.endswith("/level"):
                pages.levels[reference] = level
        pages.measured_ms |= {row[0]: row[4] for row in body["points"]}
        for row in body["setpoints"]:
            if (row["id"], row["state"]) not in pages.states:
                pages.states.add((row["id"], row["state"]))
                _note_state(row, pages)


def _note_state(row: dict[str, Any], pages: Pages) -> None:
    """Sent to the device: since it was told so. Executed: since the measurement that proves it was received."""
    sent = datetime.fromisoformat(row["events"][-1]["at"]).timestamp() * 1000
    since = {"dispatched": sent, "executed": pages.measured_ms.get(f"{row['device']}/active_power", 0)}
    if row["state"] in since:
        pages.waits_ms[row["state"]].append(time.time() * 1000 - since[row["state"]])


async def _hear(page: ClientConnection, pages: Pages) -> None:
    """The socket of the strip of any page."""
    async for text in page:
        if json.loads(text)["type"] == "news":
            pages.told.append(time.monotonic())
            pages.news.set()


async def _read(browser: httpx.AsyncClient, pages: Pages) -> None:
    """The page asks anew when it has heard of news, once more for what came while it was asking."""
    while await pages.news.wait():
        pages.news.clear()
        asked = time.monotonic()
        (await browser.get("/alarms/strip")).raise_for_status()
        pages.read.append((asked, time.monotonic()))


async def _ask(platform: httpx.AsyncClient, batteries: list[str]) -> None:
    """A set-point each half second, of each battery its turn."""
    number = 0
    while True:
        number += 1
        now = datetime.now(UTC)
        form = {"device": batteries[number % len(batteries)], "point": "p_set", "value": 100.0 * number, "unit": "W"}
        form["valid_until"] = (now + timedelta(seconds=60)).isoformat()
        answer = await platform.post("/api/v1/setpoints", json=form, headers={"Idempotency-Key": f"bench-{number}"})
        if answer.status_code >= 300:
            note(f"news: {answer.text}")
        await asyncio.sleep(PAUSE_S)
