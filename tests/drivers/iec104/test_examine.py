"""Asking a scripted station for one object: by the read command, or by an interrogation where it refuses that."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.quality import Flag
from pilots.drivers.base import Examined
from pilots.drivers.iec104 import Iec104Driver
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu, InformationObject
from tests.drivers.iec104.peers import RawStation, Store, opened, raw_station
from tests.drivers.iec104.test_commands import DEVICE, ready

TIME = datetime(2026, 7, 1, 3, 4, 1, 500_000, UTC)


def tried(**address: Any) -> PointSpec:
    return PointSpec(name="tried", kind=PointKind.MEASUREMENT, address={"ioa": 50, **address})


def examining(driver: Iec104Driver, **address: Any) -> asyncio.Future[Examined]:
    return asyncio.ensure_future(driver.examine(DEVICE, tried(**address)))


def value(cause: int, number: float = 7.5, type_id: int = 36, ioa: int = 750) -> Asdu:
    return Asdu(type_id, cause, 1, (InformationObject(ioa, number, 0x40, TIME if type_id == 36 else None),))


async def refused(station: RawStation, cause: int) -> Asdu:
    """The read command was refused."""
    request = await station.request(asdu.C_RD)
    station.send(request._replace(cause=cause, negative=True))
    return request


async def test_the_read_command_brings_the_object_with_its_raw_words() -> None:
    async with ready() as (station, driver):
        asked = examining(driver)
        request = await station.request(asdu.C_RD)
        assert (request.cause, request.objects[0].address) == (asdu.REQUEST, 750)
        station.send(value(5))
        examined = await asked

        assert (examined.reading.point, examined.reading.value, examined.reading.source_time) == ("tried", 7.5, TIME)
        assert examined.reading.quality.flags is Flag.OLD
        assert examined.raw == "M_ME_TF_1 (36) requested, CA 1: IOA 750 = 7.5 NT 2026-07-01 03:04:01.500"


async def test_an_event_that_comes_meanwhile_is_no_answer() -> None:
    async with ready() as (station, driver):
        asked = examining(driver)
        await station.request(asdu.C_RD)
        station.send(value(asdu.SPONTANEOUS, 1.0), value(5))

        assert (await asked).reading.value == 7.5


async def test_another_address_or_type_is_not_taken_for_it() -> None:
    async with ready() as (station, driver):
        asked = examining(driver, type=1)
        await station.request(asdu.C_RD)
        station.send(value(5), value(5, 1.0, 1, 749), value(5, 1.0, 1)._replace(common_address=2), value(5, 1.0, 1))

        assert (await asked).raw == "M_SP_NA_1 (1) requested, CA 1: IOA 750 = 1 (on) NT"


async def test_one_bit_of_a_word_can_be_examined() -> None:
    async with ready() as (station, driver):
        asked = examining(driver, type=20, bit=1)
        await station.request(asdu.C_RD)
        station.send(value(5, 2, 20))

        assert (await asked).reading.value == 1


@pytest.mark.parametrize("cause", [44, 45])
async def test_a_station_without_the_read_command_is_interrogated(cause: int) -> None:
    async with ready() as (station, driver):
        asked = examining(driver)
        await refused(station, cause)
        await station.confirmed(asdu.C_IC)
        station.send(value(20, 3.0, 13))

        assert (await asked).raw == "M_ME_NC_1 (13) interrogated by station, CA 1: IOA 750 = 3 NT"


async def test_a_station_that_ignores_the_read_command_is_interrogated() -> None:
    async with ready(command_timeout_s=0.1) as (station, driver):
        asked = examining(driver)
        await station.request(asdu.C_RD)
        await station.confirmed(asdu.C_IC)
        station.send(value(20))

        assert (await asked).reading.value == 7.5


async def test_a_counter_is_looked_for_among_the_counters() -> None:
    async with ready() as (station, driver):
        asked = examining(driver, type=37)
        await refused(station, 45)
        await station.confirmed(asdu.C_CI)
        station.send(Asdu(15, 37, 1, (InformationObject(750, 12, 0x23),)))

        assert (await asked).raw.endswith("IOA 750 = 12 SQ 3 CY")


@pytest.mark.parametrize(("cause", "reason"), [(46, "unknown common address"), (47, "unknown object address")])
async def test_an_address_the_station_does_not_have_is_a_refusal(cause: int, reason: str) -> None:
    async with ready() as (station, driver):
        asked = examining(driver)
        await refused(station, cause)

        with pytest.raises(DeviceRefused, match=reason):
            await asked
        assert not await station.asks_within(0.05)


async def test_what_may_be_a_counter_is_looked_for_everywhere() -> None:
    async with ready() as (station, driver):
        asked = examining(driver)
        await refused(station, 45)
        await station.confirmed(asdu.C_IC, ended=True)
        await station.confirmed(asdu.C_CI)
        station.send(Asdu(15, 37, 1, (InformationObject(750, 12),)))

        assert (await asked).reading.value == 12


async def test_what_no_interrogation_brings_is_a_refusal() -> None:
    async with ready() as (station, driver):
        asked = examining(driver)
        await refused(station, 45)
        await station.confirmed(asdu.C_IC, ended=True)
        await station.confirmed(asdu.C_CI, ended=True)

        with pytest.raises(DeviceRefused, match="tells nothing of CA 1, IOA 750"):
            await asked


async def test_a_confirmation_of_the_read_command_is_not_yet_the_value() -> None:
    async with ready() as (station, driver):  # c104 confirms it, though the standard has no such confirmation
        asked = examining(driver)
        request = await station.request(asdu.C_RD)
        station.send(request._replace(cause=asdu.ACTIVATION_CON))
        await asyncio.wait((asked,), timeout=0.05)
        station.send(value(5))

        assert (await asked).reading.value == 7.5


async def test_a_loss_while_examining_is_no_answer() -> None:
    async with ready() as (station, driver):
        asked = examining(driver)
        await station.request(asdu.C_RD)
        station.hang_up()
        with pytest.raises((AnswerTimeout, LinkDown)):
            await asked
        with pytest.raises(LinkDown):
            await driver.examine(DEVICE, tried())


async def test_a_configured_point_is_stored_as_well() -> None:
    store = Store()
    async with raw_station() as station:
        async with opened(station, store.sink) as driver:
            asked = asyncio.ensure_future(driver.examine(DEVICE, driver.target.devices[0].points["active_power"]))
            await station.request(asdu.C_RD)
            station.send(value(5, ioa=701))

            assert (await asked).reading == (await store.wait_for("active_power"))[0]
            assert isinstance((await asked).reading, RawReading)
