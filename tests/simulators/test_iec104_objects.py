"""The simulated unit's information objects as our own codec reads them off the wire, and its commands as numbers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import c104
import pytest

from pilots.domain.errors import CatalogueError
from pilots.domain.point import Capability, PointKind, PointSpec
from pilots.domain.profile import Profile
from pilots.domain.quality import Validity
from pilots.domain.topology import ConnectionSpec, DeviceKind, DeviceSpec, PilotSpec, Protocol
from pilots.drivers.base import DeviceTarget, Target
from pilots.drivers.iec104 import Iec104Driver
from pilots.simulators.iec104_objects import MONITOR, commanded
from pilots.simulators.iec104_rtu import RemoteTerminalUnit
from pilots.simulators.ledger import Ledger
from tests.drivers.iec104.peers import Store
from tests.simulators.peers import free_port


class FewNumbers:
    """A plant that knows one number and takes every order."""

    def __init__(self, value: float | None) -> None:
        self.value, self.orders = value, dict[str, float]()

    def read(self, device: str, point: str) -> float | None:
        return self.value

    def write(self, device: str, point: str, value: float) -> None:
        self.orders[point] = value

    def own_time(self, device: str, now: Any) -> Any:
        return now


@asynccontextmanager
async def running(
    plant: FewNumbers, addresses: Mapping[str, dict[str, Any]], kind: PointKind, folder: Path, **options: Any
) -> AsyncIterator[tuple[Iec104Driver, Store]]:
    """A unit with these points, and our driver on it."""
    able = Capability(minimum=-(2.0**32), maximum=2.0**32) if kind.writable else None
    points = {name: PointSpec(name=name, kind=kind, address=address, capability=able) for name, address in addresses.items()}
    line = ConnectionSpec(name="rtu", protocol=Protocol.IEC104, options=options)
    device = DeviceSpec(id="d", kind=DeviceKind.RTU, sgam="E.3.a", profile="p", connection="rtu", address={"ca": 1})
    pilot = PilotSpec(code="es", name="", country="ES", time_zone="UTC", latitude=0, longitude=0, devices=(device,))
    profiles = {"p": Profile(name="p", protocol=Protocol.IEC104, source="test", points=points)}
    unit, port = RemoteTerminalUnit(plant, line, pilot, profiles, Ledger(folder / "writes.jsonl")), free_port()  # type: ignore[arg-type]
    store = Store()
    target = DeviceTarget(id="d", address={"ca": 1}, points=points)
    driver = Iec104Driver(Target(name="rtu", host="127.0.0.1", port=port, devices=(target,), options=options), store.sink)
    await unit.start("127.0.0.1", port)
    try:
        await driver.open()
        yield driver, store
    finally:
        await driver.close()
        await unit.stop()


@pytest.mark.parametrize("value", [1.0, None])
async def test_every_type_it_has_tells_its_value_or_that_there_is_none(value: float | None, tmp_path: Path) -> None:
    addresses = {f"t{type_id}": {"ioa": type_id, "type": type_id} for type_id in MONITOR}
    async with running(FewNumbers(value), addresses, PointKind.MEASUREMENT, tmp_path) as (_, store):
        for type_id in MONITOR:
            reading = (await store.wait_for(f"t{type_id}"))[0]
            if type_id in (7, 33):  # c104 loses the quality of bitstrings
                assert reading.value == (value or 0)
            elif value is None:
                assert reading.quality.validity is Validity.INVALID
            else:
                assert reading.value == pytest.approx(value, abs=1e-4)
            assert (reading.source_time is not None) == (type_id >= 30)


@pytest.mark.parametrize("timed", [False, True])
async def test_every_command_it_has_is_obeyed(timed: bool, tmp_path: Path) -> None:
    orders = {45: 1.0, 46: 2.0, 47: 1.0, 48: -0.5, 49: -1000.0, 50: 2.5, 51: 7.0}
    addresses = {f"c{type_id}": {"ioa": type_id, "command_type": type_id} for type_id in orders}
    plant = FewNumbers(0.0)
    async with running(plant, addresses, PointKind.COMMAND, tmp_path, command_time=timed) as (driver, _):
        for type_id, value in orders.items():
            await driver.write("d", f"c{type_id}", value)

    assert plant.orders == {f"c{type_id}": value for type_id, value in orders.items()}


async def test_a_type_it_does_not_have_is_a_catalogue_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="type 38 is not simulated"):
        async with running(FewNumbers(0.0), {"p": {"ioa": 1, "type": 38}}, PointKind.STATUS, tmp_path):
            pass


async def test_two_points_at_one_address_are_a_catalogue_error(tmp_path: Path) -> None:
    addresses = {"a": {"ioa": 1, "type": 36}, "b": {"ioa": 1, "type": 30}}
    with pytest.raises(CatalogueError, match="object address 1 is taken"):
        async with running(FewNumbers(0.0), addresses, PointKind.STATUS, tmp_path):
            pass


def test_commands_are_numbers() -> None:
    assert [commanded(value) for value in (True, c104.Double.ON, c104.Step.LOWER, c104.Byte32(b"\x02\x01\x00\x00"))] == [
        1.0,
        2.0,
        1.0,
        258.0,
    ]
