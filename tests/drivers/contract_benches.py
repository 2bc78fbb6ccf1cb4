"""Drivers with their peers for the contract: scripted sockets of our own, our simulators, and what others wrote.

Where a peer cannot be told to hang up, a wire between it and the driver breaks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from websockets.asyncio.client import ClientConnection, connect

from pilots.domain.point import PointKind
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, DeviceKind, DeviceSpec, PilotSpec, Protocol
from pilots.drivers.base import DeviceTarget, Driver
from pilots.drivers.iec104 import apci
from pilots.drivers.iec60870 import asdu
from pilots.drivers.registry import driver_for
from pilots.simulators import iec101_rtu, iec104_rtu
from pilots.simulators.ledger import Ledger
from tests.bench.plain import free_port
from tests.drivers.builders import Committed, make_device, make_point, make_target
from tests.drivers.iec101.faulty import FaultyStation, faulty_line
from tests.drivers.iec104.peers import RawStation, raw_station
from tests.drivers.iec104.test_driver_with_c104 import c104_station
from tests.drivers.iec104.test_driver_with_hat import hat_station
from tests.drivers.iec61850.peers import SET_POINT, libiec61850, simulated
from tests.drivers.modbus_benches import carried_rtu_peer
from tests.drivers.raw_modbus import raw_modbus
from tests.drivers.test_modbus_peers import libmodbus_server, npm_server

DEVICE, SETPOINT = "es-STO01", "p_set"
#: For the first answer of a process that has just started.
PATIENCE_S = 10.0


@dataclass(slots=True)
class Bench:
    """A driver with its peer. `hang_up` lets the peer die; `meet` returns once they are connected after `open`."""

    driver: Driver
    hang_up: Callable[[], Awaitable[None]]
    meet: Callable[[], Awaitable[None]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def make_driver(protocol: Protocol, port: int, device: DeviceTarget, **options: object) -> Driver:
    return driver_for(protocol)(make_target(port, device, **options), Committed())


def battery(protocol: Protocol) -> DeviceTarget:
    addresses: dict[Protocol, tuple[dict[str, Any], dict[str, Any]]] = {
        Protocol.MODBUS_TCP: ({"unit": 1}, {"register": 10, "type": "int32"}),
        Protocol.MODBUS_RTU: ({"unit": 1}, {"register": 10, "type": "int32"}),
        Protocol.IEC104: ({"ca": 1, "ioa": 700}, {"ioa": 11, "command_type": 50}),
        Protocol.IEC101: ({"link": 1, "ca": 1, "ioa": 700}, {"ioa": 11, "command_type": 50}),
        Protocol.IEC61850: ({"ied": "ES1"}, dict(SET_POINT.address)),
        Protocol.OCPP16: ({"identity": DEVICE, "connector": 1}, {"profile": "limit"}),
    }
    device, point = addresses[protocol]
    return make_device(make_point(SETPOINT, PointKind.SETPOINT, **point), id=DEVICE, address=device, interrogate=False)


async def nothing() -> None:
    return None


@asynccontextmanager
async def modbus_bench() -> AsyncIterator[Bench]:
    async with raw_modbus(registers={10: 0, 11: 0}) as peer:

        async def hang_up() -> None:
            peer.hang_up()

        yield Bench(make_driver(Protocol.MODBUS_TCP, peer.port, battery(Protocol.MODBUS_TCP)), hang_up, nothing)


@asynccontextmanager
async def modbus_rtu_bench() -> AsyncIterator[Bench]:
    async with carried_rtu_peer(registers={10: 0, 11: 0}) as peer:

        async def hang_up() -> None:
            peer.hang_up()

        yield Bench(make_driver(Protocol.MODBUS_RTU, peer.port, battery(Protocol.MODBUS_RTU)), hang_up, nothing)


async def obey(station: RawStation) -> None:
    """An RTU that starts, confirms and terminates whatever it is asked, connection after connection."""
    while True:
        station.sent = 0
        await station.started()
        with suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            received = 0
            while True:
                frame = await station.frame()
                if frame[0] & 1 == 0:
                    received += 1
                    request = asdu.decode(frame[4:])
                    station.send(request._replace(cause=asdu.ACTIVATION_CON), received=received)
                    station.send(request._replace(cause=10), received=received)
                elif frame[0] == apci.TESTFR_ACT:
                    station.write(apci.u_frame(apci.TESTFR_CON))


@asynccontextmanager
async def iec104_bench() -> AsyncIterator[Bench]:
    async with raw_station() as station:
        obeying = asyncio.create_task(obey(station))

        async def hang_up() -> None:
            station.hang_up()

        try:
            yield Bench(make_driver(Protocol.IEC104, station.port, battery(Protocol.IEC104)), hang_up, nothing)
        finally:
            obeying.cancel()
            await asyncio.gather(obeying, return_exceptions=True)


@asynccontextmanager
async def iec101_bench() -> AsyncIterator[Bench]:
    async with faulty_line(FaultyStation(1)) as line:

        async def hang_up() -> None:
            line.hang_up()

        yield Bench(make_driver(Protocol.IEC101, line.port, battery(Protocol.IEC101)), hang_up, nothing)


@asynccontextmanager
async def iec61850_bench() -> AsyncIterator[Bench]:
    async with simulated(SET_POINT) as ied:

        async def hang_up() -> None:
            ied.hang_up()

        yield Bench(make_driver(Protocol.IEC61850, ied.port, battery(Protocol.IEC61850)), hang_up, nothing)


async def accept_everything(socket: ClientConnection) -> None:
    async for text in socket:
        _, number, *_ = json.loads(text)
        await socket.send(json.dumps([3, number, {"status": "Accepted"}]))


@asynccontextmanager
async def ocpp_bench() -> AsyncIterator[Bench]:
    driver = make_driver(Protocol.OCPP16, 0, battery(Protocol.OCPP16))
    sockets: list[ClientConnection] = []
    answering: list[asyncio.Task[None]] = []

    async def meet() -> None:
        port = getattr(driver, "port")  # noqa: B009 - only the listener has one
        sockets.append(await connect(f"ws://127.0.0.1:{port}/ocpp/{DEVICE}", subprotocols=["ocpp1.6"], proxy=None))  # type: ignore[list-item]
        answering.append(asyncio.create_task(accept_everything(sockets[-1])))
        await until(lambda: driver.device_up(DEVICE) is True)

    async def hang_up() -> None:
        sockets[-1].transport.abort()

    try:
        yield Bench(driver, hang_up, meet)
    finally:
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
        for socket in sockets:
            await socket.close()


# ---------------------------------------------------------------- what others wrote, and our simulators


@asynccontextmanager
async def wired(driver_at: Callable[[int], Driver], port: int) -> AsyncIterator[Bench]:
    """A driver whose connections to the port break when they are told to."""
    ends: set[asyncio.StreamWriter] = set()
    relayed: set[asyncio.Task[Any]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while octets := await reader.read(4096):
                writer.write(octets)
        writer.transport.abort()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relayed.update(filter(None, [asyncio.current_task()]))
        ends.add(writer)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        ends.add(far_writer)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async def hang_up() -> None:
        await until(lambda: bool(ends))
        for end in ends:
            end.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield Bench(driver_at(server.sockets[0].getsockname()[1]), hang_up, nothing)
    finally:
        server.close()
        await asyncio.sleep(0.01)  # who was accepted just now gets his task
        for end in ends:
            end.transport.abort()
        await asyncio.wait_for(asyncio.gather(*relayed, return_exceptions=True), 5)
        await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)


def driver_of(protocol: Protocol, **options: object) -> Callable[[int], Driver]:
    return lambda port: make_driver(protocol, port, battery(protocol), **options)


@asynccontextmanager
async def npm_bench() -> AsyncIterator[Bench]:
    port = free_port()
    async with npm_server("tcp", str(port)), wired(driver_of(Protocol.MODBUS_TCP, timeout_s=PATIENCE_S), port) as bench:
        yield bench


@asynccontextmanager
async def libmodbus_bench() -> AsyncIterator[Bench]:
    port = free_port()
    async with libmodbus_server("tcp", str(port)), wired(driver_of(Protocol.MODBUS_TCP, timeout_s=PATIENCE_S), port) as bench:
        yield bench


@asynccontextmanager
async def pymodbus_rtu_bench() -> AsyncIterator[Bench]:
    """RTU frames carried by TCP, as behind a serial device server."""
    device = SimDevice(1, simdata=[SimData(0, values=[0] * 60, datatype=DataType.REGISTERS)])
    server = ModbusTcpServer(device, framer=FramerType.RTU, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    assert isinstance(server.transport, asyncio.Server)
    try:
        async with wired(
            driver_of(Protocol.MODBUS_RTU, timeout_s=PATIENCE_S), server.transport.sockets[0].getsockname()[1]
        ) as bench:
            yield bench
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def c104_bench() -> AsyncIterator[Bench]:
    async with c104_station() as station, wired(driver_of(Protocol.IEC104), station.port) as bench:
        yield bench


@asynccontextmanager
async def hat_bench() -> AsyncIterator[Bench]:
    async with hat_station() as station, wired(driver_of(Protocol.IEC104), station.port) as bench:
        yield bench


@asynccontextmanager
async def libiec61850_bench() -> AsyncIterator[Bench]:
    async with libiec61850() as server:
        address = {"ref": "LD0/GGIO1.AnOut1", "fc": "CO"}
        device = make_device(make_point(SETPOINT, PointKind.SETPOINT, **address), id=DEVICE, address={"ied": "PEER"})
        async with wired(lambda port: make_driver(Protocol.IEC61850, port, device), server.port) as bench:
            yield bench


class Obedient:
    """A plant that takes every order."""

    def read(self, device: str, point: str) -> float:
        return 0.0

    def write(self, device: str, point: str, value: float) -> None:
        return None

    def own_time(self, device: str, now: datetime) -> datetime:
        return now


@asynccontextmanager
async def rtu_bench(protocol: Protocol, maker: Callable[..., Any]) -> AsyncIterator[Bench]:
    """Our simulated RTU; its link is hat-drivers'."""
    known, port = battery(protocol), free_port()
    line = ConnectionSpec(name="rtu", protocol=protocol)
    row = DeviceSpec(id=DEVICE, kind=DeviceKind.RTU, sgam="E.3.a", profile="p", connection="rtu", address=known.address)
    pilot = PilotSpec(code="es", name="", country="ES", time_zone="UTC", latitude=0, longitude=0, devices=(row,))
    profile = Profile(name="p", protocol=protocol, source="test", points=dict(known.points))
    unit = maker(Obedient(), line, pilot, {"p": profile}, Ledger(None))
    await unit.start("127.0.0.1", port)
    try:
        async with wired(driver_of(protocol), port) as bench:
            yield bench
    finally:
        await unit.stop()


