"""Registers to wire values and back. [zone: field]

Modbus itself knows only 16-bit registers and bits (Modbus Application Protocol V1.1b3, 4.2-4.3); wider types, their word and
byte order and the "not implemented" values are the makers' (SunSpec Device Information Model Specification, 4.2 and 5).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

#: type name -> (struct letter, registers)
NUMBERS: dict[str, tuple[str, int]] = {
    "uint16": ("H", 1),
    "int16": ("h", 1),
    "uint32": ("I", 2),
    "int32": ("i", 2),
    "uint64": ("Q", 4),
    "int64": ("q", 4),
    "float32": ("f", 2),
    "float64": ("d", 4),
    # Four decimal digits a register.
    "bcd16": ("H", 1),
    "bcd32": ("I", 2),
    "bcd64": ("Q", 4),
}
#: Signed registers of 0 to 9999 each, the first the most significant in word order "big" (Schneider ION: "modulo 10 000").
MODULO: dict[str, int] = {"mod10_32": 2, "mod10_48": 3, "mod10_64": 4}
#: SunSpec's own names: what they are on the wire, and the value that says "I do not have it".
SUNSPEC_TYPES: dict[str, tuple[str, int]] = {
    "acc16": ("uint16", 0),
    "acc32": ("uint32", 0),
    "acc64": ("uint64", 0),
    "enum16": ("uint16", 0xFFFF),
    "enum32": ("uint32", 0xFFFF_FFFF),
    "bitfield16": ("uint16", 0xFFFF),
    "bitfield32": ("uint32", 0xFFFF_FFFF),
    "bitfield64": ("uint64", 0xFFFF_FFFF_FFFF_FFFF),
    "sunssf": ("int16", -0x8000),
}
#: The value by which a SunSpec device says that it lacks a point; for floats it is NaN, which is no value anyway.
SUNSPEC_MISSING: dict[str, int] = {
    "uint16": 0xFFFF,
    "int16": -0x8000,
    "uint32": 0xFFFF_FFFF,
    "int32": -0x8000_0000,
    "uint64": 0xFFFF_FFFF_FFFF_FFFF,
    "int64": -0x8000_0000_0000_0000,
}
TYPES = (*NUMBERS, *MODULO, *SUNSPEC_TYPES, "string", "bit")
ORDERS = ("big", "little")
SCALE_RANGE = range(-10, 11)

Value = float | str | None
#: What `struct` gives for one field, to the wire value.
Finish = Callable[[Any], Value]


@dataclass(frozen=True, slots=True)
class RegisterCodec:
    """One value in `registers` consecutive registers; "little" orders put the low word or byte first.

    `low_bit` and `width` cut a bit field out of a whole number; `missing` is the number that stands for no value.
    """

    type: str
    registers: int
    word_order: str = "big"
    byte_order: str = "big"
    low_bit: int | None = None
    width: int = 1
    missing: float | None = None

    @property
    def letter(self) -> str:
        """How `struct` reads the field once its bytes are in network order."""
        return NUMBERS[self.type][0] if self.type in NUMBERS else f"{2 * self.registers}s"

    @property
    def mask(self) -> int:
        """The bits of the field, at their place."""
        return (1 << self.width) - 1 << (self.low_bit or 0)

    @property
    def finish(self) -> Finish | None:
        """From what `struct` gives to the wire value; None where that is it already."""
        read: Finish | None = _READERS.get(self.type)
        missing, low_bit, mask = self.missing, self.low_bit, self.mask
        if missing is None and low_bit is None:
            return read

        def finish(item: Any) -> Value:
            value: Value = item if read is None else read(item)
            if value is None or value == missing:
                return None
            return value if low_bit is None else (int(value) & mask) >> low_bit

        return finish

    def decode(self, block: bytes, offset: int) -> Value:
        """The wire value that begins at byte `offset`; None when the device says it has none (sentinel, NaN, infinity)."""
        (item,) = struct.unpack(">" + self.letter, bytes(block[offset + at] for at in self.gather))
        finish = self.finish
        return item if finish is None else finish(item)

    @property
    def gather(self) -> tuple[int, ...]:
        """Where each byte of the field in network order stands on the wire, counted from its first."""
        places = list(range(2 * self.registers))
        if self.word_order == "little" and self.type != "string":
            places = [at for word in range(len(places) - 2, -2, -2) for at in (word, word + 1)]
        if self.byte_order == "little":
            places = [at ^ 1 for at in places]
        return tuple(places)

    def encode(self, value: float | str) -> bytes:
        """The bytes of `value` as the device wants them. Raises ValueError when it does not fit the type."""
        if self.low_bit is not None:
            raise ValueError("a bit field is written into its register, not as one")
        return self._ordered(self._packed(value))

    def bits(self, value: float) -> int:
        """The whole register's number that has `value` in the bit field and 0 elsewhere. Raises ValueError."""
        number = self._whole(value)
        if not 0 <= number < 1 << self.width:
            raise ValueError(f"{value:g} does not fit {self.width} bits")
        return number << (self.low_bit or 0)

    def _packed(self, value: float | str) -> bytes:
        if self.type == "string":
            if not isinstance(value, str):
                raise ValueError("a number cannot be written as string")
            return value.encode()[: 2 * self.registers].ljust(2 * self.registers, b"\0")
        if isinstance(value, str):
            raise ValueError(f"text cannot be written as {self.type}")
        number = value if self.type.startswith("float") else self._whole(value)
        try:
            if self.type in MODULO:
                return _to_modulo(int(number), self.registers)
            if self.type.startswith("bcd"):
                number = _to_digits(int(number))
            return struct.pack(">" + self.letter, number)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{value:g} does not fit {self.type}") from error

    def _whole(self, value: float) -> int:
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be written as {self.type}")
        return round(value)

    def _ordered(self, raw: bytes) -> bytes:
        """The device's order from network order."""
        wire = bytearray(len(raw))
        for at, place in enumerate(self.gather):
            wire[place] = raw[at]
        return bytes(wire)


