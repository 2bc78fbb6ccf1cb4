"""Units reached by several ways, and by each protocol: one plant and the same addresses behind all of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from invade_scada.ports import read_ports, serial_path
from pilots.catalogue.loader import profiles_of
from pilots.catalogue.points import resolve_points
from pilots.domain.errors import FieldError
from pilots.domain.measurement import RawReading
from pilots.domain.topology import PilotSpec, Protocol, Way
from pilots.drivers.base import DeviceTarget, Driver, Target
from pilots.drivers.iec101 import Iec101Driver
from pilots.drivers.registry import DRIVERS
from pilots.simulators.faults import FaultKind
from pilots.simulators.runner import simulating
from tests.drivers.iec101.peers import forgetting
from tests.simulators.peers import connection_of, eventually, free_port, pilot

LINE = {"baudrate": 115200, "ca": 1, "medium": "GPRS"}
METER = "es-AN01"


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def spain() -> PilotSpec:
    spec = pilot("es")
    unit = replace(connection_of(spec, "es-rtu01"), backups=(Way(protocol=Protocol.IEC101, options=LINE),))
    others = tuple(connection for connection in spec.connections if connection.name != unit.name)
    return replace(spec, connections=(unit, *others))


def target(spec: PilotSpec, line: Path) -> Target:
    device, connection = spec.device(METER), connection_of(spec, "es-rtu01")
    points = resolve_points(device, profiles_of(spec)[device.profile], connection)
    options = {**LINE, "ack_timeout_s": 0.5, "poll_class2_s": 0.1}
    return Target(
        name="es-rtu01",
        host="",
        port=0,
        serial_line=str(line),
        devices=(DeviceTarget(id=METER, address=device.address, points=points),),
        options=options,
    )


async def test_the_backup_line_shows_the_same_values_at_the_same_addresses(tmp_path: Path) -> None:
    spec, latest = spain(), dict[str, RawReading]()

    async def sink(_device: str, readings: Sequence[RawReading]) -> None:
        latest.update({reading.point: reading for reading in readings})

    async with simulating([spec], data_dir=tmp_path, first_port=free_port(), platform=False) as simulation:
        line = serial_path(tmp_path, "es-rtu01.1")
        assert "es-rtu01" in read_ports(tmp_path) and line.is_symlink()
        places = {place["name"]: place for place in simulation.desk.connections()[0]["backups"]}
        assert places["es-rtu01/1"]["protocol"] == "iec101"
        (way,) = (way for way in simulation.desk.ways if way.name == "es-rtu01/1")
        assert way.medium is not None and way.medium.name == "GPRS"
        with forgetting():
            driver = Iec101Driver(target(spec, line), sink)
            await driver.open()
            await eventually(lambda: "active_power" in latest)
            await driver.close()
        shown = float(latest["active_power"].value or 0)
        true = float(simulation.plants["es"].read(METER, "active_power") or 0)
        assert shown == pytest.approx(true, abs=max(500.0, 0.1 * abs(true)))

        simulation.faults.start(FaultKind.REFUSE, "es-rtu01/1", now=datetime.now(UTC))
        await eventually(lambda: not os.path.lexists(line))
        assert simulation.faults.on(FaultKind.REFUSE, "es-rtu01") is None


async def test_a_restarted_unit_answers_again(tmp_path: Path) -> None:
    latest = dict[str, RawReading]()

    async def sink(_device: str, readings: Sequence[RawReading]) -> None:
        latest.update({reading.point: reading for reading in readings})

    async with simulating([spain()], data_dir=tmp_path, first_port=free_port(), platform=False) as simulation:
        (way,) = (way for way in simulation.desk.ways if way.name == "es-rtu01/1")
        before = way.peer  # type: ignore[attr-defined]
        fault = simulation.faults.start(FaultKind.REBOOT, "es-rtu01/1", now=datetime.now(UTC))
        await eventually(lambda: way.peer is None)  # type: ignore[attr-defined]
        simulation.faults.end(fault.id)
        await eventually(lambda: way.peer not in (None, before))  # type: ignore[attr-defined]
        with forgetting():
            driver = Iec101Driver(target(spain(), serial_path(tmp_path, "es-rtu01.1")), sink)
            await driver.open()
            await eventually(lambda: "active_power" in latest)
            await driver.close()


def with_protocol(spec: PilotSpec, name: str, protocol: Protocol, **options: object) -> PilotSpec:
    """The pilot with one connection speaking another protocol."""
    old = connection_of(spec, name)
    changed = replace(old, protocol=protocol, options={**old.options, **options})
    return replace(spec, connections=tuple(changed if each is old else each for each in spec.connections))


async def test_a_gateway_on_a_serial_line_answers_for_its_units(tmp_path: Path) -> None:
    spec = with_protocol(pilot("bg"), "bg-rtu01", Protocol.MODBUS_RTU, baudrate=115200)
    async with simulating([spec], data_dir=tmp_path, first_port=free_port(), platform=False) as simulation:
        device = spec.device("bg-PM01")
        points = resolve_points(device, profiles_of(spec)[device.profile], connection_of(spec, "bg-rtu01"))
        driver: Driver = DRIVERS[Protocol.MODBUS_RTU](
            Target(
                name="bg-rtu01",
                host="",
                port=0,
                serial_line=str(serial_path(tmp_path, "bg-rtu01")),
                devices=(DeviceTarget(id=device.id, address=device.address, points=points),),
                options={"baudrate": 115200, "timeout_s": 1.0},
            ),
            nobody,
        )
        await driver.open()
        (reading,) = await driver.read("bg-PM01", ["active_power"])
        true = float(simulation.plants["bg"].read("bg-PM01", "active_power") or 0)
        scale = points["active_power"].scale
        assert float(reading.value or 0) * scale == pytest.approx(true, rel=0.1)
        for target_name in ("bg-PM01", "bg-rtu01"):
            fault = simulation.faults.start(FaultKind.SILENCE, target_name, now=datetime.now(UTC))
            with pytest.raises(FieldError):
                await driver.read("bg-PM01", ["active_power"])
            simulation.faults.end(fault.id)
        await driver.close()


async def nobody(_device: str, _readings: Sequence[RawReading]) -> None:
    return None
