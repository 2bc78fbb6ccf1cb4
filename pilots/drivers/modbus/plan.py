"""Which registers to read for a set of points, and how the answers become readings; worked out once. [zone: field]

A request's answer is taken apart by ONE `struct` call, because one conversion a point costs more than the request itself.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import itemgetter
from typing import Any, cast
from weakref import WeakValueDictionary

from pilots.domain.errors import FieldError
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointSpec
from pilots.domain.quality import GOOD, Flag, Quality, Validity
from pilots.drivers.modbus.codec import Finish, RegisterCodec, Value, codec_of, scaled

MAX_REGISTERS = 125
MAX_BITS = 2000
REGISTER_TABLES = ("holding", "input")
BIT_TABLES = ("coil", "discrete")
NOT_IMPLEMENTED = Quality(Validity.INVALID, flags=Flag.NOT_AVAILABLE)
UNREAD = Quality(Validity.INVALID, flags=Flag.FAILURE | Flag.COMM_FAILURE)

#: What a request brought: the registers' bytes, the packed bits, or why there are none.
Block = bytes | FieldError


@dataclass(frozen=True, slots=True)
class Place:
    """Where one value lies: a register table with its codec, or a single bit of a bit table (`codec` None)."""

    table: str
    start: int
    length: int
    codec: RegisterCodec | None


@dataclass(frozen=True, slots=True)
class Span:
    """One request: `count` registers (or bits) of `table` from wire address `start`."""

    table: str
    start: int
    count: int

    def holds(self, place: Place) -> bool:
        return self.table == place.table and self.start <= place.start and place.start + place.length <= self.start + self.count


#: A point's name, its place and that of its scale factor.
Field = tuple[str, Place, Place | None]


class Part:
    """One request of a plan and what its answer means: values of `names`, in their order."""

    __slots__ = (
        "__weakref__",
        "_bits",
        "_finish",
        "_floats",
        "_gather",
        "_inner",
        "_layout",
        "_pick",
        "elsewhere",
        "names",
        "span",
    )

    def __init__(self, span: Span, fields: Sequence[Field]) -> None:
        self.span = span
        self.names = tuple(name for name, _, _ in fields)
        #: (index of the value, its scale factor) where the factor is not part of this answer.
        self.elsewhere = tuple((at, scale) for at, (_, _, scale) in enumerate(fields) if scale and not span.holds(scale))
        self._bits = tuple((place.start - span.start) for _, place, _ in fields) if span.table in BIT_TABLES else ()
        if not self._bits:
            self._compile([(place, scale) for _, place, scale in fields])

    def _compile(self, fields: Sequence[tuple[Place, Place | None]]) -> None:
        scales = [scale for _, scale in fields if scale is not None and self.span.holds(scale)]
        items = sorted({_item(place, self.span): None for place in [place for place, _ in fields] + scales})
        index = {item: at for at, item in enumerate(items)}
        self._layout, self._gather = _layout(items, self.span)
        at = [index[_item(place, self.span)] for place, _ in fields] + [index[_item(scale, self.span)] for scale in scales]
        self._pick: Callable[[Any], Iterable[Any]] | None = None if at == list(range(len(items))) else itemgetter(*at, at[0])
        codecs = [place.codec for place, _ in fields] + [scale.codec for scale in scales]
        finishes = [None if codec is None else codec.finish for codec in codecs]
        # Floats are looked at all together: one that is no number makes the sum none.
        self._floats = all(codec is not None and codec.type.startswith("float") and codec.missing is None for codec in codecs)
        self._finish: tuple[tuple[int, Finish], ...] = tuple((at, f) for at, f in enumerate(finishes) if f is not None)
        scaled_here = [at for at, (_, scale) in enumerate(fields) if scale is not None and self.span.holds(scale)]
        self._inner = tuple(zip(scaled_here, range(len(fields), len(codecs)), strict=True))

    def values(self, block: bytes) -> tuple[Sequence[Value], bool]:
        """The wire values after the scale factors of this answer, None where the device has none, and whether it has all."""
        if self._bits:
            return [block[at >> 3] >> (at & 7) & 1 for at in self._bits], True
        items: Any = self._layout.unpack(block if self._gather is None else bytes(self._gather(block)))
        if self._pick is not None:
            items = self._pick(items)
        if self._floats and math.isfinite(sum(items)):
            return items[: len(self.names)], True
        values = list(items)
        for at, finish in self._finish:
            values[at] = finish(values[at])
        for at, scale in self._inner:
            if values[at] is not None:
                values[at] = scaled(values[at], values[scale])
        del values[len(self.names) :]
        return values, None not in values


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """All requests one poll of these points takes. `scales` are scale factors outside the spans: read once, then kept."""

    parts: tuple[Part, ...]
    scales: tuple[Place, ...] = field(default=())

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(part.span for part in self.parts)

    def readings(self, blocks: Sequence[Block], kept: Mapping[Place, Value]) -> list[RawReading]:
        """One reading per point: of `blocks`, an answer or error per part, and of the scale factors read before."""
        readings: list[RawReading] = []
        for part, block in zip(self.parts, blocks, strict=True):
            if isinstance(block, FieldError):
                readings += [RawReading(name, None, UNREAD) for name in part.names]
                continue
            found, whole = part.values(block)
            if whole and not part.elsewhere:
                # What RawReading(name, value) makes, without a Python call for each.
                readings += map(tuple.__new__, repeat(RawReading), zip(part.names, found, repeat(GOOD), repeat(None)))
                continue
            values = list(found)
            unread = self._scale_elsewhere(part, values, blocks, kept)
            readings += [
                RawReading(name, value, GOOD if value is not None else UNREAD if at in unread else NOT_IMPLEMENTED)
                for at, (name, value) in enumerate(zip(part.names, values, strict=True))
            ]
        return readings

    def _scale_elsewhere(self, part: Part, values: list[Value], blocks: Sequence[Block], kept: Mapping[Place, Value]) -> set[int]:
        """Scales in place; returns the values whose factor could not be read at all."""
        unread: set[int] = set()
        for at, scale in part.elsewhere:
            value = values[at]
            if value is None or isinstance(value, str):
                continue
            found, exponent = self._factor(scale, blocks, kept)
            values[at] = scaled(value, exponent) if found else None
            if not found:
                unread.add(at)
        return unread

    def _factor(self, scale: Place, blocks: Sequence[Block], kept: Mapping[Place, Value]) -> tuple[bool, Value]:
        """A scale factor of another answer or of an earlier read, and whether it could be had at all."""
        for part, block in zip(self.parts, blocks, strict=True):
            if part.span.holds(scale):
                return (False, None) if isinstance(block, FieldError) else (True, value_at(scale, part.span, block))
        return scale in kept, kept.get(scale)


def value_at(place: Place, span: Span, block: bytes) -> Value:
    """The one value at `place`, out of the answer to `span`."""
    at = place.start - span.start
    return block[at >> 3] >> (at & 7) & 1 if place.codec is None else place.codec.decode(block, 2 * at)


def place_of(spec: PointSpec, options: Mapping[str, Any]) -> Place:
    """Where a point lies. Raises ValueError when its address names no register, table or type we know.

    A place within a SunSpec model that nobody has looked up yet counts from the model's own beginning.
    """
    address = spec.address
    start = _register(spec, "offset" if "model" in address else "register")
    table = str(address.get("table", "holding"))
    if table in BIT_TABLES:
        return Place(table, start, 1, None)
    if table not in REGISTER_TABLES:
        raise ValueError(f"point {spec.name}: unknown table {table}")
    try:
        codec = codec_of(address, options)
    except (ValueError, TypeError) as error:
        raise ValueError(f"point {spec.name}: {error}") from error
    return Place(table, start, codec.registers, codec)


def scale_place_of(spec: PointSpec, options: Mapping[str, Any]) -> Place | None:
    """Where a point's SunSpec scale factor lies: an int16 of the same table."""
    field = next((name for name in ("scale_register", "scale_offset") if spec.address.get(name) is not None), None)
    if field is None:
        return None
    order = str(options.get("byte_order", "big"))
    codec = RegisterCodec("int16", 1, byte_order=order, missing=-0x8000)
    return Place(str(spec.address.get("table", "holding")), _register(spec, field), 1, codec)


