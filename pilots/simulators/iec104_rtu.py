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
from pilots.domain.point import PointSpec
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, PilotSpec
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant, Refused

log = logging.getLogger(__name__)

SCAN_S = 1.0
#: 16 time-tagged floats of 15 octets fit into the 253 octets of an APDU; one less leaves room for every type.
OBJECTS_PER_ASDU = 15
RENEW_SHARE = 0.7  # of the promised longest silence
MONITOR = {
    1: c104.Type.M_SP_NA_1, 3: c104.Type.M_DP_NA_1, 13: c104.Type.M_ME_NC_1, 15: c104.Type.M_IT_NA_1,
    30: c104.Type.M_SP_TB_1, 31: c104.Type.M_DP_TB_1, 36: c104.Type.M_ME_TF_1, 37: c104.Type.M_IT_TB_1,
}  # fmt: skip
CONTROL = {45: c104.Type.C_SC_NA_1, 46: c104.Type.C_DC_NA_1, 50: c104.Type.C_SE_NC_1}
DOUBLES = (c104.Double.INTERMEDIATE, c104.Double.OFF, c104.Double.ON, c104.Double.INDETERMINATE)


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
        self._monitored: list[Monitored] = []
        self._commands: dict[tuple[int, int], tuple[str, PointSpec]] = {}
        self._server: c104.Server | None = None
        self._scan: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> None:
        self._server = c104.Server(ip=host, port=port, tick_rate_ms=100, max_connections=8)
        self._server.on_clock_sync(callable=self._on_clock_sync)
        for device, points in self._devices:
            common = int(device.address.get("ca", self._ca))
            station = self._server.get_station(common_address=common) or self._server.add_station(common_address=common)
            if station is None:
                raise CatalogueError(f"{device.id}: common address {common} is impossible")
            for spec in points.values():
                self._add(station, device.id, spec, int(device.address.get("ioa", 0)))
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

    def _add(self, station: c104.Station, device_id: str, spec: PointSpec, base: int) -> None:
        address = spec.address
        ioa = base + int(address["ioa"])
        if "command_type" in address:
            mode = c104.CommandMode.SELECT_AND_EXECUTE if address.get("select") else c104.CommandMode.DIRECT
            command = station.add_point(io_address=ioa, type=CONTROL[int(address["command_type"])], command_mode=mode)
            if command is None:
                raise CatalogueError(f"{device_id} {spec.name}: object address {ioa} is taken")
            command.on_receive(callable=self._on_command)
            self._commands[station.common_address, ioa] = (device_id, spec)
            return
        types = address.get("type", 36)
        type_id = int(types[0] if isinstance(types, list | tuple) else types)
        point = station.add_point(io_address=ioa, type=MONITOR[type_id])
        if point is None:
            raise CatalogueError(f"{device_id} {spec.name}: object address {ioa} is taken")
        self._monitored.append(Monitored(device_id, spec, station.common_address, type_id, point))

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
            each.point.info = _information(each, value, self.plant.own_time(each.device, datetime.datetime.now(datetime.UTC)))
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
        value = spec.from_wire(_number(point.value))
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


def _information(each: Monitored, value: float | None, at: datetime.datetime) -> c104.Information:
    """The object's information, stamped `at`; an unknown value goes out as invalid, not as a number."""
    stamp = at.replace(tzinfo=None) if each.type_id >= 30 else None
    quality = c104.Quality() if value is not None else c104.Quality.Invalid
    wire = each.spec.to_wire(value) if value is not None else 0.0
    if each.type_id in (1, 30):
        return c104.SingleInfo(on=bool(wire), quality=quality, recorded_at=stamp)
    if each.type_id in (3, 31):
        return c104.DoubleInfo(state=DOUBLES[int(wire) & 3], quality=quality, recorded_at=stamp)
    if each.type_id in (15, 37):
        # A binary counter reading has 31 bits and rolls over.
        state = c104.BinaryCounterQuality() if value is not None else c104.BinaryCounterQuality.Invalid
        return c104.BinaryCounterInfo(counter=int(wire) % 2**31, sequence=c104.UInt5(0), quality=state, recorded_at=stamp)
    return c104.ShortInfo(actual=wire, quality=quality, recorded_at=stamp)


def _number(value: object) -> float:
    """Double commands: 1 open (OFF), 2 closed (ON)."""
    if isinstance(value, c104.Double):
        return float(DOUBLES.index(value))
    return float(value)  # type: ignore[arg-type]
