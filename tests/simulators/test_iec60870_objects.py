"""The simulated unit's objects as our own codec reads them off the wire, its groups, and the commands it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hat.drivers import iec101, iec104, net

from pilots.catalogue.loader import profiles_of
from pilots.domain.errors import CatalogueError, DeviceRefused
from pilots.domain.point import Capability, PointKind, PointSpec
from pilots.domain.profile import Profile
from pilots.domain.quality import Validity
from pilots.domain.topology import ConnectionSpec, DeviceKind, DeviceSpec, PilotSpec, Protocol
from pilots.drivers.base import DeviceTarget, Target
from pilots.drivers.iec104 import Iec104Driver
from pilots.simulators import iec60870_station
from pilots.simulators.iec104_rtu import RemoteTerminalUnit
from pilots.simulators.iec60870_objects import MONITOR, TAGGED, commanded
from pilots.simulators.ledger import Ledger
from tests.drivers.iec104.peers import Store
from tests.simulators.peers import connection_of, free_port, pilot, plant_of


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


def request(kind: Any, qualifier: int) -> Any:
    return kind(False, 0, 1, qualifier, False, iec104.CommandReqCause.ACTIVATION)


async def answered(client: Any, qualifier: int, question: Any = None) -> list[Any]:
    """The objects between confirmation and termination, all with the cause of the group."""
    if question is not None:
        await client.send([question])
    found: list[Any] = []
    async with asyncio.timeout(10):
        while True:
            for message in await client.receive():
                if isinstance(message, iec104.DataMsg):
                    found += [message] if message.cause != iec104.DataResCause.SPONTANEOUS else []
                elif message.cause == iec104.CommandResCause.ACTIVATION_TERMINATION:
                    assert {each.cause for each in found} <= {iec104.DataResCause(qualifier)}
                    return found
                else:
                    assert not message.is_negative_confirm


@pytest.mark.parametrize("value", [0.5, None])
async def test_every_type_it_has_tells_its_value_or_that_there_is_none(value: float | None, tmp_path: Path) -> None:
    """Neighbours, so that nothing may be packed that the standard does not allow to be."""
    addresses = {f"t{type_id}": {"ioa": type_id, "type": type_id} for type_id in MONITOR}
    asked_for = set()
    async with running(FewNumbers(value), addresses, PointKind.MEASUREMENT, tmp_path) as (_, store):
        for type_id in MONITOR:
            (interrogated,) = (await store.wait_for(f"t{type_id}"))[:1]
            asked_for.add(interrogated.source_time)
            if value is None:
                bare = type_id == 21  # it carries no quality
                assert interrogated.quality.validity is (Validity.GOOD if bare else Validity.INVALID)
                continue
            reported = (await store.wait_for(f"t{type_id}", 2))[1]
            assert (reported.source_time is not None) == (type_id in TAGGED)
            wanted = value if TAGGED.get(type_id, type_id) in (9, 13, 21) else (TAGGED.get(type_id, type_id) == 1)
            assert interrogated.value == reported.value == wanted
    assert len(asked_for) <= 2 and None not in asked_for  # no time tags: two questions, one for the counters


@pytest.mark.parametrize("timed", [False, True])
async def test_every_command_it_has_is_obeyed(timed: bool, tmp_path: Path) -> None:
    orders = {45: 1.0, 46: 2.0, 47: 1.0, 48: -0.5, 49: -1000.0, 50: 2.5, 51: 7.0}
    addresses = {f"c{type_id}": {"ioa": type_id, "command_type": type_id} for type_id in orders}
    plant = FewNumbers(0.0)
    async with running(plant, addresses, PointKind.COMMAND, tmp_path, command_time=timed) as (driver, _):
        for type_id, value in orders.items():
            await driver.write("d", f"c{type_id}", value)

    assert plant.orders == {f"c{type_id}": value for type_id, value in orders.items()}


async def test_a_command_of_another_type_than_the_objects_is_refused(tmp_path: Path) -> None:
    plant, address = FewNumbers(0.0), {"ioa": 1, "command_type": 50}
    async with running(plant, {"c": address}, PointKind.SETPOINT, tmp_path) as (driver, _):
        wrong = PointSpec(name="c", kind=PointKind.SETPOINT, address={"ioa": 1, "command_type": 49})
        with pytest.raises(DeviceRefused) as refused:
            await driver.write_spec("d", wrong, 1.0)

    assert "unknown type" in str(refused.value) and plant.orders == {}


async def test_a_time_tagged_command_that_took_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, address = FewNumbers(0.0), {"ioa": 1, "command_type": 50}
    async with running(plant, {"c": address}, PointKind.SETPOINT, tmp_path, command_time=True) as (driver, _):
        await driver.write("d", "c", 1.0)
        monkeypatch.setattr(iec60870_station, "COMMAND_DELAY_S", -1.0)
        with pytest.raises(DeviceRefused):
            await driver.write("d", "c", 2.0)

    assert plant.orders == {"c": 1.0}


async def test_a_group_brings_its_devices_objects_and_no_others(tmp_path: Path) -> None:
    spec, told = pilot("es"), list[tuple[int, int]]()
    connection = connection_of(spec, "es-rtu01")
    devices = [device for device in spec.devices if device.connection == "es-rtu01"]
    unit, port = (
        RemoteTerminalUnit(plant_of("es"), connection, spec, profiles_of(spec), Ledger(tmp_path / "writes.jsonl")),
        free_port(),
    )
    await unit.start("127.0.0.1", port)
    client = await iec104.connect(net.TcpAddress("127.0.0.1", port))
    try:
        for group in range(1, 17):
            await client.send([request(iec104.InterrogationMsg, 20 + group)])
            told += [(group, message.io_address) for message in await answered(client, 20 + group)]
        general = await answered(client, 20, request(iec104.InterrogationMsg, 20))
    finally:
        await client.async_close()
        await unit.stop()

    assert sorted(address for _, address in told) == sorted(message.io_address for message in general)
    bases = {device.address["ioa"]: 1 + turn % 16 for turn, device in enumerate(devices)}
    assert len(devices) > 16
    assert all(bases[max(base for base in bases if base <= address)] == group for group, address in told)


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
    commands = [
        iec101.SingleCommand(iec101.SingleValue.ON, False, 0),
        iec101.DoubleCommand(iec101.DoubleValue.ON, False, 0),
        iec101.RegulatingCommand(iec101.RegulatingValue.LOWER, False, 0),
        iec101.BitstringCommand(iec101.BitstringValue(b"\x02\x01\x00\x00")),
    ]
    assert [commanded(each) for each in commands] == [1.0, 2.0, 1.0, 258.0]