def _register(spec: PointSpec, field: str) -> int:
    register = spec.address.get(field)
    if register is None:
        raise ValueError(f"point {spec.name} has no {field}")
    if isinstance(register, bool) or not isinstance(register, int) or register < 0:
        raise ValueError(f"point {spec.name}: {field} is a whole number from 0, not {register}")
    return register


def compile_plan(specs: Sequence[PointSpec], options: Mapping[str, Any]) -> ReadPlan:
    """The fewest requests that read these points. Raises ValueError on a bad address.

    A scale factor is read along where that takes no further request, else once per connection.
    """
    fields = [(spec.name, place_of(spec, options), scale_place_of(spec, options)) for spec in specs]
    places = [place for _, place, _ in fields]
    wanted = sorted({scale for _, _, scale in fields if scale is not None}, key=lambda place: place.start)
    spans = merge(places, options)
    for scale in wanted:
        tried = merge([*places, *(other for other in wanted if _held(other, spans)), scale], options)
        if len(tried) <= len(spans):
            spans = tried
    held: dict[Span, list[Field]] = {span: [] for span in spans}
    for each in fields:
        held[next(span for span in spans if span.holds(each[1]))].append(each)
    outside = tuple(scale for scale in wanted if not _held(scale, spans))
    return ReadPlan(tuple(_part(span, tuple(mine)) for span, mine in held.items() if mine), outside)


