"""MMS values and their types: octets to plain Python and back. [zone: field]

ISO 9506-2, 14.4.2 (Data) and 14.4.3 (TypeDescription); IEC 61850-8-1, 8.1 for UtcTime, bit strings and EntryTime. A value
is a bool, int, float, str or bytes, `Bits`, `UtcTime`, `EntryTime`, or a tuple of values (structure, array).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Union

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.iec61850.ber import DEEPEST, Element, chosen, elements, first, inside, number, tlv, whole_number

#: A packed structure of an IED nests five deep; more than this is an attack.
_NESTED_TOO_DEEPLY = f"MMS data nested deeper than {DEEPEST // 2}"
_ENTRY_EPOCH = datetime(1984, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bits:
    """A bit string: bit 0 is the first on the wire and the most significant of `value`."""

    length: int
    value: int

    def has(self, index: int) -> bool:
        """Whether that bit is set; bits beyond the end are not."""
        return 0 <= index < self.length and bool(self.value >> (self.length - 1 - index) & 1)

    @classmethod
    def of(cls, length: int, *indices: int) -> Bits:
        """The bit string in which only these bits are set.

        >>> Bits.of(10, 1, 7)
        Bits(length=10, value=260)
        """
        return cls(length, sum(1 << (length - 1 - index) for index in indices))


@dataclass(frozen=True, slots=True)
class UtcTime:
    """A time stamp and its quality (IEC 61850-8-1, 8.1.3.6): `moment` None where the octets are no date."""

    moment: datetime | None
    leap_seconds_known: bool = False
    clock_failure: bool = False
    not_synchronised: bool = False
    accuracy: int = 31  # bits of the fraction that are true; 31 unspecified


@dataclass(frozen=True, slots=True)
class EntryTime:
    """When a server put an entry into a buffer (TimeOfDay, IEC 61850-8-1, 8.1.3.7). Only for the log."""

    octets: bytes

    @property
    def moment(self) -> datetime | None:
        if len(self.octets) != 6:
            return None
        milliseconds, days = struct.unpack(">IH", self.octets)
        return _ENTRY_EPOCH + timedelta(days=days, milliseconds=milliseconds)


@dataclass(frozen=True, slots=True)
class DataFailure:
    """What stands in place of a value that could not be had: the DataAccessError (ISO 9506-2, 14.4.1)."""

    code: int


Value = Union[bool, int, float, str, bytes, Bits, UtcTime, EntryTime, tuple["Value", ...]]  # noqa: UP007  names itself


class Kind(StrEnum):
    """Types as people know them; the size stands beside."""

    ARRAY = "array"
    STRUCTURE = "structure"
    BOOLEAN = "boolean"
    BIT_STRING = "bit_string"
    INTEGER = "integer"
    UNSIGNED = "unsigned"
    FLOAT = "float"
    OCTET_STRING = "octet_string"
    VISIBLE_STRING = "visible_string"
    GENERALISED_TIME = "generalised_time"
    ENTRY_TIME = "entry_time"
    BCD = "bcd"
    OBJECT_IDENTIFIER = "object_identifier"
    MMS_STRING = "mms_string"
    UTC_TIME = "utc_time"


@dataclass(frozen=True, slots=True)
class Type:
    """A type: `size` in bits (numbers), bits (bit strings) or octets; arrays have `element`, structures `parts` in order."""

    kind: Kind
    size: int = 0
    parts: Mapping[str, Type] = field(default_factory=dict)
    element: Type | None = None

    def __str__(self) -> str:
        """In a word.

        >>> str(Type(Kind.FLOAT, 32)), str(Type(Kind.STRUCTURE, parts={"f": Type(Kind.FLOAT, 32)}))
        ('float32', 'structure')
        """
        sized = self.kind in (Kind.FLOAT, Kind.INTEGER, Kind.UNSIGNED, Kind.BIT_STRING)
        return f"{self.kind}{self.size}" if sized and self.size else str(self.kind)


_KINDS = {
    1: Kind.ARRAY, 2: Kind.STRUCTURE, 3: Kind.BOOLEAN, 4: Kind.BIT_STRING, 5: Kind.INTEGER, 6: Kind.UNSIGNED, 7: Kind.FLOAT,
    9: Kind.OCTET_STRING, 10: Kind.VISIBLE_STRING, 11: Kind.GENERALISED_TIME, 12: Kind.ENTRY_TIME, 13: Kind.BCD,
    15: Kind.OBJECT_IDENTIFIER, 16: Kind.MMS_STRING, 17: Kind.UTC_TIME,
}  # fmt: skip
_TAGS = {kind: 0x80 | number for number, kind in _KINDS.items()} | {Kind.ARRAY: 0xA1, Kind.STRUCTURE: 0xA2}
_SINGLE, _DOUBLE = struct.Struct(">f"), struct.Struct(">d")


def decode_value(octets: bytes, element: Element, depth: int = 0) -> Value:
    """The value of a Data element. Raises ProtocolViolation."""
    kind = _KINDS.get(element.tag & 0x1F) if element.tag & 0xC0 == 0x80 else None
    start, stop = element.start, element.stop
    if kind is Kind.STRUCTURE or kind is Kind.ARRAY:
        if depth > DEEPEST // 2:
            raise ProtocolViolation(_NESTED_TOO_DEEPLY)
        return tuple(decode_value(octets, part, depth + 1) for part in elements(octets, start, stop))
    if kind in (Kind.INTEGER, Kind.UNSIGNED, Kind.BCD):
        return number(octets, element)
    if kind is Kind.BOOLEAN:
        return stop > start and octets[start] != 0
    if kind is Kind.FLOAT:
        return _decode_float(octets[start:stop])
    if kind is Kind.UTC_TIME:
        return decode_utc_time(octets[start:stop])
    return _decode_string(kind, octets[start:stop])


def _decode_string(kind: Kind | None, body: bytes) -> Value:
    if kind is Kind.BIT_STRING:
        unused = body[0] if body else 8
        if unused > 7:
            raise ProtocolViolation("MMS: a bit string that does not say how many bits are unused")
        return Bits(max(0, 8 * (len(body) - 1) - unused), int.from_bytes(body[1:], "big") >> unused)
    if kind in (Kind.VISIBLE_STRING, Kind.MMS_STRING, Kind.GENERALISED_TIME):
        return body.decode("utf-8", "replace")
    if kind is Kind.ENTRY_TIME:
        return EntryTime(body)
    if kind is None:
        raise ProtocolViolation("MMS: a value of no known type")
    return body


def _decode_float(body: bytes) -> float:
    """The first octet is the width of the exponent: 8 for 32 bits, 11 for 64."""
    if len(body) == 5:
        return float(_SINGLE.unpack_from(body, 1)[0])
    if len(body) == 9:
        return float(_DOUBLE.unpack_from(body, 1)[0])
    raise ProtocolViolation(f"MMS: a floating point number of {len(body)} octets")


def decode_utc_time(body: bytes) -> UtcTime:
    """Eight octets: seconds since 1970, 24 bits of fraction, quality. Raises ProtocolViolation for another length."""
    if len(body) != 8:
        raise ProtocolViolation(f"MMS: a UtcTime of {len(body)} octets")
    seconds, rest = struct.unpack(">II", body)
    microseconds = min(999_999, round((rest >> 8) * 1_000_000 / (1 << 24)))
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)
    flags = rest & 0xFF
    return UtcTime(moment, bool(flags & 0x80), bool(flags & 0x40), bool(flags & 0x20), flags & 0x1F)


def encode_utc_time(moment: datetime) -> bytes:
    """The octets of our own clock's stamp: synchronised, to the millisecond (10 bits)."""
    fraction = min((1 << 24) - 1, round(moment.microsecond * (1 << 24) / 1_000_000))
    return struct.pack(">II", int(moment.timestamp()), fraction << 8 | 10)


