"""The driver as the bench opens it, and what a crowd of them weighs. [bench]

`python -m tests.bench.memory_104 ours|bare PORT FRAMES` prints KiB a connection, measured in a process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Sequence

import psutil

from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget, Sink, Target
from pilots.drivers.iec104 import Iec104Driver
from tests.bench.peers_104 import OBJECTS

CROWD = 200


def station_code(index: int) -> str:
    return f"es-RTU{index:04d}"


def station_driver(index: int, port: int, sink: Sink) -> Iec104Driver:
    """A connection to a station with OBJECTS floats."""
    specs = [
        PointSpec(name=f"p{ioa:02d}", kind=PointKind.MEASUREMENT, address={"ioa": ioa, "type": 36})
        for ioa in range(1, OBJECTS + 1)
    ]
    code = station_code(index)
    device = DeviceTarget(id=code, address={"ca": 1}, points={spec.name: spec for spec in specs})
    return Iec104Driver(Target(name=code, host="127.0.0.1", port=port, devices=(device,)), sink)


async def _nowhere(device: str, readings: Sequence[RawReading]) -> None:
    return None


async def ours(port: int, frames: int) -> float:
    """KiB a driver whose frame log is full, with its points and options."""
    first = station_driver(0, port, _nowhere)
    await _opened([first], frames)
    before = resident_kib()
    drivers = [station_driver(index, port, _nowhere) for index in range(1, CROWD + 1)]
    await _opened(drivers, frames)
    grown = resident_kib() - before
    for driver in (first, *drivers):
        await driver.close()
    return grown / CROWD


async def _opened(drivers: Sequence[Iec104Driver], frames: int) -> None:
    for driver in drivers:
        await driver.open()
    async with asyncio.timeout(60):
        while any(driver.traffic.log.count < frames for driver in drivers):
            await asyncio.sleep(0.05)


async def bare(port: int, frames: int) -> float:
    """KiB a socket of asyncio."""
    loop, before = asyncio.get_running_loop(), resident_kib()
    opened = [await loop.create_connection(asyncio.Protocol, "127.0.0.1", port) for _ in range(CROWD)]
    grown = resident_kib() - before
    for transport, _ in opened:
        transport.abort()
    return grown / CROWD


def resident_kib() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss / 1024)


if __name__ == "__main__":
    work = {"ours": ours, "bare": bare}[sys.argv[1]]
    print(asyncio.run(work(int(sys.argv[2]), int(sys.argv[3]))))
