"""Charge points for the tests of the OCPP driver: the library's and bare WebSocket frames."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from websockets.asyncio.client import ClientConnection, connect

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
    async with asyncio.timeout(30):
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
    refused_purpose = ""

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
        if cs_charging_profiles["charging_profile_purpose"] == self.refused_purpose:
            return call_result.SetChargingProfile(status="Rejected")
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
