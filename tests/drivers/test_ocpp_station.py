"""What charge points say to the OCPP central system, right and wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from ocpp.v16 import call

from pilots.domain.measurement import RawReading
from tests.drivers.builders import Committed
from tests.drivers.ocpp_peers import (
    BOOT,
    START,
    ask,
    central_system,
    charge_point,
    evse,
    meter,
    sampled,
    station,
)


async def test_a_charge_point_boots_reports_and_charges() -> None:
    sink = Committed()
    async with central_system(sink=sink, evse_heartbeat=1) as driver, charge_point(driver) as point:
        boot = await point.call(call.BootNotification(charge_point_model="M", charge_point_vendor="V"))
        assert (boot.status, boot.interval) == ("Accepted", 60)
        await point.call(call.StatusNotification(connector_id=1, error_code="NoError", status="Charging"))
        await point.call(call.Authorize(id_tag="tag"))
        started = await point.call(
            call.StartTransaction(connector_id=1, id_tag="tag", meter_start=1000, timestamp="2026-01-01T10:00:00Z")
        )
        assert 0 < started.transaction_id < 2**31
        assert sink.values("nl-EVSE01") == {
            "connector_state": 2, "session_id": str(started.transaction_id), "auth_id": "tag",
            "session_energy": 0.0, "energy_import": 1000.0,
        }  # fmt: skip
        stopped = await point.call(
            call.StopTransaction(meter_stop=3500, timestamp="2026-01-01T11:00:00Z", transaction_id=started.transaction_id)
        )
        assert stopped.id_tag_info["status"] == "Accepted"
        values = sink.values("nl-EVSE01")
        assert (values["session_id"], values["session_energy"], values["energy_import"]) == ("", 2500.0, 3500.0)
        assert sink.readings[-1][1].source_time == datetime(2026, 1, 1, 11, tzinfo=UTC)


async def test_meter_values_become_watts_of_the_load_convention() -> None:
    sink = Committed()
    async with central_system(sink=sink) as driver, station(driver) as socket:
        values = (
            sampled("7.4", "Power.Active.Import", "kW"),
            sampled("400", "Power.Active.Export"),
            sampled("12.5"),
            sampled("16", "Current.Import", "A", "L1-N"),
        )
        assert (await ask(socket, "MeterValues", meter(*values)))[2] == {}
        assert sink.values("nl-EVSE01") == {"active_power": 7000.0, "energy_import": 12.5, "current_l1": 16.0}


async def test_a_total_that_is_not_sent_is_the_sum_of_its_phases() -> None:
    sink = Committed()
    async with central_system(sink=sink) as driver, station(driver) as socket:
        phases = [sampled("1000", "Power.Active.Import", "W", phase) for phase in ("L1", "L2", "L3")]
        await ask(socket, "MeterValues", meter(*phases))
        assert sink.values("nl-EVSE01") == {"active_power": 3000.0}


@pytest.mark.parametrize("timestamp", ["1970-01-01T00:00:10Z", "2026-01-01T10:00:00", "yesterday"])
async def test_a_time_that_cannot_be_true_is_left_out(timestamp: str) -> None:
    sink = Committed()
    async with central_system(sink=sink) as driver, station(driver) as socket:
        await ask(socket, "MeterValues", meter(sampled("1", "Power.Active.Import"), timestamp=timestamp))
        assert sink.readings[0][1].source_time is None


async def test_a_value_that_is_no_number_is_missing_not_zero() -> None:
    sink = Committed()
    async with central_system(sink=sink) as driver, station(driver) as socket:
        await ask(socket, "MeterValues", meter(sampled("n/a", "Power.Active.Import")))
        assert sink.readings[0][1].value is None


async def test_an_answer_leaves_only_after_its_readings_are_committed() -> None:
    committed = asyncio.Event()

    async def sink(device_id: str, readings: Sequence[RawReading]) -> None:
        await committed.wait()

    async with central_system(sink=sink) as driver, station(driver) as socket:
        await socket.send(json.dumps([2, "1", "MeterValues", meter(sampled("1"))]))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.05)
        committed.set()
        assert json.loads(await socket.recv()) == [3, "1", {}]


async def test_readings_that_cannot_be_committed_are_not_acknowledged_and_the_socket_lives() -> None:
    async def sink(device_id: str, readings: Sequence[RawReading]) -> None:
        raise OSError("disk full")

    async with central_system(sink=sink) as driver, station(driver) as socket:
        assert (await ask(socket, "MeterValues", meter(sampled("1"))))[:3] == [4, "1", "InternalError"]
        assert (await ask(socket, "Heartbeat", {}))[0] == 3


async def test_a_repeated_start_gets_the_same_number_also_after_a_restart() -> None:
    numbers = set()
    for _ in range(2):
        async with central_system() as driver, station(driver) as socket:
            numbers |= {(await ask(socket, "StartTransaction", START))[2]["transactionId"] for _ in range(2)}
    assert len(numbers) == 1


async def test_stopping_what_is_not_ones_own_is_answered_politely_and_counted() -> None:
    sink = Committed()
    other = evse("nl-EVSE02", identity="nl-EVSE02")
    async with (
        central_system(evse(), other, sink=sink) as driver,
        station(driver) as mine,
        station(driver, "/ocpp/nl-EVSE02") as theirs,
    ):
        number = (await ask(mine, "StartTransaction", START))[2]["transactionId"]
        stop = {"transactionId": number, "meterStop": 2000, "timestamp": "2026-01-01T11:00:00Z"}
        assert (await ask(theirs, "StopTransaction", stop))[2] == {"idTagInfo": {"status": "Invalid"}}
        assert driver.traffic.violations == 1
        assert sink.values("nl-EVSE01")["session_id"] == str(number)
        assert (await ask(theirs, "StopTransaction", {**stop, "transactionId": -1}))[0] == 3
        assert (await ask(theirs, "StopTransaction", {**stop, "transactionId": 77}))[0] == 3


async def test_session_energy_rises_with_the_register() -> None:
    sink = Committed()
    async with central_system(sink=sink) as driver, station(driver) as socket:
        number = (await ask(socket, "StartTransaction", START))[2]["transactionId"]
        await ask(socket, "MeterValues", meter(sampled("1.25", unit="kWh"), transactionId=number))
        assert sink.values("nl-EVSE01")["session_energy"] == 250.0


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("MakeCoffee", {}, "NotImplemented"),
        ("SecurityEventNotification", {"type": "x", "timestamp": "2026-01-01T00:00:00Z"}, "NotSupported"),
        ("BootNotification", {"chargePointVendor": "V"}, "ProtocolError"),
        ("BootNotification", {**BOOT, "x": 1}, "FormationViolation"),
        ("BootNotification", {**BOOT, "chargePointVendor": 7}, "TypeConstraintViolation"),
        ("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Asleep"}, "FormationViolation"),
        ("Heartbeat", {"x": 1}, "FormationViolation"),
        ("MeterValues", {"connectorId": 1}, "ProtocolError"),
        ("MeterValues", {"connectorId": "1", "meterValue": []}, "TypeConstraintViolation"),
        ("MeterValues", {"connectorId": 1, "meterValue": [{"timestamp": "x"}]}, "FormationViolation"),
        ("MeterValues", {"connectorId": 1, "meterValue": 3}, "FormationViolation"),
        ("StartTransaction", {**START, "idTag": "x" * 21}, "TypeConstraintViolation"),
        ("Heartbeat", "text", "FormationViolation"),
    ],
)
async def test_a_wrong_call_gets_the_right_error_and_the_connection_lives(action: str, payload: object, code: str) -> None:
    async with central_system() as driver, station(driver) as socket:
        assert (await ask(socket, action, payload))[:3] == [4, "1", code]
        assert driver.traffic.violations == 1
        assert (await ask(socket, "BootNotification", BOOT))[2]["status"] == "Accepted"


@pytest.mark.parametrize("text", ["no json", "{}", "[]", "[9]", '[2,"1"]', "[3,1,{}]", '[4,"x"]', "null", "[[]]", "[" * 5000])
async def test_what_is_no_ocpp_is_counted_and_disturbs_nothing(text: str) -> None:
    async with central_system() as driver, station(driver) as socket:
        await socket.send(text)
        await socket.send(json.dumps([2, "h", "Heartbeat", {}]))
        answers = [json.loads(await socket.recv())]
        if answers[0][0] == 4:
            answers.append(json.loads(await socket.recv()))
        assert answers[-1][:2] == [3, "h"]
        assert driver.traffic.violations == 1


async def test_the_harmless_messages_are_answered() -> None:
    async with central_system() as driver, station(driver) as socket:
        assert (await ask(socket, "DataTransfer", {"vendorId": "v"}))[2] == {"status": "UnknownVendorId"}
        assert (await ask(socket, "FirmwareStatusNotification", {"status": "Idle"}))[2] == {}
        assert (await ask(socket, "DiagnosticsStatusNotification", {"status": "Idle"}))[2] == {}
        assert (await ask(socket, "StatusNotification", {"connectorId": 0, "errorCode": "NoError", "status": "Available"}))[
            2
        ] == {}


async def test_two_connectors_of_a_station_are_two_devices() -> None:
    sink = Committed()
    async with central_system(evse(), evse("nl-EVSE02", 2), sink=sink) as driver, station(driver) as socket:
        await ask(socket, "MeterValues", {**meter(sampled("5", "Power.Active.Import")), "connectorId": 2})
        assert (driver.device_up("nl-EVSE01"), driver.device_up("nl-EVSE02")) == (True, True)
        assert sink.values("nl-EVSE02") == {"active_power": 5.0}
        assert sink.values("nl-EVSE01") == {}


async def test_the_meter_data_of_a_stop_are_readings_of_their_time() -> None:
    sink = Committed()
    async with central_system(sink=sink) as driver, station(driver) as socket:
        number = (await ask(socket, "StartTransaction", START))[2]["transactionId"]
        data = meter(sampled("3", "Power.Active.Import", "kW"), timestamp="2026-01-01T10:30:00Z")["meterValue"]
        stop = {"transactionId": number, "meterStop": 2000, "timestamp": "2026-01-01T11:00:00Z", "transactionData": data}
        await ask(socket, "StopTransaction", stop)
        (power,) = [reading for _, reading in sink.readings if reading.point == "active_power"]
        assert (power.value, power.source_time) == (3000.0, datetime(2026, 1, 1, 10, 30, tzinfo=UTC))


async def test_a_transaction_from_before_our_restart_is_taken_up_from_its_meter_values() -> None:
    sink = Committed()
    async with central_system(sink=sink) as driver, charge_point(driver) as point:
        await point.call(
            call.MeterValues(
                connector_id=1,
                transaction_id=4711,
                meter_value=[{"timestamp": "2026-01-01T10:05:00Z", "sampledValue": [sampled("500")]}],
            )
        )
        assert sink.values("nl-EVSE01") == {"energy_import": 500.0, "session_id": "4711"}
        await driver.write("nl-EVSE01", "p_limit", 3000)
        assert [profile.get("transaction_id") for _, profile in point.profiles] == [None, 4711]
