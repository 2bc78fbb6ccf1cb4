"""The Modbus drivers against servers that others wrote: npm's modbus-serial, libmodbus and pymodbus; TCP, TLS, serial lines."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown
from pilots.domain.point import PointKind
from pilots.drivers.capture import capture
from pilots.drivers.modbus import ModbusRtuDriver, ModbusTcpDriver
from pilots.drivers.modbus.driver import ModbusDriver
from tests.bench.plain import free_port
from tests.drivers.builders import Committed, make_device, make_point, make_target
from tests.drivers.modbus_benches import carried_rtu_peer, on_line, opened
from tests.drivers.raw_modbus import raw_modbus
from tests.drivers.tls_files import tls_files

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


def npm_server(*arguments: str) -> AbstractAsyncContextManager[None]:
    node = shutil.which("node")
    assert node, "make system-packages installs it"
    return running(node, str(PEERS / "modbus_server.js"), *arguments)


def libmodbus_server(*arguments: str) -> AbstractAsyncContextManager[None]:
    return running(sys.executable, str(PEERS / "libmodbus_server.py"), *arguments)


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[None]:
    """A peer's process that has said it is ready."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
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
        async with asyncio.timeout(30):
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


async def test_npms_path_unavailable_is_a_refusal_in_words() -> None:
    port = free_port()
    async with npm_server("tcp", str(port)), opened(port, make_device(*POINTS, address={"unit": 4}), timeout_s=2.0) as driver:
        with pytest.raises(DeviceRefused, match="unit 4: exception 10, gateway path unavailable"):
            await driver.read("bg-M01", ["holding"])


async def test_npm_modbus_serial_over_mutual_tls(tmp_path: Path) -> None:
    files, port = tls_files(tmp_path), free_port()
    server = npm_server("tls", str(port), str(free_port()), *(files.server[what] for what in ("certificate", "key", "ca")))
    async with server:
        async with opened(port, make_device(*POINTS), tls=files.client, timeout_s=2.0) as driver:
            await exercise(driver, mask_write=False)
        foreign = {**files.foreign, "ca": files.client["ca"]}
        with pytest.raises((LinkDown, AnswerTimeout)):
            async with opened(port, make_device(*POINTS), tls=foreign, timeout_s=1.0) as driver:
                await driver.read("bg-M01", ["holding"])


async def test_libmodbus_over_tcp() -> None:
    port = free_port()
    async with libmodbus_server("tcp", str(port)), opened(port, make_device(*POINTS), timeout_s=2.0) as driver:
        await driver.write("bg-M01", "bits", 0)
        await exercise(driver, mask_write=True)


async def test_libmodbus_over_a_serial_line(tmp_path: Path) -> None:
    async with socat_line(tmp_path) as (ours, theirs), libmodbus_server("rtu", theirs, "115200"):
        async with on_line(ours, make_device(*POINTS), timeout_s=2.0) as driver:
            await driver.write("bg-M01", "bits", 0)
            await exercise(driver, mask_write=True)


@pytest.mark.parametrize("word_order", ["big", "little"])
async def test_pymodbus_means_the_same_by_every_type(word_order: Literal["big", "little"]) -> None:
    kinds, client = ModbusClientMixin.DATATYPE, ModbusClientMixin
    wanted = {
        "int16": (kinds.INT16, -12345), "uint16": (kinds.UINT16, 54321), "int32": (kinds.INT32, -(10**9)),
        "uint32": (kinds.UINT32, 4 * 10**9), "int64": (kinds.INT64, -(10**15)), "uint64": (kinds.UINT64, 10**15),
        "float32": (kinds.FLOAT32, -1.25), "float64": (kinds.FLOAT64, 1e300),
    }  # fmt: skip
    registers, points = [0] * 100, []
    for turn, (name, (kind, value)) in enumerate(wanted.items()):
        encoded = client.convert_to_registers(value, kind, word_order=word_order)
        registers[turn * 4 : turn * 4 + len(encoded)] = encoded
        points.append(make_point(name, PointKind.SETPOINT, register=turn * 4, type=name, word_order=word_order))
    registers[90:95] = client.convert_to_registers("Albena", kinds.STRING)[:5] + [0] * 2
    points.append(make_point("text", PointKind.TEXT, register=90, type="string", length=5))
    server = ModbusTcpServer(
        SimDevice(1, simdata=[SimData(0, values=registers, datatype=DataType.REGISTERS)]), address=("127.0.0.1", 0)
    )
    await server.serve_forever(background=True)
    assert isinstance(server.transport, asyncio.Server)
    try:
        port = server.transport.sockets[0].getsockname()[1]
        async with opened(port, make_device(*points), timeout_s=2.0) as driver:
            readings = {reading.point: reading.value for reading in await driver.read("bg-M01", [point.name for point in points])}
            assert readings == {**{name: value for name, (_, value) in wanted.items()}, "text": "Albena"}
            for name, (_, value) in wanted.items():
                await driver.write("bg-M01", name, value)
        assert await server.async_getValues(1, 3, 0, 32) == registers[:32]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


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


@pytest.mark.parametrize("driver_class", [ModbusTcpDriver, ModbusRtuDriver])
async def test_tshark_reads_our_frames_without_a_warning(driver_class: type[ModbusDriver], tmp_path: Path) -> None:
    maker = raw_modbus if driver_class is ModbusTcpDriver else carried_rtu_peer
    async with maker(registers={at: at for at in range(200)}, coils={at: at % 3 == 0 for at in range(20)}) as peer:
        driver = driver_class(make_target(peer.port, make_device(*POINTS), timeout_s=1.0), Committed())
        await driver.open()
        await driver.read("bg-M01", [point.name for point in POINTS[:-1]])
        for name, value in (("coil", 0), ("second_coil", 1), ("watts", -1234.5), ("mode", 3), ("bits", 9)):
            await driver.write("bg-M01", name, value)
        with pytest.raises(DeviceRefused):
            await driver.read("bg-M01", ["nowhere"])
        await driver.close()
    frames = driver.traffic.log.frames()
    path = tmp_path / "log.pcap"
    path.write_bytes(capture(frames, port=502))
    fields = ("modbus.func_code", "_ws.malformed", "_ws.expert.message")
    process = await asyncio.create_subprocess_exec(
        "tshark", "-r", str(path), "-d", f"tcp.port==502,{driver.dissector}", "-o", "tcp.analyze_sequence_numbers:FALSE",
        "-T", "fields", *(part for name in fields for part in ("-e", name)),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    output, _ = await process.communicate()
    rows = [line.split("\t") for line in output.decode().splitlines()]
    at = 7 if driver.dissector == "mbtcp" else 1
    functions = [frame.raw[at] for frame in frames]
    assert [int(code) for code, *_ in rows] == [function & 0x7F for function in functions]
    assert {function & 0x7F for function in functions} == {1, 2, 3, 4, 5, 6, 15, 16, 22}
    # tshark's only remark is that an exception is one.
    assert [row for row, function in zip(rows, functions, strict=True) if any(row[1:]) and function < 0x80] == []
