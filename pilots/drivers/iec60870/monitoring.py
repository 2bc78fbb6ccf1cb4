"""Values in monitor direction: from the octets of an ASDU straight to readings, without an object in between. [zone: field]

Source: IEC 60870-5-101:2003, 7.2.6.1-.12 (quality), 7.3.1 (process information in monitor direction). The mapping of quality
bits is `domain.quality.from_qds`; docs/protocols/iec104.md lists it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import repeat
from struct import Struct
from typing import Any, NamedTuple

from pilots.domain.measurement import RawReading
from pilots.domain.quality import Flag, Quality, Validity, from_qds
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import InformationObject, Sizes
from pilots.drivers.iec60870.elements import COUNTERS, KINDS, MONITOR_BASE, PROTECTION_EVENTS
from pilots.drivers.iec60870.routes import RouteTable, Taker
from pilots.drivers.iec60870.times import LONG, decode_many, decode_short

#: Readings in bulk: a tuple's own constructor takes half the time of the class's.
_READING: Callable[[tuple[Any, ...]], RawReading] = partial(tuple.__new__, RawReading)
MOST_PLACES = 10_000  # that one stream remembers: a station that invents addresses may not fill our memory
_CARRY, _ADJUSTED, _ELAPSED_INVALID = 0x20, 0x40, 0x08
_QUALITIES = tuple(from_qds(octet) for octet in range(256))
#: Of a counter's sequence octet only IV speaks of quality: a carry or an adjustment is counted and no fault.
_OF_COUNTERS = tuple(from_qds(octet & 0x80) for octet in range(256))
#: EI: the event is as good as before, only its duration is not known.
_OF_EVENTS = tuple(
    from_qds(octet & 0xF0).worse(Validity.GOOD, Flag.INCONSISTENT if octet & _ELAPSED_INVALID else Flag.NONE)
    for octet in range(256)
)


def _untimed(qualities: tuple[Quality, ...]) -> tuple[Quality, ...]:
    """The same where the device calls its time tag invalid: the value is as good as before, its time is not known."""
    return tuple(quality.worse(Validity.GOOD, Flag.CLOCK_UNSYNCED) for quality in qualities)


#: Base type -> qualities with a good time tag (or none), and with an invalid one.
_BY_BASE: dict[int, tuple[tuple[Quality, ...], tuple[Quality, ...]]] = {
    **dict.fromkeys(set(MONITOR_BASE.values()), (_QUALITIES, _untimed(_QUALITIES))),
    **dict.fromkeys(PROTECTION_EVENTS, (_OF_EVENTS, _untimed(_OF_EVENTS))),
    COUNTERS: (_OF_COUNTERS, _untimed(_OF_COUNTERS)),
}


class Received(NamedTuple):
    """A checked ASDU of a monitor type that waits for its commit; `at` only where its times need it.

    Short time tags need the moment of receipt. What an interrogation brings without a time tag is stamped with the moment of
    the question: it is at least as new as that, and an event that is on its way meanwhile, with its own time, is newer.
    """

    octets: bytes
    at: datetime | None = None


def reading_of(
    point: str, type_id: int, item: InformationObject, bit: int | None = None, *, at: datetime | None = None
) -> RawReading:
    """What one information object says of a point; `at` is the time of one that has no time tag."""
    timed, untimed = _BY_BASE[MONITOR_BASE[type_id]]
    qualities = untimed if KINDS[type_id].tag and item.time is None else timed
    value = item.value if bit is None else int(item.value) >> bit & 1
    time = item.time if KINDS[type_id].tag else at
    return RawReading(point, value, qualities[item.qualifier & 0xFF], time)


class _Stream:
    """What is known of the ASDUs of one type from one common address; the places fill by what comes."""

    def __init__(self, type_id: int, common_address: int, sizes: Sizes) -> None:
        kind = KINDS[type_id]
        self.base, self.common_address, self.tag = MONITOR_BASE[type_id], common_address, kind.tag
        self.mask = kind.element.mask if self.base != COUNTERS else None
        element = kind.element.letters + ("H5s" if kind.tag == LONG else f"{kind.tag}s")
        self.separate, self.sequence = Struct(f"<{sizes.object_address}s{element}"), Struct(f"<{element}")
        self.timed, self.untimed = _BY_BASE[self.base]
        if self.mask:
            self.timed, self.untimed = _without(self.mask, self.timed), _without(self.mask, self.untimed)
        #: Object address -> device and point; "" where nobody wants it, None where it goes not simply to one point.
        self.devices: dict[bytes, str | None] = {}
        self.points: dict[bytes, str] = {}


class Monitoring:
    """The readings of a connection's points; `counts` says what nobody wanted and what was odd."""

    def __init__(self, routes: RouteTable, sizes: Sizes, counts: Counter[str]) -> None:
        self._routes, self._sizes, self._counts = routes, sizes, counts
        self._streams: dict[bytes, _Stream] = {}

    def sort(self, received: Received, readings: dict[str, list[RawReading]]) -> None:
        """Every object of the ASDU stands behind the others of its device, in the order it came."""
        octets, head = received.octets, self._sizes.head
        stream = self._streams.get(octets[:1] + octets[head - self._sizes.common_address : head]) or self._stream(octets)
        if stream is None:
            self._counts["unknown_objects"] += octets[1] & 0x7F
        elif stream.mask is None or not self._sort_columns(stream, received, readings):
            self._sort_objects(stream, received, readings)

    def _stream(self, octets: bytes) -> _Stream | None:
        """None for a common address of which we want nothing: nobody may fill our memory with them."""
        common_address = common_address_of(octets, self._sizes)
        if not self._routes.knows(common_address):
            return None
        where = octets[self._sizes.head - self._sizes.common_address : self._sizes.head]
        stream = self._streams[octets[:1] + where] = _Stream(octets[0], common_address, self._sizes)
        return stream

    def _sort_columns(self, stream: _Stream, received: Received, readings: dict[str, list[RawReading]]) -> bool:
        """The common case, a column at a time in C: most of what a flooded link costs is here. False: nothing was done."""
        columns = self._columns(stream, received.octets)
        if not columns:
            return True
        addresses: Sequence[bytes] = columns[0]
        try:
            devices = list(map(stream.devices.__getitem__, addresses))
        except KeyError:
            return False  # an address that comes for the first time
        if None in devices:
            return False
        octets = columns[1 if stream.mask else 2]
        values = [octet & stream.mask for octet in octets] if stream.mask else columns[1]
        times = self._times(stream, columns, received.at)
        qualities: Iterable[Quality] = map(stream.timed.__getitem__, octets)
        if times is not None and None in times:
            both = zip(octets, times, strict=True)
            qualities = [(stream.untimed if time is None else stream.timed)[octet] for octet, time in both]
        points = map(stream.points.__getitem__, addresses)
        made = map(_READING, zip(points, values, qualities, times or repeat(received.at), strict=False))
        self._add(devices, made, readings)
        return True

    def _add(self, devices: list[str | None], made: Iterable[RawReading], readings: dict[str, list[RawReading]]) -> None:
        device = devices[0]
        if device and devices.count(device) == len(devices):
            readings.setdefault(device, []).extend(made)
            return
        for of, reading in zip(devices, made, strict=True):
            if of:
                readings.setdefault(of, []).append(reading)
        self._counts["unknown_objects"] += devices.count("")

    def _columns(self, stream: _Stream, octets: bytes) -> list[Sequence[Any]]:
        """Addresses, then the fields of the element, then those of the time tag; empty without objects."""
        width, head = self._sizes.object_address, self._sizes.head
        if octets[1] < 0x80:
            return list(zip(*stream.separate.iter_unpack(octets[head:]), strict=True))
        first = int.from_bytes(octets[head : head + width], "little")
        addresses = [address.to_bytes(width, "little") for address in range(first, first + (octets[1] & 0x7F))]
        fields: Iterable[Sequence[Any]] = zip(*stream.sequence.iter_unpack(octets[head + width :]), strict=True)
        return [addresses, *fields] if addresses else []

    @staticmethod
    def _times(stream: _Stream, columns: list[Sequence[Any]], at: datetime | None) -> list[datetime | None] | None:
        if stream.tag == LONG:
            return decode_many(columns[-2], columns[-1])
        return [decode_short(tag, at) for tag in columns[-1]] if stream.tag else None

    def _sort_objects(self, stream: _Stream, received: Received, readings: dict[str, list[RawReading]]) -> None:
        """Any ASDU, an object at a time."""
        unit = asdu.decode(received.octets, self._sizes, received.at)
        for item in unit.objects:
            for device_id, point, bit in self._takers(stream, item.address):
                readings.setdefault(device_id, []).append(reading_of(point, unit.type_id, item, bit, at=received.at))
            if stream.base == COUNTERS:
                self._counts["counters_carried"] += item.qualifier & _CARRY != 0
                self._counts["counters_adjusted"] += item.qualifier & _ADJUSTED != 0

    def _takers(self, stream: _Stream, address: int) -> tuple[Taker, ...]:
        wanted = self._routes.takers(stream.common_address, stream.base, address)
        if not wanted:
            self._counts["unknown_objects"] += 1
        if len(stream.devices) < MOST_PLACES:
            place = address.to_bytes(self._sizes.object_address, "little")
            simple = len(wanted) == 1 and wanted[0].bit is None
            stream.devices[place], stream.points[place] = wanted[0][:2] if simple else (None if wanted else "", "")
        return wanted


def _without(mask: int, qualities: tuple[Quality, ...]) -> tuple[Quality, ...]:
    """By an octet that carries a value too."""
    return tuple(qualities[octet & ~mask & 0xFF] for octet in range(256))


def common_address_of(octets: bytes, sizes: Sizes) -> int:
    """Of a whole ASDU."""
    return int.from_bytes(octets[sizes.head - sizes.common_address : sizes.head], "little")
