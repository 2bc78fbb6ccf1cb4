"""What the OCPP central system asks of charge points."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from ocpp.v16 import call

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown, ProtocolViolation
from pilots.domain.measurement import RawReading
from tests.drivers.ocpp_peers import (
    START,
    ask,
    central_system,
    charge_point,
    evse,
    meter,
    sampled,
    station,
    until_up,
)


async def test_a_limit_is_a_default_profile_and_its_feedback_is_asked_for() -> None:
    async with central_system() as driver, charge_point(driver) as point:
        result = await driver.write("nl-EVSE01", "p_limit", 7400.27, valid_for_s=600)
        assert "TxDefaultProfile 7400.2 W Accepted" in result.raw
        ((connector, profile),) = point.profiles
        schedule = profile["charging_schedule"]
        assert (connector, profile["charging_profile_purpose"], profile["stack_level"]) == (1, "TxDefaultProfile", 2)
        assert schedule["charging_schedule_period"] == [{"start_period": 0, "limit": 7400.2}]
        assert (schedule["duration"], schedule["charging_rate_unit"]) == (660, "W")
        begin, end = (datetime.fromisoformat(text) for text in (schedule["start_schedule"], profile["valid_to"]))
        assert (end - begin).total_seconds() == 660
        async with asyncio.timeout(30):
            while point.triggered != ["MeterValues"]:
                await asyncio.sleep(0.005)


async def test_a_limit_during_a_transaction_covers_that_too() -> None:
    async with central_system(evse(rate_unit="A", phases=3, stack_level=1)) as driver, charge_point(driver) as point:
        started = await point.call(
            call.StartTransaction(connector_id=1, id_tag="tag", meter_start=0, timestamp="2026-01-01T10:00:00Z")
        )
        await driver.write("nl-EVSE01", "p_limit", 11000)
        purposes = [profile["charging_profile_purpose"] for _, profile in point.profiles]
        assert purposes == ["TxDefaultProfile", "TxProfile"]
        running = point.profiles[1][1]
        assert running["transaction_id"] == started.transaction_id
        assert running["stack_level"] == 1
        assert running["charging_schedule"]["charging_schedule_period"] == [
            {"start_period": 0, "limit": 15.9, "number_phases": 3}
        ]
        assert "duration" not in running["charging_schedule"]


@pytest.mark.parametrize("status", ["Rejected", "NotSupported"])
async def test_a_refused_limit_is_refused_with_the_stations_word(status: str) -> None:
    async with central_system() as driver, charge_point(driver) as point:
        point.status = status
        with pytest.raises(DeviceRefused) as refusal:
            await driver.write("nl-EVSE01", "p_limit", 1000)
        assert refusal.value.device_code == status


async def test_a_limit_is_released_and_none_to_release_is_success() -> None:
    async with central_system() as driver, charge_point(driver) as point:
        await driver.clear("nl-EVSE01", "p_limit")
        assert point.cleared == [1001, 2001]


async def test_enable_changes_the_availability() -> None:
    async with central_system() as driver, charge_point(driver) as point:
        result = await driver.write("nl-EVSE01", "enable", 0)
        await driver.write("nl-EVSE01", "enable", 1)
        assert point.availability == ["Inoperative", "Operative"]
        assert "Scheduled" in result.raw
        with pytest.raises(DeviceRefused, match="cannot be written"):
            await driver.write("nl-EVSE01", "active_power", 1)


async def test_an_absent_station_is_link_down_and_a_silent_one_a_timeout() -> None:
    async with central_system(call_timeout_s=0.05) as driver:
        with pytest.raises(LinkDown):
            await driver.write("nl-EVSE01", "p_limit", 1000)
        async with station(driver):
            await until_up(driver)
            with pytest.raises(AnswerTimeout):
                await driver.write("nl-EVSE01", "p_limit", 1000)
        assert driver.traffic.timeouts == 1


async def test_a_station_that_goes_under_a_command_leaves_it_unknown_at_once() -> None:
    async with central_system(call_timeout_s=60) as driver:
        async with station(driver) as socket:
            await until_up(driver)
            command = asyncio.create_task(driver.write("nl-EVSE01", "p_limit", 1000))
            await socket.recv()
        async with asyncio.timeout(30):
            with pytest.raises(AnswerTimeout, match="disconnected before"):
                await command


@pytest.mark.parametrize(
    ("answer", "code"), [([4, "NotSupported", "", {}], "NotSupported"), ([4, "Odd", "", {}], "GenericError")]
)
async def test_an_error_answer_is_a_refusal(answer: list[Any], code: str) -> None:
    async with central_system() as driver, station(driver) as socket:
        await until_up(driver)
        command = asyncio.create_task(driver.write("nl-EVSE01", "p_limit", 1000))
        number = json.loads(await socket.recv())[1]
        await socket.send(json.dumps([answer[0], number, *answer[1:]]))
        with pytest.raises(DeviceRefused) as refusal:
            await command
        assert refusal.value.device_code == code


async def test_a_station_is_asked_for_its_state_when_it_comes() -> None:
    device = evse(interrogate=True, configuration={"MeterValueSampleInterval": 5})
    async with central_system(device) as driver, station(driver) as socket:
        asked = []
        for _ in range(3):
            _, number, action, payload = json.loads(await socket.recv())
            asked.append((action, payload))
            await socket.send(json.dumps([3, number, {"status": "Accepted"}]))
        assert asked == [
            ("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "5"}),
            ("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1}),
            ("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1}),
        ]


async def test_an_answer_gets_through_while_a_commit_takes_its_time() -> None:
    committed = asyncio.Event()

    async def sink(device_id: str, readings: Sequence[RawReading]) -> None:
        await committed.wait()

    async with central_system(sink=sink) as driver, station(driver) as socket:
        await socket.send(json.dumps([2, "1", "MeterValues", meter(sampled("1"))]))
        await until_up(driver)
        command = asyncio.create_task(driver.write("nl-EVSE01", "p_limit", 1000))
        number = json.loads(await socket.recv())[1]
        await socket.send(json.dumps([3, number, {"status": "Accepted"}]))
        async with asyncio.timeout(30):
            assert "Accepted" in (await command).raw
        committed.set()


async def test_a_station_that_says_available_gets_no_profile_for_a_transaction_it_has_lost() -> None:
    async with central_system() as driver, charge_point(driver) as point:
        await point.call(call.StartTransaction(connector_id=1, id_tag="tag", meter_start=0, timestamp="2026-01-01T10:00:00Z"))
        await point.call(call.StatusNotification(connector_id=1, error_code="NoError", status="Available"))
        await driver.write("nl-EVSE01", "p_limit", 3000)
        assert len(point.profiles) == 1


async def test_an_answer_of_another_shape_is_a_violation() -> None:
    async with central_system() as driver, station(driver) as socket:
        await until_up(driver)
        command = asyncio.create_task(driver.write("nl-EVSE01", "p_limit", 1000))
        number = json.loads(await socket.recv())[1]
        await socket.send(json.dumps([3, number, {"odd": 1}]))
        with pytest.raises(ProtocolViolation):
            await command


async def test_a_limit_refused_for_the_running_transaction_is_refused_and_says_what_stands() -> None:
    async with central_system() as driver, charge_point(driver) as point:
        point.refused_purpose = "TxProfile"
        await point.call(call.StartTransaction(connector_id=1, id_tag="tag", meter_start=0, timestamp="2026-01-01T10:00:00Z"))
        with pytest.raises(DeviceRefused, match="TxProfile 3000 W; TxDefaultProfile 3000 W Accepted stands") as refusal:
            await driver.write("nl-EVSE01", "p_limit", 3000)
        assert refusal.value.device_code == "Rejected"


async def test_a_station_lost_between_its_two_profiles_leaves_the_outcome_unknown() -> None:
    async with central_system() as driver, station(driver) as socket:
        await ask(socket, "StartTransaction", START)
        command = asyncio.create_task(driver.write("nl-EVSE01", "p_limit", 3000))
        number = json.loads(await socket.recv())[1]
        await socket.send(json.dumps([3, number, {"status": "Accepted"}]))
        await socket.close()
        with pytest.raises(AnswerTimeout):
            await command