BENCHES: dict[str, tuple[Protocol, Callable[[], AbstractAsyncContextManager[Bench]]]] = {
    "modbus_tcp scripted": (Protocol.MODBUS_TCP, modbus_bench),
    "modbus_tcp npm": (Protocol.MODBUS_TCP, npm_bench),
    "modbus_tcp libmodbus": (Protocol.MODBUS_TCP, libmodbus_bench),
    "modbus_rtu scripted": (Protocol.MODBUS_RTU, modbus_rtu_bench),
    "modbus_rtu pymodbus": (Protocol.MODBUS_RTU, pymodbus_rtu_bench),
    "iec104 scripted": (Protocol.IEC104, iec104_bench),
    "iec104 c104": (Protocol.IEC104, c104_bench),
    "iec104 hat": (Protocol.IEC104, hat_bench),
    "iec104 simulator": (Protocol.IEC104, partial(rtu_bench, Protocol.IEC104, iec104_rtu.RemoteTerminalUnit)),
    "iec101 scripted": (Protocol.IEC101, iec101_bench),
    "iec101 simulator of hat": (Protocol.IEC101, partial(rtu_bench, Protocol.IEC101, iec101_rtu.RemoteTerminalUnit)),
    "iec61850 simulator": (Protocol.IEC61850, iec61850_bench),
    "iec61850 libiec61850": (Protocol.IEC61850, libiec61850_bench),
    "ocpp16 scripted": (Protocol.OCPP16, ocpp_bench),
}