def encode_value(kind: Type, value: Value) -> bytes:
    """The Data element of a value of that type. Raises ValueError when the type cannot carry it."""
    if kind.kind is Kind.STRUCTURE:
        return tlv(0xA2, *(encode_value(part, each) for part, each in zip(kind.parts.values(), _members(value), strict=True)))
    if kind.kind is Kind.ARRAY:
        if kind.element is None:
            raise ValueError("an array of nothing")
        return tlv(0xA1, *(encode_value(kind.element, each) for each in _members(value)))
    return tlv(_TAGS[kind.kind], _contents(kind, value))


def _members(value: Value) -> Sequence[Value]:
    if not isinstance(value, tuple):
        raise ValueError(f"{value!r} is no structure")
    return value


def _contents(kind: Type, value: Value) -> bytes:
    if kind.kind is Kind.BOOLEAN and isinstance(value, (bool, int, float)):
        return b"\xff" if value else b"\x00"
    if kind.kind in (Kind.INTEGER, Kind.UNSIGNED) and isinstance(value, (int, float)):
        return whole_number(_whole(kind, value))
    if kind.kind is Kind.FLOAT and isinstance(value, (int, float)):
        return _encode_float(kind, float(value))
    if kind.kind is Kind.BIT_STRING and isinstance(value, (Bits, int)):
        return _encode_bits(value if isinstance(value, Bits) else Bits(abs(kind.size), value))
    if kind.kind is Kind.OCTET_STRING and isinstance(value, bytes):
        return value
    if kind.kind in (Kind.VISIBLE_STRING, Kind.MMS_STRING) and isinstance(value, str):
        return value.encode()
    if kind.kind is Kind.UTC_TIME and isinstance(value, UtcTime) and value.moment is not None:
        return encode_utc_time(value.moment)
    raise ValueError(f"{value!r} is no {kind}")


