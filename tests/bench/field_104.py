"""IEC 104: floats a second into the ingest queue, a thousand links, memory of a connection. [bench]"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from pilots.acquisition.ingest import Ingest, ingest
from pilots.domain.measurement import RawReading
from pilots.drivers.iec104 import Iec104Driver
from pilots.history.services import ensure_partitions
from pilots.models import Connection, Device, Pilot, Point
from tests.bench.figures import Goal, note, report
from tests.bench.memory_104 import station_code, station_driver
from tests.bench.peers import peer
from tests.bench.peers_104 import OBJECTS, BareClient, floats, unpacked

PEERS, ROUNDS = "tests.bench.peers_104", 3
FRAMES = 4000
LINKS, WARM_UP_S, WINDOW_S = 1000, 3.0, 4.0
LOG_FULL = 600


def main() -> None:
    _make_stations(LINKS)
    ensure_partitions(datetime.now(UTC))
    memory()
    door = ingest()
    door.directory.refresh(force=True)
    asyncio.run(into_the_queue(door))
    asyncio.run(thousand_links(door, objects=10, per_s=1, name="field.iec104_1000_links"))
    asyncio.run(thousand_links(door, objects=1, per_s=10, name="field.iec104_1000_links_single"))
    door.stop()


def _make_stations(count: int) -> None:
    """A pilot whose stations have OBJECTS floats each."""
    pilot = Pilot.objects.create(code="es", name="Bench", country="ES", latitude=41.6, longitude=2.3)
    line = Connection.objects.create(pilot=pilot, name="es-rtu", protocol="iec104", host="127.0.0.1", port=2404)
    stations = [
        Device(pilot=pilot, code=station_code(index), kind="rtu", connection=line, address={"ca": 1}) for index in range(count)
    ]
    Device.objects.bulk_create(stations)
    Point.objects.bulk_create(
        Point(device=station, name=f"p{ioa:02d}", kind="measurement", unit="W", address={"ioa": ioa, "type": 36})
        for station in stations
        for ioa in range(1, OBJECTS + 1)
    )


class Counting:
    """The supervisor's sink: everything into the one door, acknowledged after its commit."""

    def __init__(self, door: Ingest, expected: int = 0) -> None:
        self.door, self.expected, self.arrived = door, expected, 0
        self.done = asyncio.Event()

    async def sink(self, device: str, readings: Sequence[RawReading]) -> None:
        await asyncio.wrap_future(self.door.put(device, readings, datetime.now(UTC)))
        self.arrived += len(readings)
        if self.arrived >= self.expected:
            self.done.set()


async def into_the_queue(door: Ingest) -> None:
    """CPU of the loop's thread: socket, frames, decoding, routing, `Ingest.put`. The writer's thread counts apart."""
    bare, crossed = [], []
    for _ in range(ROUNDS):
        ours = await _ours(door)
        bare.append((ours, _bare()))
        crossed.append((ours, 1 / await asyncio.to_thread(_c104)))
    goal = Goal("value", ">=", 150_000)
    report("field.iec104_ingest", "time-tagged floats/s per core into the queue", "bare struct loop", bare, goal)
    goal = Goal("ratio", ">=", 6)
    report("field.iec104_vs_c104", "time-tagged floats/s per core into the queue", "c104, a callback a point", crossed, goal)


async def _ours(door: Ingest) -> float:
    counting = Counting(door, FRAMES * OBJECTS)
    with peer("flood", PEERS, str(FRAMES), str(OBJECTS)) as (port, _):
        driver, started = station_driver(0, port, counting.sink), time.thread_time()
        await driver.open()
        async with asyncio.timeout(60):
            await counting.done.wait()
        rate = counting.arrived / (time.thread_time() - started)
        await driver.close()
    return rate


def _bare() -> float:
    body, started = floats(datetime.now(UTC), OBJECTS)[6:], time.thread_time()
    for _ in range(FRAMES):
        unpacked(body)
    return FRAMES * OBJECTS / (time.thread_time() - started)


def _c104() -> float:
    """CPU seconds a point."""
    with peer("flood", PEERS, str(FRAMES), str(OBJECTS)) as (port, _):
        command = [sys.executable, "-m", "tests.bench.c104_client", str(port), str(OBJECTS), str(FRAMES * OBJECTS)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


async def thousand_links(door: Ingest, *, objects: int, per_s: int, name: str) -> None:
    """CPU of the loop's thread while every link brings ten points a second, beside bare clients that only unpack them."""
    with peer("paced", PEERS, str(objects), str(per_s)) as (port, _):
        counting = Counting(door)
        drivers = [station_driver(index, port, counting.sink) for index in range(LINKS)]
        await _open_all(drivers)
        await asyncio.sleep(WARM_UP_S)
        ours = [await _share(lambda: counting.arrived) for _ in range(ROUNDS)]
        for driver in drivers:
            await driver.close()
        loop = asyncio.get_running_loop()
        raw = [await loop.create_connection(BareClient, "127.0.0.1", port) for _ in range(LINKS)]
        await asyncio.sleep(WARM_UP_S)
        theirs = [await _share(lambda: BareClient.points) for _ in range(ROUNDS)]
        for transport, _protocol in raw:
            transport.abort()
    unit = f"% of a core, {LINKS} links, {per_s} frames of {objects} points/s"
    goal = Goal("value", "<=", 25) if per_s == 1 else None
    report(name, unit, "bare asyncio and struct", list(zip(ours, theirs, strict=True)), goal)


async def _open_all(drivers: list[Iec104Driver]) -> None:
    for start in range(0, len(drivers), 100):
        await asyncio.gather(*(driver.open() for driver in drivers[start : start + 100]))


async def _share(points: object) -> float:
    """Per cent of a core of this thread over a window in which 10 points a link and second came."""
    assert callable(points)
    before, cpu, started = points(), time.thread_time(), time.monotonic()
    await asyncio.sleep(WINDOW_S)
    seconds = time.monotonic() - started
    share, rate = 100 * (time.thread_time() - cpu) / seconds, (points() - before) / seconds
    if rate < 9 * LINKS:
        note(f"field_104: only {rate:,.0f} of {10 * LINKS:,} points/s came")
    return share * 10 * LINKS / rate


def memory() -> None:
    """Resident memory of a connection beyond the first, its frame log full; each measured in a fresh process."""
    with peer("flood", PEERS, str(LOG_FULL), "3") as (port, _):
        rounds = [(_kib("ours", port), _kib("bare", port)) for _ in range(ROUNDS)]
    report(
        "field.iec104_memory",
        "KiB a connection, log full of frames of 3 objects",
        "bare asyncio connection",
        rounds,
        Goal("value", "<=", 64),
    )


def _kib(whose: str, port: int) -> float:
    command = [sys.executable, "-m", "tests.bench.memory_104", whose, str(port), str(LOG_FULL)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
