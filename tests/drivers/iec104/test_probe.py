"""What the probe says about the step that failed."""

from __future__ import annotations

import asyncio

import pytest

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown, ProtocolViolation
from pilots.drivers.iec104 import Iec104Driver
from pilots.drivers.iec60870 import asdu
from tests.drivers.iec104.peers import Store, make_target, raw_station


async def test_a_closed_port_is_named() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    driver = Iec104Driver(make_target(port), Store().sink)

    with pytest.raises(LinkDown, match=f"Port {port} of 127.0.0.1 does not open"):
        await driver.probe()
    assert driver.closed.is_set()


async def test_a_silent_peer_does_not_answer_startdt() -> None:
    async with raw_station() as station:
        driver = Iec104Driver(make_target(station.port, {"t1": 0.2, "t2": 0.1}), Store().sink)

        with pytest.raises(AnswerTimeout, match=r"opens, STARTDT is not answered\. Check the originator address\."):
            await driver.probe()
        assert driver.closed.is_set()


async def test_a_peer_that_hangs_up_is_told_from_a_silent_one() -> None:
    async with raw_station() as station:
        driver = Iec104Driver(make_target(station.port), Store().sink)
        probing = asyncio.ensure_future(driver.probe())
        await station.connected()
        station.hang_up()

        with pytest.raises(LinkDown, match="hangs up at STARTDT"):
            await probing


async def test_an_interrogation_without_answer_points_at_the_common_address() -> None:
    async with raw_station() as station:
        driver = Iec104Driver(make_target(station.port, {"command_timeout_s": 0.1}), Store().sink)
        probing = asyncio.ensure_future(driver.probe())
        await station.started()

        with pytest.raises(AnswerTimeout, match="interrogation of common address 1 is not answered"):
            await probing


async def test_a_refused_interrogation_points_at_the_common_address() -> None:
    async with raw_station() as station:
        driver = Iec104Driver(make_target(station.port), Store().sink)
        probing = asyncio.ensure_future(driver.probe())
        await station.started()
        request = await station.request(asdu.C_IC)
        station.send(request._replace(cause=46, negative=True))

        with pytest.raises(DeviceRefused, match="common address 1 is refused") as caught:
            await probing
        assert caught.value.device_code == "COT 46 unknown common address"


async def test_a_peer_that_speaks_something_else_is_a_violation() -> None:
    async with raw_station() as station:
        driver = Iec104Driver(make_target(station.port), Store().sink)
        probing = asyncio.ensure_future(driver.probe())
        await station.connected()
        station.write(b"220 mail.example ESMTP\r\n")

        with pytest.raises(ProtocolViolation, match="no APDU starts with 32 32"):
            await probing
        assert driver.closed.is_set()


async def test_an_opening_that_is_given_up_leaves_nothing_open() -> None:
    async with raw_station() as station:
        driver = Iec104Driver(make_target(station.port, {"t1": 0.2, "t2": 0.1}), Store().sink)
        opening = asyncio.ensure_future(driver.open())
        await station.connected()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

        await station.hung_up()
        assert driver.closed.is_set()
