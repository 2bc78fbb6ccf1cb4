"""Modbus TCP: polled blocks of registers, writes that are read back. [zone: field]

D7.1 3.1.1 a (meters behind a gateway), 3.1.5 f (SunSpec battery); docs/protocols/modbus.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pilots.domain.errors import AnswerTimeout, DeviceRefused, FieldError, LinkDown, ProtocolViolation
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointSpec
from pilots.domain.quality import GOOD, Flag, Quality, Validity
from pilots.drivers.base import DeviceTarget, Driver, Sink, Target, WriteResult
from pilots.drivers.modbus.codec import scaled
from pilots.drivers.modbus.health import UnitHealth
from pilots.drivers.modbus.link import POLL, ModbusLink
from pilots.drivers.modbus.plan import Field, Place, ReadPlan, Span, compile_plan
from pilots.drivers.modbus.writing import PointWriter
from pilots.drivers.traffic import Traffic

DEFAULT_TIMEOUT_S = 1.0
NOT_IMPLEMENTED = Quality(Validity.INVALID, flags=Flag.NOT_AVAILABLE)
UNREAD = Quality(Validity.INVALID, flags=Flag.FAILURE | Flag.COMM_FAILURE)

Block = bytes | list[bool] | FieldError


class ModbusTcpDriver(Driver):
    """One Modbus TCP server, be it a device or a gateway with many units; one request at a time, commands first."""

    def __init__(self, target: Target, sink: Sink, traffic: Traffic | None = None) -> None:
        super().__init__(target, sink, traffic)
        self._devices = {device.id: device for device in target.devices}
        self._health = {_unit(device): UnitHealth() for device in target.devices}
        self._plans: dict[tuple[str, tuple[str, ...]], ReadPlan] = {}
        self._scales: dict[tuple[str, Place], float | str | None] = {}
        self._link: ModbusLink | None = None

    async def open(self) -> None:
        self.closed.clear()
        self._scales.clear()
        self._link = ModbusLink(
            self.target.host,
            self.target.port,
            timeout_s=float(self.target.options.get("timeout_s", DEFAULT_TIMEOUT_S)),
            traffic=self.traffic,
            on_lost=self.closed.set,
        )
        try:
            await self._link.open()
        except LinkDown:
            await self.close()
            raise

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
        device, link = self._devices[device_id], self._opened()
        if not points:
            return []
        health = self._health[_unit(device)]
        now = asyncio.get_running_loop().time
        if not health.may_ask(now()):
            raise AnswerTimeout(f"unit {_unit(device)} is down, next try in {health.next_try - now():.0f} s")
        plan = self._plan(device, tuple(points))
        blocks = await self._blocks(device, link, plan)
        errors = [block for block in blocks.values() if isinstance(block, FieldError)]
        if any(_is_sign_of_life(block) for block in blocks.values()):
            health.note_answer()
        else:
            health.note_silence(now())
        if errors and len(errors) == len(blocks):
            raise next((e for e in errors if isinstance(e, AnswerTimeout)), errors[0])
        await self._read_scales(device, link, plan)
        return [self._reading(device, field, blocks) for field in plan.fields]

    async def write_spec(self, device_id: str, spec: PointSpec, value: float, *, valid_for_s: float | None = None) -> WriteResult:
        """Written, confirmed and read back. Raises DeviceRefused also when the device confirmed and kept its old value."""
        device = self._devices[device_id]
        writer = PointWriter(self._opened(), _unit(device), device.options)
        try:
            result = await writer.write(spec, value, valid_for_s)
        except ValueError as error:
            raise DeviceRefused(f"{spec.name}: {error}", device_code="not_writable") from error
        self._health[_unit(device)].note_answer()
        return result

    def device_up(self, device_id: str) -> bool | None:
        """False after three missed cycles, None before the first answer."""
        return self._health[_unit(self._devices[device_id])].up

    async def probe(self) -> list[str]:
        """Opens, asks each device for its first point, closes. Raises FieldError with the step that failed."""
        steps = []
        try:
            await self.open()
            steps.append(f"TCP connection to {self.target.host}:{self.target.port} opened")
            for device in self.target.devices:
                steps.append(await self._probe_device(device))
        finally:
            await self.close()
        return steps

    async def _probe_device(self, device: DeviceTarget) -> str:
        readable = [spec.name for spec in device.points.values() if "register" in spec.address]
        if not readable:
            return f"{device.id}: no readable point"
        try:
            (reading,) = await self.read(device.id, readable[:1])
        except (AnswerTimeout, DeviceRefused, ProtocolViolation) as error:
            raise type(error)(f"{device.id} (unit {_unit(device)}), reading {readable[0]}: {error}") from error
        return f"{device.id} (unit {_unit(device)}) answered: {readable[0]} = {reading.value}"

    def _opened(self) -> ModbusLink:
        if self._link is None or not self._link.connected:
            raise LinkDown(f"no connection to {self.target.host}:{self.target.port}")
        return self._link

    def _plan(self, device: DeviceTarget, points: tuple[str, ...]) -> ReadPlan:
        plan = self._plans.get((device.id, points))
        if plan is None:
            try:
                plan = compile_plan([device.points[name] for name in points], device.options)
            except ValueError as error:
                raise DeviceRefused(f"{device.id}: {error}", device_code="bad_address") from error
            self._plans[device.id, points] = plan
        return plan

    async def _blocks(self, device: DeviceTarget, link: ModbusLink, plan: ReadPlan) -> dict[Span, Block]:
        """Each span's answer or error. A unit that missed its last cycle is given up after its first silence."""
        suspicious = self._health[_unit(device)].missed > 0
        blocks: dict[Span, Block] = {}
        for span in plan.spans:
            if suspicious and any(isinstance(block, AnswerTimeout) for block in blocks.values()):
                blocks[span] = AnswerTimeout(f"unit {_unit(device)} is silent")
                continue
            try:
                blocks[span] = await link.read(_unit(device), span.table, span.start, span.count, priority=POLL)
            except (AnswerTimeout, DeviceRefused, ProtocolViolation) as error:
                blocks[span] = error
        return blocks

    async def _read_scales(self, device: DeviceTarget, link: ModbusLink, plan: ReadPlan) -> None:
        """The scale factors outside the plan's blocks are known; SunSpec holds them constant, so one read is enough."""
        for place in plan.scales:
            if (device.id, place) in self._scales:
                continue
            try:
                raw = await link.read(_unit(device), place.table, place.start, 1, priority=POLL)
            except (AnswerTimeout, DeviceRefused, ProtocolViolation):
                continue  # its points stay invalid and the next poll asks again
            if isinstance(raw, bytes) and place.codec is not None:
                self._scales[device.id, place] = place.codec.decode(raw, 0)

    def _reading(self, device: DeviceTarget, field: Field, blocks: dict[Span, Block]) -> RawReading:
        block = blocks[field.span]
        if isinstance(block, FieldError):
            return RawReading(field.point, None, UNREAD)
        value = _decode(field.place, field.span, block)
        if value is not None and field.scale is not None and not isinstance(value, str):
            if field.span.holds(field.scale):
                exponent = _decode(field.scale, field.span, block)
            else:
                found, exponent = self._elsewhere(device, field.scale, blocks)
                if not found:
                    return RawReading(field.point, None, UNREAD)
            value = scaled(value, exponent)
        return RawReading(field.point, value, GOOD if value is not None else NOT_IMPLEMENTED)

    def _elsewhere(self, device: DeviceTarget, scale: Place, blocks: dict[Span, Block]) -> tuple[bool, float | str | None]:
        """A scale factor of another block or of an earlier read, and whether it could be had at all."""
        for span, block in blocks.items():
            if span.holds(scale):
                return (False, None) if isinstance(block, FieldError) else (True, _decode(scale, span, block))
        return (device.id, scale) in self._scales, self._scales.get((device.id, scale))


def _unit(device: DeviceTarget) -> int:
    return int(device.address.get("unit", 1))


def _decode(place: Place, span: Span, block: bytes | list[bool]) -> float | str | None:
    at = place.start - span.start
    if isinstance(block, list):
        return int(block[at])
    return place.codec.decode(block, 2 * at) if place.codec is not None else None


def _is_sign_of_life(block: Block) -> bool:
    """A refusal is one too, except the gateway's that it has no path (exception 10)."""
    if isinstance(block, DeviceRefused):
        return block.device_code != "10"
    return not isinstance(block, FieldError)
