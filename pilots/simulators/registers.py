"""What the registers of one simulated Modbus unit hold, and what writing them does. [zone: field, simulated]

The image is made from the same profile points that the driver reads: each value goes through `PointSpec.to_wire`, the
SunSpec scale factor and the register type, backwards. Sources: Modbus Application Protocol V1.1b3; SunSpec Device
Information Model Specification 4.2 (scale factors, values not implemented) and model 704 (enable, reversion timer).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.modbus.codec import MODULO, SUNSPEC_TYPES, RegisterCodec, codec_of
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant, Refused

FORMATS = {"uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q", "int64": "q", "float32": "f", "float64": "d"}
MISSING = {
    "uint16": 0xFFFF, "int16": -0x8000, "uint32": 0xFFFFFFFF, "int32": -0x80000000,
    "uint64": 0xFFFFFFFFFFFFFFFF, "int64": -0x8000000000000000,
}  # fmt: skip
#: Finest scale factor a device offers for a unit; a larger one is taken where the range needs it.
FINEST = {"Hz": -2, "V": -1, "A": -2, "1": -3, "%": -2, "degC": -1}


class IllegalAddress(Exception):
    """Modbus exception 2."""


class IllegalValue(Exception):
    """Modbus exception 3: the device does not take this value."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of one device at its registers; `exponent` is its SunSpec scale factor (0 without one)."""

    device: str
    spec: PointSpec
    start: int
    width: int
    type: str
    word_order: str
    byte_order: str
    exponent: int
    sunspec: bool
    #: Of the rarer types: digits and modulo 10 000.
    codec: RegisterCodec | None = None

    @property
    def key(self) -> str:
        return f"{self.device}/{self.spec.name}"

    @property
    def bits(self) -> tuple[int, int] | None:
        """Lowest and highest bit of a bit field; None for whole registers."""
        address = self.spec.address
        if "bits" in address:
            low, high = address["bits"]
            return int(low), int(high)
        bit = address.get("bit", 0 if address.get("type") == "bit" else None)
        return None if bit is None else (int(bit), int(bit))

    def encode(self, value: float | str | None) -> list[int]:
        """The registers of an engineering value; None gives the type's "not implemented"."""
        if self.type == "string":
            raw = str(value or "").encode()[: 2 * self.width].ljust(2 * self.width, b"\0")
            return list(struct.unpack(f">{self.width}H", raw))
        if value is None or isinstance(value, str):
            number: float = self._missing()
        else:
            number = self.spec.to_wire(value) / 10.0**self.exponent
        if self.codec is not None:
            return list(struct.unpack(f">{self.width}H", self.codec.encode(max(0, round(number)))))
        letter = FORMATS[self.type]
        if letter not in "fd":
            number = _fit(round(number), self.type)
        return self._turned(list(struct.unpack(f">{self.width}H", struct.pack(">" + letter, number))))

    def decode(self, registers: list[int]) -> float:
        """The engineering value in registers."""
        if self.codec is not None:
            shown = self.codec.decode(struct.pack(f">{self.width}H", *registers), 0)
            return math.nan if not isinstance(shown, (int, float)) else self.spec.from_wire(shown)
        raw = struct.pack(f">{self.width}H", *self._turned(registers))
        number: float = struct.unpack(">" + FORMATS[self.type], raw)[0]
        return self.spec.from_wire(number * 10.0**self.exponent)

    def _missing(self) -> float:
        given = self.spec.address.get("not_implemented", SUNSPEC_TYPES.get(str(self.spec.address.get("type")), (0, None))[1])
        if given is not None:
            return float(given)
        if self.codec is not None:
            return 0.0
        if FORMATS[self.type] in "fd":
            return math.nan
        return MISSING[self.type] if self.sunspec else 0

    def _turned(self, words: list[int]) -> list[int]:
        if self.word_order == "little":
            words = words[::-1]
        return [(word >> 8) | (word & 0xFF) << 8 for word in words] if self.byte_order == "little" else words


def _fit(number: int, kind: str) -> int:
    """Counters roll over at the end of their register; everything else stops there."""
    bits = 8 * struct.calcsize(FORMATS[kind])
    if kind.startswith("u"):
        return number % (1 << bits) if number >= 0 else 0
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, number))