def codec_of(address: Mapping[str, Any], options: Mapping[str, Any]) -> RegisterCodec:
    """The codec a point's address and its profile's options describe. Raises ValueError that names the wrong field."""
    kind = str(address.get("type", "uint16"))
    missing = address.get("not_implemented")
    if kind in SUNSPEC_TYPES:
        kind, implied = SUNSPEC_TYPES[kind]
        missing = implied if missing is None else missing
    elif kind == "bit":
        kind = "uint16"
    if kind != "string" and kind not in NUMBERS and kind not in MODULO:
        raise ValueError(f"unknown register type {kind}; there are {', '.join(TYPES)}")
    if missing is None and options.get("sunspec"):
        missing = SUNSPEC_MISSING.get(kind)
    registers = _length(address) if kind == "string" else NUMBERS[kind][1] if kind in NUMBERS else MODULO[kind]
    low_bit, width = _bit_field(address, kind, registers)
    return RegisterCodec(
        type=kind,
        registers=registers,
        word_order=_order("word_order", address, options),
        byte_order=_order("byte_order", address, options),
        low_bit=low_bit,
        width=width,
        missing=missing,
    )


def _length(address: Mapping[str, Any]) -> int:
    length = address.get("length")
    if isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= 125:
        raise ValueError(f"a string has a length of 1 to 125 registers, not {length}")
    return length


def _order(name: str, address: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    order = str(address.get(name, options.get(name, "big")))
    if order not in ORDERS:
        raise ValueError(f"{name} is big or little, not {order}")
    return order


def _bit_field(address: Mapping[str, Any], kind: str, registers: int) -> tuple[int | None, int]:
    """Lowest bit and width of the bit field, (None, 1) when the whole number is meant."""
    if "bits" in address:
        ends = address["bits"]
        if not isinstance(ends, (list, tuple)) or len(ends) != 2 or not all(isinstance(end, int) for end in ends):
            raise ValueError(f"bits are [lowest, highest], not {ends}")
        low, high = ends
    elif "bit" in address or address.get("type") == "bit":
        low = high = int(address.get("bit", 0))
    else:
        return None, 1
    if not kind.startswith(("uint", "int")) or not 0 <= low <= high < 16 * registers:
        raise ValueError(f"{kind} has no bits {low} to {high}")
    return low, high - low + 1


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace").strip()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _digits(number: int) -> int | None:
    """
    >>> _digits(0x1234), _digits(0x12A4)
    (1234, None)
    """
    digits = f"{number:x}"
    return int(digits) if digits.isdecimal() else None


def _to_digits(number: int) -> int:
    if number < 0:
        raise OverflowError
    return int(str(number), 16)


def _modulo(raw: bytes) -> int | None:
    """
    >>> _modulo(bytes.fromhex("04d2 162e")), _modulo(bytes.fromhex("0001 2710"))
    (12345678, None)
    """
    value = 0
    for part in struct.unpack(f">{len(raw) // 2}h", raw):
        if not -10_000 < part < 10_000:
            return None
        value = 10_000 * value + part
    return value


_READERS: dict[str, Finish] = {
    "string": _text,
    "float32": _finite,
    "float64": _finite,
    **dict.fromkeys(("bcd16", "bcd32", "bcd64"), _digits),
    **dict.fromkeys(MODULO, _modulo),
}


def _to_modulo(number: int, registers: int) -> bytes:
    """Each register carries the sign, as the meters send it."""
    sign, rest = -1 if number < 0 else 1, abs(number)
    parts: list[int] = []
    for _ in range(registers):
        rest, part = divmod(rest, 10_000)
        parts.insert(0, sign * part)
    if rest:
        raise OverflowError
    return struct.pack(f">{registers}h", *parts)


def scaled(value: float, exponent: float | str | None) -> float | None:
    """`value * 10**exponent` of a SunSpec scale factor register; None when the factor is missing or out of -10..10.

    >>> scaled(2301, -1), scaled(5, 3), scaled(5, None)
    (230.1, 5000.0, None)
    """
    if not isinstance(exponent, (int, float)) or int(exponent) not in SCALE_RANGE:
        return None
    power = int(exponent)
    # Dividing by a whole power of ten rounds once; multiplying by 0.1 would round twice (230.10000000000002).
    return value * float(10**power) if power >= 0 else value / float(10**-power)


def unscaled(value: float, exponent: float | str | None) -> float | None:
    """The inverse of `scaled`.

    >>> unscaled(230.1, -1), unscaled(5000, 3)
    (2301.0, 5.0)
    """
    if not isinstance(exponent, (int, float)) or int(exponent) not in SCALE_RANGE:
        return None
    power = int(exponent)
    return value / float(10**power) if power >= 0 else value * float(10**-power)
