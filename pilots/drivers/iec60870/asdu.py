"""The ASDU codec of IEC 60870-5-101/104: bytes to objects and back, without any I/O or clock. [zone: field]

Source: IEC 60870-5-101:2003, 7.1, 7.2.1-7.2.5. Field sizes are parameters, because 101 may use shorter ones than 104 (cause 2,
common address 2, object address 3 octets). `elements` has the types. Values in bulk go by `monitoring`, which reads the same
octets without an object for each.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.iec60870 import times
from pilots.drivers.iec60870.elements import KINDS, Kind, type_name

SPONTANEOUS = 3
REQUEST, ACTIVATION, ACTIVATION_CON, DEACTIVATION, DEACTIVATION_CON, ACTIVATION_TERM = 5, 6, 7, 8, 9, 10
INTERROGATED = 20  # by a general interrogation; 20 + n by that of group n
COUNTERS_INTERROGATED = 37  # in general; 37 + n by that of group n
STATION_INTERROGATION = 20  # QOI of a general interrogation; 20 + n of group n
GENERAL_COUNTERS = 5  # QCC: all counters; 1-4 a group
TEST, NEGATIVE = 0x80, 0x40  # in the first octet of the cause of transmission
SELECT = 0x80  # the S/E bit of SCO, DCO, RCO and QOS
C_IC, C_CI, C_RD, C_CS, M_EI = 100, 101, 102, 103, 70
C_TS_NA, C_TS_TA = 104, 107
REFUSING_CAUSES = {44: "unknown type", 45: "unknown cause", 46: "unknown common address", 47: "unknown object address"}


class InformationObject(NamedTuple):
    """One information object.

    `qualifier` is the quality octet (QDS or QDP bits) of a monitored value, the sequence octet of a counter (IV 0x80), and the
    command qualifier with its S/E bit in control direction. From bit 8 on stands what else a type carries: the transient bit
    of a step position (5), the changed bits of 20, the duration in ms of a protection event (17-19, 38-40). `time` is aware
    UTC; None in a time-tagged type means that the device itself calls its clock invalid (IV), or that the tag is no date.
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
    """Octets of cause of transmission (1, 2), common address (1, 2) and information object address (1-3)."""

    cause: int = 2
    common_address: int = 2
    object_address: int = 3

    #: Octets before the first object, and how they lie.
    head: int = field(init=False, repr=False, compare=False)
    header: struct.Struct = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.cause not in (1, 2) or self.common_address not in (1, 2) or self.object_address not in (1, 2, 3):
            raise ValueError("cause and common address have 1 or 2 octets, an object address 1 to 3")
        header = struct.Struct("<BB" + "B" * self.cause + ("H" if self.common_address == 2 else "B"))
        object.__setattr__(self, "header", header)
        object.__setattr__(self, "head", header.size)

    @property
    def highest_object_address(self) -> int:
        return int(256**self.object_address) - 1

    @property
    def broadcast(self) -> int:
        """The common address of all stations."""
        return int(256**self.common_address) - 1


IEC104_SIZES = Sizes()
_Fields = tuple[Any, ...]


def decode(data: bytes, sizes: Sizes = IEC104_SIZES, received: datetime | None = None) -> Asdu:
    """The ASDU of `data`; short time tags take their hour from `received`.

    Raises ProtocolViolation when its length does not fit its own type and number of objects.

    >>> decode(bytes.fromhex("0d01030001000a00000000803f00")).objects[0]
    InformationObject(address=10, value=1.0, qualifier=0, time=None)
    """
    unit = _decode_head(data, sizes)
    kind = KINDS.get(unit.type_id)
    if kind is None:
        return unit
    check_length(data, sizes)
    objects = _sequence(data, sizes) if unit.sequence else _separate(data, sizes)
    read = kind.element.read
    return unit._replace(
        objects=tuple(InformationObject(address, *read(fields), _time(fields[-1], received)) for address, fields in objects)
    )


def _decode_head(data: bytes, sizes: Sizes = IEC104_SIZES) -> Asdu:
    """The ASDU without its objects. Raises ProtocolViolation when it is shorter than its head."""
    if len(data) < sizes.head:
        raise ProtocolViolation(f"ASDU of {len(data)} octets is shorter than its header")
    fields = sizes.header.unpack_from(data)
    type_id, structure, cause = fields[:3]
    originator = fields[3] if sizes.cause == 2 else 0
    return Asdu(type_id, cause & 0x3F, fields[-1], (), cause & NEGATIVE != 0, cause & TEST != 0, originator, structure >= 0x80)


