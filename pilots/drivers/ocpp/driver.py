"""OCPP 1.6J central system: charge points connect to us, report, and obey charging limits. [zone: field]

D7.1 3.1.3 e, 3.1.4 e, 3.1.2 e'; docs/protocols/ocpp.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from ocpp.v16 import call
from websockets.asyncio.server import ServerConnection

from pilots.domain.errors import AnswerTimeout, DeviceRefused, FieldError, LinkDown
from pilots.domain.point import PointSpec
from pilots.drivers.base import DeviceTarget, Driver, Sink, Target, WriteResult
from pilots.drivers.ocpp.listener import Admission, Listener, join, leave
from pilots.drivers.ocpp.profiles import build_profile, default_profile_id, transaction_profile_id
from pilots.drivers.ocpp.session import StationSession
from pilots.drivers.ocpp.station import Station
from pilots.drivers.ocpp.transactions import Numbering, TransactionBook, digest_number
from pilots.drivers.traffic import Traffic

log = logging.getLogger(__name__)

DEFAULT_CALL_TIMEOUT_S = 10.0
DEFAULT_PING_S = 20.0
#: Seconds after an accepted limit at which its feedback is asked for: at once, and when the car has followed.
TRIGGER_AFTER_S = (0.0, 2.0)


class Ocpp16Driver(Driver):
    """One endpoint's charge points. Connections with the same endpoint in one loop share its listener.

    `numbering` gives the transaction ids; see `transactions.digest_number` for why the default needs no store.
    """

    listening: ClassVar[bool] = True
    listener: ClassVar[bool] = True

    def __init__(
        self, target: Target, sink: Sink, traffic: Traffic | None = None, *, numbering: Numbering = digest_number
    ) -> None:
        super().__init__(target, sink, traffic)
        self._devices = {device.id: device for device in target.devices}
        self._book = TransactionBook(numbering)
        by_identity: dict[str, list[DeviceTarget]] = {}
        for device in target.devices:
            by_identity.setdefault(identity_of(device), []).append(device)
        self._stations = {
            identity: Station(identity, devices, book=self._book, sink=sink, traffic=self.traffic)
            for identity, devices in by_identity.items()
        }
        self._sessions: dict[str, StationSession] = {}
        self._door: Listener | None = None

    @property
    def port(self) -> int:
        """The port listened on, also when 0 was asked for."""
        return self._door.port if self._door is not None else self.target.port

    async def open(self) -> None:
        """Listens; stations come when they come. Raises LinkDown when the port is taken."""
        self.closed.clear()
        ping_s = float(self.target.options.get("ping_s", DEFAULT_PING_S))
        try:
            self._door = await join(self.target.host, self.target.port, ping_s=ping_s)
        except LinkDown:
            self.closed.set()
            raise
        for identity, station in self._stations.items():
            self._door.admissions[identity] = self._admission(identity, station)

    async def close(self) -> None:
        door, self._door = self._door, None
        self.closed.set()
        if door is None:
            return
        for identity in self._stations:
            door.admissions.pop(identity, None)
        sessions = list(self._sessions.values())
        await asyncio.gather(*(session.end("the central system stops") for session in sessions))
        await leave(door)

    async def write_spec(self, device_id: str, spec: PointSpec, value: float, *, valid_for_s: float | None = None) -> WriteResult:
        """A limit as charging profile (`{profile: limit}`) or availability (`{availability: connector}`), accepted."""
        device, session = self._devices[device_id], self._session(device_id)
        if "profile" in spec.address:
            return await self._limit(device, session, spec.to_wire(value), valid_for_s)
        if "availability" in spec.address:
            return await self._availability(device, session, on=bool(round(spec.to_wire(value))))
        raise DeviceRefused(f"{spec.name} cannot be written by OCPP", device_code="not_writable")

    async def clear(self, device_id: str, point: str) -> WriteResult:
        """The limit set by `write` is released; that there was none is success too. Raises FieldError."""
        device, session = self._devices[device_id], self._session(device_id)
        connector, answers = connector_of(device), []
        for number in (default_profile_id(connector), transaction_profile_id(connector)):
            result = await session.call(call.ClearChargingProfile(id=number))
            answers.append(str(result.status))
        self._ask_feedback(device, session)
        return WriteResult(f"ClearChargingProfile {', '.join(answers)}")

    def device_up(self, device_id: str) -> bool | None:
        """Whether its station is connected now."""
        return identity_of(self._devices[device_id]) in self._sessions

    async def probe(self) -> list[str]:
        """Opens the endpoint and says who may come: a station decides for itself when it connects."""
        await self.open()
        steps = [f"listening on {self.target.host}:{self.port}, path /ocpp/<identity>, subprotocol ocpp1.6"]
        steps += [f"{identity} may connect" for identity in self._stations]
        await self.close()
        return steps

    def _admission(self, identity: str, station: Station) -> Admission:
        options: dict[str, Any] = dict(self.target.options)
        for device in station.devices.values():
            options.update({**device.address, **device.options})
        return Admission(
            serve=lambda socket: self._serve(station, socket),
            traffic=self.traffic,
            security_profile=int(options.get("security_profile", 0)),
            key_sha256=str(options.get("key_sha256") or dict(options.get("keys_sha256", {})).get(identity, "")),
        )

    async def _serve(self, station: Station, socket: ServerConnection) -> None:
        """One connection of a station from upgrade to end. A newer one wins: a station whose old connection died of
        a lost radio link must not be locked out by it."""
        session = StationSession(
            station.identity,
            socket,
            station.answer,
            actions=station.actions,
            timeout_s=float(self.target.options.get("call_timeout_s", DEFAULT_CALL_TIMEOUT_S)),
            traffic=self.traffic,
        )
        old = self._sessions.get(station.identity)
        self._sessions[station.identity] = session
        if old is not None:
            await old.close("a newer connection took over")
            await old.gone.wait()  # its last readings come before this one's first
        try:
            session.spawn(self._interrogate(station, session))
            await session.run()
        finally:
            # Only if no newer connection has taken the place: the old one's end must not take the new one offline.
            if self._sessions.get(station.identity) is session:
                del self._sessions[station.identity]

    async def _interrogate(self, station: Station, session: StationSession) -> None:
        """A station that reconnects need not boot: ask what it would have said (OCPP-J 1.6, 5.4), then configure it."""
        options = next(iter(station.devices.values())).options
        if not self.target.options.get("interrogate", options.get("interrogate", True)):
            return
        for key, value in dict(options.get("configuration", {})).items():
            await self._quietly(session, call.ChangeConfiguration(key=str(key), value=str(value)))
        for connector in station.devices:
            await self._trigger(session, "StatusNotification", connector)
            await self._trigger(session, "MeterValues", connector)

    async def _limit(
        self, device: DeviceTarget, session: StationSession, power_w: float, valid_for_s: float | None
    ) -> WriteResult:
        """TxDefaultProfile for the connector and TxProfile for what runs there: both must be accepted."""
        connector, now = connector_of(device), datetime.now(UTC)
        transaction = self._stations[identity_of(device)].running(connector)
        default = build_profile(
            "TxDefaultProfile", default_profile_id(connector), power_w,
            now=now, valid_for_s=valid_for_s, options=device.options,
        )  # fmt: skip
        words = [await self._send_profile(session, connector, default)]
        if transaction is not None:
            running = build_profile(
                "TxProfile", transaction_profile_id(connector), power_w,
                now=now, valid_for_s=valid_for_s, options=device.options, transaction_id=transaction.id,
            )  # fmt: skip
            try:
                words.append(await self._send_profile(session, connector, running))
            except LinkDown as error:
                # The first profile is there already, so "nothing left" would be a lie.
                raise AnswerTimeout(f"{words[0]}, then {error}") from error
            except DeviceRefused as error:
                raise DeviceRefused(f"{error}; {words[0]} stands for the next one", device_code=error.device_code) from error
        self._ask_feedback(device, session)
        return WriteResult("; ".join(words))

    async def _send_profile(self, session: StationSession, connector: int, profile: Mapping[str, Any]) -> str:
        purpose, schedule = profile["charging_profile_purpose"], profile["charging_schedule"]
        result = await session.call(call.SetChargingProfile(connector_id=connector, cs_charging_profiles=dict(profile)))
        limit = f"{schedule['charging_schedule_period'][0]['limit']:g} {schedule['charging_rate_unit']}"
        if str(result.status) != "Accepted":
            self.traffic.refused += 1
            words = f"{session.identity} answered {result.status} to {purpose} {limit}"
            raise DeviceRefused(words, device_code=str(result.status))
        return f"{purpose} {limit} Accepted"

    async def _availability(self, device: DeviceTarget, session: StationSession, *, on: bool) -> WriteResult:
        kind = "Operative" if on else "Inoperative"
        result = await session.call(call.ChangeAvailability(connector_id=connector_of(device), type=kind))
        if str(result.status) not in ("Accepted", "Scheduled"):
            self.traffic.refused += 1
            raise DeviceRefused(f"{session.identity} answered {result.status} to {kind}", device_code=str(result.status))
        return WriteResult(f"ChangeAvailability {kind} {result.status}")

    def _ask_feedback(self, device: DeviceTarget, session: StationSession) -> None:
        delays = [float(delay) for delay in self.target.options.get("trigger_after_s", TRIGGER_AFTER_S)]
        session.spawn(self._trigger_later(session, connector_of(device), delays))

    async def _trigger_later(self, session: StationSession, connector: int, delays: list[float]) -> None:
        waited = 0.0
        for delay in delays:
            await asyncio.sleep(delay - waited)
            waited = delay
            await self._trigger(session, "MeterValues", connector)

    async def _trigger(self, session: StationSession, message: str, connector: int) -> None:
        """Not asked again of a station that left one unanswered: it would hold up the commands behind it each time."""
        if session.triggers_answered:
            request = call.TriggerMessage(requested_message=message, connector_id=connector or None)
            session.triggers_answered = await self._quietly(session, request)

    async def _quietly(self, session: StationSession, request: Any) -> bool:
        """Whether the station answered, be it no: what it does not support is its own affair."""
        try:
            await session.call(request)
        except DeviceRefused:
            return True
        except FieldError as error:
            log.debug("%s: %s", session.identity, error)
            return False
        return True

    def _session(self, device_id: str) -> StationSession:
        session = self._sessions.get(identity_of(self._devices[device_id]))
        if session is None:
            raise LinkDown(f"{identity_of(self._devices[device_id])} is not connected")
        return session


def identity_of(device: DeviceTarget) -> str:
    return str(device.address.get("identity", device.id))


def connector_of(device: DeviceTarget) -> int:
    return int(device.address.get("connector", 1))