def _whole(kind: Type, value: float) -> int:
    whole = round(value)
    low, high = (0, 1 << kind.size) if kind.kind is Kind.UNSIGNED else (-(1 << (kind.size - 1)), 1 << (kind.size - 1))
    if kind.size and not low <= whole < high:
        raise ValueError(f"{value:g} does not fit {kind}")
    return whole


def _encode_float(kind: Type, value: float) -> bytes:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no finite number")
    if kind.size == 64:
        return b"\x0b" + _DOUBLE.pack(value)
    try:
        return b"\x08" + _SINGLE.pack(value)
    except OverflowError as error:
        raise ValueError(f"{value:g} does not fit {kind}") from error


def _encode_bits(bits: Bits) -> bytes:
    if bits.value >> bits.length:
        raise ValueError(f"{bits.value} does not fit {bits.length} bits")
    unused = -bits.length % 8
    return bytes((unused,)) + (bits.value << unused).to_bytes((bits.length + 7) // 8, "big")


def decode_type(octets: bytes, element: Element, depth: int = 0) -> Type:
    """The type a TypeDescription element describes. Raises ProtocolViolation, also for references to named types."""
    if depth > DEEPEST // 2:
        raise ProtocolViolation(_NESTED_TOO_DEEPLY)
    kind = _KINDS.get(element.tag & 0x1F) if element.tag & 0xC0 == 0x80 else None
    if kind is None:
        raise ProtocolViolation(f"MMS: type description {element.tag:02x} is not known")
    if kind is Kind.STRUCTURE:
        return Type(kind, parts=dict(_components(octets, inside(octets, element, 0xA1), depth)))
    if kind is Kind.ARRAY:
        count, described = inside(octets, element, 0x81), inside(octets, element, 0xA2)
        inner = decode_type(octets, first(octets, described.start, described.stop), depth + 1)
        return Type(kind, number(octets, count), element=inner)
    if kind is Kind.FLOAT:
        return Type(kind, number(octets, first(octets, element.start, element.stop)))
    # The size of bit and visible strings is negative where the length may vary: its bound is what matters to us.
    return Type(kind, abs(number(octets, element)))


def _components(octets: bytes, listed: Element, depth: int) -> Iterator[tuple[str, Type]]:
    for index, component in enumerate(elements(octets, listed.start, listed.stop)):
        name = chosen(octets, 0x80, component.start, component.stop)
        described = inside(octets, component, 0xA1)
        words = f"#{index}" if name is None else octets[name.start : name.stop].decode("utf-8", "replace")
        yield words, decode_type(octets, first(octets, described.start, described.stop), depth + 1)
