"""The ASDU codec of IEC 60870-5-101/104: bytes to objects and back, without any I/O. [zone: field]

Source: IEC 60870-5-101:2003, 7.2 (elements) and 7.3 (type identifications); IEC 60870-5-104:2006, 8 (types with CP56Time2a).
Field sizes are parameters, because 101 may use shorter ones than 104 (cause 2, common address 2, object address 3 octets).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from pilots.domain.errors import ProtocolViolation

ACTIVATION, ACTIVATION_CON, DEACTIVATION, ACTIVATION_TERM = 6, 7, 8, 10
INTERROGATED = 20
STATION_INTERROGATION = 20  # QOI of a general interrogation
GENERAL_COUNTERS = 5  # QCC: all counters, without freeze
SELECT = 0x80  # the S/E bit of SCO, DCO, RCO and QOS
C_IC, C_CI, C_RD, C_CS, M_EI = 100, 101, 102, 103, 70
REFUSING_CAUSES = {44: "unknown type", 45: "unknown cause", 46: "unknown common address", 47: "unknown object address"}


class InformationObject(NamedTuple):
    """One information object.

    `qualifier` is the quality octet (QDS bits) of a monitored value, the sequence octet of a counter (IV 0x80), and the
    command qualifier with its S/E bit in control direction. `time` is aware UTC; None in a time-tagged type means that the
    device itself calls its clock invalid (IV), or that the tag is no date.
    """

    address: int
    value: float = 0
    qualifier: int = 0
    time: datetime | None = None


class Asdu(NamedTuple):
    """One application service data unit; `objects` is empty for a type this codec does not know."""

    type_id: int
    cause: int
    common_address: int
    objects: tuple[InformationObject, ...]
    negative: bool = False
    test: bool = False
    originator: int = 0
    sequence: bool = False


@dataclass(frozen=True, slots=True)
class Sizes:
    """Octets of cause of transmission, common address and information object address."""

    cause: int = 2
    common_address: int = 2
    object_address: int = 3


IEC104_SIZES = Sizes()
_HOUR = timedelta(hours=1)
_TIME = "HBBBBB"
_Fields = tuple[Any, ...]


class _Element(NamedTuple):
    """One information element: its struct letters, and value with qualifier out of the unpacked fields and back.

    `read` gets the fields with the object address in front, so the element starts at index 1.
    """

    letters: str
    read: Callable[[_Fields], tuple[float, int]]
    write: Callable[[float, int], _Fields]


def _packed(mask: int) -> _Element:
    """Value and qualifier share one octet (SIQ, DIQ, SCO, DCO, RCO: 7.2.6.1, .2, .15-.17)."""
    rest = ~mask & 0xFF
    return _Element("B", lambda f: (f[1] & mask, f[1] & rest), lambda v, q: (_whole(v, 0, mask) | q & rest,))


def _plain(letters: str, convert: Callable[[float], float]) -> _Element:
    return _Element(letters, lambda f: (f[1], f[2]), lambda v, q: (convert(v), q))


def _whole(value: float, low: int, high: int) -> int:
    """The whole number nearest to `value`. Raises ValueError outside low..high (also for NaN and infinity)."""
    if not low - 0.5 <= value <= high + 0.5:
        raise ValueError(f"{value} does not fit {low}..{high}")
    return min(max(round(value), low), high)


def _step(fields: _Fields) -> tuple[float, int]:
    position = fields[1] & 0x7F  # the transient bit says only that the tap changer moves
    return (position - 128 if position & 0x40 else position), fields[2]


def _to_normalised(value: float) -> int:
    """NVA: -1..1-2^-15 in steps of 2^-15 (7.2.6.6)."""
    return _whole(value * 32768, -32768, 32767)


_SINGLE, _DOUBLE = _packed(0x01), _packed(0x03)
_STEP = _Element("BB", _step, lambda v, q: (_whole(v, -64, 63) & 0x7F, q))
_BITS = _plain("IB", lambda v: _whole(v, 0, 0xFFFFFFFF))
_NORMALISED = _Element("hB", lambda f: (f[1] / 32768, f[2]), lambda v, q: (_to_normalised(v), q))
_SCALED = _plain("hB", lambda v: _whole(v, -32768, 32767))
_FLOAT = _plain("fB", float)
_COUNTER = _plain("iB", lambda v: _whole(v, -(2**31), 2**31 - 1))
_BITS_COMMAND = _Element("I", lambda f: (f[1], 0), lambda v, q: (_whole(v, 0, 0xFFFFFFFF),))
_OCTET = _Element("B", lambda f: (f[1], 0), lambda v, q: (_whole(v, 0, 255),))
_NOTHING = _Element("", lambda f: (0, 0), lambda v, q: ())


class _Type(NamedTuple):
    name: str
    element: _Element
    timed: bool = False


_TYPES: dict[int, _Type] = {
    1: _Type("M_SP_NA_1", _SINGLE),
    3: _Type("M_DP_NA_1", _DOUBLE),
    5: _Type("M_ST_NA_1", _STEP),
    7: _Type("M_BO_NA_1", _BITS),
    9: _Type("M_ME_NA_1", _NORMALISED),
    11: _Type("M_ME_NB_1", _SCALED),
    13: _Type("M_ME_NC_1", _FLOAT),
    15: _Type("M_IT_NA_1", _COUNTER),
    30: _Type("M_SP_TB_1", _SINGLE, timed=True),
    31: _Type("M_DP_TB_1", _DOUBLE, timed=True),
    32: _Type("M_ST_TB_1", _STEP, timed=True),
    33: _Type("M_BO_TB_1", _BITS, timed=True),
    34: _Type("M_ME_TD_1", _NORMALISED, timed=True),
    35: _Type("M_ME_TE_1", _SCALED, timed=True),
    36: _Type("M_ME_TF_1", _FLOAT, timed=True),
    37: _Type("M_IT_TB_1", _COUNTER, timed=True),
    45: _Type("C_SC_NA_1", _SINGLE),
    46: _Type("C_DC_NA_1", _DOUBLE),
    47: _Type("C_RC_NA_1", _DOUBLE),
    48: _Type("C_SE_NA_1", _NORMALISED),
    49: _Type("C_SE_NB_1", _SCALED),
    50: _Type("C_SE_NC_1", _FLOAT),
    51: _Type("C_BO_NA_1", _BITS_COMMAND),
    58: _Type("C_SC_TA_1", _SINGLE, timed=True),
    59: _Type("C_DC_TA_1", _DOUBLE, timed=True),
    60: _Type("C_RC_TA_1", _DOUBLE, timed=True),
    61: _Type("C_SE_TA_1", _NORMALISED, timed=True),
    62: _Type("C_SE_TB_1", _SCALED, timed=True),
    63: _Type("C_SE_TC_1", _FLOAT, timed=True),
    64: _Type("C_BO_TA_1", _BITS_COMMAND, timed=True),
    M_EI: _Type("M_EI_NA_1", _OCTET),
    C_IC: _Type("C_IC_NA_1", _OCTET),
    C_CI: _Type("C_CI_NA_1", _OCTET),
    C_RD: _Type("C_RD_NA_1", _NOTHING),
    C_CS: _Type("C_CS_NA_1", _NOTHING, timed=True),
}
#: Each monitor type with its base: the type that carries the same element without a time tag (36 -> 13).
MONITOR_BASE: dict[int, int] = {type_id: type_id for type_id in range(1, 16, 2)} | {30 + n: 1 + 2 * n for n in range(8)}
COUNTER_TYPES = frozenset({15, 37})
TIMED_MONITOR = frozenset(range(30, 38))
COMMANDS = frozenset(range(45, 52))
TIMED_COMMANDS = frozenset(range(58, 65))
TIMED_COMMAND_OFFSET = 13  # 45 C_SC_NA_1 -> 58 C_SC_TA_1, ... 51 -> 64


def is_known(type_id: int) -> bool:
    return type_id in _TYPES


def type_name(type_id: int) -> str:
    """The standard's name of a type identification.

    >>> type_name(36), type_name(200)
    ('M_ME_TF_1', 'type 200')
    """
    known = _TYPES.get(type_id)
    return known.name if known else f"type {type_id}"


def decode(data: bytes, sizes: Sizes = IEC104_SIZES) -> Asdu:
    """The ASDU of `data`. Raises ProtocolViolation when its length does not fit its own type and number of objects.

    >>> decode(bytes.fromhex("0d01030001000a00000000803f00")).objects[0]
    InformationObject(address=10, value=1.0, qualifier=0, time=None)
    """
    header = _header(sizes)
    if len(data) < header.size:
        raise ProtocolViolation(f"ASDU of {len(data)} octets is shorter than its header")
    fields = header.unpack_from(data)
    type_id, structure, cause = fields[:3]
    sequence = structure >= 0x80
    known = _TYPES.get(type_id)
    objects = () if known is None else tuple(_objects(known, type_id, data[header.size :], structure & 0x7F, sequence, sizes))
    originator = fields[3] if sizes.cause == 2 else 0
    return Asdu(type_id, cause & 0x3F, fields[-1], objects, cause & 0x40 != 0, cause >= 0x80, originator, sequence)


def _objects(
    kind: _Type, type_id: int, body: bytes, count: int, sequence: bool, sizes: Sizes
) -> Iterator[InformationObject] | list[InformationObject]:
    layout = _layout(type_id, 0 if sequence else sizes.object_address)
    head = sizes.object_address if sequence and count else 0
    if len(body) != head + count * layout.size:
        raise ProtocolViolation(f"{kind.name} with {count} objects has a body of {len(body)} octets")
    if not sequence:
        return _separate(kind, layout, body)
    return _sequence(kind, layout, body, count, head)


def _separate(kind: _Type, layout: struct.Struct, body: bytes) -> list[InformationObject]:
    """SQ = 0: each object brings its own address."""
    read, number = kind.element.read, int.from_bytes
    if kind.timed:
        return [
            InformationObject(number(fields[0], "little"), *read(fields), decode_time(*fields[-6:]))
            for fields in layout.iter_unpack(body)
        ]
    return [InformationObject(number(fields[0], "little"), *read(fields)) for fields in layout.iter_unpack(body)]


def _sequence(kind: _Type, layout: struct.Struct, body: bytes, count: int, head: int) -> Iterator[InformationObject]:
    """SQ = 1: one address, the elements follow each other at rising addresses."""
    first = int.from_bytes(body[:head], "little")
    for position in range(count):
        fields = (b"", *layout.unpack_from(body, head + position * layout.size))
        time = decode_time(*fields[-6:]) if kind.timed else None
        yield InformationObject(first + position, *kind.element.read(fields), time)


def encode(asdu: Asdu, sizes: Sizes = IEC104_SIZES) -> bytes:
    """The octets of an ASDU. Raises ValueError for a value its type cannot carry, a type unknown here, or a bad sequence."""
    kind = _TYPES.get(asdu.type_id)
    if kind is None or len(asdu.objects) > 127:
        raise ValueError(f"{type_name(asdu.type_id)} with {len(asdu.objects)} objects cannot be encoded")
    cause = asdu.cause | (0x40 if asdu.negative else 0) | (0x80 if asdu.test else 0)
    structure = len(asdu.objects) | (0x80 if asdu.sequence else 0)
    origin = (asdu.originator,) if sizes.cause == 2 else ()
    parts = [_header(sizes).pack(asdu.type_id, structure, cause, *origin, asdu.common_address)]
    layout = _layout(asdu.type_id, 0 if asdu.sequence else sizes.object_address)
    for position, item in enumerate(asdu.objects):
        address = item.address.to_bytes(sizes.object_address, "little")
        if asdu.sequence and item.address != asdu.objects[0].address + position:
            raise ValueError("the addresses of a sequence must follow each other")
        if asdu.sequence and position == 0:
            parts.append(address)
        parts.append(_object_octets(kind, layout, item, () if asdu.sequence else (address,)))
    return b"".join(parts)


def _object_octets(kind: _Type, layout: struct.Struct, item: InformationObject, address: _Fields) -> bytes:
    time = _time_fields(item.time) if kind.timed else ()
    try:
        return layout.pack(*address, *kind.element.write(item.value, item.qualifier), *time)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{item} does not fit {kind.name}: {error}") from error


@lru_cache(maxsize=16)
def _header(sizes: Sizes) -> struct.Struct:
    return struct.Struct("<BB" + "B" * sizes.cause + ("H" if sizes.common_address == 2 else "B"))


@lru_cache(maxsize=256)
def _layout(type_id: int, address_octets: int) -> struct.Struct:
    kind = _TYPES[type_id]
    address = f"{address_octets}s" if address_octets else ""
    return struct.Struct("<" + address + kind.element.letters + (_TIME if kind.timed else ""))


def decode_time(milliseconds: int, minute: int, hour: int, day: int, month: int, year: int) -> datetime | None:
    """The aware UTC time of a CP56Time2a's fields (7.2.6.18); None when its IV bit is set or it is no date.

    The wire carries UTC. A set SU bit (summer time) means the hour stands one ahead of standard time.

    >>> decode_time(1500, 4, 3, 1, 7, 26)
    datetime.datetime(2026, 7, 1, 3, 4, 1, 500000, tzinfo=datetime.timezone.utc)
    >>> decode_time(1500, 4, 0x83, 1, 7, 26).hour
    2
    """
    if minute & 0x80:
        return None
    second, millisecond = divmod(milliseconds, 1000)
    try:
        time = datetime(
            2000 + (year & 0x7F), month & 0x0F, day & 0x1F, hour & 0x1F, minute & 0x3F, second, millisecond * 1000, UTC
        )
    except ValueError:
        return None
    return time - _HOUR if hour & 0x80 else time


def _time_fields(time: datetime | None) -> _Fields:
    """The fields of a CP56Time2a: standard time, day of week not given; IV set where there is no time."""
    if time is None:
        return (0, 0x80, 0, 0, 0, 0)
    utc = time.astimezone(UTC)
    if not 2000 <= utc.year <= 2127:
        raise ValueError(f"CP56Time2a cannot carry the year {utc.year}")
    return (utc.second * 1000 + utc.microsecond // 1000, utc.minute, utc.hour, utc.day, utc.month, utc.year - 2000)
