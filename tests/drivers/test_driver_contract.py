"""What every driver owes the supervisor, whatever its protocol: one suite, against our peers and others'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pilots.domain.errors import LinkDown
from pilots.domain.topology import Protocol
from pilots.drivers.registry import DRIVERS, driver_for
from tests.drivers.contract_benches import BENCHES, DEVICE, SETPOINT, Bench, battery, make_driver, until

every_protocol = pytest.mark.parametrize("protocol", sorted(DRIVERS))
every_peer = pytest.mark.parametrize("name", BENCHES)


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[Bench]:
    async with BENCHES[name][1]() as bench:
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
    assert set(DRIVERS) == set(Protocol) - {Protocol.PUSH} == {protocol for protocol, _ in BENCHES.values()}
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


@every_peer
async def test_probe_says_what_succeeded_and_leaves_nothing_open(name: str) -> None:
    async with BENCHES[name][1]() as bench:
        steps = await bench.driver.probe()
        assert steps and all(isinstance(step, str) and step for step in steps)
        assert bench.driver.closed.is_set()


@every_protocol
async def test_a_probe_that_fails_says_where(protocol: Protocol) -> None:
    async with port_that_refuses(protocol) as port:
        with pytest.raises(LinkDown, match=str(port)):
            await make_driver(protocol, port, battery(protocol)).probe()


@every_peer
async def test_closing_twice_is_once_and_before_opening_is_nothing(name: str) -> None:
    async with BENCHES[name][1]() as bench:
        await bench.driver.close()
        await bench.driver.open()
        assert not bench.driver.closed.is_set()
        await bench.driver.close()
        assert bench.driver.closed.is_set()
        await bench.driver.close()


@every_peer
async def test_a_write_is_confirmed_in_the_peers_words_and_counted(name: str) -> None:
    async with opened(name) as bench:
        result = await bench.driver.write(DEVICE, SETPOINT, 1000.0)
        assert result.raw
        assert bench.driver.traffic.sent > 0 and bench.driver.traffic.received > 0


@every_peer
async def test_a_write_without_a_connection_is_link_down(name: str) -> None:
    async with BENCHES[name][1]() as bench:
        with pytest.raises(LinkDown):
            await bench.driver.write(DEVICE, SETPOINT, 1000.0)
        await bench.driver.open()
        await bench.driver.close()
        with pytest.raises(LinkDown):
            await bench.driver.write(DEVICE, SETPOINT, 1000.0)


@every_peer
async def test_a_peer_that_dies_is_noticed_and_writes_to_it_are_link_down(name: str) -> None:
    async with opened(name) as bench:
        await bench.hang_up()
        if type(bench.driver).listener:
            await until(lambda: bench.driver.device_up(DEVICE) is False)
        else:
            async with asyncio.timeout(30):
                await bench.driver.closed.wait()
        with pytest.raises(LinkDown):
            await bench.driver.write(DEVICE, SETPOINT, 1000.0)


@every_peer
async def test_a_driver_that_was_closed_can_be_opened_again(name: str) -> None:
    async with opened(name) as bench:
        await bench.driver.close()
        await bench.driver.open()
        await bench.meet()
        assert (await bench.driver.write(DEVICE, SETPOINT, 1000.0)).raw


@pytest.mark.parametrize("name", [name for name, (protocol, _) in BENCHES.items() if DRIVERS[protocol].listening])
async def test_a_driver_that_listens_cannot_be_polled(name: str) -> None:
    async with BENCHES[name][1]() as bench:
        with pytest.raises(TypeError):
            await bench.driver.read(DEVICE, [SETPOINT])
