"""The OCPP central system against the library's charge point and against bare WebSocket frames."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown, ProtocolViolation
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget
from pilots.drivers.ocpp import Ocpp16Driver
from tests.drivers.builders import Committed, make_device, make_point, make_target

KEY = "0123456789abcdef"
STATES = {0: "Available", 1: "Preparing", 2: "Charging", 8: "Faulted"}
POINTS = (
    make_point("active_power", measurand="Power.Active.Import"),
    make_point("current_l1", measurand="Current.Import", phase="L1"),
    make_point("energy_import", PointKind.COUNTER, measurand="Energy.Active.Import.Register"),
    PointSpec(name="connector_state", kind=PointKind.STATUS, labels=STATES, address={"status": "connector_state"}),
    make_point("session_id", PointKind.TEXT, transaction="session_id"),
    make_point("auth_id", PointKind.TEXT, transaction="auth_id"),
    make_point("session_energy", PointKind.COUNTER, transaction="session_energy"),
    make_point("p_limit", PointKind.SETPOINT, profile="limit"),
    make_point("enable", PointKind.COMMAND, availability="connector"),
)
BOOT = {"chargePointVendor": "V", "chargePointModel": "M"}
START = {"connectorId": 1, "idTag": "tag", "meterStart": 1000, "timestamp": "2026-01-01T10:00:00Z"}


def evse(id: str = "nl-EVSE01", connector: int = 1, identity: str = "nl-EVSE01", **options: Any) -> DeviceTarget:
    return make_device(
        *POINTS, id=id, address={"identity": identity, "connector": connector}, **{"interrogate": False, **options}
    )


@asynccontextmanager
async def central_system(*devices: DeviceTarget, sink: Any = None, **options: Any) -> AsyncIterator[Ocpp16Driver]:
    driver = Ocpp16Driver(make_target(0, *(devices or (evse(),)), trigger_after_s=[0.0], **options), sink or Committed())
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


def station(
    driver: Ocpp16Driver, path: str = "/ocpp/nl-EVSE01", *, key: str = "", user: str = "nl-EVSE01", **fields: Any
) -> connect:
    headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()} if key else {}
    protocols = fields.pop("subprotocols", ["ocpp1.6"])
    return connect(
        f"ws://127.0.0.1:{driver.port}{path}", subprotocols=protocols, additional_headers=headers, proxy=None, **fields
    )


async def ask(socket: ClientConnection, action: str, payload: object, number: str = "1") -> list[Any]:
    await socket.send(json.dumps([2, number, action, payload]))
    answer: list[Any] = json.loads(await socket.recv())
    assert answer[1] == number
    return answer


async def until_up(driver: Ocpp16Driver, device_id: str = "nl-EVSE01", up: bool = True) -> None:
    async with asyncio.timeout(5):
        while driver.device_up(device_id) is not up:
            await asyncio.sleep(0.005)


def sampled(value: str, measurand: str = "", unit: str = "", phase: str = "") -> dict[str, str]:
    fields = {"value": value, "measurand": measurand, "unit": unit, "phase": phase}
    return {name: text for name, text in fields.items() if text}


def meter(*values: dict[str, str], timestamp: str = "2026-01-01T10:05:00Z", **fields: Any) -> dict[str, Any]:
    return {"connectorId": 1, "meterValue": [{"timestamp": timestamp, "sampledValue": list(values)}], **fields}


class Evse(ChargePoint):  # type: ignore[misc]
    """A charge point that remembers its profiles and answers `status` to new ones."""

    status = "Accepted"

    def __init__(self, identity: str, socket: ClientConnection) -> None:
        super().__init__(identity, socket)
        self.profiles: list[tuple[int, dict[str, Any]]] = []
        self.triggered: list[str] = []
        self.cleared: list[int] = []
        self.availability: list[str] = []

    @on("SetChargingProfile")  # type: ignore[untyped-decorator]
    def take_profile(self, connector_id: int, cs_charging_profiles: dict[str, Any]) -> Any:
        for period in cs_charging_profiles["charging_schedule"]["charging_schedule_period"]:
            period["limit"] = float(period["limit"])  # the library reads it as Decimal
        self.profiles.append((connector_id, cs_charging_profiles))
        return call_result.SetChargingProfile(status=self.status)

    @on("ClearChargingProfile")  # type: ignore[untyped-decorator]
    def clear_profile(self, id: int) -> Any:
        self.cleared.append(id)
        return call_result.ClearChargingProfile(status="Unknown")

    @on("TriggerMessage")  # type: ignore[untyped-decorator]
    def trigger(self, requested_message: str, connector_id: int) -> Any:
        self.triggered.append(requested_message)
        return call_result.TriggerMessage(status="Accepted")

    @on("ChangeAvailability")  # type: ignore[untyped-decorator]
    def change_availability(self, connector_id: int, type: str) -> Any:
        self.availability.append(type)
        return call_result.ChangeAvailability(status="Scheduled")


@asynccontextmanager
async def charge_point(driver: Ocpp16Driver, **fields: Any) -> AsyncIterator[Evse]:
    async with station(driver, **fields) as socket:
        point = Evse("nl-EVSE01", socket)
        running = asyncio.create_task(point.start())
        await until_up(driver)
        try:
            yield point
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


# ---- the door ----


@pytest.mark.parametrize("path", ["/ocpp/stranger", "/ocpp/", "/", "/other/nl-EVSE01"])
async def test_an_unknown_identity_is_refused_with_404_before_the_upgrade(path: str) -> None:
    async with central_system() as driver:
        with pytest.raises(InvalidStatus) as refusal:
            await station(driver, path)
        assert refusal.value.response.status_code == 404


@pytest.mark.parametrize(("user", "key"), [("nl-EVSE01", "wrong"), ("other", KEY), ("nl-EVSE01", "")])
async def test_a_wrong_key_or_user_is_refused_with_401_before_the_upgrade(user: str, key: str) -> None:
    secured = evse(security_profile=1, key_sha256=hashlib.sha256(KEY.encode()).hexdigest())
    async with central_system(secured) as driver:
        with pytest.raises(InvalidStatus) as refusal:
            await station(driver, user=user, key=key)
        assert refusal.value.response.status_code == 401
        assert "Basic" in refusal.value.response.headers["WWW-Authenticate"]
        assert driver.traffic.refused == 1
        assert driver.device_up("nl-EVSE01") is False


async def test_the_right_key_comes_in_and_a_profile_without_key_never_does() -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    keyless = evse("nl-EVSE02", identity="nl-EVSE02", security_profile=1)
    async with central_system(evse(security_profile=1, key_sha256=digest), keyless) as driver:
        async with station(driver, key=KEY) as socket:
            assert (await ask(socket, "Heartbeat", {}))[0] == 3
        with pytest.raises(InvalidStatus):
            await station(driver, "/ocpp/nl-EVSE02", user="nl-EVSE02", key=KEY)


async def test_an_identity_is_percent_decoded() -> None:
    async with central_system(evse(identity="RDAM 123")) as driver, station(driver, "/ocpp/RDAM%20123"):
        await until_up(driver)


@pytest.mark.parametrize("protocols", [None, ["ocpp2.0.1"]])
async def test_without_a_common_subprotocol_the_socket_is_closed_after_the_handshake(protocols: list[str] | None) -> None:
    async with central_system() as driver, station(driver, subprotocols=protocols) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.subprotocol is None
        assert driver.device_up("nl-EVSE01") is False


async def test_a_message_over_256_kilobytes_ends_the_connection() -> None:
    async with central_system() as driver, station(driver) as socket:
        await socket.send("x" * (256 * 1024 + 1))
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        await until_up(driver, up=False)


async def test_a_newer_connection_displaces_the_old_one_and_stays_online() -> None:
    async with central_system() as driver, station(driver) as old:
        await ask(old, "Heartbeat", {})
        async with station(driver) as new:
            assert (await ask(new, "Heartbeat", {}))[0] == 3
            with pytest.raises(ConnectionClosed):
                await old.recv()
            assert driver.device_up("nl-EVSE01") is True
            assert (await ask(new, "Heartbeat", {}))[0] == 3
        await until_up(driver, up=False)


async def test_connections_of_one_endpoint_share_their_listener() -> None:
    async with central_system() as first:
        device = evse("no-EVSE01", identity="no-EVSE01")
        second = Ocpp16Driver(make_target(first.port, device), Committed())
        third = Ocpp16Driver(make_target(first.port, evse("es-EVSE01", identity="es-EVSE01")), Committed())
        with pytest.raises(LinkDown, match="cannot listen"):
            await second.open()
    await asyncio.gather(second.open(), third.open())
    async with station(second, "/ocpp/no-EVSE01"):
        await until_up(second, "no-EVSE01")
        await third.close()
        with pytest.raises(InvalidStatus):
            await station(second, "/ocpp/es-EVSE01")
        assert second.device_up("no-EVSE01") is True
    await second.close()


# ---- what stations say ----


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


# ---- what we ask of stations ----


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
        async with asyncio.timeout(5):
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
        async with asyncio.timeout(5):
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
        async with asyncio.timeout(5):
            assert "Accepted" in (await command).raw
        committed.set()


async def test_a_station_that_misses_its_pong_is_offline() -> None:
    async with central_system(ping_s=0.1) as driver:
        reader, writer = await asyncio.open_connection("127.0.0.1", driver.port)
        writer.write(
            b"GET /ocpp/nl-EVSE01 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
        )
        await until_up(driver)
        await until_up(driver, up=False)
        writer.close()


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


async def test_a_station_that_says_available_gets_no_profile_for_a_transaction_it_has_lost() -> None:
    async with central_system() as driver, charge_point(driver) as point:
        await point.call(call.StartTransaction(connector_id=1, id_tag="tag", meter_start=0, timestamp="2026-01-01T10:00:00Z"))
        await point.call(call.StatusNotification(connector_id=1, error_code="NoError", status="Available"))
        await driver.write("nl-EVSE01", "p_limit", 3000)
        assert len(point.profiles) == 1


async def test_a_commit_that_never_ends_does_not_keep_the_driver_from_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.drivers.ocpp.session.END_TIMEOUT_S", 0.05)

    async def sink(device_id: str, readings: Sequence[RawReading]) -> None:
        await asyncio.Event().wait()

    async with central_system(sink=sink) as driver, station(driver) as socket:
        await socket.send(json.dumps([2, "1", "MeterValues", meter(sampled("1"))]))
        await until_up(driver)
        async with asyncio.timeout(5):
            await driver.close()


async def test_an_answer_of_another_shape_is_a_violation() -> None:
    async with central_system() as driver, station(driver) as socket:
        await until_up(driver)
        command = asyncio.create_task(driver.write("nl-EVSE01", "p_limit", 1000))
        number = json.loads(await socket.recv())[1]
        await socket.send(json.dumps([3, number, {"odd": 1}]))
        with pytest.raises(ProtocolViolation):
            await command
