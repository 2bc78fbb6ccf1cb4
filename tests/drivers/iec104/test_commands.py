"""Commands against a scripted station: what goes onto the wire, what the answers mean, what happens to a selection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown, NotSent
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.iec104 import Iec104Driver, apci
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu
from tests.drivers.iec104.peers import PATIENCE_S, RawStation, Store, opened, raw_station

DEVICE = "es-STO01"
SELECTED, EXECUTED = "select ACT_CON COT 7 P/N 0", "execute ACT_CON COT 7 P/N 0"


@asynccontextmanager
async def ready(**options: Any) -> AsyncIterator[tuple[RawStation, Iec104Driver]]:
    """A station whose interrogation is over, and its driver."""
    async with raw_station() as station, opened(station, Store().sink, **{"clock_sync": False, **options}) as driver:
        await station.confirmed(asdu.C_IC, ended=True)
        await station.confirmed(asdu.C_CI, ended=True)
        yield station, driver


def command(**address: Any) -> PointSpec:
    """A point that nobody configured; its object address counts from the device's 700."""
    return PointSpec(name="tried", kind=PointKind.COMMAND, address={"ioa": 50, **address})


@pytest.mark.parametrize(
    ("address", "value", "wire", "qualifier"),
    [
        ({"command_type": 45, "qualifier": "short"}, 1, 1, 0x04),
        ({"command_type": 45, "qualifier": "long"}, 0, 0, 0x08),
        ({"command_type": 46, "qualifier": "persistent"}, 2, 2, 0x0C),
        ({"command_type": 47}, 1, 1, 0),
        ({"command_type": 48}, -0.5, -0.5, 0),
        ({"command_type": 49, "qualifier": 5}, -7, -7, 5),
        ({"command_type": 50}, 1.5, 1.5, 0),
        ({"command_type": 51}, 0xFFFF0000, 0xFFFF0000, 0),
    ],
)
async def test_every_command_type_is_written_to_an_address_nobody_configured(
    address: dict[str, Any], value: float, wire: float, qualifier: int
) -> None:
    async with ready() as (station, driver):
        writing = asyncio.ensure_future(driver.write_spec(DEVICE, command(**address), value))
        request = await station.confirmed(address["command_type"])

        (item,) = request.objects
        assert (request.common_address, item.address, item.value, item.qualifier) == (1, 750, wire, qualifier)
        assert (await writing).raw == "ACT_CON COT 7 P/N 0"


@pytest.mark.parametrize("type_id", range(45, 52))
async def test_command_time_sends_the_sister_with_a_time(type_id: int) -> None:
    async with ready(command_time=True) as (station, driver):
        writing = asyncio.ensure_future(driver.write_spec(DEVICE, command(command_type=type_id), 0))
        request = await station.confirmed(type_id + 13)

        time = request.objects[0].time
        assert time is not None and abs((datetime.now(UTC) - time).total_seconds()) < PATIENCE_S
        await writing


async def test_another_common_address_can_be_tried() -> None:
    async with ready() as (station, driver):
        writing = asyncio.ensure_future(driver.write_spec(DEVICE, command(ca=9, command_type=45), 1))

        assert (await station.confirmed(45)).common_address == 9
        await writing


@pytest.mark.parametrize("address", [{"ioa": "x"}, {"ca": 0}, {"command_type": 13}, {"command_type": 51, "select": True}])
async def test_an_address_that_cannot_be_is_refused_before_it_leaves(address: dict[str, Any]) -> None:
    async with ready() as (_, driver):
        with pytest.raises(DeviceRefused) as caught:
            await driver.write_spec(DEVICE, command(**address), 1)

        assert caught.value.device_code == "not sent: address"


