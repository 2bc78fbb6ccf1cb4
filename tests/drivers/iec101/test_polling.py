"""The unbalanced primary: whom it asks when, what a dead or busy station costs, and what becomes of its commands."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown
from pilots.drivers.iec101 import ft12
from pilots.drivers.iec101.options import LineOptions
from pilots.drivers.iec101.secondary import Secondary
from pilots.drivers.iec60870 import asdu
from tests.drivers.iec101.faulty import FaultyStation, faulty_line, polled
from tests.drivers.iec101.peers import Store, make_target, opened, until
from tests.waiting import stalls, timed


async def test_class_1_comes_before_class_2() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink):
        await until(lambda: len(station.told) >= 2 and not station.class_1)
        station.measure(*[1.0] * 5)
        station.measure(*[2.0] * 5, class_1=True)
        await store.wait_for("active_power", 10)
        order = store.values("active_power")
        assert order[0] == 1.0 or order[0] == 2.0  # the poll that showed ACD may have brought one
        assert order[1:6].count(2.0) >= 4
        assert order[-4:] == [1.0] * 4


async def test_one_slow_commit_holds_up_only_its_own_station() -> None:
    one, two, gate = FaultyStation(1), FaultyStation(2), asyncio.Event()

    async def sink(device: str, readings: object) -> None:
        if device == "es-STO01":
            await gate.wait()

    async with faulty_line(one, two) as line, opened(make_target(port=line.port, numbers=(1, 2)), sink):
        await until(lambda: not one.class_1 and not two.class_1 and len(two.told) >= 2)
        one.measure(1.0)
        await until(lambda: not one.class_2)
        asked_one, asked_two = len(one.counted), len(two.counted)
        await until(lambda: len(two.counted) >= asked_two + 3)
        assert len(one.counted) == asked_one
        gate.set()
        await until(lambda: len(one.counted) > asked_one)


async def test_a_dead_station_costs_one_try_a_pause_and_the_others_keep_their_pace() -> None:
    one, two, store = FaultyStation(1), FaultyStation(2), Store()
    two.silent = True
    options = {"dead_retry_s": 0.4, "poll_class2_s": 0.1, "ack_timeout_s": 0.05}
    async with (
        faulty_line(one, two) as line,
        opened(make_target(port=line.port, numbers=(1, 2), options=options), store.sink) as driver,
    ):
        assert driver.device_up("es-STO01") is True
        assert driver.device_up("es-STO02") is False
        await until(lambda: not one.class_1 and len(one.told) >= 2)
        one.moments.clear()
        two.functions.clear()
        with timed() as took, stalls() as machine:
            await until(lambda: len(two.functions) >= 3 and len(one.moments) >= 10)
        assert len(two.functions) <= 2 + took.seconds / 0.4  # one try each 0.4 s
        assert set(two.functions) == {ft12.REQUEST_STATUS}
        gaps = [later - earlier for earlier, later in pairwise(one.moments)]
        assert sorted(gaps)[len(gaps) // 2] < 0.13 + machine.seconds
        assert max(gaps) < 0.5 + machine.seconds
        with pytest.raises(LinkDown, match="station 2"):
            await driver.write("es-STO02", "p_set", 1.0)


def test_a_try_that_noise_spoilt_does_not_lengthen_a_stations_pause() -> None:
    station, pauses = Secondary(1, [1], LineOptions(poll_class2_s=1.0, dead_retry_s=5.0)), []
    for noisy in (True, True, False, True, False, False):
        station.missed(100.0, noisy=noisy)
        pauses.append(station.due - 100.0)
    assert pauses == [1.0, 1.0, 2.0, 2.0, 4.0, 5.0]


async def test_a_station_that_comes_back_is_reset_and_interrogated_again_and_nobody_else_is() -> None:
    one, two, store = FaultyStation(1), FaultyStation(2), Store()
    options = {"dead_retry_s": 0.1, "retries": 1, "ack_timeout_s": 0.05}
    async with (
        faulty_line(one, two) as line,
        opened(make_target(port=line.port, numbers=(1, 2), options=options), store.sink) as driver,
    ):
        await until(lambda: len(one.told) >= 2 and len(two.told) >= 2 and not one.class_1 and not two.class_1)
        two.silent = True
        await until(lambda: driver.device_up("es-STO02") is False)
        told = len(one.told)
        two.told.clear()
        two.functions.clear()
        two.silent = False
        await until(lambda: any(unit.type_id == asdu.C_IC for unit in two.told))
        assert driver.device_up("es-STO02") is True
        assert ft12.RESET_LINK in two.functions
        assert len(one.told) == told


async def test_when_nobody_answers_any_more_the_connection_is_down() -> None:
    one, store = FaultyStation(1), Store()
    async with faulty_line(one) as line, opened(make_target(port=line.port, options={"retries": 1}), store.sink) as driver:
        one.silent = True
        await asyncio.wait_for(driver.closed.wait(), 30)
        assert isinstance(driver.failure, AnswerTimeout)
        with pytest.raises(LinkDown):
            await driver.write("es-STO01", "p_set", 1.0)


async def test_a_command_whose_station_falls_silent_has_an_unknown_outcome() -> None:
    one, two, store = FaultyStation(1), FaultyStation(2), Store()
    options = {"retries": 1, "ack_timeout_s": 0.05}
    async with (
        faulty_line(one, two) as line,
        opened(make_target(port=line.port, numbers=(1, 2), options=options), store.sink) as driver,
    ):
        await until(lambda: len(one.told) >= 2 and not one.class_1)
        one.tamper = lambda request, answer: [] if request.function == ft12.SEND_CONFIRM else [(0.0, answer)]
        with pytest.raises(AnswerTimeout):
            await driver.write("es-STO01", "p_set", 1.0)


async def test_a_station_whose_access_demand_is_stuck_is_not_asked_without_pause() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line, opened(make_target(port=line.port, options={"poll_class2_s": 0.1}), store.sink):
        await until(lambda: len(station.told) >= 2 and not station.class_1)
        liar = ft12.encode(ft12.ACD | ft12.NO_DATA, 1, 1)
        station.tamper = lambda request, answer: [(0.0, liar if polled(request) else answer)]
        station.functions.clear()
        await asyncio.sleep(0.5)
        assert 6 <= len(station.functions) <= 14  # class 2 and then class 1, five times


async def test_a_station_without_room_gets_no_data_until_it_has() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink) as driver:
        await until(lambda: len(station.told) >= 2 and not station.class_1)
        station.busy = True
        await asyncio.sleep(0.15)  # polls show DFC
        station.functions.clear()
        write = asyncio.create_task(driver.write("es-STO01", "p_set", 100.0))
        await asyncio.sleep(0.2)
        assert ft12.SEND_CONFIRM not in station.functions
        station.busy = False
        assert (await write).raw


async def test_a_command_that_may_not_wait_so_long_never_leaves() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink) as driver:
        await until(lambda: len(station.told) >= 2 and not station.class_1)
        station.busy = True
        await asyncio.sleep(0.15)
        with pytest.raises(DeviceRefused) as refused:
            await driver.write("es-STO01", "p_set", 100.0, valid_for_s=0.1)
        assert "not sent" in refused.value.device_code
        station.busy = False
        await asyncio.sleep(0.2)
        assert not any(unit.type_id == 50 for unit in station.told)


async def test_data_refused_by_the_link_layer_leave_again_and_are_taken_once() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink) as driver:
        await until(lambda: len(station.told) >= 2 and not station.class_1)
        station.full = True
        write = asyncio.create_task(driver.write("es-STO01", "p_set", 100.0))
        await until(lambda: station.functions.count(ft12.SEND_CONFIRM) >= 4)
        station.full = False
        assert (await write).raw
        assert [unit.objects[0].value for unit in station.told if unit.type_id == 50] == [10.0]


async def test_a_station_that_takes_no_user_data_at_all_refuses_commands() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink) as driver:
        await until(lambda: len(station.told) >= 2 and not station.class_1)
        refusal = ft12.encode(ft12.NOT_IMPLEMENTED, 1, 1)
        station.tamper = lambda request, answer: [(0.0, refusal if request.function == ft12.SEND_CONFIRM else answer)]
        with pytest.raises(DeviceRefused) as refused:
            await driver.write("es-STO01", "p_set", 100.0)
        assert refused.value.device_code == "link function 15"


async def test_a_command_whose_line_is_lost_on_its_way_has_an_unknown_outcome() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink) as driver:
        await until(lambda: len(station.told) >= 2 and not station.class_1)
        station.tamper = lambda request, answer: [] if request.function == ft12.SEND_CONFIRM else [(0.0, answer)]
        write = asyncio.create_task(driver.write("es-STO01", "p_set", 100.0))
        await until(lambda: ft12.SEND_CONFIRM in station.functions[-2:])
        line.hang_up()
        with pytest.raises(AnswerTimeout):
            await write
        assert isinstance(driver.failure, LinkDown)


async def test_closing_while_a_command_is_on_its_way_leaves_it_unknown() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink) as driver:
        await until(lambda: len(station.told) >= 2 and not station.class_1)
        station.tamper = lambda request, answer: [] if request.function == ft12.SEND_CONFIRM else [(0.0, answer)]
        write = asyncio.create_task(driver.write("es-STO01", "p_set", 100.0))
        await until(lambda: ft12.SEND_CONFIRM in station.functions[-2:])
        await driver.close()
        with pytest.raises(AnswerTimeout):
            await write


async def test_a_station_that_lost_its_memory_meanwhile_is_reset() -> None:
    """What was remembered of it is no use: it does not answer requests that count before a reset of its link."""
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line:
        async with opened(make_target(port=line.port), store.sink):
            await until(lambda: len(station.told) >= 2 and not station.class_1)
        station.tamper = lambda request, answer: (
            [] if request.fcv and station.functions.count(ft12.RESET_LINK) < 2 else [(0.0, answer)]
        )
        async with opened(make_target(port=line.port), store.sink):
            station.measure(5.0)
            await store.wait_for("active_power", 1)


async def test_a_link_layer_that_started_anew_is_reset() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink):
        await until(lambda: len(station.told) >= 2 and not station.class_1)
        station.functions.clear()
        station.tamper = lambda request, answer: (
            [(0.0, ft12.encode(ft12.NOT_FUNCTIONING, 1, 1))] if polled(request) else [(0.0, answer)]
        )
        await until(lambda: ft12.RESET_LINK in station.functions)
        station.tamper = lambda request, answer: [(0.0, answer)]
        station.measure(5.0)
        await store.wait_for("active_power", 1)


async def test_the_clock_goes_to_all_stations_at_once_where_wanted() -> None:
    one, two, store = FaultyStation(1), FaultyStation(2), Store()
    options = {"clock_sync": True, "broadcast_clock": True}
    async with faulty_line(one, two) as line, opened(make_target(port=line.port, numbers=(1, 2), options=options), store.sink):
        await until(lambda: len(one.told) >= 2 and len(two.told) >= 2)
        broadcasts = [frame for frame in line.heard if frame.address == 255]
        assert {frame.function for frame in broadcasts} == {ft12.SEND_NO_REPLY}
        unit = asdu.decode(broadcasts[0].data)
        assert (unit.type_id, unit.common_address) == (asdu.C_CS, 0xFFFF)
        assert not any(unit.type_id == asdu.C_CS for unit in one.told + two.told)


async def test_an_idle_line_is_asked_once_a_period_and_not_more() -> None:
    station, store = FaultyStation(1), Store()
    options = {"poll_class2_s": 0.2}
    async with faulty_line(station) as line, opened(make_target(port=line.port, options=options), store.sink):
        await until(lambda: len(station.told) >= 2 and not station.class_1)
        await asyncio.sleep(0.2)
        station.functions.clear()
        await asyncio.sleep(1.0)
        assert 4 <= len(station.functions) <= 6