class UnitImage:
    """The holding registers of one unit id: all points of the devices that share it, plus headers and scale factors."""

    def __init__(self, plant: Plant, ledger: Ledger, peer: str) -> None:
        self.plant, self.ledger, self.peer = plant, ledger, peer
        self.words: dict[int, int] = {}
        self.cells: list[Cell] = []
        self._at: dict[int, Cell] = {}
        self._writable: dict[int, Cell] = {}
        self._controls: dict[int, list[Cell]] = {}
        self._pending: set[str] = set()
        self._armed: set[str] = set()

    def add(self, device: str, points: Mapping[str, PointSpec], options: Mapping[str, Any], nameplate: Mapping[str, Any]) -> None:
        """The points of one more device stand in this unit's registers."""
        sized = [spec for spec in points.values() if "register" in spec.address]
        exponents = _exponents(sized, nameplate)
        for register, exponent in exponents.items():
            self.words[register] = exponent & 0xFFFF
        for spec in sized:
            self._place(_cell(device, spec, options, exponents.get(spec.address.get("scale_register"), 0)))
        if options.get("holes", "allowed") != "forbidden":
            used = [register for cell in self.cells for register in range(cell.start, cell.start + cell.width)]
            self.fill(min(used), max(used), 0xFFFF if options.get("sunspec") else 0)

    def fill(self, first: int, last: int, word: int) -> None:
        """Registers that hold nothing of ours answer `word` instead of exception 2."""
        for register in range(first, last + 1):
            self.words.setdefault(register, word)

    def _place(self, cell: Cell) -> None:
        self.cells.append(cell)
        address = cell.spec.address
        for register in range(cell.start, cell.start + cell.width):
            self.words.setdefault(register, 0)
            self._at.setdefault(register, cell)
            if cell.spec.kind.writable:
                self._writable[register] = cell
                self._at[register] = cell
        enable = address.get("enable")
        timer = address.get("reversion_register")
        controls = [int(enable["register"])] if enable else []
        if timer is not None:
            controls += range(int(timer), int(timer) + (1 if address.get("reversion_type") == "uint16" else 2))
        for register in controls:
            self.words[register] = 0
            self._controls.setdefault(register, []).append(cell)

    # -- reading

    def refresh(self, address: int, count: int) -> list[int]:
        """The registers as they are now. Raises IllegalAddress for one that does not exist."""
        seen: set[int] = set()
        for register in range(address, address + count):
            if register not in self.words:
                raise IllegalAddress(register)
            cell = self._at.get(register)
            if cell is not None and id(cell) not in seen:
                seen.add(id(cell))
                self._load(cell)
            for cell in self._controls.get(register, ()):
                self._disarm(cell)
        return [self.words[register] for register in range(address, address + count)]

    def _load(self, cell: Cell) -> None:
        if cell.key in self._pending:
            return
        value = self.plant.read(cell.device, cell.spec.name)
        if cell.bits is not None:
            low, high = cell.bits
            mask = (1 << high - low + 1) - 1
            raised = (round(cell.spec.to_wire(value)) & mask) << low if isinstance(value, float | int) else 0
            self.words[cell.start] = self.words[cell.start] & ~(mask << low) | raised
            return
        if value is None and cell.type == "string":
            return  # the plant knows no such words; what the device was given at the beginning stays
        for offset, word in enumerate(cell.encode(value)):
            self.words[cell.start + offset] = word

    def _disarm(self, cell: Cell) -> None:
        """After the reversion time the enable register shows that the value no longer acts."""
        if cell.key in self._armed and not self.plant.is_armed(cell.device, cell.spec.name):
            self._armed.discard(cell.key)
            self.words[int(cell.spec.address["enable"]["register"])] = 0

    # -- writing

    def write(self, address: int, values: list[int]) -> None:
        """The device has taken the registers, all or none. Raises IllegalAddress, IllegalValue."""
        before = dict(self.words)
        touched = range(address, address + len(values))
        for register in touched:
            if register not in self.words or (register in self._at and register not in self._writable):
                raise IllegalAddress(register)
            self._disarm_at(register)
        for register, word in zip(touched, values, strict=True):
            self.words[register] = word
        try:
            self._obey(touched)
        except (Refused, IllegalValue) as refusal:
            self.words = before
            raise IllegalValue(str(refusal)) from refusal

    def _disarm_at(self, register: int) -> None:
        cell = self._writable.get(register)
        for each in [*([cell] if cell is not None else []), *self._controls.get(register, ())]:
            if each.spec.address.get("enable"):
                self._disarm(each)

    def _obey(self, touched: Iterable[int]) -> None:
        changed = {id(cell): cell for register in touched if (cell := self._writable.get(register)) is not None}
        controlled = {id(cell): cell for register in touched for cell in self._controls.get(register, ())}
        for cell in changed.values():
            value = cell.decode(self.words_of(cell))
            _check(cell.spec, value)
            self._pending.add(cell.key)
        for cell in {**changed, **controlled}.values():
            self._act(cell)

    def words_of(self, cell: Cell) -> list[int]:
        return [self.words[cell.start + offset] for offset in range(cell.width)]

    def _act(self, cell: Cell) -> None:
        """Hand the value to the plant once it is enabled; a renewed timer alone is no new write."""
        name, address = cell.spec.name, cell.spec.address
        enable = address.get("enable")
        if enable is not None and self.words[int(enable["register"])] != int(enable.get("value", 1)):
            if cell.key in self._armed or cell.key not in self._pending:
                self._armed.discard(cell.key)
                self.plant.release(cell.device, name)
            return
        fresh = cell.key in self._pending
        value = cell.decode(self.words_of(cell))
        try:
            self.plant.write(cell.device, name, value, self._reversion(address))
        finally:
            self._pending.discard(cell.key)
        if enable is not None and self._reversion(address):
            self._armed.add(cell.key)
        if fresh:
            self.ledger.write(device=cell.device, point=name, value=value, peer=self.peer)

    def _reversion(self, address: Mapping[str, Any]) -> float | None:
        register = address.get("reversion_register")
        if register is None:
            return None
        if address.get("reversion_type") == "uint16":
            return float(self.words[int(register)]) or None
        return float(self.words[int(register)] << 16 | self.words[int(register) + 1]) or None


