"""SunSpec discovery: the same profile for devices that put their models anywhere, in any order."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from pilots.domain.errors import AnswerTimeout, DeviceRefused, ProtocolViolation
from pilots.domain.point import PointKind
from pilots.domain.quality import Flag, Validity
from pilots.drivers.modbus.sunspec import Chain, Model
from tests.drivers.builders import make_device, make_point
from tests.drivers.modbus_benches import opened
from tests.drivers.raw_modbus import Request, raw_modbus

POWER = make_point("active_power", model=103, offset=14, type="int16", scale_offset=15)
STATE = make_point("state", model=103, offset=38, type="enum16")
SET = make_point(
    "p_set",
    PointKind.SETPOINT,
    model=704,
    offset=4,
    type="int32",
    scale_offset=6,
    enable={"offset": 3, "value": 1},
    reversion_offset=7,
)
NAMES = ["active_power", "state"]


def device_of(base: int, *models: tuple[int, int]) -> dict[int, int]:
    """The registers of a device with these models (id, length); all others hold 0."""
    registers = dict(zip(range(base, base + 2), struct.unpack(">2H", b"SunS"), strict=True))
    at = base + 2
    for model, length in models:
        registers |= dict.fromkeys(range(at, at + 2 + length), 0) | {at: model, at + 1: length}
        at += 2 + length
    return registers | {at: 0xFFFF, at + 1: 0}


@pytest.mark.parametrize("base", [40000, 50000, 0])
@pytest.mark.parametrize("models", [[(1, 66), (103, 50), (704, 20)], [(1, 65), (120, 26), (704, 20), (103, 50)]])
async def test_a_profile_fits_whatever_the_base_and_the_order_of_models(base: int, models: list[tuple[int, int]]) -> None:
    registers = device_of(base, *models)
    starts, at = {}, base + 2
    for model, length in models:
        starts[model] = at
        at += 2 + length
    registers |= {starts[103] + 14: 1234, starts[103] + 15: 1, starts[103] + 38: 4, starts[704] + 6: 2}
    async with raw_modbus(registers=registers) as peer, opened(peer.port, make_device(POWER, STATE, SET)) as driver:
        found = {reading.point: reading.value for reading in await driver.read("bg-M01", NAMES)}
        assert found == {"active_power": 12340.0, "state": 4}
        before = len(peer.asked)
        await driver.read("bg-M01", NAMES)
        assert len(peer.asked) == before + 1  # looked up once for the connection
        await driver.write("bg-M01", "p_set", -5000, valid_for_s=60)
        assert peer.registers[starts[704] + 4] == 0xFFFF and peer.registers[starts[704] + 5] == 0x10000 - 50
        assert peer.registers[starts[704] + 3] == 1 and peer.registers[starts[704] + 8] == 60


async def test_the_nth_model_of_a_number_is_another_one() -> None:
    points = make_point("first", model=160, offset=2), make_point("second", model=160, nth=2, offset=2)
    registers = device_of(40000, (1, 66), (160, 10), (160, 10)) | {40072: 11, 40084: 22}
    async with raw_modbus(registers=registers) as peer, opened(peer.port, make_device(*points)) as driver:
        assert [reading.value for reading in await driver.read("bg-M01", ["first", "second"])] == [11, 22]


async def test_what_the_device_does_not_have_is_not_available_and_cannot_be_written() -> None:
    beyond = make_point("beyond", model=103, offset=52)
    registers = device_of(40000, (1, 66), (103, 50)) | {40070 + 14: 5, 40070 + 15: 0, 40070 + 38: 4}
    async with raw_modbus(registers=registers) as peer, opened(peer.port, make_device(POWER, SET, beyond)) as driver:
        readings = {reading.point: reading for reading in await driver.read("bg-M01", ["active_power", "p_set", "beyond"])}
        assert readings["active_power"].value == 5
        for name in ("p_set", "beyond"):
            assert readings[name].value is None
            assert readings[name].quality.validity is Validity.INVALID and readings[name].quality.flags == Flag.NOT_AVAILABLE
        assert [reading.value for reading in await driver.read("bg-M01", ["beyond"])] == [None]
        with pytest.raises(DeviceRefused, match="has no SunSpec model 704") as refusal:
            await driver.write("bg-M01", "p_set", 1)
        assert refusal.value.device_code == "no_model"
        assert driver.device_up("bg-M01") is True


async def test_a_device_without_sunspec_is_told_apart_from_a_silent_one() -> None:
    async with raw_modbus() as peer, opened(peer.port, make_device(POWER)) as driver:
        with pytest.raises(DeviceRefused, match="bg-M01: no SunSpec marker at 40000, 50000, 0"):
            await driver.read("bg-M01", ["active_power"])
        assert driver.device_up("bg-M01") is True

        async def silence(request: Request) -> None:
            return None

        peer.script = silence
        for _ in range(3):
            with pytest.raises(AnswerTimeout):
                await driver.read("bg-M01", ["active_power"])
        assert driver.device_up("bg-M01") is False


async def test_a_chain_whose_end_mark_is_missing_ends_where_the_registers_do() -> None:
    registers = device_of(40000, (1, 66), (103, 50)) | {40084: 7, 40085: 0}
    del registers[40122], registers[40123]
    async with raw_modbus(registers=registers) as peer, opened(peer.port, make_device(POWER)) as driver:
        assert (await driver.read("bg-M01", ["active_power"]))[0].value == 7


async def test_a_chain_without_end_is_a_violation() -> None:
    async with raw_modbus(registers=dict.fromkeys(range(39000, 65536), 0) | {40000: 0x5375, 40001: 0x6E53}) as peer:
        async with opened(peer.port, make_device(POWER)) as driver:
            with pytest.raises(ProtocolViolation, match="no end"):
                await driver.read("bg-M01", ["active_power"])


async def test_after_a_reconnect_another_device_may_stand_there() -> None:
    registers = device_of(40000, (1, 66), (103, 50)) | {40084: 7, 40085: 0}
    async with raw_modbus(registers=registers) as peer, opened(peer.port, make_device(POWER)) as driver:
        assert (await driver.read("bg-M01", ["active_power"]))[0].value == 7
        await driver.close()
        peer.registers = device_of(50000, (1, 66), (103, 50)) | {50084: 8, 50085: 0}
        await driver.open()
        assert (await driver.read("bg-M01", ["active_power"]))[0].value == 8


async def test_probe_tells_which_models_there_are() -> None:
    registers = device_of(40000, (1, 66), (103, 50)) | {40084: 7, 40085: 0}
    async with raw_modbus(registers=registers) as peer, opened(peer.port, make_device(POWER)) as driver:
        await driver.close()
        assert (await driver.probe())[1].endswith("active_power = 7.0 (SunSpec models 1, 103 from 40000 on)")


@pytest.mark.parametrize("address", [{"model": "x", "offset": 1}, {"model": 103, "offset": None}, {"model": 103}])
async def test_an_address_within_a_model_that_cannot_be_is_named(address: dict[str, Any]) -> None:
    registers = device_of(40000, (1, 66), (103, 50))
    async with raw_modbus(registers=registers) as peer, opened(peer.port, make_device(make_point("x", **address))) as driver:
        with pytest.raises(DeviceRefused, match="bg-M01: point x") as refusal:
            await driver.read("bg-M01", ["x"])
        assert refusal.value.device_code == "bad_address"


def test_models_are_found_by_number_and_turn() -> None:
    chain = Chain(0, (Model(1, 2, 66), Model(160, 70, 10), Model(160, 82, 10)))
    assert chain.find(160, 2) == Model(160, 82, 10)
    assert chain.find(160, 3) is None and chain.find(160, 0) is None and chain.find(103) is None
