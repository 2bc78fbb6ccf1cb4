"""The station that others' control centres read, over TLS and with wrong configurations. The client is our own master."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pilots.domain.errors import CatalogueError, LinkDown
from pilots.domain.measurement import Measurement
from pilots.domain.quality import Quality
from pilots.drivers.iec104 import Iec104Driver
from pilots.drivers.iec104.server import ControlledStation, ServedObject, ServerOptions
from tests.control_centres.peers import free_port
from tests.drivers.iec104.peers import Store, make_target
from tests.drivers.tls_files import TlsFiles, tls_files

LOOPBACK = frozenset({"127.0.0.1"})
NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return tls_files(tmp_path_factory.mktemp("tls"))


@contextmanager
def serving(options: ServerOptions) -> Iterator[int]:
    """The battery's power (object 701) is 4.5 kW; its set-point (711) is taken below 100 W only."""
    port = free_port()
    objects = [ServedObject(address=701, type_id=13), ServedObject(address=711, type_id=50)]
    station = ControlledStation("127.0.0.1", port, 1, objects, options, lambda address, value: abs(value) < 100)
    station.update([(701, Measurement(4500.0, Quality(), NOW, NOW))], report=False)
    station.start()
    try:
        yield port
    finally:
        station.stop()


async def test_values_and_set_points_travel_inside_mutual_tls(files: TlsFiles) -> None:
    store = Store()
    with serving(ServerOptions(allowed=LOOPBACK, tls=files.server)) as port:
        driver = Iec104Driver(make_target(port, {"tls": files.client}), store.sink)
        await driver.open()
        try:
            assert (await store.wait_for("active_power"))[0].value == 4500.0
            assert (await driver.write("es-STO01", "p_set", 500.0)).raw == "ACT_CON COT 7 P/N 0"
        finally:
            await driver.close()


async def test_without_a_certificate_of_the_authority_nobody_connects(files: TlsFiles) -> None:
    with serving(ServerOptions(allowed=LOOPBACK, tls=files.server)) as port:
        stranger = {**files.foreign, "ca": files.client["ca"]}
        for options in ({"tls": stranger, "t1": 3, "t2": 1}, {"t1": 3, "t2": 1}):
            driver = Iec104Driver(make_target(port, options), Store().sink)
            with pytest.raises(LinkDown):
                await driver.open()
            await driver.close()


def test_certificates_that_cannot_be_used_are_named(files: TlsFiles, tmp_path: Path) -> None:
    options = ServerOptions(allowed=LOOPBACK, tls={"ca": str(tmp_path / "none.pem"), "certificate": files.server["certificate"]})
    with pytest.raises(CatalogueError, match="tls"):
        ControlledStation("127.0.0.1", free_port(), 1, [], options, lambda address, value: True)


@pytest.mark.parametrize(
    "objects",
    [
        [ServedObject(address=1, type_id=13), ServedObject(address=1, type_id=1)],
        [ServedObject(address=1, type_id=99)],
        [ServedObject(address=1, type_id=36), ServedObject(address=2, type_id=36)],
    ],
)
def test_objects_that_cannot_be_served_are_refused(objects: list[ServedObject]) -> None:
    with pytest.raises(CatalogueError):
        ControlledStation("127.0.0.1", free_port(), 1, objects, ServerOptions(allowed=LOOPBACK), lambda address, value: True)
