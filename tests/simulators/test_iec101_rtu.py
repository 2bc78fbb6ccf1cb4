"""The simulated RTU on IEC 101, against our own driver: hat-drivers at one end, our FT1.2 at the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pilots.catalogue.loader import profiles_of
from pilots.catalogue.points import resolve_points
from pilots.domain.errors import DeviceRefused
from pilots.domain.measurement import RawReading
from pilots.domain.topology import ConnectionSpec, Protocol, Way
from pilots.drivers.base import DeviceTarget, Target
from pilots.drivers.iec101 import Iec101Driver
from pilots.drivers.iec104 import Iec104Driver
from pilots.simulators import iec101_rtu, iec104_rtu
from pilots.simulators.iec101_rtu import RemoteTerminalUnit
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant
from pilots.simulators.serial_line import LineSettings, SerialLine
from tests.drivers.iec101.peers import forgetting
from tests.simulators.peers import connection_of, eventually, free_port, pilot, plant_of, stepping

OPTIONS = {"baudrate": 115200, "ack_timeout_s": 0.5, "poll_class2_s": 0.1}
DEVICES = ("es-STO01", "es-SW04")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(iec101_rtu, "SCAN_S", 0.1)
    with forgetting():
        yield


@dataclass
class Rig:
    plant: Plant
    ledger: Ledger
    driver: Iec101Driver
    unit: RemoteTerminalUnit
    latest: dict[tuple[str, str], RawReading]
    connection: ConnectionSpec

    def value(self, device: str, point: str) -> float | None:
        reading = self.latest.get((device, point))
        return None if reading is None or reading.value is None else float(reading.value)


def devices_of(connection: ConnectionSpec) -> tuple[DeviceTarget, ...]:
    spec = pilot("es")
    return tuple(
        DeviceTarget(
            id=device.id, address=device.address, points=resolve_points(device, profiles_of(spec)[device.profile], connection)
        )
        for device in spec.devices
        if device.id in DEVICES
    )


@asynccontextmanager
async def rig(folder: Path, *, tcp: bool = False, **options: Any) -> AsyncIterator[Rig]:
    """The unit of the Spanish plant and a driver that knows two of its devices."""
    spec, plant = pilot("es"), plant_of("es", start=datetime.now(UTC))
    known = connection_of(spec, "es-rtu01")
    connection = replace(known, protocol=Protocol.IEC101, options={**known.options, **OPTIONS, **options})
    ledger = Ledger(folder / "writes.jsonl")
    unit = RemoteTerminalUnit(plant, connection, spec, profiles_of(spec), ledger)
    latest: dict[tuple[str, str], RawReading] = {}

    async def sink(device: str, readings: Sequence[RawReading]) -> None:
        latest.update({(device, reading.point): reading for reading in readings})

    port = free_port()
    line = SerialLine(folder / "line", LineSettings(baudrate=115200), equipment_file=True)
    if tcp:
        await unit.start("127.0.0.1", port)
    else:
        await line.open()
        await unit.start_serial(line.equipment_path)
    place = "" if tcp else str(line.path)
    target = Target(
        name="es-rtu01",
        host="127.0.0.1",
        port=port,
        serial_line=place,
        devices=devices_of(connection),
        options=connection.options,
    )
    driver = Iec101Driver(target, sink)
    try:
        async with stepping(plant):
            await driver.open()
            yield Rig(plant, ledger, driver, unit, latest, connection)
    finally:
        await driver.close()
        await unit.stop()
        await line.close()


def has_answered(peer: Rig) -> bool:
    return peer.value("es-SW04", "position") is not None and peer.value("es-STO01", "soc") is not None


async def test_an_interrogation_tells_every_value(tmp_path: Path) -> None:
    async with rig(tmp_path) as peer:
        wanted = {
            (device.id, name)
            for device in devices_of(peer.connection)
            for name, spec in device.points.items()
            if "ioa" in spec.address and "command_type" not in spec.address
        }
        await eventually(lambda: wanted <= set(peer.latest))
        assert peer.value("es-STO01", "soc") == pytest.approx(float(peer.plant.read("es-STO01", "soc") or 0), abs=0.5)
        assert peer.value("es-SW04", "position") == 2


@pytest.mark.parametrize("mode", ["unbalanced", "balanced"])
async def test_changed_values_come_by_themselves_with_their_time(tmp_path: Path, mode: str) -> None:
    async with rig(tmp_path, mode=mode) as peer:
        await eventually(lambda: has_answered(peer))
        peer.plant.write("es-STO01", "p_set", -5000.0)
        await eventually(lambda: peer.value("es-STO01", "active_power") == pytest.approx(-5000.0, rel=0.01))
        stamp = peer.latest["es-STO01", "active_power"].source_time
        assert stamp is not None and abs(stamp - datetime.now(UTC)) < timedelta(seconds=5)


async def test_a_set_point_is_confirmed_obeyed_and_written_down(tmp_path: Path) -> None:
    async with rig(tmp_path, tcp=True) as peer:
        assert (await peer.driver.write("es-STO01", "p_set", 5000.0)).raw
        await eventually(lambda: float(peer.plant.read("es-STO01", "active_power") or 0) == pytest.approx(5000, rel=0.01))
        assert [(e["device"], e["point"], e["value"]) for e in peer.ledger.entries()] == [("es-STO01", "p_set", 5000.0)]


async def test_an_impossible_set_point_is_refused(tmp_path: Path) -> None:
    async with rig(tmp_path) as peer:
        with pytest.raises(DeviceRefused):
            await peer.driver.write("es-STO01", "p_set", 500000.0)
        assert (await peer.driver.write("es-STO01", "p_set", 1000.0)).raw


async def test_a_breaker_opens_by_select_and_execute_and_reports_it_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as peer:
        await eventually(lambda: has_answered(peer))
        assert "select" in (await peer.driver.write("es-SW04", "position_cmd", 1.0)).raw
        await eventually(lambda: peer.value("es-SW04", "position") == 1)


async def test_one_unit_serves_104_and_101_at_once(tmp_path: Path) -> None:
    """The primary way and its backup tell the same plant."""
    async with rig(tmp_path, tcp=True) as peer:
        spec = pilot("es")
        primary = connection_of(spec, "es-rtu01")
        unit = iec104_rtu.RemoteTerminalUnit(peer.plant, primary, spec, profiles_of(spec), peer.ledger)
        port, told = free_port(), {}

        async def sink(device: str, readings: Sequence[RawReading]) -> None:
            told.update({(device, reading.point): reading.value for reading in readings})

        await unit.start("127.0.0.1", port)
        target = Target(name="es-rtu01", host="127.0.0.1", port=port, devices=devices_of(primary), options=primary.options)
        driver = Iec104Driver(target, sink)
        try:
            await driver.open()
            await driver.write("es-STO01", "p_set", 5000.0)
            await eventually(lambda: peer.value("es-STO01", "active_power") == pytest.approx(5000.0, rel=0.01))
            await eventually(lambda: told.get(("es-STO01", "active_power")) == pytest.approx(5000.0, rel=0.01))
        finally:
            await driver.close()
            await unit.stop()


async def test_a_client_that_was_cut_off_comes_again_and_is_told_everything(tmp_path: Path) -> None:
    async with rig(tmp_path, tcp=True) as peer:
        await eventually(lambda: has_answered(peer))
        peer.unit.cut()
        await asyncio.wait_for(peer.driver.closed.wait(), 30)
        peer.latest.clear()
        await peer.driver.open()
        await eventually(lambda: has_answered(peer))


def test_a_backup_way_brings_its_own_options(tmp_path: Path) -> None:
    spec = pilot("es")
    way = Way(protocol=Protocol.IEC101, options={"mode": "balanced", "cause_size": 1})
    unit = RemoteTerminalUnit(
        plant_of("es"), connection_of(spec, "es-rtu01"), spec, profiles_of(spec), Ledger(tmp_path / "w"), way=way
    )
    assert unit.balanced and unit.sizes[0].value == 1
    assert list(unit.stations) == [1]