def _cell(device: str, spec: PointSpec, options: Mapping[str, Any], exponent: int) -> Cell:
    address = spec.address
    kind = str(address.get("type", "uint16"))
    codec = codec_of(address, options) if kind in MODULO or kind.startswith("bcd") else None
    kind = SUNSPEC_TYPES.get(kind, ("uint16" if kind == "bit" else kind, None))[0]
    if address.get("table", "holding") not in ("holding", "input"):
        raise ValueError(f"{device}: {spec.name}: the simulated gateway has no bit tables")
    return Cell(
        device=device,
        spec=spec,
        start=int(address["register"]),
        width=_width(kind, address, codec),
        type=kind,
        word_order=str(address.get("word_order", options.get("word_order", "big"))),
        byte_order=str(address.get("byte_order", options.get("byte_order", "big"))),
        exponent=exponent,
        sunspec=bool(options.get("sunspec")),
        codec=codec,
    )


def _width(kind: str, address: Mapping[str, Any], codec: RegisterCodec | None) -> int:
    if codec is not None:
        return codec.registers
    return int(address["length"]) if kind == "string" else struct.calcsize(FORMATS[kind]) // 2


def _exponents(points: Iterable[PointSpec], nameplate: Mapping[str, Any]) -> dict[Any, int]:
    """The scale factor each *_SF register holds: fine, but coarse enough for the largest value that shares it."""
    result: dict[Any, int] = {}
    for spec in points:
        register = spec.address.get("scale_register")
        if register is None:
            continue
        wide = spec.address.get("type") not in ("uint16", "int16")
        largest = _largest(spec, nameplate)
        needed = -9 if wide or not largest else math.ceil(math.log10(largest / 30000.0))
        exponent = max(needed, FINEST.get(spec.unit, 0))
        result[register] = max(exponent, result.get(register, -9))
    return result


def _largest(spec: PointSpec, nameplate: Mapping[str, Any]) -> float:
    """Largest wire value before the scale factor."""
    ends = [abs(end) for end in (spec.low, spec.high) if end is not None]
    if spec.capability is not None:
        ends += [abs(spec.capability.minimum), abs(spec.capability.maximum)]
    if spec.unit == "Wh" and spec.kind is not PointKind.COUNTER and "capacity_wh" in nameplate:
        ends = [1.2 * float(nameplate["capacity_wh"])]
    return max(ends, default=0.0) / abs(spec.scale)


def _check(spec: PointSpec, value: float) -> None:
    able = spec.capability
    if not math.isfinite(value):
        raise IllegalValue(f"{spec.name}: {value} is no number")
    slack = 0.0 if able is None else 1e-6 * max(abs(able.minimum), abs(able.maximum), 1.0)
    if able is not None and not able.minimum - slack <= value <= able.maximum + slack:
        raise IllegalValue(f"{spec.name}: {value:g} is outside {able.minimum:g}..{able.maximum:g}")
