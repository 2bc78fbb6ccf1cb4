"""Who may come in to the OCPP central system, and what becomes of connections."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pilots.domain.errors import LinkDown
from pilots.domain.measurement import RawReading
from pilots.drivers.ocpp import Ocpp16Driver
from tests.drivers.builders import Committed, make_target
from tests.drivers.ocpp_peers import (
    KEY,
    ask,
    central_system,
    evse,
    meter,
    sampled,
    station,
    until_up,
)


@pytest.mark.parametrize("path", ["/ocpp/stranger", "/ocpp/", "/", "/other/nl-EVSE01"])
async def test_an_unknown_identity_is_refused_with_404_before_the_upgrade(path: str) -> None:
    async with central_system() as driver:
        with pytest.raises(InvalidStatus) as refusal:
            await station(driver, path)
        assert refusal.value.response.status_code == 404


@pytest.mark.parametrize(("user", "key"), [("nl-EVSE01", "wrong"), ("other", KEY), ("nl-EVSE01", "")])
async def test_a_wrong_key_or_user_is_refused_with_401_before_the_upgrade(user: str, key: str) -> None:
    secured = evse(security_profile=1, key_sha256=hashlib.sha256(KEY.encode()).hexdigest())
    async with central_system(secured) as driver:
        with pytest.raises(InvalidStatus) as refusal:
            await station(driver, user=user, key=key)
        assert refusal.value.response.status_code == 401
        assert "Basic" in refusal.value.response.headers["WWW-Authenticate"]
        assert driver.traffic.refused == 1
        assert driver.device_up("nl-EVSE01") is False


async def test_the_right_key_comes_in_and_a_profile_without_key_never_does() -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    keyless = evse("nl-EVSE02", identity="nl-EVSE02", security_profile=1)
    async with central_system(evse(security_profile=1, key_sha256=digest), keyless) as driver:
        async with station(driver, key=KEY) as socket:
            assert (await ask(socket, "Heartbeat", {}))[0] == 3
        with pytest.raises(InvalidStatus):
            await station(driver, "/ocpp/nl-EVSE02", user="nl-EVSE02", key=KEY)


async def test_an_identity_is_percent_decoded() -> None:
    async with central_system(evse(identity="RDAM 123")) as driver, station(driver, "/ocpp/RDAM%20123"):
        await until_up(driver)


@pytest.mark.parametrize("protocols", [None, ["ocpp2.0.1"]])
async def test_without_a_common_subprotocol_the_socket_is_closed_after_the_handshake(protocols: list[str] | None) -> None:
    async with central_system() as driver, station(driver, subprotocols=protocols) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.subprotocol is None
        assert driver.device_up("nl-EVSE01") is False


async def test_a_message_over_256_kilobytes_ends_the_connection() -> None:
    async with central_system() as driver, station(driver) as socket:
        await socket.send("x" * (256 * 1024 + 1))
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        await until_up(driver, up=False)


async def test_a_newer_connection_displaces_the_old_one_and_stays_online() -> None:
    async with central_system() as driver, station(driver) as old:
        await ask(old, "Heartbeat", {})
        async with station(driver) as new:
            assert (await ask(new, "Heartbeat", {}))[0] == 3
            with pytest.raises(ConnectionClosed):
                await old.recv()
            assert driver.device_up("nl-EVSE01") is True
            assert (await ask(new, "Heartbeat", {}))[0] == 3
        await until_up(driver, up=False)


async def test_connections_of_one_endpoint_share_their_listener() -> None:
    async with central_system() as first:
        device = evse("no-EVSE01", identity="no-EVSE01")
        second = Ocpp16Driver(make_target(first.port, device), Committed())
        third = Ocpp16Driver(make_target(first.port, evse("es-EVSE01", identity="es-EVSE01")), Committed())
        with pytest.raises(LinkDown, match="cannot listen"):
            await second.open()
    await asyncio.gather(second.open(), third.open())
    async with station(second, "/ocpp/no-EVSE01"):
        await until_up(second, "no-EVSE01")
        await third.close()
        with pytest.raises(InvalidStatus):
            await station(second, "/ocpp/es-EVSE01")
        assert second.device_up("no-EVSE01") is True
    await second.close()


async def test_a_station_that_misses_its_pong_is_offline() -> None:
    async with central_system(ping_s=0.1) as driver:
        _reader, writer = await asyncio.open_connection("127.0.0.1", driver.port)
        writer.write(
            b"GET /ocpp/nl-EVSE01 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
        )
        await until_up(driver)
        await until_up(driver, up=False)
        writer.close()


async def test_a_commit_that_never_ends_does_not_keep_the_driver_from_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.drivers.ocpp.session.END_TIMEOUT_S", 0.05)

    async def sink(device_id: str, readings: Sequence[RawReading]) -> None:
        await asyncio.Event().wait()

    async with central_system(sink=sink) as driver, station(driver) as socket:
        await socket.send(json.dumps([2, "1", "MeterValues", meter(sampled("1"))]))
        await until_up(driver)
        async with asyncio.timeout(30):
            await driver.close()
