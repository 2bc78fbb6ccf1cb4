"""From the field to the browser: a Modbus poll over TCP and a serial line, and a chain of 5,000 points/s. [bench]"""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerRTU
from websockets.asyncio.client import ClientConnection, connect

from pilots.drivers.base import Target
from pilots.drivers.modbus import ModbusRtuDriver
from pilots.simulators.serial_line import LineSettings, SerialLine
from tests.bench import plant
from tests.bench.figures import Goal, note, quantile, report
from tests.bench.memory_modbus import modbus_device, modbus_driver, nowhere
from tests.bench.peers import age_ms, peer
from tests.bench.yardsticks import RawModbus, connect_modbus

DEVICES, LINKS, ROUNDS = 100, 10, 3
WARM_UP_S, WINDOW_S = 4.0, 4.0
POLLS, TURNS, LINE_POLLS = 1000, 20, 8
YARDSTICKS = "tests.bench.yardsticks"


def main() -> None:
    asyncio.run(modbus_poll())
    asyncio.run(modbus_line())
    modbus_memory()
    chain()


async def modbus_poll() -> None:
    """CPU of this process for one poll of 50 floats: the driver, a bare protocol, pymodbus's client; the server is another."""
    raw_rounds, pymodbus_rounds = [], []
    with peer("modbus") as (port, _):
        driver, raw = modbus_driver(0, port), await connect_modbus(port)
        theirs = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0)
        await asyncio.gather(driver.open(), theirs.connect())
        names = tuple(plant.NAMES)
        for _ in range(ROUNDS):
            spent = [0.0, 0.0, 0.0]
            # In turns, because the machine's mood changes within a second.
            for _ in range(TURNS):
                for which, ask in enumerate(
                    (lambda: driver.read("es-M0", names), lambda: _raw_poll(raw), lambda: _pymodbus_poll(theirs))
                ):
                    started = time.process_time()
                    for _ in range(POLLS // TURNS):
                        await ask()
                    spent[which] += time.process_time() - started
            ours, bare, library = (each / POLLS * 1e6 for each in spent)
            raw_rounds.append((ours, bare))
            pymodbus_rounds.append((ours, library))
        await driver.close()
        theirs.close()
        raw.transport.close()
    unit = "µs CPU/poll of 50 floats"
    report("field.modbus_poll_cpu", unit, "bare asyncio and struct", raw_rounds, Goal("ratio", "<=", 2.5))
    report("field.modbus_poll_cpu_vs_pymodbus", unit, "pymodbus client and struct", pymodbus_rounds, Goal("ratio", "<=", 0.7))


async def _raw_poll(raw: RawModbus) -> dict[str, float]:
    return dict(zip(plant.NAMES, struct.unpack(">50f", await raw.read(1, 0, 100)), strict=True))


async def _pymodbus_poll(client: AsyncModbusTcpClient) -> dict[str, float]:
    answer = await client.read_holding_registers(0, count=100, device_id=1)
    return dict(zip(plant.NAMES, struct.unpack(">50f", struct.pack(">100H", *answer.registers)), strict=True))


async def modbus_line() -> None:
    """Polls a second on a line of 9600 Bd, beside what the line itself could carry."""
    limit = 9600 / ((13 + 2 * 50) * 11 + 77)
    device = modbus_device(0, 25)
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        async with SerialLine(Path(folder) / "line", LineSettings(baudrate=9600)) as line:
            answering = asyncio.create_task(_answer(line))
            options = {"baudrate": 9600}
            driver = ModbusRtuDriver(
                Target(name="bench", host="", port=0, devices=(device,), options=options, serial_line=str(line.path)), nowhere
            )
            await driver.open()
            for _ in range(ROUNDS):
                started = time.monotonic()
                for _ in range(LINE_POLLS):
                    await driver.read("es-M0", tuple(device.points))
                rounds.append((LINE_POLLS / (time.monotonic() - started), limit))
            await driver.close()
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
    report("field.modbus_line_polls", "polls/s of 50 registers at 9600 8E1", "line time alone", rounds, Goal("ratio", ">=", 0.85))


async def _answer(line: SerialLine) -> None:
    """A unit that takes no time of its own."""
    body = bytes((1, 3, 100)) + bytes(100)
    while await line.reader.readexactly(8):
        line.write(body + int(FramerRTU.compute_CRC(body)).to_bytes(2, "big"))


def modbus_memory() -> None:
    """Resident memory of a connection beyond the first, its frame log full; each in a fresh process."""
    with peer("modbus") as (port, _):
        rounds = [(_kib("ours", port), _kib("bare", port)) for _ in range(ROUNDS)]
    unit = "KiB a connection of 50 points, log full"
    report("field.modbus_memory", unit, "bare asyncio connection", rounds, Goal("value", "<=", 64))


def _kib(whose: str, port: int) -> float:
    command = [sys.executable, "-m", "tests.bench.memory_modbus", whose, str(port)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


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
    echoes = [asyncio.run(echo_p95(text)) for _ in range(ROUNDS)]
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


async def echo_p95(text: str) -> float:
    """ms p95 of a text there and back by a bare websocket."""
    with peer("echo", YARDSTICKS) as (port, _):
        async with connect(f"ws://127.0.0.1:{port}/", compression=None, max_size=None) as socket:
            trips = []
            for _ in range(100):
                started = time.monotonic()
                await socket.send(text)
                await socket.recv()
                trips.append(1000 * (time.monotonic() - started))
    return quantile(trips, 0.95)
