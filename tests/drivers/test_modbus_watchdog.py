"""Reversion timers by Modbus: short and wound up again; and nothing that leaves after its time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from pilots.domain.errors import NotSent
from pilots.domain.point import Capability, PointKind
from tests.drivers.builders import make_device, make_point
from tests.drivers.modbus_benches import SETPOINT, opened
from tests.drivers.raw_modbus import Request, raw_modbus

WATCHED = replace(
    make_point(
        "p_set", PointKind.SETPOINT, register=40, type="int32", enable={"register": 50, "value": 1}, reversion_register=60
    ),
    capability=Capability(minimum=-1e6, maximum=1e6, watchdog_s=60),
)


async def test_a_short_reversion_time_is_written_instead_of_a_long_validity() -> None:
    async with raw_modbus(registers={40: 0, 41: 0}) as peer, opened(peer.port, make_device(WATCHED)) as driver:
        await driver.write("bg-M01", "p_set", -5000, valid_for_s=86_400)
        assert peer.registers[61] == 60
        await driver.write("bg-M01", "p_set", -5000, valid_for_s=20.5)
        assert peer.registers[61] == 21


async def test_renewing_writes_time_and_enable_and_never_the_value() -> None:
    async with raw_modbus(registers={40: 0, 41: 0, 50: 1}) as peer, opened(peer.port, make_device(WATCHED)) as driver:
        assert await driver.renew("bg-M01", "p_set", valid_for_s=600)
        assert [(request.function, request.address) for request in peer.asked] == [(3, 50), (16, 60), (16, 50)]
        assert (peer.registers[61], peer.registers[50]) == (60, 1)


async def test_what_the_device_let_go_of_is_not_renewed() -> None:
    async with raw_modbus(registers={40: 0, 41: 0, 50: 0}) as peer, opened(peer.port, make_device(WATCHED)) as driver:
        assert not await driver.renew("bg-M01", "p_set", valid_for_s=600)
        assert [request.function for request in peer.asked] == [3]


async def test_s5_a_write_whose_turn_comes_after_its_time_never_leaves() -> None:
    held = asyncio.Event()

    async def slow(request: Request) -> bytes | None:
        if request.function == 3:
            await held.wait()
        return None if request.function == 3 else peer.answer(request)

    async with raw_modbus(registers={40: 0, 41: 0}) as peer, opened(peer.port, make_device(SETPOINT), timeout_s=0.5) as driver:
        peer.script = slow
        poll = asyncio.create_task(driver.read("bg-M01", ["p_set"]))
        await asyncio.sleep(0)  # the poll has the line
        with pytest.raises(NotSent):
            await driver.write("bg-M01", "p_set", 5, valid_for_s=0.1)
        await asyncio.gather(poll, return_exceptions=True)
        held.set()
        assert [request for request in peer.asked if request.function != 3] == []