def check_length(data: bytes, sizes: Sizes = IEC104_SIZES) -> None:
    """An ASDU of a known type has the length its number of objects asks for. Raises ProtocolViolation.

    Every combination of octets of the right length is an ASDU: after this, reading its objects cannot fail.
    """
    body = len(data) - sizes.head
    if body != _body_length(data[0], data[1], sizes.object_address):
        raise ProtocolViolation(f"{type_name(data[0])} with {data[1] & 0x7F} objects has a body of {body} octets")
    if data[1] > 0x80 and _first_address(data, sizes) + (data[1] & 0x7F) - 1 > sizes.highest_object_address:
        raise ProtocolViolation(f"a sequence of {data[1] & 0x7F} objects runs over the highest object address")


@lru_cache(maxsize=4096)
def _body_length(type_id: int, structure: int, address_octets: int) -> int:
    """Octets behind the head of an ASDU of a known type with that variable structure qualifier."""
    count = structure & 0x7F
    if structure < 0x80:
        return count * layout(type_id, address_octets).size
    return address_octets + count * layout(type_id, 0).size if count else 0


def _first_address(data: bytes, sizes: Sizes) -> int:
    return int.from_bytes(data[sizes.head : sizes.head + sizes.object_address], "little")


def _separate(data: bytes, sizes: Sizes) -> list[tuple[int, _Fields]]:
    """SQ = 0: each object brings its own address."""
    rows = layout(data[0], sizes.object_address).iter_unpack(memoryview(data)[sizes.head :])
    return [(int.from_bytes(fields[0], "little"), fields) for fields in rows]


def _sequence(data: bytes, sizes: Sizes) -> list[tuple[int, _Fields]]:
    """SQ = 1: one address, the elements follow each other at rising addresses."""
    element, first = layout(data[0], 0), _first_address(data, sizes)
    start = sizes.head + sizes.object_address
    return [
        (first + position, (b"", *element.unpack_from(data, start + position * element.size)))
        for position in range(data[1] & 0x7F)
    ]


def _time(tag: bytes, received: datetime | None) -> datetime | None:
    if not tag:
        return None
    return times.decode_long(tag) if len(tag) == times.LONG else times.decode_short(tag, received)


def encode(asdu: Asdu, sizes: Sizes = IEC104_SIZES) -> bytes:
    """The octets of an ASDU. Raises ValueError for a value its type cannot carry, a type unknown here, or a bad sequence."""
    kind = KINDS.get(asdu.type_id)
    if kind is None or len(asdu.objects) > 127:
        raise ValueError(f"{type_name(asdu.type_id)} with {len(asdu.objects)} objects cannot be encoded")
    cause = asdu.cause | (NEGATIVE if asdu.negative else 0) | (TEST if asdu.test else 0)
    structure = len(asdu.objects) | (0x80 if asdu.sequence else 0)
    origin = (asdu.originator,) if sizes.cause == 2 else ()
    try:
        parts = [sizes.header.pack(asdu.type_id, structure, cause, *origin, asdu.common_address)]
        for position, item in enumerate(asdu.objects):
            address = item.address.to_bytes(sizes.object_address, "little")
            if asdu.sequence and item.address != asdu.objects[0].address + position:
                raise ValueError("the addresses of a sequence must follow each other")
            if asdu.sequence and position == 0:
                parts.append(address)
            parts.append(_object_octets(kind, asdu.type_id, item, b"" if asdu.sequence else address))
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{asdu} does not fit {kind.name}: {error}") from error
    return b"".join(parts)


def _object_octets(kind: Kind, type_id: int, item: InformationObject, address: bytes) -> bytes:
    tag = b""
    if kind.tag:
        tag = (times.encode_long if kind.tag == times.LONG else times.encode_short)(item.time)
    front = (address,) if address else ()
    return layout(type_id, len(address)).pack(*front, *kind.element.write(item.value, item.qualifier), tag)


@lru_cache(maxsize=512)
def layout(type_id: int, address_octets: int) -> struct.Struct:
    """How one object of a known type lies on the wire: address, element, and the time tag as octets (none: no octets)."""
    kind = KINDS[type_id]
    address = f"{address_octets}s" if address_octets else ""
    return struct.Struct(f"<{address}{kind.element.letters}{kind.tag}s")
