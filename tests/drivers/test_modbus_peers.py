"""The Modbus drivers against servers that others wrote: npm's modbus-serial and pymodbus, over TCP and serial lines."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from pilots.domain.errors import AnswerTimeout, DeviceRefused
from pilots.domain.point import PointKind
from pilots.drivers.modbus.driver import ModbusDriver
from tests.bench.plain import free_port
from tests.drivers.builders import make_device, make_point
from tests.drivers.modbus_benches import on_line, opened

PEERS = Path(__file__).parents[1] / "peers"
POINTS = (
    make_point("holding", register=40, type="uint16"),
    make_point("input", register=40, type="uint16", table="input"),
    make_point("coil", PointKind.COMMAND, register=3, table="coil"),
    make_point("second_coil", PointKind.COMMAND, register=4, table="coil", write_function=15),
    make_point("discrete", PointKind.STATUS, register=6, table="discrete"),
    make_point("watts", PointKind.SETPOINT, register=100, type="float32"),
    make_point("energy", PointKind.SETPOINT, register=104, type="int64", word_order="little"),
    make_point("mode", PointKind.SETPOINT, register=110, type="uint16", write_function=6),
    make_point("bits", PointKind.SETPOINT, register=112, bits=[4, 7]),
    make_point("nowhere", register=60000),
)


@asynccontextmanager
async def npm_server(*arguments: str) -> AsyncIterator[None]:
    node = shutil.which("node")
    assert node, "make system-packages installs it"
    process = await asyncio.create_subprocess_exec(
        node, str(PEERS / "modbus_server.js"), *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout
    try:
        async with asyncio.timeout(10):
            assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def socat_line(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Two device files; what is written into one comes out of the other."""
    ends = str(folder / "ours"), str(folder / "theirs")
    process = await asyncio.create_subprocess_exec(
        "socat", *(f"pty,raw,echo=0,link={end}" for end in ends), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(5):
            while not all(Path(end).exists() for end in ends):
                await asyncio.sleep(0.01)
        yield ends
    finally:
        process.terminate()
        await process.wait()


async def exercise(driver: ModbusDriver, *, mask_write: bool) -> None:
    """Every table read, every way of writing used, a refusal and a unit that is not there."""
    names = [point.name for point in POINTS]
    readings = {reading.point: reading.value for reading in await driver.read("bg-M01", names[:-1])}
    assert (readings["holding"], readings["input"]) == (40, 1040)
    assert (readings["coil"], readings["second_coil"], readings["discrete"]) == (1, 0, 1)
    for name, value in (("coil", 0), ("second_coil", 1), ("watts", -1234.5), ("energy", -(10**12)), ("mode", 3)):
        await driver.write("bg-M01", name, value)
        assert {reading.point: reading.value for reading in await driver.read("bg-M01", [name])} == {name: value}
    if mask_write:
        await driver.write("bg-M01", "bits", 9)
        assert (await driver.examine("bg-M01", make_point("whole", register=112))).raw == "0090"
    else:
        with pytest.raises(DeviceRefused, match="exception 1, illegal function"):
            await driver.write("bg-M01", "bits", 9)
    with pytest.raises(DeviceRefused, match="exception 2, illegal data address"):
        await driver.read("bg-M01", ["nowhere"])
    assert driver.traffic.violations == 0


async def test_npm_modbus_serial_over_tcp() -> None:
    port = free_port()
    nobody = make_device(*POINTS, id="bg-M03", address={"unit": 3})
    async with npm_server("tcp", str(port)), opened(port, make_device(*POINTS), nobody, timeout_s=2.0) as driver:
        await exercise(driver, mask_write=False)
        with pytest.raises(AnswerTimeout, match="exception 11"):
            await driver.read("bg-M03", ["holding"])


async def test_npm_modbus_serial_over_a_serial_line(tmp_path: Path) -> None:
    async with socat_line(tmp_path) as (ours, theirs), npm_server("rtu", theirs, "115200"):
        async with on_line(ours, make_device(*POINTS), timeout_s=2.0) as driver:
            await exercise(driver, mask_write=False)


async def test_pymodbus_over_a_serial_line(tmp_path: Path) -> None:
    tables = (
        [SimData(0, values=[at % 3 == 0 for at in range(16)], datatype=DataType.BITS)],
        [SimData(0, values=[at % 3 == 0 for at in range(16)], datatype=DataType.BITS)],
        [SimData(0, values=list(range(200)), datatype=DataType.REGISTERS)],
        [SimData(0, values=list(range(1000, 1200)), datatype=DataType.REGISTERS)],
    )
    async with socat_line(tmp_path) as (ours, theirs):
        server = ModbusSerialServer(SimDevice(1, simdata=tables), port=theirs, framer=FramerType.RTU, baudrate=115200)
        await server.serve_forever(background=True)
        try:
            async with on_line(ours, make_device(*POINTS), timeout_s=2.0) as driver:
                await driver.write("bg-M01", "bits", 0)
                await exercise(driver, mask_write=True)
        finally:
            await server.shutdown()  # type: ignore[no-untyped-call]
