"""An opened Modbus driver and the points the tests share."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pilots.domain.point import PointKind
from pilots.drivers.modbus import ModbusTcpDriver
from tests.drivers.builders import Committed, make_point, make_target
from tests.drivers.raw_modbus import RawModbus

FLOATS = [make_point("a", register=10, type="float32"), make_point("b", register=14, type="float32")]

SETPOINT = make_point("p_set", PointKind.SETPOINT, register=40, type="int32")


@asynccontextmanager
async def opened(port: int, *devices: Any, **options: Any) -> AsyncIterator[ModbusTcpDriver]:
    driver = ModbusTcpDriver(make_target(port, *devices, **{"timeout_s": 0.15, **options}), Committed())
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


def peer_with_floats() -> dict[int, int]:
    peer = RawModbus()
    peer.load(10, struct.pack(">ffff", 1.5, 0.0, -2.25, 0.0))
    return peer.registers
