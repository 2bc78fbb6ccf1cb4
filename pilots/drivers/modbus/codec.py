"""Registers to wire values and back. [zone: field]

Modbus itself knows only 16-bit registers and bits (Modbus Application Protocol V1.1b3, 4.2-4.3); wider types, their word and
byte order and the "not implemented" values are the makers' (SunSpec Device Information Model Specification, 4.2).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
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
}

LAYOUTS = {name: struct.Struct(">" + letter) for name, (letter, _) in NUMBERS.items()}

#: The value by which a SunSpec device says that it lacks a point; for floats it is NaN, which is no value anyway.
SUNSPEC_MISSING: dict[str, int] = {
    "uint16": 0xFFFF,
    "int16": -0x8000,
    "uint32": 0xFFFF_FFFF,
    "int32": -0x8000_0000,
    "uint64": 0xFFFF_FFFF_FFFF_FFFF,
    "int64": -0x8000_0000_0000_0000,
}
SCALE_RANGE = range(-10, 11)


@dataclass(frozen=True, slots=True)
class RegisterCodec:
    """One value in `registers` consecutive registers; "little" orders put the low word or byte first."""

    type: str
    registers: int
    word_order: str = "big"
    byte_order: str = "big"
    bit: int | None = None
    missing: float | None = None

    def decode(self, block: bytes, offset: int) -> float | str | None:
        """The wire value that begins at byte `offset`; None when the device says it has none (sentinel, NaN, infinity)."""
        if self.type == "string":
            raw = self._ordered(block[offset : offset + 2 * self.registers])
            return raw.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
        value: float
        if self.word_order == self.byte_order == "big":
            (value,) = LAYOUTS[self.type].unpack_from(block, offset)
        else:
            (value,) = LAYOUTS[self.type].unpack(self._ordered(block[offset : offset + 2 * self.registers]))
        if self.missing is not None and value == self.missing:
            return None
        if self.bit is not None:
            return int(value) >> self.bit & 1
        return value if math.isfinite(value) else None

    def encode(self, value: float | str) -> bytes:
        """The bytes of `value` as the device wants them. Raises ValueError when it does not fit the type."""
        if isinstance(value, str):
            return self._ordered(value.encode()[: 2 * self.registers].ljust(2 * self.registers, b"\0"))
        if self.type == "string" or self.bit is not None:
            raise ValueError(f"a number cannot be written as {self.type}")
        letter = NUMBERS[self.type][0]
        number = value if letter in "fd" else self._whole(value)
        try:
            return self._ordered(struct.pack(">" + letter, number))
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{value:g} does not fit {self.type}") from error

    def _whole(self, value: float) -> int:
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be written as {self.type}")
        return round(value)

    def _ordered(self, raw: bytes) -> bytes:
        """Network order from the device's order, or the other way round: both are the same swap."""
        if self.word_order == "little" and self.type != "string":
            raw = b"".join(raw[at : at + 2] for at in range(len(raw) - 2, -2, -2))
        if self.byte_order == "little":
            raw = b"".join(raw[at : at + 2][::-1] for at in range(0, len(raw), 2))
        return raw


def codec_of(address: Mapping[str, Any], options: Mapping[str, Any]) -> RegisterCodec:
    """The codec a point's address and its profile's options describe. Raises ValueError for an unknown type."""
    kind = str(address.get("type", "uint16"))
    bit = address.get("bit")
    if kind == "bit":
        kind, bit = "uint16", int(address.get("bit", 0))
    if kind != "string" and kind not in NUMBERS:
        raise ValueError(f"unknown register type {kind}")
    missing = address.get("not_implemented")
    if missing is None and options.get("sunspec"):
        missing = SUNSPEC_MISSING.get(kind)
    return RegisterCodec(
        type=kind,
        registers=int(address["length"]) if kind == "string" else NUMBERS[kind][1],
        word_order=str(address.get("word_order", options.get("word_order", "big"))),
        byte_order=str(address.get("byte_order", options.get("byte_order", "big"))),
        bit=None if bit is None else int(bit),
        missing=None if missing is None else missing,
    )


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
