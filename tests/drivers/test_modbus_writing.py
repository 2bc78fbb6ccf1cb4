"""Writes by Modbus TCP: order, read-back, refusals, and what is not known afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pilots.domain.errors import AnswerTimeout, DeviceRefused, ProtocolViolation
from pilots.domain.point import PointKind
from tests.drivers.builders import make_device, make_point
from tests.drivers.modbus_benches import FLOATS, SETPOINT, opened, peer_with_floats
from tests.drivers.raw_modbus import Request, raw_modbus


async def test_a_scale_factor_register_is_applied_and_undone() -> None:
    setpoint = make_point("p_set", PointKind.SETPOINT, register=40, type="int16", scale_register=300)
    async with raw_modbus(registers={40: 0, 300: 2}) as peer, opened(peer.port, make_device(setpoint)) as driver:
        await driver.write("bg-M01", "p_set", 1234)
        assert peer.registers[40] == 12
        (reading,) = await driver.read("bg-M01", ["p_set"])
        assert reading.value == 1200
        await driver.read("bg-M01", ["p_set"])
        assert sum(r.address == 300 for r in peer.asked) == 2  # once for the write, once for all polls


async def test_a_sunspec_704_write_sends_time_then_value_then_enable() -> None:
    setpoint = make_point(
        "p_set", PointKind.SETPOINT, register=40, type="int32", enable={"register": 50, "value": 1}, reversion_register=60
    )
    async with raw_modbus(registers={40: 0, 41: 0}) as peer, opened(peer.port, make_device(setpoint)) as driver:
        result = await driver.write("bg-M01", "p_set", -5000, valid_for_s=89.2)
        assert [(r.function, r.address) for r in peer.asked] == [(16, 60), (16, 40), (16, 50), (3, 40)]
        assert peer.registers[61] == 90 and peer.registers[50] == 1
        assert "-5000" in result.raw


async def test_a_device_that_confirms_and_ignores_is_found_out() -> None:
    async with (
        raw_modbus(registers={40: 0, 41: 0}, ignore_writes=True) as peer,
        opened(peer.port, make_device(SETPOINT)) as driver,
    ):
        with pytest.raises(DeviceRefused, match="accepted the write and ignored it"):
            await driver.write("bg-M01", "p_set", 5)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 6])
async def test_a_write_the_device_refuses_is_refused_with_its_code(code: int) -> None:
    async def refuse(request: Request) -> bytes:
        return request.exception(code)

    async with raw_modbus(script=refuse) as peer, opened(peer.port, make_device(SETPOINT)) as driver:
        with pytest.raises(DeviceRefused) as refusal:
            await driver.write("bg-M01", "p_set", 5)
        assert refusal.value.device_code == str(code)
        assert driver.traffic.refused == 1


async def test_single_registers_and_coils_use_their_own_functions() -> None:
    points = (
        make_point("mode", PointKind.SETPOINT, register=70, type="uint16", write_function=6),
        make_point("enable", PointKind.COMMAND, register=3, table="coil"),
    )
    async with raw_modbus() as peer, opened(peer.port, make_device(*points)) as driver:
        await driver.write("bg-M01", "mode", 2)
        await driver.write("bg-M01", "enable", 1)
        assert [r.function for r in peer.asked] == [6, 3, 5, 1]
        (reading,) = await driver.read("bg-M01", ["enable"])
        assert reading.value == 1
        assert peer.coils == {3: True}


async def test_a_coil_may_be_written_as_one_of_many() -> None:
    point = make_point("enable", PointKind.COMMAND, register=3, table="coil", write_function=15)
    async with raw_modbus() as peer, opened(peer.port, make_device(point)) as driver:
        await driver.write("bg-M01", "enable", 1)
        assert [r.function for r in peer.asked] == [15, 1]
        assert peer.coils == {3: True}


@pytest.mark.parametrize(("byte_order", "shown"), [("big", 0xF35A), ("little", 0x335A)])
async def test_a_bit_field_is_written_by_the_device_itself_and_leaves_its_neighbours(byte_order: str, shown: int) -> None:
    mode = make_point("mode", PointKind.SETPOINT, register=40, bits=[8, 11] if byte_order == "big" else [0, 3])
    device = make_device(mode, byte_order=byte_order)
    async with raw_modbus(registers={40: 0xF05A if byte_order == "big" else 0x305A}) as peer, opened(peer.port, device) as driver:
        await driver.write("bg-M01", "mode", 3)
        assert [(r.function, r.address) for r in peer.asked] == [(22, 40), (3, 40)]
        assert peer.registers == {40: shown}
        (reading,) = await driver.read("bg-M01", ["mode"])
        assert reading.value == 3
        with pytest.raises(DeviceRefused, match="does not fit 4 bits"):
            await driver.write("bg-M01", "mode", 16)


async def test_a_bit_field_that_stays_as_it_was_is_found_out() -> None:
    point = make_point("mode", PointKind.SETPOINT, register=40, bit=2)
    async with raw_modbus(registers={40: 0}, ignore_writes=True) as peer, opened(peer.port, make_device(point)) as driver:
        with pytest.raises(DeviceRefused, match="accepted the write and ignored it"):
            await driver.write("bg-M01", "mode", 1)


async def test_a_value_beyond_the_register_never_leaves() -> None:
    point = make_point("p_set", PointKind.SETPOINT, register=40, type="int16")
    async with raw_modbus() as peer, opened(peer.port, make_device(point)) as driver:
        with pytest.raises(DeviceRefused, match="does not fit int16"):
            await driver.write("bg-M01", "p_set", 1e6)
        assert peer.asked == []


async def test_a_silent_write_is_unknown_not_failed() -> None:
    async def silence(request: Request) -> None:
        return None

    async with raw_modbus(script=silence) as peer, opened(peer.port, make_device(SETPOINT)) as driver:
        with pytest.raises(AnswerTimeout):
            await driver.write("bg-M01", "p_set", 5)


async def test_a_command_overtakes_the_polls_that_wait() -> None:
    async with raw_modbus(registers={40: 0, 41: 0, **peer_with_floats()}) as peer:
        first, go_on = asyncio.Event(), asyncio.Event()

        async def script(request: Request) -> bytes:
            first.set()
            await go_on.wait()
            return peer.answer(request)

        peer.script = script
        async with opened(peer.port, make_device(*FLOATS, SETPOINT), timeout_s=2.0) as driver:
            polls = [asyncio.create_task(driver.read("bg-M01", ["a"])) for _ in range(3)]
            await first.wait()
            command = asyncio.create_task(driver.write("bg-M01", "p_set", 5))
            await asyncio.sleep(0)
            go_on.set()
            await asyncio.gather(command, *polls)
        assert [r.function for r in peer.asked][:2] == [3, 16]


async def test_a_link_lost_between_value_and_enable_leaves_the_outcome_unknown() -> None:
    setpoint = make_point("p_set", PointKind.SETPOINT, register=40, type="int16", enable={"register": 50})
    async with raw_modbus() as peer, opened(peer.port, make_device(setpoint)) as driver:

        async def script(request: Request) -> bytes:
            if request.address == 50:
                peer.hang_up()
            return peer.answer(request)

        peer.script = script
        with pytest.raises(AnswerTimeout):
            await driver.write("bg-M01", "p_set", 5)
        assert peer.registers[40] == 5


async def test_a_register_that_can_only_be_written_is_trusted_to_its_confirmation() -> None:
    async with raw_modbus() as peer, opened(peer.port, make_device(SETPOINT)) as driver:

        async def script(request: Request) -> bytes:
            return request.exception(2) if request.function == 3 else peer.answer(request)

        peer.script = script
        assert "cannot be read back" in (await driver.write("bg-M01", "p_set", 5)).raw


@pytest.mark.parametrize("function", [5, 6, 16])
async def test_a_confirmation_of_another_write_is_a_violation(function: int) -> None:
    points = {
        5: make_point("x", PointKind.COMMAND, register=40, table="coil"),
        6: make_point("x", PointKind.SETPOINT, register=40, write_function=6),
        16: make_point("x", PointKind.SETPOINT, register=40),
    }

    async def script(request: Request) -> bytes:
        return request.frame(bytes([request.function, 0, 41]) + request.body[2:4])

    async with raw_modbus(script=script) as peer, opened(peer.port, make_device(points[function])) as driver:
        with pytest.raises(ProtocolViolation, match="another write"):
            await driver.write("bg-M01", "x", 1)
        assert driver.traffic.violations == 1


@pytest.mark.parametrize(
    "address",
    [
        {"register": 40, "table": "input"},
        {"register": 40, "type": "string", "length": 2},
        {"register": 40, "type": "uint32", "bit": 17},
        {"register": 40, "type": "float32", "bit": 1},
        {"register": 65535, "type": "uint32"},
        {"register": 70000, "bit": 1},
        {"register": 70000, "table": "coil"},
    ],
)
async def test_what_cannot_be_written_never_leaves(address: dict[str, Any]) -> None:
    point = make_point("x", PointKind.SETPOINT, **address)
    async with raw_modbus() as peer, opened(peer.port, make_device(point)) as driver:
        with pytest.raises(DeviceRefused) as refusal:
            await driver.write("bg-M01", "x", 1)
        assert refusal.value.device_code == "not_writable"
        assert peer.asked == []


async def test_a_coil_that_stays_as_it_was_is_found_out() -> None:
    point = make_point("enable", PointKind.COMMAND, register=3, table="coil")
    async with raw_modbus(ignore_writes=True) as peer, opened(peer.port, make_device(point)) as driver:
        with pytest.raises(DeviceRefused, match="accepted the write and ignored it"):
            await driver.write("bg-M01", "enable", 1)


async def test_closing_under_a_request_leaves_nobody_waiting() -> None:
    asked = asyncio.Event()

    async def silence(request: Request) -> None:
        asked.set()

    async with raw_modbus(script=silence) as peer, opened(peer.port, make_device(SETPOINT), timeout_s=30) as driver:
        command = asyncio.create_task(driver.write("bg-M01", "p_set", 5))
        await asked.wait()
        await driver.close()
        async with asyncio.timeout(30):
            with pytest.raises(AnswerTimeout):
                await command
