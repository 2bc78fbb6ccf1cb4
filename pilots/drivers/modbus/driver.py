"""Modbus: polled blocks of registers, writes that are read back. [zone: field]

D7.1 3.1.1 a (meters behind a gateway), 3.1.5 f (SunSpec battery), 2.2.4.1 (RS-485); docs/protocols/modbus.md.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from pilots.domain.errors import AnswerTimeout, CatalogueError, DeviceRefused, FieldError, LinkDown, ProtocolViolation
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointSpec
from pilots.drivers.base import DeviceTarget, Driver, Examined, Sink, Target, WriteResult
from pilots.drivers.modbus import sunspec
from pilots.drivers.modbus.codec import Value
from pilots.drivers.modbus.frames import read_request
from pilots.drivers.modbus.health import UnitHealth
from pilots.drivers.modbus.link import COMMAND, NO_PATH, POLL, ModbusLink
from pilots.drivers.modbus.mbap import MbapLink
from pilots.drivers.modbus.options import LinkOptions
from pilots.drivers.modbus.plan import NOT_IMPLEMENTED, Block, Place, ReadPlan, compile_plan, place_of
from pilots.drivers.modbus.ports import SerialPort, TcpPort
from pilots.drivers.modbus.rtu import RtuLink
from pilots.drivers.modbus.words import describe_mbap, describe_rtu
from pilots.drivers.modbus.writing import PointWriter
from pilots.drivers.tls import client_context
from pilots.drivers.traffic import Traffic

PORT, TLS_PORT = 502, 802
#: Units of a serial line (Modbus over Serial Line V1.02, 2.2); gateways on TCP have their own at 0 or 255.
SERIAL_UNITS, TCP_UNITS = range(1, 248), range(256)


class Poll:
    """What one device's set of points takes: the requests, their decoding, and the points its device does not have."""

    __slots__ = ("lacking", "plan", "requests")

    def __init__(self, plan: ReadPlan, unit: int, lacking: Sequence[str]) -> None:
        self.plan, self.lacking = plan, tuple(lacking)
        self.requests = tuple(read_request(unit, span.table, span.start, span.count) for span in plan.spans)


