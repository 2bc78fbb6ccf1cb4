"""Simulated Modbus gateways, read and written by clients that are not ours."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from pilots.catalogue.loader import profiles_of
from pilots.catalogue.points import resolve_points
from pilots.domain.errors import AnswerTimeout, LinkDown, ProtocolViolation
from pilots.domain.topology import Protocol
from pilots.drivers.base import DeviceTarget
from pilots.drivers.modbus import ModbusRtuDriver
from pilots.simulators.ledger import Ledger
from pilots.simulators.modbus_gateway import ModbusGateway
from pilots.simulators.plant import Plant
from pilots.simulators.serial_line import QUIET, Disturbance, LineSettings, SerialLine
from tests.drivers.builders import Committed, make_device, make_point, make_target
from tests.drivers.modbus_benches import on_line, opened
from tests.drivers.tls_files import tls_files
from tests.simulators.peers import connection_of, eventually, free_port, pilot, plant_of, stepping

#: The large German battery.
UNIT = int(pilot("de").device("de-STO90").address["unit"])


@dataclass
class Rig:
    plant: Plant
    port: int
    ledger: Ledger


@asynccontextmanager
async def gateway(code: str, name: str, folder: Path) -> AsyncIterator[Rig]:
    spec, plant = pilot(code), plant_of(code, start=datetime.now(UTC))
    ledger, port = Ledger(folder / "writes.jsonl"), free_port()
    server = ModbusGateway(plant, connection_of(spec, name), spec, profiles_of(spec), ledger)
    await server.start("127.0.0.1", port)
    try:
        yield Rig(plant, port, ledger)
    finally:
        await server.stop()


@dataclass
class LineRig:
    plant: Plant
    path: Path
    line: SerialLine


@asynccontextmanager
async def serial_gateway(code: str, name: str, folder: Path) -> AsyncIterator[LineRig]:
    """The units of a connection on a serial line instead."""
    spec, plant = pilot(code), plant_of(code, start=datetime.now(UTC))
    connection = replace(connection_of(spec, name), protocol=Protocol.MODBUS_RTU)
    server = ModbusGateway(plant, connection, spec, profiles_of(spec), Ledger(None))
    path = folder / "line"
    async with SerialLine(path, LineSettings(), equipment_file=True) as line:
        await server.start_serial(line.equipment_path)
        try:
            yield LineRig(plant, path, line)
        finally:
            await server.stop()


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0)
    await client.connect()
    try:
        yield client
    finally:
        client.close()


async def mbpoll(place: int | Path, *arguments: str) -> str:
    line = ["-m", "rtu", "-b", "19200", "-P", "even"], str(place)
    carrier, where = line if isinstance(place, Path) else (["-m", "tcp", "-p", str(place)], "127.0.0.1")
    process = await asyncio.create_subprocess_exec(
        "mbpoll", *carrier, "-1", "-o", "5", *arguments, where,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return output.decode(errors="replace")


async def test_an_independent_client_reads_the_meter_of_the_incomer(tmp_path: Path) -> None:
    async with gateway("bg", "bg-rtu01", tmp_path) as rig:
        output = await mbpoll(rig.port, "-a", "1", "-t", "4:float", "-B", "-r", "3060", "-c", "1")
    found = re.search(r"\[3060\]:\s+([-0-9.e+]+)", output)
    assert found, output
    kilowatts = float(found.group(1))
    assert kilowatts == pytest.approx(float(rig.plant.read("bg-PM01", "active_power") or 0) / 1000, rel=1e-3)


async def npm_client(*arguments: object) -> Any:
    """The answers of npm's modbus-serial."""
    script = str(Path(__file__).parents[1] / "peers" / "modbus_client.js")
    process = await asyncio.create_subprocess_exec("node", script, *map(str, arguments), stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return json.loads(output)


CALLS = [["readHoldingRegisters", 3059, 2], ["readHoldingRegisters", 1, 1], ["writeRegister", 3059, 1]]


async def test_npms_client_reads_a_meter_over_tcp_and_is_refused_where_a_meter_refuses(tmp_path: Path) -> None:
    async with gateway("bg", "bg-rtu01", tmp_path) as rig:
        read, nowhere, written = await npm_client("tcp", rig.port, 1, json.dumps(CALLS))
        (nobody,) = await npm_client("tcp", rig.port, 77, json.dumps(CALLS[:1]))
        kilowatts = struct.unpack(">f", struct.pack(">2H", *read))[0]
        assert kilowatts == pytest.approx(float(rig.plant.read("bg-PM01", "active_power") or 0) / 1000, rel=1e-3)
    assert (nowhere, written, nobody) == ({"exception": 2}, {"exception": 2}, {"exception": 11})


async def test_two_independent_clients_read_the_same_units_on_a_serial_line(tmp_path: Path) -> None:
    async with serial_gateway("bg", "bg-rtu01", tmp_path) as rig:
        kilowatts = float(rig.plant.read("bg-PM02", "active_power") or 0) / 1000
        output = await mbpoll(rig.path, "-a", "2", "-t", "4:float", "-B", "-r", "3060", "-c", "1")
        found = re.search(r"\[3060\]:\s+([-0-9.e+]+)", output)
        assert found, output
        assert float(found.group(1)) == pytest.approx(kilowatts, rel=1e-3)
        read, nowhere, written = await npm_client("rtu", rig.path, 2, json.dumps(CALLS))
        assert struct.unpack(">f", struct.pack(">2H", *read))[0] == pytest.approx(kilowatts, rel=1e-3)
        assert (nowhere, written) == ({"exception": 2}, {"exception": 2})


async def test_our_driver_reads_the_line_in_line_time_and_nobody_answers_for_an_absent_unit(tmp_path: Path) -> None:
    async with serial_gateway("bg", "bg-rtu01", tmp_path) as rig:
        devices = [
            make_device(
                make_point("p", register=3059, type="float32"),
                make_point("far", register=3109),
                address={"unit": unit},
                id=f"u{unit}",
            )
            for unit in (1, 77)
        ]
        async with on_line(rig.path, *devices, baudrate=19200, parity="E", timeout_s=0.3) as driver:
            started = time.monotonic()
            values = [reading.value for reading in await driver.read("u1", ["p", "far"])]
            # 8 bytes there, 5 + 2 * 51 back, 11 bits each.
            assert time.monotonic() - started > 115 * 11 / 19200
            assert values[0] == pytest.approx(float(rig.plant.read("bg-PM01", "active_power") or 0) / 1000, rel=1e-3)
            with pytest.raises(AnswerTimeout):
                await driver.read("u77", ["p"])


async def test_the_units_understand_again_after_noise(tmp_path: Path) -> None:
    async with serial_gateway("bg", "bg-rtu01", tmp_path) as rig:
        device = make_device(make_point("p", register=3059, type="float32"))
        async with on_line(rig.path, device, baudrate=19200, parity="E", timeout_s=0.3, late_s=0.1) as driver:

            async def poll() -> bool:
                driver._health["bg-M01"].note_answer()
                try:
                    return bool(await driver.read("bg-M01", ["p"]))
                except (AnswerTimeout, ProtocolViolation):
                    return False

            rig.line.disturb(Disturbance(bursts_per_s=50, garbled=0.05))
            for _ in range(4):
                await poll()
            rig.line.disturb(QUIET)
            await eventually(poll, within_s=20.0)
            assert await poll()


async def test_behind_a_serial_device_server_the_line_is_reached_by_tcp(tmp_path: Path) -> None:
    spec, plant, port = pilot("bg"), plant_of("bg", start=datetime.now(UTC)), free_port()
    connection = replace(connection_of(spec, "bg-rtu01"), protocol=Protocol.MODBUS_RTU)
    server = ModbusGateway(plant, connection, spec, profiles_of(spec), Ledger(None))
    await server.start("127.0.0.1", port)
    device = make_device(make_point("p", register=3059, type="float32"))
    driver = ModbusRtuDriver(make_target(port, device), Committed())
    try:
        await driver.open()
        (reading,) = await driver.read("bg-M01", ["p"])
        assert reading.value == pytest.approx(float(plant.read("bg-PM01", "active_power") or 0) / 1000, rel=1e-3)
    finally:
        await driver.close()
        await server.stop()
        await server.stop()


async def test_with_certificates_the_gateway_speaks_only_to_those_it_trusts(tmp_path: Path) -> None:
    files = tls_files(tmp_path)
    spec, plant, port = pilot("bg"), plant_of("bg", start=datetime.now(UTC)), free_port()
    connection = replace(connection_of(spec, "bg-rtu01"), options={"simulator_tls": files.server})
    server = ModbusGateway(plant, connection, spec, profiles_of(spec), Ledger(None))
    await server.start("127.0.0.1", port)
    device = make_device(make_point("p", register=3059, type="float32"))
    try:
        async with opened(port, device, tls=files.client, timeout_s=1.0) as driver:
            assert (await driver.read("bg-M01", ["p"]))[0].value is not None
        async with opened(port, device, timeout_s=0.3) as driver:
            with pytest.raises((AnswerTimeout, ProtocolViolation, LinkDown)):
                await driver.read("bg-M01", ["p"])
    finally:
        await server.stop()


async def test_an_independent_client_sees_exception_11_for_nobody_and_2_for_no_register(tmp_path: Path) -> None:
    async with gateway("bg", "bg-rtu01", tmp_path) as rig:
        nobody = await mbpoll(rig.port, "-a", "77", "-r", "3060", "-c", "1")
        nowhere = await mbpoll(rig.port, "-a", "1", "-r", "1", "-c", "1")
    assert "Target device failed to respond" in nobody
    assert "Illegal data address" in nowhere


async def test_all_units_answer_and_the_gateway_itself_at_255(tmp_path: Path) -> None:
    async with gateway("bg", "bg-rtu01", tmp_path) as rig, client_of(rig.port) as client:
        for unit in (1, 2, 3):
            assert not (await client.read_holding_registers(3059, count=2, device_id=unit)).isError()
        assert not (await client.read_holding_registers(0, count=1, device_id=255)).isError()
        assert (await client.read_holding_registers(0, count=1, device_id=99)).exception_code == 11


async def test_a_sunspec_scan_finds_the_chain_from_marker_to_end(tmp_path: Path) -> None:
    models = []
    async with gateway("de", "de-gw90", tmp_path) as rig, client_of(rig.port) as client:
        marker = await client.read_holding_registers(40000, count=2, device_id=UNIT)
        assert bytes.fromhex("".join(f"{word:04x}" for word in marker.registers)) == b"SunS"
        register = 40002
        while True:
            model, length = (await client.read_holding_registers(register, count=2, device_id=UNIT)).registers
            if model == 0xFFFF:
                break
            models.append(model)
            register += 2 + length
    assert models == [1, 701, 704, 713, 802]


@asynccontextmanager
async def battery_by_models(folder: Path) -> AsyncIterator[tuple[Rig, DeviceTarget]]:
    """The German battery by a profile that names models instead of registers, and how a driver is told of it."""
    whole = pilot("de")
    (battery,) = (replace(device, profile="sunspec-battery-gateway") for device in whole.devices if device.id == "de-STO90")
    spec = replace(whole, devices=(battery,))
    profiles = profiles_of(spec)
    plant, port = Plant(spec, profiles, seed=1, start=datetime.now(UTC)), free_port()
    connection, ledger = connection_of(spec, "de-gw90"), Ledger(folder / "writes.jsonl")
    server = ModbusGateway(plant, connection, spec, profiles, ledger)
    await server.start("127.0.0.1", port)
    profile = profiles[battery.profile]
    points = resolve_points(battery, profile, connection)
    try:
        yield (
            Rig(plant, port, ledger),
            DeviceTarget(id=battery.id, address=battery.address, points=points, options=profile.options),
        )
    finally:
        await server.stop()


async def test_a_profile_that_names_models_is_served_and_read_point_by_point(tmp_path: Path) -> None:
    async with battery_by_models(tmp_path) as (rig, device), opened(rig.port, device, timeout_s=5.0) as driver:
        names = [name for name, spec in device.points.items() if not spec.kind.writable]
        shown = {reading.point: reading for reading in await driver.read("de-STO90", names)}
        compared = 0
        for name in names:
            value = rig.plant.read("de-STO90", name)
            if isinstance(value, float | int) and shown[name].value is not None:
                assert device.points[name].from_wire(float(shown[name].value)) == pytest.approx(value, rel=1e-3, abs=15), name  # type: ignore[arg-type]
                compared += 1
        assert compared >= 10
        await driver.write("de-STO90", "p_set", -20000, valid_for_s=60)
        assert rig.plant.read("de-STO90", "p_set") == -20000


async def test_the_sunspec_alliances_client_finds_the_same_models(tmp_path: Path) -> None:
    async with battery_by_models(tmp_path) as (rig, device):

        def scan() -> dict[int, Any]:
            client = SunSpecModbusClientDeviceTCP(slave_id=int(device.address["unit"]), ipaddr="127.0.0.1", ipport=rig.port)
            try:
                client.scan()
                client.DERMeasureAC[0].read()
                return {
                    "models": sorted(key for key in client.models if isinstance(key, int)),
                    "W": client.DERMeasureAC[0].W.cvalue,
                }
            finally:
                client.close()

        found = await asyncio.to_thread(scan)
        assert found["models"] == [1, 701, 702, 704, 713, 802]
        assert found["W"] == pytest.approx(-float(rig.plant.read("de-STO90", "active_power") or 0), abs=15)


#: Its registers in model 704: WSetEna, WSet, WSetRvrtTms and WSet_SF.
ENABLE, VALUE, TIMER, SCALE = 40247, 40249, 40256, 40280


async def order(client: AsyncModbusTcpClient, watts: int, seconds: int) -> object:
    """As a client does it: time to live, value, enable. Positive = discharge, as SunSpec counts."""
    exponent = (await client.read_holding_registers(SCALE, count=1, device_id=UNIT)).registers[0]
    raw = int(watts / 10 ** (exponent - 65536 if exponent > 32767 else exponent)) & 0xFFFFFFFF
    await client.write_registers(TIMER, [seconds >> 16, seconds & 0xFFFF], device_id=UNIT)
    answer = await client.write_registers(VALUE, [raw >> 16, raw & 0xFFFF], device_id=UNIT)
    if not answer.isError():
        await client.write_registers(ENABLE, [1], device_id=UNIT)
    return answer


async def test_a_sunspec_set_point_moves_the_battery_and_is_one_write_in_the_ledger(tmp_path: Path) -> None:
    async with gateway("de", "de-gw90", tmp_path) as rig, client_of(rig.port) as client, stepping(rig.plant):
        await order(client, 20000, 60)
        await eventually(lambda: float(rig.plant.read("de-STO90", "active_power") or 0) < -19000)
    writes = rig.ledger.entries()
    assert [(entry["device"], entry["point"], entry["value"]) for entry in writes] == [("de-STO90", "p_set", -20000.0)]


async def test_the_reversion_timer_drops_the_set_point_and_its_enable(tmp_path: Path) -> None:
    async with gateway("de", "de-gw90", tmp_path) as rig, client_of(rig.port) as client, stepping(rig.plant):
        await order(client, -20000, 2)
        assert rig.plant.read("de-STO90", "p_set") == 20000.0
        await eventually(lambda: rig.plant.read("de-STO90", "p_set") == 0.0)
        assert (await client.read_holding_registers(ENABLE, count=1, device_id=UNIT)).registers == [0]
        assert (await client.read_holding_registers(VALUE, count=2, device_id=UNIT)).registers == [0, 0]


async def test_clearing_the_enable_releases_the_battery(tmp_path: Path) -> None:
    async with gateway("de", "de-gw90", tmp_path) as rig, client_of(rig.port) as client:
        await order(client, 10000, 600)
        assert rig.plant.read("de-STO90", "p_set") == -10000.0
        await client.write_registers(ENABLE, [0], device_id=UNIT)
        assert rig.plant.read("de-STO90", "p_set") == 0.0


async def test_a_value_beyond_the_device_is_exception_3_and_changes_nothing(tmp_path: Path) -> None:
    async with gateway("de", "de-gw90", tmp_path) as rig, client_of(rig.port) as client:
        answer = await order(client, 999999, 60)
        assert answer.exception_code == 3  # type: ignore[attr-defined]
        assert (await client.read_holding_registers(VALUE, count=2, device_id=UNIT)).registers == [0, 0]
        assert rig.plant.read("de-STO90", "p_set") == 0.0
    assert rig.ledger.entries() == []


async def test_a_measurement_register_cannot_be_written(tmp_path: Path) -> None:
    async with gateway("de", "de-gw90", tmp_path) as rig, client_of(rig.port) as client:
        assert (await client.write_register(40080, 1, device_id=UNIT)).exception_code == 2


async def test_every_point_reads_back_what_the_plant_says(tmp_path: Path) -> None:
    spec, plant = pilot("bg"), plant_of("bg", start=datetime.now(UTC))
    for connection in spec.connections:
        if connection.protocol != "modbus_tcp":
            continue
        server = ModbusGateway(plant, connection, spec, profiles_of(spec), Ledger(None))
        for image in server.images.values():
            for cell in image.cells:
                value = plant.read(cell.device, cell.spec.name)
                image.refresh(cell.start, cell.width)
                shown = cell.decode(image.words_of(cell))
                step = abs(cell.spec.scale) * 10.0**cell.exponent
                assert isinstance(value, float | int), f"{cell.device} {cell.spec.name}"
                assert shown == pytest.approx(value, rel=1e-6, abs=step), f"{cell.device} {cell.spec.name}"
