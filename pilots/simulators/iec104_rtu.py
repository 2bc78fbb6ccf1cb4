"""A remote terminal unit on IEC 60870-5-104, simulated with c104. [zone: station, simulated] [D7.1 3.1.2 a]

c104 keeps one type per information object address, so an interrogation is answered with the time-tagged types
(M_ME_TF_1, M_SP_TB_1, M_DP_TB_1, M_IT_TB_1) that spontaneous reports use; a client must take either. Its callbacks run
in its own threads, need exact annotations (hence no postponed ones here) and are dropped for good when they raise.
The process must run with TZ=UTC: c104 writes naive local times.
"""

import asyncio
import contextlib
import datetime
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import c104

from pilots.catalogue.points import resolve_points
from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, PilotSpec
from pilots.simulators.iec104_objects import CONTROL, MONITOR, TIMED, commanded, information
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant, Refused

log = logging.getLogger(__name__)

SCAN_S = 1.0
#: 16 time-tagged floats of 15 octets fit into the 253 octets of an APDU; one less leaves room for every type.
OBJECTS_PER_ASDU = 15
RENEW_SHARE = 0.7  # of the promised longest silence
_DEFAULT_COMMAND = {PointKind.SETPOINT: 50, PointKind.COMMAND: 45}


@dataclass(slots=True)
class Monitored:
    """One information object and what was last reported of it."""

    device: str
    spec: PointSpec
    common_address: int
    type_id: int
    point: c104.Point
    reported: float | None = None
    reported_at: float = -math.inf

    def is_due(self, value: float | None, now: float) -> bool:
        """Whether it changed beyond its deadband or its promised silence is about to end."""
        if self.spec.max_interval_s is not None and now - self.reported_at >= RENEW_SHARE * self.spec.max_interval_s:
            return True
        if value is None or self.reported is None:
            return value is not self.reported
        return abs(value - self.reported) > self.spec.deadband


