"""One frame to fifty browsers: hub and consumers under Daphne beside bare websockets and beside Channels' own layer. [bench]"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

import orjson
import redis
from websockets.asyncio.client import ClientConnection, connect

from pilots.live.frames import Change
from pilots.live.hub import RedisHub
from tests.bench import plant
from tests.bench.figures import Goal, note, quantile, report
from tests.bench.peers import age_ms, peer, stamp

CLIENTS, POINTS, FRAMES_PER_S = 50, 100, 10
CROWD, CROWD_FRAMES_PER_S = 500, 4
#: CPU is told in hundredths of a second: long enough that one of them is a twentieth at most.
ROUNDS, WINDOW_S = 3, 6.0
RAW_CHANNEL = "bench.live"


class Hall:
    """Pages that count what they get."""

    def __init__(self, address: str, options: dict[str, Any], clients: int = CLIENTS) -> None:
        self.address, self.options, self.clients = address, options, clients
        self.delivered = 0
        self.ages_ms: list[float] = []

    async def __aenter__(self) -> Hall:
        self.sockets = [await connect(self.address, compression=None, **self.options) for _ in range(self.clients)]
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
            body = orjson.loads(text)  # what the readers cost is no cost of the product
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


async def measure(pid: int, publish: Any, hall: Hall, per_s: int = FRAMES_PER_S) -> list[tuple[float, float, float]]:
    """CPU µs per delivered frame, p95 ms and % of a core, a round each."""
    rounds = []
    async with hall:
        for _ in range(ROUNDS):
            hall.delivered, hall.ages_ms = 0, []
            before, started = plant.cpu_s(pid), time.monotonic()
            while time.monotonic() - started < WINDOW_S:
                await asyncio.to_thread(publish)
                await asyncio.sleep(1 / per_s)
            await asyncio.sleep(0.3)
            spent = plant.cpu_s(pid) - before
            share = 100 * spent / (time.monotonic() - started)
            rounds.append((spent / max(hall.delivered, 1) * 1e6, quantile(hall.ages_ms, 0.95), share))
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
        publish, pid = lambda: hub.publish([Change("es", points=rows())]), product.process.pid
        ours = asyncio.run(measure(pid, publish, hall))
        note(f"live: {CROWD} pages")
        crowd = asyncio.run(measure(pid, publish, Hall(product.websocket, hall.options, CROWD), CROWD_FRAMES_PER_S))
    hub.close()
    found = {
        name: _beside(module, name, url)
        for name, module in (("broadcast", "tests.bench.yardsticks"), ("serve", "tests.bench.layer"))
    }
    raw, layer = found["broadcast"], found["serve"]
    unit = f"µs CPU/frame of {POINTS} points, {CLIENTS} pages"
    _report("live.cpu_per_frame", unit, "websockets.broadcast", 0, ours, raw, Goal("value", "<=", 115))
    _report("live.cpu_per_frame_vs_layer", unit, "Channels group_send, in memory", 0, ours, layer, Goal("ratio", "<=", 1 / 3))
    said = f"{CROWD} pages, {CROWD_FRAMES_PER_S} frames/s of {POINTS} points"
    _report("live.crowd_p95", f"ms, publish to {said}", f"{CLIENTS} pages", 1, crowd, ours, Goal("value", "<=", 120))
    _report(
        "live.crowd_cpu",
        f"% of a core in web, {said}",
        f"{CLIENTS} pages, {FRAMES_PER_S} frames/s",
        2,
        crowd,
        ours,
        Goal("value", "<=", 45),
    )
    _report("live.frame_p95", f"ms, publish to {CLIENTS} pages", "websockets.broadcast", 1, ours, raw)


def _beside(module: str, name: str, url: str) -> list[tuple[float, float, float]]:
    note(f"live: {module} {name}")
    broker = redis.Redis.from_url(url)
    with peer(name, module, url, RAW_CHANNEL) as (port, process):
        hall = Hall(f"ws://127.0.0.1:{port}/", {})
        return asyncio.run(measure(process.pid, lambda: broker.publish(RAW_CHANNEL, json.dumps({"points": rows()})), hall))


def _report(name: str, unit: str, yardstick: str, column: int, ours: Any, theirs: Any, goal: Goal | None = None) -> None:
    report(name, unit, yardstick, [(a[column], b[column]) for a, b in zip(ours, theirs, strict=True)], goal)
