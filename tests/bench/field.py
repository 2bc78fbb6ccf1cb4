"""From the field to the browser: a chain of 5,000 points/s, a Modbus poll, an IEC 104 link. [bench]"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget, Target
from pilots.drivers.iec104.driver import Iec104Driver
from pilots.drivers.modbus import ModbusTcpDriver
from tests.bench import plant
from tests.bench.figures import Goal, note, quantile, report
from tests.bench.peers import Iec104Station, age_ms, iec104_floats, peer
from tests.bench.yardsticks import connect_modbus, decode_iec104

DEVICES, LINKS, ROUNDS = 100, 10, 3
WARM_UP_S, WINDOW_S = 4.0, 4.0
POLLS = 500
YARDSTICKS = "tests.bench.yardsticks"


def main() -> None:
    asyncio.run(modbus_poll())
    asyncio.run(iec104_decode())
    chain()


async def modbus_poll() -> None:
    """CPU of one poll of 50 floats through the driver and through a bare protocol."""
    points = {
        name: PointSpec(name=name, kind=PointKind.MEASUREMENT, address={"register": 2 * index, "type": "float32"})
        for index, name in enumerate(plant.NAMES)
    }
    with peer("modbus") as (port, _):
        device = DeviceTarget(id="es-M01", address={"unit": 1}, points=points)
        driver, raw = (
            ModbusTcpDriver(Target(name="bench", host="127.0.0.1", port=port, devices=(device,)), _nowhere),
            await connect_modbus(port),
        )
        await driver.open()
        rounds = []
        for _ in range(ROUNDS):
            ours = time.process_time()
            for _ in range(POLLS):
                await driver.read("es-M01", plant.NAMES)
            theirs = time.process_time()
            for _ in range(POLLS):
                _raw_values(await raw.read(1, 0, 100))
            end = time.process_time()
            rounds.append(((theirs - ours) / POLLS * 1e6, (end - theirs) / POLLS * 1e6))
        await driver.close()
        raw.transport.close()
    report("field.modbus_poll_cpu", "µs CPU/poll of 50 floats", "bare asyncio and struct", rounds, Goal("ratio", "<=", 4.5))


def _raw_values(raw: bytes) -> dict[str, float]:
    return dict(zip(plant.NAMES, struct.unpack(">50f", raw), strict=True))


async def _nowhere(device: str, readings: Sequence[RawReading]) -> None:
    return None


async def iec104_decode() -> None:
    """Time-tagged floats a second of CPU, from the socket into a sink that drops them."""
    objects, frames = Iec104Station.OBJECTS, Iec104Station.FRAMES
    points = {
        f"p{ioa}": PointSpec(name=f"p{ioa}", kind=PointKind.MEASUREMENT, address={"ioa": ioa, "type": 36})
        for ioa in range(1, objects + 1)
    }
    device = DeviceTarget(id="es-RTU01", address={"ca": 1}, points=points)
    rounds = []
    for _ in range(ROUNDS):
        with peer("iec104") as (port, _):
            ours = await _iec104_rate(Target(name="bench", host="127.0.0.1", port=port, devices=(device,)), objects * frames)
        asdu, started = iec104_floats(objects), time.process_time()
        for _ in range(frames):
            decode_iec104(asdu)
        rounds.append((ours, objects * frames / (time.process_time() - started)))
    report("field.iec104_decode", "time-tagged floats/s per core", "bare struct loop", rounds, Goal("value", ">=", 150_000))


async def _iec104_rate(target: Target, expected: int) -> float:
    arrived, done = 0, asyncio.Event()

    async def sink(device: str, readings: Sequence[RawReading]) -> None:
        nonlocal arrived
        arrived += len(readings)
        if arrived >= expected * 0.99:  # two frames of the window confirm the interrogation
            done.set()

    driver = Iec104Driver(target, sink)
    await driver.open()
    started = time.process_time()
    async with asyncio.timeout(20):
        await done.wait()
    rate = arrived / (time.process_time() - started)
    await driver.close()
    return rate


def chain() -> None:
    """The product beside the raw chain, one after the other, against the same gateway."""
    with peer("modbus") as (port, _):
        plant.make_meters(DEVICES, connections=LINKS, port=port)
        headers = {"Cookie": plant.session_cookie()}
        plant.close_connections()
        with plant.product() as product:
            note("field: the chain runs ...")
            ours = asyncio.run(
                _windows(product.process.pid, product.websocket, origin=product.origin, additional_headers=headers)
            )
        with peer("chain", YARDSTICKS, str(port), plant.database_url(), str(DEVICES), str(LINKS)) as (raw_port, process):
            raw = asyncio.run(_windows(process.pid, f"ws://127.0.0.1:{raw_port}/"))
    text = max((text for window in ours for text in window.texts), key=len)
    echoes = [asyncio.run(_echo_p95(text)) for _ in range(ROUNDS)]
    costs = [(mine.cost, limit.cost) for mine, limit in zip(ours, raw, strict=True)]
    report("field.chain_cpu_per_1000_points_s", "% of a core", "bare asyncio, struct, COPY, websockets", costs)
    ages = [(quantile(window.ages_ms, 0.95), echo) for window, echo in zip(ours, echoes, strict=True)]
    report(
        "field.read_to_browser_p95",
        f"ms at {ours[0].rate:,.0f} points/s",
        "websocket echo of the same frame",
        ages,
        Goal("value", "<=", 25),
    )
    ages = [(quantile(mine.ages_ms, 0.95), quantile(limit.ages_ms, 0.95)) for mine, limit in zip(ours, raw, strict=True)]
    report("field.read_to_browser_p95_vs_raw", "ms", "the bare chain, flushed each 100 ms", ages)


class Window:
    """What a page saw in some seconds: points/s, ages of the stamped points, CPU of the server meanwhile."""

    def __init__(self) -> None:
        self.points = 0
        self.ages_ms: list[float] = []
        self.texts: list[str] = []
        self.seconds = self.cpu_s = 0.0

    @property
    def rate(self) -> float:
        return self.points / self.seconds

    @property
    def cost(self) -> float:
        """Per cent of a core per 1,000 points/s."""
        return 100 * self.cpu_s / self.seconds / (self.rate / 1000)


async def _windows(pid: int, address: str, **options: Any) -> list[Window]:
    async with connect(address, compression=None, max_size=None, **options) as page:
        await _watch(page, WARM_UP_S)
        return [await _round(page, pid) for _ in range(ROUNDS)]


async def _round(page: ClientConnection, pid: int) -> Window:
    before = plant.cpu_s(pid)
    window = await _watch(page, WINDOW_S)
    window.cpu_s = plant.cpu_s(pid) - before
    if window.rate < 0.9 * DEVICES * plant.POINTS:
        note(f"field: only {window.rate:,.0f} of {DEVICES * plant.POINTS:,} points/s arrived")
    return window


async def _watch(page: ClientConnection, seconds: float) -> Window:
    window, started, seen = Window(), time.monotonic(), 0.0
    while (now := time.monotonic()) - started < seconds:
        text = await asyncio.wait_for(page.recv(), 10)
        assert isinstance(text, str)
        _count(window, text)
        if now - seen > 1.0:
            seen = now
            await _acknowledge(page, text)
    window.seconds = time.monotonic() - started
    return window


def _count(window: Window, text: str) -> None:
    moment_known = json.loads(text)
    rows = moment_known["points"] if isinstance(moment_known, dict) and moment_known["type"] == "frame" else moment_known
    if isinstance(rows, dict):
        return
    window.points += len(rows)
    window.texts.append(text)
    window.ages_ms += [age_ms(row[1]) for row in rows if row[0].endswith("/p00")]


async def _acknowledge(page: ClientConnection, text: str) -> None:
    body = json.loads(text)
    if isinstance(body, dict):
        await page.send(json.dumps({"type": "seen", "n": body["n"]}))


async def _echo_p95(text: str) -> float:
    with peer("echo", YARDSTICKS) as (port, _):
        async with connect(f"ws://127.0.0.1:{port}/", compression=None, max_size=None) as socket:
            trips = []
            for _ in range(100):
                started = time.monotonic()
                await socket.send(text)
                await socket.recv()
                trips.append(1000 * (time.monotonic() - started))
    return quantile(trips, 0.95)
