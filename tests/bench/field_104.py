"""IEC 104: floats a second into the ingest queue, beside c104; memory of a connection. [bench]

A thousand links at ten points a second stand in `field_scale`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from pilots.acquisition.ingest import Ingest, ingest
from pilots.domain.measurement import RawReading
from pilots.history.services import ensure_partitions
from pilots.management.roles import spare_the_collector
from pilots.models import Connection, Device, Pilot, Point
from tests.bench.figures import Goal, report
from tests.bench.memory_104 import station_code, station_driver
from tests.bench.peers import peer
from tests.bench.peers_104 import OBJECTS, floats
from tests.bench.yardsticks import decode_iec104

ROUNDS = 3
FRAMES = 4000
LOG_FULL = 600


def main() -> None:
    _make_station()
    spare_the_collector()  # as the product does at its start
    ensure_partitions(datetime.now(UTC))
    memory()
    door = ingest()
    door.directory.refresh(force=True)
    asyncio.run(into_the_queue(door))
    door.stop()


def _make_station() -> None:
    """An RTU of OBJECTS floats."""
    pilot = Pilot.objects.create(code="es", name="Bench", country="ES", latitude=41.6, longitude=2.3)
    line = Connection.objects.create(pilot=pilot, name="es-rtu", protocol="iec104", host="127.0.0.1", port=2404)
    station = Device.objects.create(pilot=pilot, code=station_code(0), kind="rtu", connection=line, address={"ca": 1})
    for ioa in range(1, OBJECTS + 1):
        address = {"ioa": ioa, "type": 36}
        Point.objects.create(device=station, name=f"p{ioa:02d}", kind="measurement", unit="W", address=address)


class Counting:
    """The supervisor's sink: everything into the one door, acknowledged after its commit."""

    def __init__(self, door: Ingest, expected: int) -> None:
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


def flood(frames: int, objects: int, *, after_s: float = 0.0) -> AbstractContextManager[tuple[int, subprocess.Popen[str]]]:
    return peer(str(frames), "tests.bench.peers_104", str(objects), str(after_s))


async def _ours(door: Ingest) -> float:
    counting = Counting(door, FRAMES * OBJECTS)
    with flood(FRAMES, OBJECTS) as (port, _):
        driver, started = station_driver(0, port, counting.sink), time.thread_time()
        await driver.open()
        async with asyncio.timeout(60):
            await counting.done.wait()
        rate = counting.arrived / (time.thread_time() - started)
        await driver.close()
    return rate


def _bare() -> float:
    asdu, started = floats(datetime.now(UTC), OBJECTS), time.thread_time()
    for _ in range(FRAMES):
        decode_iec104(asdu)
    return FRAMES * OBJECTS / (time.thread_time() - started)


def _c104() -> float:
    """CPU seconds a point."""
    with flood(FRAMES, OBJECTS) as (port, _):
        command = [sys.executable, "-m", "tests.bench.c104_client", str(port), str(OBJECTS), str(FRAMES * OBJECTS)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def memory() -> None:
    """Resident memory of a connection beyond the first, its frame log full; each measured in a fresh process."""
    with flood(LOG_FULL, 3) as (port, _):
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
