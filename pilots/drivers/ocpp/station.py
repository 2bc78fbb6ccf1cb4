"""What a charge point tells us: one method per action, its readings committed before it is answered. [zone: field]

OCPP 1.6 edition 2, 4 (operations initiated by the charge point). Every transaction message gets a CALLRESULT, whatever
its number: a station repeats what is not answered and holds all later messages back.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ocpp.exceptions import FormationViolationError, ProtocolError, TypeConstraintViolationError

from pilots.domain.measurement import RawReading
from pilots.drivers.base import DeviceTarget, Sink
from pilots.drivers.ocpp.mapping import ENERGY_REGISTER, PointMap, UnreadableMeterValue, meter_values, moment, pick, read_sample
from pilots.drivers.ocpp.profiles import stamp
from pilots.drivers.ocpp.transactions import Transaction, TransactionBook
from pilots.drivers.traffic import Traffic

log = logging.getLogger(__name__)
DEFAULT_HEARTBEAT_S = 60
AVAILABLE = "Available"


class Station:
    """One charge point by identity, across its connections: its devices by connector, its transactions, its last states."""

    def __init__(
        self, identity: str, devices: Sequence[DeviceTarget], *, book: TransactionBook, sink: Sink, traffic: Traffic
    ) -> None:
        self.identity = identity
        self.devices = {int(device.address.get("connector", 1)): device for device in devices}
        self.states: dict[int, str] = {}
        self._maps = {connector: PointMap.of(device) for connector, device in self.devices.items()}
        self._book, self._sink, self._traffic = book, sink, traffic
        self._heartbeat_s = int(devices[0].options.get("heartbeat_s", DEFAULT_HEARTBEAT_S))
        self._answers: dict[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
            "BootNotification": self._boot,
            "Heartbeat": self._heartbeat,
            "StatusNotification": self._status,
            "Authorize": self._authorize,
            "StartTransaction": self._start,
            "StopTransaction": self._stop,
            "MeterValues": self._meter,
            "DataTransfer": self._transfer,
            "FirmwareStatusNotification": self._noted,
            "DiagnosticsStatusNotification": self._noted,
        }

    @property
    def actions(self) -> frozenset[str]:
        return frozenset(self._answers)

    def running(self, connector: int) -> Transaction | None:
        """The transaction that runs on a connector, as far as the station's last status does not deny it."""
        return None if self.states.get(connector) == AVAILABLE else self._book.running(self.identity, connector)

    async def answer(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The payload of the CALLRESULT. Raises OCPPError."""
        return await self._answers[action](payload)

    async def _boot(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        log.info("charge point booted", extra={"identity": self.identity, "model": payload["chargePointModel"]})
        return {"currentTime": stamp(datetime.now(UTC)), "interval": self._heartbeat_s, "status": "Accepted"}

    async def _heartbeat(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        if payload:
            raise FormationViolationError(details={"cause": "Heartbeat has no fields"})
        return {"currentTime": stamp(datetime.now(UTC))}

    async def _status(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        connector = payload["connectorId"]
        self.states[connector] = payload["status"]
        if connector in self._maps:
            await self._commit(connector, self._maps[connector].status_readings(payload))
        return {}

    async def _authorize(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {"idTagInfo": {"status": "Accepted"}}

    async def _start(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        connector = payload["connectorId"]
        key = (self.identity, connector, payload["idTag"], payload["timestamp"], payload["meterStart"])
        transaction = self._book.start(key)
        if connector in self._maps:
            known, at = self._maps[connector], moment(payload["timestamp"])
            facts = {"session_id": str(transaction.id), "auth_id": payload["idTag"], "session_energy": 0.0}
            readings = known.transaction_readings(facts, at) + known.register_readings(float(payload["meterStart"]), at)
            await self._commit(connector, readings)
        return {"transactionId": transaction.id, "idTagInfo": {"status": "Accepted"}}

    async def _stop(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        transaction = self._book.seen(payload["transactionId"], self.identity, 0)
        if transaction is None:
            # Another station's number, or none: answered so that it is not repeated for ever, counted and otherwise ignored.
            self._traffic.violations += 1
            return {"idTagInfo": {"status": "Invalid"}}
        transaction.open = False
        if transaction.connector in self._maps:
            await self._commit(transaction.connector, self._stop_readings(transaction, payload))
        return {"idTagInfo": {"status": "Accepted"}}

    def _stop_readings(self, transaction: Transaction, payload: Mapping[str, Any]) -> list[RawReading]:
        known, at = self._maps[transaction.connector], moment(payload["timestamp"])
        readings = [reading for element in payload.get("transactionData", []) for reading in known.meter_readings(element)]
        facts: dict[str, float | str] = {"session_id": "", "auth_id": ""}
        if transaction.meter_start is not None:
            facts["session_energy"] = float(payload["meterStop"]) - transaction.meter_start
        return readings + known.register_readings(float(payload["meterStop"]), at) + known.transaction_readings(facts, at)

    async def _meter(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        connector = payload.get("connectorId")
        if connector is None or "meterValue" not in payload:
            raise ProtocolError(details={"cause": "connectorId and meterValue are required"})
        if not isinstance(connector, int) or not isinstance(payload.get("transactionId", 0), int):
            raise TypeConstraintViolationError(details={"cause": "connectorId and transactionId are integers"})
        transaction = self._transaction_of(payload, connector)
        try:
            elements = list(meter_values(payload, "meterValue"))
            readings = [one for element in elements for one in self._meter_readings(connector, element, transaction)]
        except UnreadableMeterValue as error:
            raise FormationViolationError(details={"cause": str(error)}) from error
        if connector in self._maps:
            await self._commit(connector, readings)
        return {}

    def _transaction_of(self, payload: Mapping[str, Any], connector: int) -> Transaction | None:
        if "transactionId" not in payload:
            return None
        transaction = self._book.seen(payload["transactionId"], self.identity, connector)
        if transaction is None:
            self._traffic.violations += 1
        return transaction

    def _meter_readings(self, connector: int, element: Mapping[str, Any], transaction: Transaction | None) -> list[RawReading]:
        sample = read_sample(element)
        if connector not in self._maps:
            return []
        known, facts = self._maps[connector], dict[str, float | str]()
        if transaction is not None and transaction.open:
            facts["session_id"] = str(transaction.id)
            _, register = pick(sample, (ENERGY_REGISTER, ""))
            if register is not None and transaction.meter_start is not None:
                facts["session_energy"] = register - transaction.meter_start
        return known.meter_readings(element) + known.transaction_readings(facts, moment(element.get("timestamp")))

    async def _transfer(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {"status": "UnknownVendorId"}

    async def _noted(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    async def _commit(self, connector: int, readings: list[RawReading]) -> None:
        if readings:
            await self._sink(self.devices[connector].id, readings)