class RemoteTerminalUnit:
    """The server side of one iec104 connection; `start` listens and reports every SCAN_S what changed."""

    def __init__(
        self, plant: Plant, connection: ConnectionSpec, pilot: PilotSpec, profiles: Mapping[str, Profile], ledger: Ledger
    ) -> None:
        self.plant, self.ledger, self.name = plant, ledger, connection.name
        self._devices = [
            (device, resolve_points(device, profiles[device.profile], connection))
            for device in pilot.devices
            if device.connection == connection.name and device.profile in profiles
        ]
        self._ca = int(connection.options.get("ca", 1))
        # c104 has one type at an address, so the unit takes what its master is configured to send.
        self._timed_commands = bool(connection.options.get("command_time", False))
        self._monitored: list[Monitored] = []
        self._commands: dict[tuple[int, int], tuple[str, PointSpec]] = {}
        self._server: c104.Server | None = None
        self._scan: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> None:
        self._server = c104.Server(ip=host, port=port, tick_rate_ms=100, max_connections=8)
        self._server.on_clock_sync(callable=self._on_clock_sync)
        for device, points in self._devices:
            common = int(device.address.get("ca", self._ca))
            for spec in points.values():
                self._add(device.id, spec, int(spec.address.get("ca", common)), int(device.address.get("ioa", 0)))
        self._report(spontaneous=False)
        await asyncio.to_thread(self._server.start)
        self._scan = asyncio.create_task(self._keep_reporting())

    async def stop(self) -> None:
        if self._scan is not None:
            self._scan.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._scan
            self._scan = None
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)
            self._server = None

    def _add(self, device_id: str, spec: PointSpec, common: int, base: int) -> None:
        """The point's object stands at its common address. Raises CatalogueError."""
        if "ioa" not in spec.address:
            return
        where, command = f"{device_id} {spec.name}", spec.address.get("command_type", _DEFAULT_COMMAND.get(spec.kind))
        ioa = base + int(spec.address["ioa"])
        if command is not None:
            timed = TIMED if self._timed_commands and int(command) in CONTROL else 0
            mode = c104.CommandMode.SELECT_AND_EXECUTE if spec.address.get("select") else c104.CommandMode.DIRECT
            point = self._object(where, common, ioa, int(command) + timed, mode)
            point.on_receive(callable=self._on_command)
            self._commands[common, ioa] = (device_id, spec)
            return
        types = spec.address.get("type", 36)
        type_id = int(types[0] if isinstance(types, list | tuple) else types)
        if type_id not in MONITOR:
            raise CatalogueError(f"{where}: type {type_id} is not simulated")
        point = self._object(where, common, ioa, type_id, c104.CommandMode.DIRECT)
        self._monitored.append(Monitored(device_id, spec, common, type_id, point))

    def _object(self, where: str, common: int, ioa: int, type_id: int, mode: c104.CommandMode) -> c104.Point:
        assert self._server is not None  # noqa: S101  only `start` adds
        station = self._server.get_station(common_address=common) or self._server.add_station(common_address=common)
        if station is None:
            raise CatalogueError(f"{where}: common address {common} is impossible")
        point = station.add_point(io_address=ioa, type=c104.Type(type_id), command_mode=mode)  # type: ignore[call-arg]
        if point is None:
            raise CatalogueError(f"{where}: object address {ioa} is taken")
        return point

    # -- reporting

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(SCAN_S)
            try:
                self._report(spontaneous=True)
            except Exception:
                log.exception("%s: a scan failed", self.name)

    def _report(self, *, spontaneous: bool) -> None:
        """Every object holds its present value; those that are due have been sent."""
        now = time.monotonic()
        due: dict[tuple[int, int], list[c104.Point]] = {}
        for each in self._monitored:
            raw = self.plant.read(each.device, each.spec.name)
            value = raw if isinstance(raw, float | int) else None
            wire = each.spec.to_wire(value) if value is not None else None
            each.point.info = information(
                each.type_id, wire, self.plant.own_time(each.device, datetime.datetime.now(datetime.UTC))
            )
            if spontaneous and each.is_due(value, now):
                each.reported, each.reported_at = value, now
                due.setdefault((each.common_address, each.type_id), []).append(each.point)
        for points in due.values():
            self._send(points)

    def _send(self, points: list[c104.Point]) -> None:
        """Several objects in an ASDU, as real units do: one each would fill the window of k frames at every scan."""
        for start in range(0, len(points), OBJECTS_PER_ASDU):
            batch = c104.Batch(cause=c104.Cot.SPONTANEOUS, points=points[start : start + OBJECTS_PER_ASDU])
            if self._server is not None:
                self._server.transmit_batch(batch)  # False only means that nobody listens just now

    # -- commands, in c104's threads

    def _on_command(
        self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage
    ) -> c104.ResponseState:
        try:
            return self._obey(point, message)
        except Exception:
            log.exception("%s: command to %s failed", self.name, point.io_address)
            return c104.ResponseState.FAILURE

    def _obey(self, point: c104.Point, message: c104.IncomingMessage) -> c104.ResponseState:
        station = point.station
        known = self._commands.get((station.common_address if station is not None else self._ca, point.io_address))
        if known is None:
            return c104.ResponseState.FAILURE
        device_id, spec = known
        value = spec.from_wire(commanded(point.value))
        able = spec.capability
        if not math.isfinite(value) or (able is not None and not able.minimum <= value <= able.maximum):
            return c104.ResponseState.FAILURE
        try:
            self.plant.write(device_id, spec.name, value)
        except Refused as refusal:
            log.info("%s refused %s %s: %s", device_id, spec.name, value, refusal)
            return c104.ResponseState.FAILURE
        self.ledger.write(device=device_id, point=spec.name, value=value, peer=self.name)
        return c104.ResponseState.SUCCESS

    def _on_clock_sync(self, server: c104.Server, ip: str, date_time: datetime.datetime) -> c104.ResponseState:
        return c104.ResponseState.SUCCESS
