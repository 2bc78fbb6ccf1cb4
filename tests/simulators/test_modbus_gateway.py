"""Simulated Modbus gateways, read and written by clients that are not ours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from pilots.catalogue.loader import profiles_of
from pilots.simulators.ledger import Ledger
from pilots.simulators.modbus_gateway import ModbusGateway
from pilots.simulators.plant import Plant
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


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0)
    await client.connect()
    try:
        yield client
    finally:
        client.close()


async def mbpoll(port: int, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "mbpoll", "-m", "tcp", "-p", str(port), "-1", "-o", "5", *arguments, "127.0.0.1",
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