@pytest.mark.parametrize(
    ("cause", "reason"),
    [(44, "unknown type"), (45, "unknown cause"), (46, "unknown common address"), (47, "unknown object address")],
)
async def test_causes_44_to_47_are_refusals_in_words(cause: int, reason: str) -> None:
    async with ready() as (station, driver):
        writing = asyncio.ensure_future(driver.write(DEVICE, "p_set", 10.0))
        request = await station.request(50)
        station.send(request._replace(cause=cause, negative=True))

        with pytest.raises(DeviceRefused, match=reason) as caught:
            await writing
        assert caught.value.device_code == f"COT {cause} {reason}"


async def test_the_confirmation_of_a_deactivation_confirms_no_command() -> None:
    async with ready() as (station, driver):
        writing = asyncio.ensure_future(driver.write(DEVICE, "p_set", 10.0))
        request = await station.request(50)
        station.send(request._replace(cause=asdu.DEACTIVATION_CON))
        assert not (await asyncio.wait((writing,), timeout=0.1))[0]
        station.send(request._replace(cause=asdu.ACTIVATION_CON))

        assert (await writing).raw == "ACT_CON COT 7 P/N 0"


async def test_executed_on_act_term_waits_for_the_end() -> None:
    async with ready(executed_on="act_term") as (station, driver):
        writing = asyncio.ensure_future(driver.write(DEVICE, "p_set", 10.0))
        request = await station.confirmed(50)
        assert not (await asyncio.wait((writing,), timeout=0.1))[0]
        station.send(request._replace(cause=asdu.ACTIVATION_TERM))

        assert (await writing).raw == "ACT_CON COT 7 P/N 0; ACT_TERM COT 10 P/N 0"


async def test_a_command_that_did_not_come_to_its_end_is_a_refusal() -> None:
    async with ready(executed_on="act_term") as (station, driver):
        writing = asyncio.ensure_future(driver.write(DEVICE, "p_set", 10.0))
        request = await station.confirmed(50)
        station.send(request._replace(cause=asdu.ACTIVATION_TERM, negative=True))

        with pytest.raises(DeviceRefused) as caught:
            await writing
        assert caught.value.device_code == "ACT_TERM COT 10 P/N 1"


async def test_an_end_that_is_never_told_leaves_the_outcome_unknown() -> None:
    async with ready(executed_on="act_term", execution_timeout_s=0.1) as (station, driver):
        writing = asyncio.ensure_future(driver.write(DEVICE, "p_set", 10.0))
        await station.confirmed(50)

        with pytest.raises(AnswerTimeout, match="its end was not told"):
            await writing


async def test_the_execute_follows_the_select_that_was_confirmed() -> None:
    async with ready() as (station, driver):
        writing = asyncio.ensure_future(driver.write(DEVICE, "position_cmd", 2))
        select = await station.confirmed(46)
        execute = await station.confirmed(46)

        assert (select.objects[0].qualifier, execute.objects[0].qualifier) == (asdu.SELECT, 0)
        assert (await writing).raw == f"{SELECTED}; {EXECUTED}"


async def fill_the_window(station: RawStation, driver: Iec104Driver, free: int) -> list[asyncio.Task[Any]]:
    """The driver may send only so many I-frames more until the station acknowledges."""
    others = [asyncio.ensure_future(driver.write_spec(DEVICE, command(ioa=ioa), 1)) for ioa in range(100, 110 - free)]
    for _ in others:
        await station.confirmed(45)
    await asyncio.gather(*others)
    return others


async def test_a_command_whose_time_is_over_before_there_is_room_in_the_window_does_not_leave() -> None:
    async with ready() as (station, driver):  # two frames of k = 12 are the interrogations
        await fill_the_window(station, driver, free=0)

        with pytest.raises(NotSent) as caught:
            await driver.write_spec(DEVICE, command(), 1, valid_for_s=0.1)

        assert caught.value.device_code == "not sent: expired"
        station.write(apci.s_frame(12))
        assert not await station.asks_within(0.1)


async def test_an_expired_command_does_not_leave_though_there_is_room() -> None:
    async with ready() as (station, driver):
        with pytest.raises(NotSent):
            await driver.write(DEVICE, "p_set", 1.0, valid_for_s=0.0)
        assert not await station.asks_within(0.05)


