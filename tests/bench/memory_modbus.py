"""The Modbus driver as the bench opens it, and what a crowd of them weighs. [bench]

`python -m tests.bench.memory_modbus ours|bare PORT` prints KiB a connection, measured in a process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Sequence

import psutil

from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget, Target
from pilots.drivers.modbus import ModbusTcpDriver
from pilots.drivers.traffic import LOG_LENGTH

FIRST, MORE = 10, 100


async def nowhere(device: str, readings: Sequence[RawReading]) -> None:
    return None


def modbus_device(number: int, floats: int = 50) -> DeviceTarget:
    """A meter with so many floats, one after the other from register 0 on."""
    points = {
        f"p{index:02d}": PointSpec(
            name=f"p{index:02d}", kind=PointKind.MEASUREMENT, address={"register": 2 * index, "type": "float32"}
        )
        for index in range(floats)
    }
    return DeviceTarget(id=f"es-M{number}", address={"unit": 1}, points=points)


def modbus_driver(number: int, port: int) -> ModbusTcpDriver:
    return ModbusTcpDriver(Target(name="bench", host="127.0.0.1", port=port, devices=(modbus_device(number),)), nowhere)


async def _ours(port: int, count: int) -> list[ModbusTcpDriver]:
    """So many connections, each with a full frame log."""
    drivers = [modbus_driver(number, port) for number in range(count)]
    for number, driver in enumerate(drivers):
        await driver.open()
        names = tuple(modbus_device(number).points)
        for _ in range(LOG_LENGTH // 2 + 10):
            await driver.read(f"es-M{number}", names)
    return drivers


async def _bare(port: int, count: int) -> list[asyncio.BaseTransport]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(asyncio.Protocol, "127.0.0.1", port))[0] for _ in range(count)]


def _resident_kib() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1024


async def _weigh(whose: str, port: int) -> float:
    make = _ours if whose == "ours" else _bare
    first = await make(port, FIRST)
    before = _resident_kib()
    more = await make(port, MORE)
    weight = (_resident_kib() - before) / MORE
    for driver in [*first, *more]:
        if isinstance(driver, ModbusTcpDriver):
            await driver.close()
        else:
            driver.close()
    return weight


if __name__ == "__main__":
    print(asyncio.run(_weigh(sys.argv[1], int(sys.argv[2]))))
