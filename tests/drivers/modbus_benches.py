"""An opened Modbus driver and the points the tests share."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from pilots.domain.point import PointKind
from pilots.drivers.base import Target
from pilots.drivers.modbus import ModbusRtuDriver, ModbusTcpDriver
from pilots.simulators.serial_line import LineSettings, SerialLine
from tests.drivers.builders import Committed, make_point, make_target
from tests.drivers.raw_modbus import RawModbus

FLOATS = [make_point("a", register=10, type="float32"), make_point("b", register=14, type="float32")]

SETPOINT = make_point("p_set", PointKind.SETPOINT, register=40, type="int32")


@asynccontextmanager
async def opened(port: int, *devices: Any, **options: Any) -> AsyncIterator[ModbusTcpDriver]:
    driver = ModbusTcpDriver(make_target(port, *devices, **{"timeout_s": 1.0, **options}), Committed())
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


def peer_with_floats() -> dict[int, int]:
    peer = RawModbus()
    peer.load(10, struct.pack(">ffff", 1.5, 0.0, -2.25, 0.0))
    return peer.registers


@asynccontextmanager
async def on_line(path: Path | str, *devices: Any, **options: Any) -> AsyncIterator[ModbusRtuDriver]:
    """An opened driver at a serial line's device file."""
    options = {"timeout_s": 1.5, "baudrate": 115200, "parity": "N", **options}
    target = Target(name="test", host="", port=0, devices=devices, options=options, serial_line=str(path))
    driver = ModbusRtuDriver(target, Committed())
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


@asynccontextmanager
async def rtu_peer(path: Path, *, baudrate: int = 115200, **fields: Any) -> AsyncIterator[tuple[RawModbus, SerialLine]]:
    """A responder at the other end of a serial line that exists as long as this block."""
    peer = RawModbus(**fields)
    async with SerialLine(path, LineSettings(baudrate=baudrate, parity="N")) as line:
        serving = asyncio.create_task(peer.serve_rtu(line.reader, line.write))
        try:
            yield peer, line
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def carried_rtu_peer(**fields: Any) -> AsyncIterator[RawModbus]:
    """A responder behind a serial device server, which hands each answer over in two pieces."""
    peer = RawModbus(**fields)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.serving.append(asyncio.current_task())  # type: ignore[arg-type]
        peer.writers.append(writer)

        def write(frame: bytes) -> None:
            writer.write(frame[:4])
            asyncio.get_running_loop().call_later(0.02, writer.write, frame[4:])

        with suppress(ConnectionError):
            await peer.serve_rtu(reader, write)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        peer.hang_up()
        await asyncio.gather(*peer.serving, return_exceptions=True)
