"""The simulated charge point against a small central system."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ocpp.routing import on
from ocpp.v16 import ChargePoint as Central16
from ocpp.v16 import call, call_result
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from pilots.simulators.charge_point import ChargePoint
from pilots.simulators.ledger import Ledger, stamp
from pilots.simulators.plant import Plant
from tests.simulators.peers import eventually, free_port, plant_of, stepping

STATION = "nl-EVSE01"
KEY = "0123456789abcdef"


class Central(Central16):  # type: ignore[misc]
    """One connection at the central system; everything heard goes into `heard`."""

    def __init__(self, identity: str, socket: Any, heard: list[tuple[str, dict[str, Any]]]) -> None:
        super().__init__(identity, socket, response_timeout=5)
        self.heard = heard

    def note(self, action: str, payload: dict[str, Any]) -> None:
        self.heard.append((action, payload))

    @on("BootNotification")  # type: ignore[untyped-decorator]
    def boot(self, **payload: Any) -> Any:
        self.note("BootNotification", payload)
        return call_result.BootNotification(current_time=stamp(datetime.now(UTC)), interval=60, status="Accepted")

    @on("StatusNotification")  # type: ignore[untyped-decorator]
    def status(self, **payload: Any) -> Any:
        self.note("StatusNotification", payload)
        return call_result.StatusNotification()

    @on("Heartbeat")  # type: ignore[untyped-decorator]
    def heartbeat(self) -> Any:
        self.note("Heartbeat", {})
        return call_result.Heartbeat(current_time=stamp(datetime.now(UTC)))

    @on("StartTransaction")  # type: ignore[untyped-decorator]
    def begin(self, **payload: Any) -> Any:
        self.note("StartTransaction", payload)
        return call_result.StartTransaction(transaction_id=4711, id_tag_info={"status": "Accepted"})

    @on("StopTransaction")  # type: ignore[untyped-decorator]
    def end(self, **payload: Any) -> Any:
        self.note("StopTransaction", payload)
        return call_result.StopTransaction()

    @on("MeterValues")  # type: ignore[untyped-decorator]
    def meter(self, **payload: Any) -> Any:
        self.note("MeterValues", payload)
        return call_result.MeterValues()


class Rig:
    """A central system that can come and go, and one station."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        self.plant, self.port = plant, free_port()
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[str] = []
        self.central: Central | None = None
        self.ledger = Ledger(folder / "writes.jsonl")
        self.station = ChargePoint(
            plant, STATION, STATION, endpoint=lambda: ("127.0.0.1", self.port), key=lambda: KEY, ledger=self.ledger, meter_s=1.0
        )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with serve(self._accept, "127.0.0.1", self.port, subprotocols=[Subprotocol("ocpp1.6")]):
            yield
        self.central = None

    async def _accept(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.headers.append(socket.request.headers.get("Authorization", ""))
        self.central = Central(socket.request.path.rpartition("/")[2], socket, self.heard)
        with contextlib.suppress(ConnectionClosed):
            await self.central.start()

    def said(self, action: str) -> list[dict[str, Any]]:
        return [payload for name, payload in self.heard if name == action]

    async def ask(self, request: Any) -> Any:
        central = await eventually(lambda: self.central)
        return await central.call(request)

    async def limit(self, watts: float, *, purpose: str = "TxDefaultProfile", unit: str = "W", **more: Any) -> str:
        start = datetime.now(UTC) - timedelta(seconds=60)
        profile = {
            "charging_profile_id": 1001,
            "stack_level": 2,
            "charging_profile_purpose": purpose,
            "charging_profile_kind": "Absolute",
            "charging_schedule": {
                "start_schedule": stamp(start),
                "charging_rate_unit": unit,
                "charging_schedule_period": [{"start_period": 0, "limit": watts}],
            },
            **more,
        }
        answer = await self.ask(call.SetChargingProfile(connector_id=1, cs_charging_profiles=profile))
        return str(answer.status)

    def state(self) -> str:
        return str(self.plant.word(STATION, "connector_state"))


@asynccontextmanager
async def station(folder: Path) -> AsyncIterator[Rig]:
    rig = Rig(plant_of("nl", start=datetime.now(UTC)), folder)
    task = asyncio.create_task(rig.station.run())
    try:
        async with stepping(rig.plant):
            yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_station_boots_with_its_key_tells_its_state_and_starts_its_transaction(tmp_path: Path) -> None:
    async with station(tmp_path) as rig, rig.listening():
        begun = (await eventually(lambda: rig.said("StartTransaction")))[0]
        values = (await eventually(lambda: [v for v in rig.said("MeterValues") if v.get("transaction_id") == 4711]))[0]
    assert rig.headers[0] == "Basic " + base64.b64encode(f"{STATION}:{KEY}".encode()).decode()
    assert rig.heard[0][0] == "BootNotification"
    assert {0, 1} <= {payload["connector_id"] for payload in rig.said("StatusNotification")}
    assert begun["meter_start"] > 0
    assert begun["connector_id"] == 1
    measurands = {sample["measurand"] for sample in values["meter_value"][0]["sampled_value"]}
    assert {"Power.Active.Import", "Energy.Active.Import.Register", "Current.Import", "Voltage"} <= measurands
    assert rig.plant.read(STATION, "session_id") == "4711"


async def test_a_limit_is_obeyed_shown_on_request_and_one_line_in_the_ledger(tmp_path: Path) -> None:
    async with station(tmp_path) as rig, rig.listening():
        await eventually(lambda: rig.state() == "Charging" and rig.plant.read(STATION, "session_id"))
        assert await rig.limit(7000) == "Accepted"
        assert await rig.limit(7000, purpose="TxProfile", charging_profile_id=2001, transaction_id=4711) == "Accepted"
        before = len(rig.said("MeterValues"))
        assert (await rig.ask(call.TriggerMessage(requested_message="MeterValues", connector_id=1))).status == "Accepted"
        await eventually(lambda: len(rig.said("MeterValues")) > before)
        await eventually(lambda: _power(rig.said("MeterValues")[-1]) == 7000.0)
    assert [(entry["point"], entry["value"]) for entry in rig.ledger.entries()] == [("p_limit", 7000.0)]


async def test_nothing_and_five_amperes_suspend_and_six_charge(tmp_path: Path) -> None:
    async with station(tmp_path) as rig, rig.listening():
        await eventually(lambda: rig.state() == "Charging")
        for amperes, state in ((0, "SuspendedEVSE"), (6, "Charging"), (5, "SuspendedEVSE")):
            assert await rig.limit(amperes, unit="A") == "Accepted"
            await eventually(lambda wanted=state: rig.state() == wanted)  # type: ignore[misc]
            await eventually(lambda wanted=state: rig.said("StatusNotification")[-1]["status"] == wanted)  # type: ignore[misc]
        assert (await rig.ask(call.ClearChargingProfile(id=1001))).status == "Accepted"
        assert (await rig.ask(call.ClearChargingProfile(id=1001))).status == "Unknown"
        await eventually(lambda: float(rig.plant.read(STATION, "active_power") or 0) > 10000)


async def test_profiles_that_do_not_fit_are_rejected(tmp_path: Path) -> None:
    async with station(tmp_path) as rig, rig.listening():
        await eventually(lambda: rig.plant.read(STATION, "session_id"))
        assert await rig.limit(7000, purpose="TxProfile", transaction_id=1) == "Rejected"
        assert await rig.limit(7000, purpose="ChargePointMaxProfile") == "Rejected"
        assert await rig.limit(7000, stack_level=99) == "Rejected"
    assert rig.ledger.entries() == []


async def test_the_composite_schedule_shows_the_limit_and_its_end(tmp_path: Path) -> None:
    async with station(tmp_path) as rig, rig.listening():
        until = stamp(datetime.now(UTC) + timedelta(seconds=100))
        await rig.limit(6000, valid_to=until)
        answer = await rig.ask(call.GetCompositeSchedule(connector_id=1, duration=300))
    periods = answer.charging_schedule["charging_schedule_period"]
    assert [period["limit"] for period in periods] == [6000, 11000]
    assert 95 <= periods[1]["start_period"] <= 101


async def test_what_happened_while_away_comes_later_in_order_with_its_own_times(tmp_path: Path) -> None:
    async with station(tmp_path) as rig:
        async with rig.listening():
            await eventually(lambda: rig.plant.read(STATION, "session_id"))
        lost = datetime.now(UTC)
        rig.plant.write(STATION, "remote_stop", 1.0)
        await eventually(lambda: rig.station.transaction is None)
        await asyncio.sleep(0.2)
        back = datetime.now(UTC)
        rig.heard.clear()
        async with rig.listening():
            ended = (await eventually(lambda: rig.said("StopTransaction"), within_s=20))[0]
    assert ended["transaction_id"] == 4711
    assert stamp(lost - timedelta(seconds=2)) <= ended["timestamp"] <= stamp(back)
    assert rig.said("BootNotification") == []


async def test_a_remote_stop_ends_the_transaction_and_an_unavailable_station_says_so(tmp_path: Path) -> None:
    async with station(tmp_path) as rig, rig.listening():
        await eventually(lambda: rig.plant.read(STATION, "session_id"))
        assert (await rig.ask(call.RemoteStopTransaction(transaction_id=1))).status == "Rejected"
        assert (await rig.ask(call.RemoteStopTransaction(transaction_id=4711))).status == "Accepted"
        assert (await eventually(lambda: rig.said("StopTransaction")))[0]["reason"] == "Remote"
        assert (await rig.ask(call.ChangeAvailability(connector_id=1, type="Inoperative"))).status == "Accepted"
        await eventually(lambda: rig.said("StatusNotification")[-1]["status"] == "Unavailable")


async def test_configuration_tells_what_the_station_can_do(tmp_path: Path) -> None:
    async with station(tmp_path) as rig, rig.listening():
        answer = await rig.ask(call.GetConfiguration(key=["SupportedFeatureProfiles", "Nonsense"]))
    assert answer.configuration_key[0]["value"] == "Core,SmartCharging,RemoteTrigger"
    assert answer.unknown_key == ["Nonsense"]


def _power(payload: dict[str, Any]) -> float:
    samples = payload["meter_value"][0]["sampled_value"]
    return float(next(sample["value"] for sample in samples if sample["measurand"] == "Power.Active.Import"))
