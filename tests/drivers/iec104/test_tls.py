"""IEC 104 inside TLS with certificates at both ends (IEC 62351-3), against hat-drivers and c104."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import c104
import pytest
from hat.drivers import iec104, net

from pilots.domain.errors import CatalogueError, LinkDown
from pilots.drivers.iec104 import Iec104Driver, apci
from pilots.drivers.tls import server_context
from tests.drivers.iec104.peers import Store, make_target, raw_station
from tests.drivers.iec104.test_driver_with_c104 import c104_station
from tests.drivers.iec104.test_driver_with_hat import HatStation
from tests.drivers.tls_files import TlsFiles, tls_files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return tls_files(tmp_path_factory.mktemp("tls"))


@contextlib.asynccontextmanager
async def encrypted_station(files: TlsFiles, **options: Any) -> AsyncIterator[HatStation]:
    station = HatStation()
    context = server_context({"tls": {**files.server, **options}})
    station.server = await iec104.listen(station.serve, net.TcpAddress("127.0.0.1", 0), ssl=context)
    try:
        yield station
    finally:
        await station.server.async_close()


def driver_with(station: HatStation, store: Store, tls: dict[str, Any]) -> Iec104Driver:
    return Iec104Driver(make_target(station.port, {"tls": tls}), store.sink)


async def test_values_and_commands_travel_inside_tls(files: TlsFiles) -> None:
    store = Store()
    async with encrypted_station(files) as station:
        driver = driver_with(station, store, files.client)
        await driver.open()
        try:
            assert (await store.wait_for("active_power"))[0].value == 50.0
            assert (await driver.write("es-STO01", "p_set", 10.0)).raw == "ACT_CON COT 7 P/N 0"
        finally:
            await driver.close()


async def test_the_probe_tells_that_tls_stands(files: TlsFiles) -> None:
    async with encrypted_station(files) as station:
        assert (await driver_with(station, Store(), files.client).probe())[0] == f"TCP {station.port} opens, TLS stands"


async def test_a_station_of_an_unknown_authority_is_not_spoken_to(files: TlsFiles) -> None:
    async with encrypted_station(files) as station:
        driver = driver_with(station, Store(), {**files.client, "ca": files.foreign["ca"]})

        with pytest.raises(LinkDown, match="TLS fails: the peer's certificate is not trusted"):
            await driver.open()
        assert driver.closed.is_set()


async def test_a_station_that_does_not_know_our_authority_refuses_us(files: TlsFiles) -> None:
    async with encrypted_station(files) as station:
        driver = driver_with(station, Store(), {**files.foreign, "ca": files.client["ca"]})

        with pytest.raises(LinkDown, match=r"hangs up at STARTDT .* trusts its certificate"):
            await driver.open()
        assert driver.closed.is_set()


async def test_a_client_without_a_certificate_is_refused_by_the_station(files: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    async with encrypted_station(files) as station:
        driver = driver_with(station, Store(), files.client)
        monkeypatch.setattr(driver, "_tls", ssl.create_default_context(cafile=files.client["ca"]))

        with pytest.raises(LinkDown, match=r"hangs up at STARTDT .* trusts its certificate"):
            await driver.open()


def c104_security(files: TlsFiles) -> c104.TransportSecurity:
    security = c104.TransportSecurity(validate=True, only_known=False)
    security.set_certificate(files.server["certificate"], files.server["key"])
    security.set_ca_certificate(files.server["ca"])
    return security


async def test_values_and_commands_travel_inside_tls_of_c104(files: TlsFiles) -> None:
    store = Store()
    async with c104_station(c104_security(files)) as station:
        driver = Iec104Driver(make_target(station.port, {"tls": files.client}), store.sink)
        await driver.open()
        try:
            assert (await store.wait_for("active_power"))[0].value == 50.5
            assert (await driver.write("es-STO01", "p_set", 125.0)).raw == "ACT_CON COT 7 P/N 0"
        finally:
            await driver.close()


async def test_c104_refuses_a_client_of_an_unknown_authority(files: TlsFiles) -> None:
    async with c104_station(c104_security(files)) as station:
        tls = {**files.foreign, "ca": files.client["ca"]}
        driver = Iec104Driver(make_target(station.port, {"tls": tls}), Store().sink)

        with pytest.raises(LinkDown, match="hangs up at STARTDT"):  # its alert may come before or after the reset
            await driver.open()


async def test_a_station_without_the_wanted_role_is_not_spoken_to(files: TlsFiles) -> None:
    async with encrypted_station(files) as station:
        driver = driver_with(station, Store(), {**files.client, "required_role": "RTU"})

        with pytest.raises(LinkDown, match="no role, wanted is RTU"):
            await driver.open()
        assert driver.closed.is_set() and driver.traffic.sent == 0


async def test_a_station_in_the_clear_is_not_taken_for_an_encrypted_one(files: TlsFiles) -> None:
    station = HatStation()
    station.server = await iec104.listen(station.serve, net.TcpAddress("127.0.0.1", 0))
    try:
        driver = driver_with(station, Store(), files.client)
        driver.parameters = type(driver.parameters)(t0=0.5)
        with pytest.raises(LinkDown):
            await driver.open()
    finally:
        await station.server.async_close()


async def test_a_peer_that_does_not_answer_the_handshake_is_given_up_after_t0(files: TlsFiles) -> None:
    async with raw_station() as station:
        driver = Iec104Driver(make_target(station.port, {"tls": files.client, "t0": 0.2}), Store().sink)

        with pytest.raises(LinkDown, match=r"does not open within 0\.2 s"):
            await driver.open()
        assert driver.traffic.timeouts == 1 and driver.closed.is_set()


async def test_a_peer_that_speaks_no_tls_is_told_from_a_bad_certificate(files: TlsFiles) -> None:
    async with raw_station() as station:
        driver = Iec104Driver(make_target(station.port, {"tls": files.client}), Store().sink)
        opening = asyncio.ensure_future(driver.open())
        await station.connected()
        station.write(apci.u_frame(apci.STARTDT_CON))

        with pytest.raises(LinkDown, match="TLS fails: WRONG_VERSION_NUMBER"):
            await opening


def test_a_certificate_that_is_not_there_is_named(files: TlsFiles, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"tls\.certificate"):
        Iec104Driver(make_target(2404, {"tls": {**files.client, "certificate": str(tmp_path / "none.pem")}}), Store().sink)
