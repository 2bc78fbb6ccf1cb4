"""What every driver owes the supervisor, whatever its protocol: one suite, a real peer each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from pilots.domain.errors import LinkDown
from pilots.domain.point import PointKind
from pilots.domain.topology import Protocol
from pilots.drivers.base import DeviceTarget, Driver
from pilots.drivers.iec104 import apci
from pilots.drivers.iec60870 import asdu
from pilots.drivers.registry import DRIVERS, driver_for
from tests.drivers.builders import Committed, make_device, make_point, make_target
from tests.drivers.iec101.faulty import FaultyStation, faulty_line
from tests.drivers.iec104.peers import RawStation, raw_station
from tests.drivers.iec61850.peers import SET_POINT, simulated
from tests.drivers.modbus_benches import carried_rtu_peer
from tests.drivers.raw_modbus import raw_modbus

DEVICE, SETPOINT = "es-STO01", "p_set"


@dataclass(slots=True)
class Bench:
    """A driver with its peer. `hang_up` lets the peer die; `meet` returns once they are connected after `open`."""

    driver: Driver
    hang_up: Callable[[], Awaitable[None]]
    meet: Callable[[], Awaitable[None]]


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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


BENCHES = {
    Protocol.MODBUS_TCP: modbus_bench,
    Protocol.MODBUS_RTU: modbus_rtu_bench,
    Protocol.IEC104: iec104_bench,
    Protocol.IEC101: iec101_bench,
    Protocol.IEC61850: iec61850_bench,
    Protocol.OCPP16: ocpp_bench,
}
every_protocol = pytest.mark.parametrize("protocol", sorted(BENCHES))


@asynccontextmanager
async def opened(protocol: Protocol) -> AsyncIterator[Bench]:
    async with BENCHES[protocol]() as bench:
        await bench.driver.open()
        await bench.meet()
        try:
            yield bench
        finally:
            await bench.driver.close()


@asynccontextmanager
async def port_that_refuses(protocol: Protocol) -> AsyncIterator[int]:
    """A port nobody listens on; for a driver that listens itself, one that is taken."""
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    if not DRIVERS[protocol].listener:
        server.close()
        await server.wait_closed()
    try:
        yield port
    finally:
        server.close()


def test_every_protocol_we_hold_connections_of_has_a_driver_and_push_has_none() -> None:
    assert set(DRIVERS) == set(Protocol) - {Protocol.PUSH} == set(BENCHES)
    with pytest.raises(KeyError):
        driver_for(Protocol.PUSH)


@every_protocol
async def test_an_endpoint_that_cannot_be_opened_is_link_down_in_words(protocol: Protocol) -> None:
    async with port_that_refuses(protocol) as port:
        driver = make_driver(protocol, port, battery(protocol))
        with pytest.raises(LinkDown, match=str(port)):
            await driver.open()
        assert driver.closed.is_set()
        await driver.close()


@every_protocol
async def test_probe_says_what_succeeded_and_leaves_nothing_open(protocol: Protocol) -> None:
    async with BENCHES[protocol]() as bench:
        steps = await bench.driver.probe()
        assert steps and all(isinstance(step, str) and step for step in steps)
        assert bench.driver.closed.is_set()


@every_protocol
async def test_a_probe_that_fails_says_where(protocol: Protocol) -> None:
    async with port_that_refuses(protocol) as port:
        with pytest.raises(LinkDown, match=str(port)):
            await make_driver(protocol, port, battery(protocol)).probe()


@every_protocol
async def test_closing_twice_is_once_and_before_opening_is_nothing(protocol: Protocol) -> None:
    async with BENCHES[protocol]() as bench:
        await bench.driver.close()
        await bench.driver.open()
        assert not bench.driver.closed.is_set()
        await bench.driver.close()
        assert bench.driver.closed.is_set()
        await bench.driver.close()


@every_protocol
async def test_a_write_is_confirmed_in_the_peers_words_and_counted(protocol: Protocol) -> None:
    async with opened(protocol) as bench:
        result = await bench.driver.write(DEVICE, SETPOINT, 1000.0)
        assert result.raw
        assert bench.driver.traffic.sent > 0 and bench.driver.traffic.received > 0


@every_protocol
async def test_a_write_without_a_connection_is_link_down(protocol: Protocol) -> None:
    async with BENCHES[protocol]() as bench:
        with pytest.raises(LinkDown):
            await bench.driver.write(DEVICE, SETPOINT, 1000.0)
        await bench.driver.open()
        await bench.driver.close()
        with pytest.raises(LinkDown):
            await bench.driver.write(DEVICE, SETPOINT, 1000.0)


@every_protocol
async def test_a_peer_that_dies_is_noticed_and_writes_to_it_are_link_down(protocol: Protocol) -> None:
    async with opened(protocol) as bench:
        await bench.hang_up()
        if DRIVERS[protocol].listener:
            await until(lambda: bench.driver.device_up(DEVICE) is False)
        else:
            async with asyncio.timeout(30):
                await bench.driver.closed.wait()
        with pytest.raises(LinkDown):
            await bench.driver.write(DEVICE, SETPOINT, 1000.0)


@every_protocol
async def test_a_driver_that_was_closed_can_be_opened_again(protocol: Protocol) -> None:
    async with opened(protocol) as bench:
        await bench.driver.close()
        await bench.driver.open()
        await bench.meet()
        assert (await bench.driver.write(DEVICE, SETPOINT, 1000.0)).raw


@pytest.mark.parametrize("protocol", sorted(protocol for protocol in DRIVERS if DRIVERS[protocol].listening))
async def test_a_driver_that_listens_cannot_be_polled(protocol: Protocol) -> None:
    async with BENCHES[protocol]() as bench:
        with pytest.raises(TypeError):
            await bench.driver.read(DEVICE, [SETPOINT])
