"""Modbus/TCP Security: mutual TLS against pymodbus's server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.server import ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from pilots.domain.errors import AnswerTimeout, CatalogueError, LinkDown
from pilots.drivers.modbus import ModbusTcpDriver
from pilots.drivers.tls import server_context
from tests.drivers.builders import Committed, make_device, make_target
from tests.drivers.modbus_benches import SETPOINT, opened
from tests.drivers.tls_files import TlsFiles, tls_files

DEVICE = make_device(SETPOINT, address={"unit": 7})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return tls_files(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def secure_server(tls: dict[str, Any]) -> AsyncIterator[int]:
    meter = SimDevice(7, simdata=[SimData(0, values=[0] * 60, datatype=DataType.REGISTERS)])
    server = ModbusTlsServer(meter, address=("127.0.0.1", 0), sslctx=server_context({"tls": tls}))
    await server.serve_forever(background=True)
    assert isinstance(server.transport, asyncio.Server)
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


async def test_values_are_read_and_written_over_mutual_tls(files: TlsFiles) -> None:
    async with secure_server(files.server) as port, opened(port, DEVICE, tls=files.client, timeout_s=1.0) as driver:
        await driver.write("bg-M01", "p_set", -70000)
        (reading,) = await driver.read("bg-M01", ["p_set"])
        assert reading.value == -70000
        assert driver.describe(driver.traffic.log.frames()[0].raw).startswith("→ unit 7 write holding 40")


async def test_probe_says_that_the_connection_is_encrypted(files: TlsFiles) -> None:
    async with secure_server(files.server) as port:
        driver = ModbusTcpDriver(make_target(port, DEVICE, tls=files.client, timeout_s=1.0), Committed())
        assert (await driver.probe())[0] == f"TLS connection to 127.0.0.1:{port} opened"


async def test_a_server_of_another_authority_is_refused(files: TlsFiles) -> None:
    async with secure_server({**files.foreign, "ca": files.server["ca"]}) as port:
        with pytest.raises(LinkDown, match=r"no TLS connection .*certificate verify failed"):
            async with opened(port, DEVICE, tls=files.client):
                pass


async def test_a_server_that_speaks_in_the_clear_is_no_tls_server(files: TlsFiles) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    with pytest.raises(LinkDown, match="no TLS connection"):
        async with opened(server.sockets[0].getsockname()[1], DEVICE, tls=files.client):
            pass
    server.close()


async def test_our_certificate_of_another_authority_gets_no_answer(files: TlsFiles) -> None:
    async with secure_server(files.server) as port:
        tls = {**files.foreign, "ca": files.client["ca"]}
        driver = ModbusTcpDriver(make_target(port, DEVICE, tls=tls, timeout_s=0.5), Committed())

        async def open_and_read() -> None:
            await driver.open()
            await driver.read("bg-M01", ["p_set"])

        # TLS 1.2 refuses within the handshake, 1.3 after it.
        with pytest.raises((LinkDown, AnswerTimeout), match=r"no TLS connection|is lost|broke"):
            await open_and_read()
        await driver.close()


async def test_a_server_without_the_wanted_role_is_not_spoken_to(files: TlsFiles) -> None:
    async with secure_server(files.server_with_role) as port:
        async with opened(port, DEVICE, tls={**files.client, "required_role": "Operator"}, timeout_s=1.0) as driver:
            assert (await driver.read("bg-M01", ["p_set"]))[0].value == 0
        with pytest.raises(LinkDown, match="role Operator, wanted is Viewer"):
            async with opened(port, DEVICE, tls={**files.client, "required_role": "Viewer"}):
                pass


async def test_a_missing_file_is_named_and_nothing_is_tried() -> None:
    driver = ModbusTcpDriver(make_target(1, DEVICE, tls={"ca": "/nowhere.pem", "certificate": "c"}), Committed())
    with pytest.raises(LinkDown, match=r"tls.ca: /nowhere.pem: No such file"):
        await driver.open()
    with pytest.raises(CatalogueError) as refusal:
        await driver.probe()
    assert refusal.value.field == "tls.ca"


@pytest.mark.parametrize(("tls", "port"), [(None, 502), ({"ca": "x", "certificate": "y"}, 802)])
def test_the_standards_ports_are_the_default(tls: dict[str, str] | None, port: int, tmp_path: Path) -> None:
    async def place() -> str:
        driver = ModbusTcpDriver(make_target(0, DEVICE, **({"tls": tls} if tls else {})), Committed())
        with pytest.raises(LinkDown) as refusal:
            await driver.open()
        return str(refusal.value)

    assert f"127.0.0.1:{port}" in asyncio.run(place())
