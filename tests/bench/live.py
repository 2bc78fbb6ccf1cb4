"""One frame to fifty browsers: hub and consumers under Daphne beside bare websockets and beside Channels' own layer. [bench]"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

import redis
from websockets.asyncio.client import ClientConnection, connect

from pilots.live.frames import Change
from pilots.live.hub import RedisHub
from tests.bench import plant
from tests.bench.figures import Goal, note, quantile, report
from tests.bench.peers import age_ms, peer, stamp

CLIENTS, POINTS, FRAMES_PER_S = 50, 100, 10
ROUNDS, WINDOW_S = 3, 2.5
RAW_CHANNEL = "bench.live"


class Hall:
    """Fifty pages that count what they get."""

    def __init__(self, address: str, options: dict[str, Any]) -> None:
        self.address, self.options = address, options
        self.delivered = 0
        self.ages_ms: list[float] = []

    async def __aenter__(self) -> Hall:
        self.sockets = [await connect(self.address, compression=None, **self.options) for _ in range(CLIENTS)]
        self.readers = [asyncio.create_task(self._read(socket)) for socket in self.sockets]
        await asyncio.sleep(1.5)  # snapshots
        return self

    async def __aexit__(self, *_: object) -> None:
        for reader in self.readers:
            reader.cancel()
        await asyncio.gather(*(socket.close() for socket in self.sockets), return_exceptions=True)

    async def _read(self, socket: ClientConnection) -> None:
        said = 0.0
        async for text in socket:
            body = json.loads(text)
            if body.get("type") == "snapshot" or time.monotonic() - said > 1.0:
                said = time.monotonic()
                await socket.send(json.dumps({"type": "seen", "n": body.get("n", 0)}))
            if body.get("points") and body.get("type") != "snapshot":
                self.delivered += 1
                self.ages_ms.append(age_ms(body["points"][0][1]))


def rows() -> list[list[Any]]:
    """100 changed points; the first carries the moment it left."""
    now = int(time.time() * 1000)
    return [["es-M0000/p00", stamp(), 0, now, now], *([f"es-M{i:04d}/p00", 1.5 * i, 0, now, now] for i in range(1, POINTS))]


async def measure(pid: int, publish: Any, hall: Hall) -> list[tuple[float, float]]:
    """CPU µs per delivered frame and p95 ms, a round each."""
    rounds = []
    async with hall:
        for _ in range(ROUNDS):
            hall.delivered, hall.ages_ms = 0, []
            before, started = plant.cpu_s(pid), time.monotonic()
            while time.monotonic() - started < WINDOW_S:
                await asyncio.to_thread(publish)
                await asyncio.sleep(1 / FRAMES_PER_S)
            await asyncio.sleep(0.3)
            rounds.append(((plant.cpu_s(pid) - before) / max(hall.delivered, 1) * 1e6, quantile(hall.ages_ms, 0.95)))
    return rounds


def main() -> None:
    url = os.environ["TEST_REDIS_URL"]
    plant.make_meters(1)
    options = {"additional_headers": {"Cookie": plant.session_cookie()}}
    plant.close_connections()
    note("live: hub and consumers")
    hub = RedisHub(url)
    with plant.product("web", REDIS_URL=url) as product:
        hall = Hall(product.websocket, options | {"origin": product.origin})
        ours = asyncio.run(measure(product.process.pid, lambda: hub.publish([Change("es", points=rows())]), hall))
    hub.close()
    found = {
        name: _beside(module, name, url)
        for name, module in (("broadcast", "tests.bench.yardsticks"), ("serve", "tests.bench.layer"))
    }
    raw, layer = found["broadcast"], found["serve"]
    unit = f"µs CPU/frame of {POINTS} points, {CLIENTS} pages"
    _report("live.cpu_per_frame", unit, "websockets.broadcast", 0, ours, raw, Goal("value", "<=", 115))
    _report("live.cpu_per_frame_vs_layer", unit, "Channels group_send, in memory", 0, ours, layer, Goal("ratio", "<=", 1 / 3))
    _report("live.frame_p95", f"ms, publish to {CLIENTS} pages", "websockets.broadcast", 1, ours, raw)


def _beside(module: str, name: str, url: str) -> list[tuple[float, float]]:
    note(f"live: {module} {name}")
    broker = redis.Redis.from_url(url)
    with peer(name, module, url, RAW_CHANNEL) as (port, process):
        hall = Hall(f"ws://127.0.0.1:{port}/", {})
        return asyncio.run(measure(process.pid, lambda: broker.publish(RAW_CHANNEL, json.dumps({"points": rows()})), hall))


def _report(name: str, unit: str, yardstick: str, column: int, ours: Any, theirs: Any, goal: Goal | None = None) -> None:
    report(name, unit, yardstick, [(a[column], b[column]) for a, b in zip(ours, theirs, strict=True)], goal)
