"""One write to a Modbus device: encode, send in the right order, read back, compare. [zone: field]

SunSpec models 123 and 704: a value acts only once its enable register is set, and a reversion time lets the device drop it
by itself; so time and value go first and the enable last. Time and enable written again wind the timer up again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown, NotSent
from pilots.domain.point import PointSpec
from pilots.drivers.base import WriteResult
from pilots.drivers.modbus.codec import RegisterCodec, unscaled
from pilots.drivers.modbus.frames import MASK_WRITE, WRITE_COILS, WRITE_REGISTER, WRITE_REGISTERS
from pilots.drivers.modbus.link import COMMAND, ModbusLink
from pilots.drivers.modbus.plan import Place, place_of, scale_place_of

READ_ONLY_TABLES = ("input", "discrete")
IGNORED = "accepted the write and ignored it"


class PointWriter:
    """Writes points of one unit; every request goes before the polls that wait."""

    def __init__(self, link: ModbusLink, unit: int, options: Mapping[str, Any]) -> None:
        self._link, self._unit, self._options = link, unit, options

    async def write(self, spec: PointSpec, value: float, valid_for_s: float | None) -> WriteResult:
        """Raises ValueError when the point cannot carry this value, else FieldError; NotSent once `valid_for_s` is over."""
        before = None if valid_for_s is None else asyncio.get_running_loop().time() + valid_for_s
        place = place_of(spec, self._options)
        if place.table in READ_ONLY_TABLES:
            raise ValueError(f"table {place.table} cannot be written")
        wire = spec.to_wire(value)
        if place.codec is None:
            return await self._write_coil(spec, place, bool(round(wire)), before)
        if place.codec.low_bit is not None:
            return await self._write_bits(place, place.codec, wire, before)
        raw = place.codec.encode(await self._before_scale(spec, wire))
        if valid_for_s is not None:
            await self._write_reversion(spec, valid_for_s, before)
        single = self._function(spec, WRITE_REGISTERS) == WRITE_REGISTER
        words = await self._link.write_registers(self._unit, place.start, raw, single=single, before=before)
        try:
            await self._write_enable(spec, before)
            shown = await self._compare(place, place.codec, raw)
        except (LinkDown, NotSent) as error:
            # The value is there already, so "nothing left" would be a lie: whether it acts is not known.
            raise AnswerTimeout(f"{words}, then {error}") from error
        return WriteResult(f"{words}, {shown}")

    async def renew(self, spec: PointSpec, valid_for_s: float) -> bool:
        """The reversion timer runs from its beginning again; False where the device has let go of the value already."""
        before = asyncio.get_running_loop().time() + valid_for_s
        enable = spec.address.get("enable")
        if enable is not None:
            table = str(spec.address.get("table", "holding"))
            answer = await self._link.read(self._unit, table, int(enable["register"]), 1, priority=COMMAND)
            if self._enable_codec().decode(answer, 0) != int(enable.get("value", 1)):
                return False
        await self._write_reversion(spec, valid_for_s, before)
        await self._write_enable(spec, before)
        return True

    def _function(self, spec: PointSpec, default: int) -> int:
        return int(spec.address.get("write_function", self._options.get("write_function", default)))

    async def _write_coil(self, spec: PointSpec, place: Place, on: bool, before: float | None) -> WriteResult:
        multiple = int(spec.address.get("write_function", 0)) == WRITE_COILS
        words = await self._link.write_coil(self._unit, place.start, on, multiple=multiple, before=before)
        answer = await self._link.read(self._unit, place.table, place.start, 1, priority=COMMAND)
        if answer[0] & 1 != on:
            raise DeviceRefused(f"unit {self._unit} {IGNORED} (coil {place.start})", device_code="ignored")
        return WriteResult(f"{words}, read back {int(on)}")

    async def _write_bits(self, place: Place, codec: RegisterCodec, wire: float, before: float | None) -> WriteResult:
        """Some bits of one register, by the device's own mask function: reading, changing and writing the register back
        from here would undo what others change meanwhile."""
        if place.length != 1:
            raise ValueError(f"bits of {codec.type} cannot be written (function {MASK_WRITE} changes one register)")
        put, mask = codec.bits(wire), codec.mask
        if codec.byte_order == "little":
            put, mask = _swapped(put), _swapped(mask)
        words = await self._link.mask_register(self._unit, place.start, mask ^ 0xFFFF, put, before=before)
        answer = await self._link.read(self._unit, place.table, place.start, 1, priority=COMMAND)
        if int.from_bytes(answer, "big") & mask != put:
            raise DeviceRefused(f"unit {self._unit} {IGNORED} (register {place.start})", device_code="ignored")
        return WriteResult(f"{words}, read back {codec.decode(answer, 0)}")

    async def _before_scale(self, spec: PointSpec, wire: float) -> float:
        """The register's number: `write_scale` (a fixed power of ten) or the scale factor register undone."""
        fixed = spec.address.get("write_scale")
        if fixed is not None:
            return wire / float(fixed)
        place = scale_place_of(spec, self._options)
        if place is None or place.codec is None:
            return wire
        answer = await self._link.read(self._unit, place.table, place.start, 1, priority=COMMAND)
        number = unscaled(wire, place.codec.decode(answer, 0))
        if number is None:
            raise ValueError(f"scale factor register {place.start} holds none")
        return number

    async def _write_reversion(self, spec: PointSpec, valid_for_s: float, before: float | None) -> None:
        register = spec.address.get("reversion_register")
        if register is None:
            return
        fuse_s = 0.0 if spec.capability is None else spec.capability.watchdog_s
        seconds = math.ceil(min(valid_for_s, fuse_s or valid_for_s))
        kind = str(spec.address.get("reversion_type", "uint32"))
        codec = RegisterCodec(kind, 1 if kind == "uint16" else 2, self._order("word_order"), self._order("byte_order"))
        await self._link.write_registers(self._unit, int(register), codec.encode(seconds), before=before)

    async def _write_enable(self, spec: PointSpec, before: float | None) -> None:
        enable = spec.address.get("enable")
        if enable is None:
            return
        raw = self._enable_codec().encode(int(enable.get("value", 1)))
        await self._link.write_registers(self._unit, int(enable["register"]), raw, before=before)

    def _enable_codec(self) -> RegisterCodec:
        return RegisterCodec("uint16", 1, byte_order=self._order("byte_order"))

    async def _compare(self, place: Place, codec: RegisterCodec, raw: bytes) -> str:
        """A device that confirms and changes nothing is the commonest lie on this bus: look. Says what was seen."""
        try:
            answer = await self._link.read(self._unit, place.table, place.start, place.length, priority=COMMAND)
        except DeviceRefused as error:
            return f"cannot be read back ({error})"  # write-only registers exist; the feedback point has the last word
        shown = codec.decode(answer, 0)
        if answer != raw:
            raise DeviceRefused(f"unit {self._unit} {IGNORED} (register {place.start} shows {shown})", device_code="ignored")
        return f"read back {shown}"

    def _order(self, name: str) -> str:
        return str(self._options.get(name, "big"))


def _swapped(register: int) -> int:
    """
    >>> hex(_swapped(0x1234))
    '0x3412'
    """
    return (register & 0xFF) << 8 | register >> 8