class ModbusDriver(Driver):
    """One server, be it a device, a gateway with many units or a serial line; one request at a time, commands first."""

    units: ClassVar[range] = TCP_UNITS

    def __init__(self, target: Target, sink: Sink, traffic: Traffic | None = None) -> None:
        super().__init__(target, sink, traffic)
        self._devices = {device.id: device for device in target.devices}
        units: dict[str, UnitHealth] = {}  # devices of one unit share its fate
        self._health = {
            device.id: units.setdefault(str(device.address.get("unit", 1)), UnitHealth()) for device in target.devices
        }
        self._polls: dict[tuple[str, tuple[str, ...]], Poll] = {}
        self._chains: dict[int, sunspec.Chain] = {}
        self._scales: dict[str, dict[Place, Value]] = {}
        self._link: ModbusLink | None = None

    async def open(self) -> None:
        self.closed.clear()
        self._forget_device_facts()
        try:
            self._link = self._make_link(LinkOptions.of(self.target.options))
            await self._link.open()
        except CatalogueError as error:
            await self.close()
            raise LinkDown(f"the options of {self.target.name} cannot be used: {error}") from error
        except LinkDown:
            await self.close()
            raise

    @abstractmethod
    def _make_link(self, options: LinkOptions) -> ModbusLink:
        """The link of this protocol, not yet open."""

    def _forget_device_facts(self) -> None:
        """Behind a new connection may stand another device: what was read once is read again."""
        self._scales.clear()
        self._chains.clear()
        self._polls.clear()

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
        self.closed.set()

    async def read(self, device_id: str, points: Sequence[str]) -> list[RawReading]:
        """One reading per point asked, as on the wire after its scale register; the normaliser scales and signs.

        A block that failed gives invalid readings for its points and leaves the others alone; when all failed, its
        error is raised: AnswerTimeout before a refusal. A unit that is down answers AnswerTimeout without being asked.
        """
        link = self._opened()
        if not points:
            return []
        health = self._health[device_id]
        now = asyncio.get_running_loop().time
        if health.missed and not health.may_ask(now()):
            raise AnswerTimeout(f"{device_id} is down, next try in {health.next_try - now():.0f} s")
        if not link.numbered and link.late_for_s(self._unit(self._devices[device_id])) > 0:
            raise AnswerTimeout(f"{device_id} was silent just now, and its late answer may still come")
        poll = self._polls.get((device_id, tuple(points))) or await self._prepare(device_id, tuple(points), link)
        try:
            blocks, errors = await self._blocks(link, poll, health)
        except asyncio.CancelledError:
            # Whoever asked has given up, because the line is needed: a question without an answer like any other.
            if link.cut_short in poll.requests:
                link.cut_short = None
                if not link.disturbed:
                    health.note_silence(now())
                self.traffic.timeouts += 1
            raise
        if errors:
            self._judge(health, blocks, errors, now(), noise_counts=link.numbered)
        else:
            health.note_answer()
        kept = await self._read_scales(device_id, link, poll.plan) if poll.plan.scales else {}
        readings = poll.plan.readings(blocks, kept)
        return readings + [RawReading(name, None, NOT_IMPLEMENTED) for name in poll.lacking] if poll.lacking else readings

    async def _prepare(self, device_id: str, points: tuple[str, ...], link: ModbusLink) -> Poll:
        """The poll of these points, worked out once per connection. Raises DeviceRefused for an address nobody can read."""
        device = self._devices[device_id]
        unit, specs, lacking = self._unit(device), [], []
        for name in points:
            spec = await self._resolved(device, device.points[name], link, POLL)
            if spec is None:
                lacking.append(name)
            else:
                specs.append(spec)
        try:
            poll = Poll(compile_plan(specs, device.options), unit, lacking)
        except ValueError as error:
            raise DeviceRefused(f"{device_id}: {error}", device_code="bad_address") from error
        self._polls[device_id, points] = poll
        return poll

    async def _resolved(self, device: DeviceTarget, spec: PointSpec, link: ModbusLink, priority: int) -> PointSpec | None:
        """The point by its registers; None when the device lacks the SunSpec model it belongs to."""
        if not sunspec.is_relative(spec):
            return spec
        unit = self._unit(device)
        if unit not in self._chains:
            self._chains[unit] = await self._discover(device, link, unit, priority)
        try:
            return sunspec.resolve(spec, self._chains[unit])
        except (ValueError, TypeError, KeyError) as error:
            words = f"{device.id}: point {spec.name}: model, nth and offset are whole numbers ({error})"
            raise DeviceRefused(words, device_code="bad_address") from error

    async def _discover(self, device: DeviceTarget, link: ModbusLink, unit: int, priority: int) -> sunspec.Chain:
        async def read(start: int, count: int) -> bytes:
            return await link.read(unit, "holding", start, count, priority=priority)

        health = self._health[device.id]
        try:
            return await sunspec.discover(read)
        except DeviceRefused as error:
            health.note_answer()
            raise DeviceRefused(f"{device.id}: {error}", device_code=error.device_code) from error
        except (AnswerTimeout, ProtocolViolation) as error:
            self._judge(health, [error], [error], asyncio.get_running_loop().time(), noise_counts=link.numbered)
            raise

    async def _blocks(self, link: ModbusLink, poll: Poll, health: UnitHealth) -> tuple[list[Block], list[FieldError]]:
        """Each request's answer or error, and the errors again. A unit that missed its last cycle is given up after its
        first silence, and so is one whose next answer could not be told from its last."""
        blocks: list[Block] = []
        errors: list[FieldError] = []
        for request in poll.requests:
            try:
                blocks.append((await link.ask(request))[2:])
            except (AnswerTimeout, DeviceRefused, ProtocolViolation) as error:
                blocks.append(error)
                errors.append(error)
                if isinstance(error, AnswerTimeout) and (health.missed or not link.numbered):
                    blocks += [error] * (len(poll.requests) - len(blocks))
                    break
        return blocks, errors

    @staticmethod
    def _judge(
        health: UnitHealth, blocks: Sequence[Block], errors: Sequence[FieldError], now: float, *, noise_counts: bool
    ) -> None:
        """The unit's health knows how it went. Raises the error of a poll that brought nothing.

        On a connection of its own a bad frame is the unit's; on a line it may be noise, which says nothing of the unit.
        """
        nothing = all(isinstance(block, FieldError) for block in blocks)
        if not nothing or any(_is_sign_of_life(error) for error in errors):
            health.note_answer()
        elif noise_counts or not any(isinstance(error, ProtocolViolation) for error in errors):
            health.note_silence(now)
        if nothing:
            raise next((error for error in errors if isinstance(error, AnswerTimeout)), errors[0])

    async def _read_scales(self, device_id: str, link: ModbusLink, plan: ReadPlan) -> dict[Place, Value]:
        """The scale factors outside the plan's blocks; SunSpec holds them constant, so one read is enough."""
        kept, unit = self._scales.setdefault(device_id, {}), self._unit(self._devices[device_id])
        for place in plan.scales:
            if place in kept:
                continue
            try:
                raw = await link.read(unit, place.table, place.start, 1)
            except (AnswerTimeout, DeviceRefused, ProtocolViolation):
                continue  # its points stay invalid and the next poll asks again
            if place.codec is not None:
                kept[place] = place.codec.decode(raw, 0)
        return kept

    async def write_spec(self, device_id: str, spec: PointSpec, value: float, *, valid_for_s: float | None = None) -> WriteResult:
        """Written, confirmed and read back. Raises DeviceRefused also when the device confirmed and kept its old value."""
        device, link = self._devices[device_id], self._opened()
        found = await self._found(device, spec, link)
        try:
            result = await PointWriter(link, self._unit(device), device.options).write(found, value, valid_for_s)
        except ValueError as error:
            raise DeviceRefused(f"{spec.name}: {error}", device_code="not_writable") from error
        self._health[device_id].note_answer()
        return result

    async def renew(self, device_id: str, point: str, *, valid_for_s: float) -> bool:
        device, link = self._devices[device_id], self._opened()
        found = await self._found(device, device.points[point], link)
        return await PointWriter(link, self._unit(device), device.options).renew(found, valid_for_s)

    async def examine(self, device_id: str, spec: PointSpec) -> Examined:
        """The point's reading just now, and its registers in hexadecimal. Raises FieldError."""
        device, link = self._devices[device_id], self._opened()
        unit, found = self._unit(device), await self._found(device, spec, link)
        try:
            plan, place = compile_plan([found], device.options), place_of(found, device.options)
            (span,) = plan.spans
            block = await link.read(unit, span.table, span.start, span.count, priority=COMMAND)
        except ValueError as error:
            raise DeviceRefused(f"{device_id}: {error}", device_code="bad_address") from error
        self._health[device_id].note_answer()
        (reading,) = plan.readings([block], await self._read_scales(device_id, link, plan))
        at = 2 * (place.start - span.start)
        raw = str(reading.value) if place.codec is None else block[at : at + 2 * place.length].hex(" ", -2)
        return Examined(reading, raw)

    async def _found(self, device: DeviceTarget, spec: PointSpec, link: ModbusLink) -> PointSpec:
        found = await self._resolved(device, spec, link, COMMAND)
        if found is None:
            words = f"{device.id} has no SunSpec model {spec.address.get('model')} with register {spec.address.get('offset')}"
            raise DeviceRefused(words, device_code="no_model")
        return found

    def device_up(self, device_id: str) -> bool | None:
        """False after three missed cycles, None before the first answer."""
        return self._health[device_id].up

    async def probe(self) -> list[str]:
        """Opens, asks each device for its first point, closes. Raises FieldError with the step that failed."""
        LinkOptions.of(self.target.options)
        client_context(self.target.options)
        try:
            await self.open()
            steps = [f"{self._opened().carrier} {self._opened().place} opened"]
            for device in self.target.devices:
                steps.append(await self._probe_device(device))
        finally:
            await self.close()
        return steps

    async def _probe_device(self, device: DeviceTarget) -> str:
        readable = [spec.name for spec in device.points.values() if "register" in spec.address or sunspec.is_relative(spec)]
        if not readable:
            return f"{device.id}: no readable point"
        unit = self._unit(device)
        try:
            (reading,) = await self.read(device.id, readable[:1])
        except (AnswerTimeout, DeviceRefused, ProtocolViolation) as error:
            raise type(error)(f"{device.id} (unit {unit}), reading {readable[0]}: {error}") from error
        chain = f" ({self._chains[unit]})" if unit in self._chains else ""
        return f"{device.id} (unit {unit}) answered: {readable[0]} = {reading.value}{chain}"

    def _opened(self) -> ModbusLink:
        if self._link is None or not self._link.connected:
            raise LinkDown(f"no connection to {self.target.place}")
        return self._link

    def _unit(self, device: DeviceTarget) -> int:
        unit = device.address.get("unit", 1)
        if isinstance(unit, bool) or not isinstance(unit, int) or unit not in self.units:
            words = f"{device.id}: unit is a whole number from {self.units[0]} to {self.units[-1]}, not {unit}"
            raise DeviceRefused(words, device_code="bad_address")
        return unit