#: A thousand devices of one profile share its parts.
_PARTS: WeakValueDictionary[tuple[Span, tuple[Field, ...]], Part] = WeakValueDictionary()


def _part(span: Span, fields: tuple[Field, ...]) -> Part:
    part = _PARTS.get((span, fields))
    if part is None:
        part = _PARTS[span, fields] = Part(span, fields)
    return part


def merge(places: Sequence[Place], options: Mapping[str, Any]) -> list[Span]:
    """Spans that hold all places, each at most `max_registers` long.

    Gaps are read along, as one longer answer costs less than a second request, unless `holes: forbidden`:
    some meters refuse a block that crosses registers they do not have.
    """
    gap = 0 if options.get("holes") == "forbidden" else MAX_BITS
    longest = min(int(options.get("max_registers", MAX_REGISTERS)), MAX_REGISTERS)
    spans: list[Span] = []
    for place in sorted(places, key=lambda p: (p.table, p.start, p.length)):
        most = MAX_BITS if place.table in BIT_TABLES else longest
        last = spans[-1] if spans else None
        if last is not None and last.table == place.table and place.start <= last.start + last.count + gap:
            count = max(last.start + last.count, place.start + place.length) - last.start
            if count <= most:
                spans[-1] = Span(last.table, last.start, count)
                continue
        spans.append(Span(place.table, place.start, place.length))
    return spans


def _held(place: Place, spans: Sequence[Span]) -> bool:
    return any(span.holds(place) for span in spans)


#: First byte in the answer, `struct` letter, and where its bytes stand from there on.
_Item = tuple[int, str, tuple[int, ...]]


def _item(place: Place, span: Span) -> _Item:
    """What `struct` takes out of the answer for a place: fields that share registers and form share one."""
    codec = cast(RegisterCodec, place.codec)  # only bit tables have none, and no struct
    return 2 * (place.start - span.start), codec.letter, codec.gather


def _layout(items: Sequence[_Item], span: Span) -> tuple[struct.Struct, Callable[[bytes], Iterable[int]] | None]:
    """How the answer is unpacked, and which bytes in which order first, where they do not lie as `struct` wants them."""
    letters, at, plain = ">", 0, True
    for start, letter, gather in items:
        plain = plain and start >= at and gather == tuple(range(len(gather)))
        letters += f"{start - at}x{letter}" if start > at else letter
        at = start + len(gather)
    if plain:
        return struct.Struct(f"{letters}{2 * span.count - at}x"), None
    order = [start + byte for start, _, gather in items for byte in gather]
    return struct.Struct(">" + "".join(letter for _, letter, _ in items)), itemgetter(*order)