async def deselected(station: RawStation) -> Asdu:
    """The next request is the deactivation of a select; it is confirmed."""
    while (frame := await station.frame())[0] & 1:
        pass
    request = asdu.decode(frame[4:])
    assert (request.cause, request.objects[0].qualifier) == (asdu.DEACTIVATION, asdu.SELECT)
    station.send(request._replace(cause=asdu.DEACTIVATION_CON))
    return request


async def test_a_selection_whose_time_runs_out_is_taken_back() -> None:
    async with ready() as (station, driver):
        writing = asyncio.ensure_future(driver.write_spec(DEVICE, command(select=True), 1, valid_for_s=0.2))
        request = await station.request(45)
        await asyncio.sleep(0.25)
        station.send(request._replace(cause=asdu.ACTIVATION_CON))

        assert (await deselected(station)).objects[0].address == 750
        with pytest.raises(NotSent):
            await writing


async def test_a_selection_without_room_for_the_execute_is_taken_back_when_there_is_room_again() -> None:
    async with ready() as (station, driver):
        await fill_the_window(station, driver, free=1)
        writing = asyncio.ensure_future(driver.write_spec(DEVICE, command(select=True), 1, valid_for_s=0.2))
        await station.confirmed(45)
        await asyncio.sleep(0.25)
        station.write(apci.s_frame(12))

        await deselected(station)
        with pytest.raises(NotSent):
            await writing


async def test_a_selection_that_nobody_answers_is_taken_back_and_nothing_was_executed() -> None:
    async with ready(command_timeout_s=0.1) as (station, driver):
        writing = asyncio.ensure_future(driver.write_spec(DEVICE, command(select=True), 1))
        await station.request(45)

        await deselected(station)
        with pytest.raises(DeviceRefused) as caught:
            await writing
        assert caught.value.device_code == "not executed: no answer"


async def test_a_write_that_is_given_up_takes_its_selection_back() -> None:
    async with ready() as (station, driver):
        writing = asyncio.ensure_future(driver.write_spec(DEVICE, command(select=True), 1))
        await station.request(45)
        writing.cancel()

        await deselected(station)
        with pytest.raises(asyncio.CancelledError):
            await writing


async def test_an_execute_without_answer_is_unknown_and_not_taken_back() -> None:
    async with ready(command_timeout_s=0.1) as (station, driver):
        writing = asyncio.ensure_future(driver.write_spec(DEVICE, command(select=True), 1))
        await station.confirmed(45)
        await station.request(45)

        with pytest.raises(AnswerTimeout):
            await writing
        assert not await station.asks_within(0.05)


async def test_a_refused_select_is_not_taken_back() -> None:
    async with ready() as (station, driver):
        writing = asyncio.ensure_future(driver.write_spec(DEVICE, command(select=True), 1))
        request = await station.request(45)
        station.send(request._replace(cause=asdu.ACTIVATION_CON, negative=True))

        with pytest.raises(DeviceRefused):
            await writing
        assert not await station.asks_within(0.05)


async def test_a_link_that_is_lost_between_select_and_execute_executed_nothing() -> None:
    async with ready() as (station, driver):
        await fill_the_window(station, driver, free=1)
        writing = asyncio.ensure_future(driver.write_spec(DEVICE, command(select=True), 1))
        await station.confirmed(45)
        await asyncio.sleep(0.05)
        station.hang_up()

        with pytest.raises(LinkDown):
            await writing


async def test_one_address_obeys_one_command_at_a_time() -> None:
    async with ready() as (station, driver):
        first = asyncio.ensure_future(driver.write(DEVICE, "p_set", 10.0))
        second = asyncio.ensure_future(driver.write(DEVICE, "p_set", 20.0))
        request = await station.request(50)
        assert not await station.asks_within(0.1)
        station.send(request._replace(cause=asdu.ACTIVATION_CON))
        assert (await station.confirmed(50)).objects[0].value == 2.0
        await asyncio.gather(first, second)