class ModbusTcpDriver(ModbusDriver):
    """Modbus TCP, and Modbus/TCP Security where the options have `tls`."""

    dissector = "mbtcp"

    def _make_link(self, options: LinkOptions) -> ModbusLink:
        target = self.target
        port = target.port or (TLS_PORT if target.options.get("tls") else PORT)
        carrier = TcpPort(target.host, port, target.options, timeout_s=options.timeout_s)
        return MbapLink(carrier, options, self.traffic, self.closed.set)

    @classmethod
    def describe(cls, frame: bytes) -> str:
        return describe_mbap(frame)


class ModbusRtuDriver(ModbusDriver):
    """RTU frames, on a serial line of ours or carried by TCP to a serial device server."""

    dissector = "mbrtu"
    units = SERIAL_UNITS

    def _make_link(self, options: LinkOptions) -> ModbusLink:
        target = self.target
        if target.serial_line:
            return RtuLink(SerialPort(target.serial_line, options.line), options, self.traffic, self.closed.set)
        carrier = TcpPort(target.host, target.port or PORT, target.options, timeout_s=options.timeout_s)
        return RtuLink(carrier, options, self.traffic, self.closed.set, carried=True)

    @classmethod
    def describe(cls, frame: bytes) -> str:
        return describe_rtu(frame)


def _is_sign_of_life(error: FieldError) -> bool:
    """A refusal is one, except the gateway's that it has no path (exception 10)."""
    return isinstance(error, DeviceRefused) and error.device_code != str(NO_PATH)
