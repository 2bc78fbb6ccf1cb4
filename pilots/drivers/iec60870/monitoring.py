"""Values in monitor direction: from the octets of ASDUs to readings, a flood of them as columns. [zone: field]

Source: IEC 60870-5-101:2003, 7.2.6.1-.12 (quality), 7.3.1 (process information in monitor direction). The mapping of quality
bits is `domain.quality.from_qds`; docs/protocols/iec104.md lists it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pilots.domain.columns import NEVER, Ints, Objects
from pilots.domain.measurement import RawReading
from pilots.domain.moments import microseconds
from pilots.domain.quality import Flag, Quality, Validity, from_qds
from pilots.domain.readings import ReadingColumns, joined
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import InformationObject, Sizes
from pilots.drivers.iec60870.elements import COUNTERS, KINDS, MONITOR_BASE, PROTECTION_EVENTS
from pilots.drivers.iec60870.routes import RouteTable, Taker
from pilots.drivers.iec60870.times import SHORT, decode_column

_Parts = dict[str, list[Sequence[RawReading]]]
#: So many objects pay for the columns; fewer are read one by one.
LEAST_COLUMNS = 24
MOST_PLACES = 10_000  # that one stream remembers: a station that invents addresses may not fill our memory
_CARRY, _ADJUSTED, _ELAPSED_INVALID = 0x20, 0x40, 0x08
#: The fields of an element by its struct letters, and of a CP56Time2a.
_FIELDS = {"B": [("octet", "u1")], "h": [("value", "<i2")], "f": [("value", "<f4")], "I": [("value", "<u4")]}
_TAG = [("milliseconds", "<u2"), ("minutes", "u1", (5,))]
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
        self.mask = kind.element.mask
        #: Whether its objects may be read in columns.
        self.simple = self.mask is not None and self.base != COUNTERS and kind.tag != SHORT
        if self.simple:
            self.timed, self.untimed = _packed(self.base)
            self.separate, self.sequence = _records(type_id, sizes.object_address)
        #: Object address -> device and point; "" where nobody wants it, None where it goes not simply to one point.
        self.places: dict[int, tuple[str | None, str]] = {}
        self._columns: _Places | None = None

    def remember(self, address: int, wanted: tuple[Taker, ...]) -> None:
        """Who wants what stands there."""
        if address not in self.places and len(self.places) < MOST_PLACES:
            simple = len(wanted) == 1 and wanted[0].bit is None
            self.places[address] = wanted[0][:2] if simple else (None if wanted else "", "")
            self._columns = None

    def columns(self) -> _Places:
        """The places, by address."""
        if self._columns is None:
            addresses = sorted(self.places)
            places = [self.places[address] for address in addresses]
            devices = list(dict.fromkeys(device for device, _ in places))
            codes = np.array([devices.index(device) for device, _ in places])
            points = np.array([point for _, point in places], dtype=object)
            self._columns = _Places(np.array(addresses), devices, codes, points)
        return self._columns


class _Places(NamedTuple):
    """Object addresses in their order, each with its device (an index into `devices`) and its point."""

    addresses: Ints
    devices: list[str | None]
    codes: Ints
    points: Objects


class Monitoring:
    """The readings of a connection's points; `counts` says what nobody wanted and what was odd."""

    def __init__(self, routes: RouteTable, sizes: Sizes, counts: Counter[str]) -> None:
        self._routes, self._sizes, self._counts = routes, sizes, counts
        self._streams: dict[bytes, _Stream] = {}
        self._octets = 256 ** np.arange(sizes.object_address, dtype=np.int64)

    def sort(self, batch: Iterable[Received]) -> dict[str, Sequence[RawReading]]:
        """The readings of all objects of these ASDUs by device, those of a device in the order they came."""
        parts: _Parts = {}
        for _, like in groupby(batch, self._kind):
            run = list(like)
            stream = self._stream_of(run[0].octets)
            if stream is None:
                self._counts["unknown_objects"] += _size(run)
            elif not (stream.simple and _size(run) >= LEAST_COLUMNS and self._sort_columns(stream, run, parts)):
                self._sort_objects(stream, run, parts)
        return {device: joined(of_device) for device, of_device in parts.items()}

    def _kind(self, received: Received) -> tuple[bytes, bool, datetime | None]:
        """What ASDUs have in common that are read at once: type and common address, structure, time of what has no tag."""
        octets, head = received.octets, self._sizes.head
        where = octets[head - self._sizes.common_address : head]
        return octets[:1] + where, octets[1] >= 0x80, received.at

    def _stream_of(self, octets: bytes) -> _Stream | None:
        """None for a common address of which we want nothing: nobody may fill our memory with them."""
        where = octets[self._sizes.head - self._sizes.common_address : self._sizes.head]
        stream = self._streams.get(octets[:1] + where)
        if stream is None:
            common_address = common_address_of(octets, self._sizes)
            if not self._routes.knows(common_address):
                return None
            stream = self._streams[octets[:1] + where] = _Stream(octets[0], common_address, self._sizes)
        return stream

    def _sort_columns(self, stream: _Stream, run: list[Received], parts: _Parts) -> bool:
        """The flood, a column at a time. False: nothing was done, because some objects go not simply to one point."""
        addresses, rows = self._rows(stream, [received.octets for received in run])
        places = self._places(stream, addresses)
        where = np.searchsorted(places.addresses, addresses)
        if not np.array_equal(places.addresses.take(where, mode="clip"), addresses):
            return False  # more addresses than are remembered
        codes = places.codes[where]
        devices = [places.devices[code] for code in np.unique(codes)]
        if None in devices:
            return False
        readings = self._read(stream, rows, run[0].at, places.points[where])
        if len(devices) == 1:
            self._add(devices[0], readings, parts)
        else:
            for code in np.unique(codes):
                self._add(places.devices[code], readings.take(codes == code), parts)
        return True

    def _add(self, device: str | None, readings: ReadingColumns, parts: _Parts) -> None:
        if device:
            parts.setdefault(device, []).append(readings)
        else:
            self._counts["unknown_objects"] += len(readings)

    def _rows(self, stream: _Stream, asdus: list[bytes]) -> tuple[Ints, NDArray[Any]]:
        """Addresses, and a record of fields for each object."""
        width, head = self._sizes.object_address, self._sizes.head
        if asdus[0][1] < 0x80:
            rows = np.frombuffer(b"".join(octets[head:] for octets in asdus), stream.separate)
            return rows["address"] @ self._octets, rows
        firsts = [int.from_bytes(octets[head : head + width], "little") for octets in asdus]
        addresses = [np.arange(first, first + (octets[1] & 0x7F)) for first, octets in zip(firsts, asdus, strict=True)]
        return np.concatenate(addresses), np.frombuffer(b"".join(octets[head + width :] for octets in asdus), stream.sequence)

    def _places(self, stream: _Stream, addresses: Ints) -> _Places:
        """Those of the stream, with these addresses as far as they can be remembered."""
        for address in set(addresses.tolist()).difference(stream.places):
            stream.remember(address, self._routes.takers(stream.common_address, stream.base, address))
        return stream.columns()

    @staticmethod
    def _read(stream: _Stream, rows: NDArray[Any], at: datetime | None, points: Objects) -> ReadingColumns:
        octets = rows["octet"]
        value = octets & stream.mask if stream.mask else rows["value"]
        quality = stream.timed[octets]
        if stream.tag:
            source_us = decode_column(rows["milliseconds"].astype(np.int64), rows["minutes"])
            if (without := source_us == NEVER).any():
                quality = np.where(without, stream.untimed[octets], quality)
        else:
            source_us = np.full(len(rows), NEVER if at is None else microseconds(at))
        return ReadingColumns(points.tolist(), value.astype(np.float64), quality, source_us)

    def _sort_objects(self, stream: _Stream, run: list[Received], parts: _Parts) -> None:
        """Any ASDUs, an object at a time."""
        readings: dict[str, list[RawReading]] = {}
        for received in run:
            unit = asdu.decode(received.octets, self._sizes, received.at)
            for item in unit.objects:
                for device_id, point, bit in self._takers(stream, item.address):
                    reading = reading_of(point, unit.type_id, item, bit, at=received.at)
                    readings.setdefault(device_id, []).append(reading)
                if stream.base == COUNTERS:
                    self._counts["counters_carried"] += item.qualifier & _CARRY != 0
                    self._counts["counters_adjusted"] += item.qualifier & _ADJUSTED != 0
        for device, of_device in readings.items():
            parts.setdefault(device, []).append(of_device)

    def _takers(self, stream: _Stream, address: int) -> tuple[Taker, ...]:
        wanted = self._routes.takers(stream.common_address, stream.base, address)
        if not wanted:
            self._counts["unknown_objects"] += 1
        return wanted


def _size(run: Iterable[Received]) -> int:
    """Information objects."""
    return sum(received.octets[1] & 0x7F for received in run)


@lru_cache
def _packed(base: int) -> tuple[Ints, Ints]:
    """Qualities with and without a time by the octet, of which an element's mask leaves bits to the value; for all stations."""
    rest = ~(KINDS[base].element.mask or 0) & 0xFF
    timed, untimed = (np.array([table[octet & rest].pack() for octet in range(256)], dtype=np.int64) for table in _BY_BASE[base])
    return timed, untimed


@lru_cache
def _records(type_id: int, address_octets: int) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """An object behind its address, and one of a sequence; for all stations."""
    kind = KINDS[type_id]
    groups = [_FIELDS[letter] for letter in kind.element.letters] + ([_TAG] if kind.tag else [])
    element = [field for group in groups for field in group]
    return np.dtype([("address", "u1", (address_octets,)), *element]), np.dtype(element)


def common_address_of(octets: bytes, sizes: Sizes) -> int:
    """Of a whole ASDU."""
    return int.from_bytes(octets[sizes.head - sizes.common_address : sizes.head], "little")
