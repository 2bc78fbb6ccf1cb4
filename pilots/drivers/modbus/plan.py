"""Which registers to read for a set of points, worked out once. [zone: field]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pilots.domain.point import PointSpec
from pilots.drivers.modbus.codec import RegisterCodec, codec_of

MAX_REGISTERS = 125
MAX_BITS = 2000
REGISTER_TABLES = ("holding", "input")
BIT_TABLES = ("coil", "discrete")


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


@dataclass(frozen=True, slots=True)
class Field:
    """One asked point: in which span of the plan it lies, and the register of its scale factor, if it has one."""

    point: str
    span: Span
    place: Place
    scale: Place | None = None


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """All requests one poll of these points takes. `scales` are scale factors outside the spans: read once, then kept."""

    spans: tuple[Span, ...]
    fields: tuple[Field, ...]
    scales: tuple[Place, ...] = field(default=())


def place_of(spec: PointSpec, options: Mapping[str, Any]) -> Place:
    """Where a point lies. Raises ValueError when its address names no register, table or type we know."""
    address = spec.address
    if "register" not in address:
        raise ValueError(f"point {spec.name} has no register")
    table = str(address.get("table", "holding"))
    if table in BIT_TABLES:
        return Place(table, int(address["register"]), 1, None)
    if table not in REGISTER_TABLES:
        raise ValueError(f"point {spec.name}: unknown table {table}")
    codec = codec_of(address, options)
    return Place(table, int(address["register"]), codec.registers, codec)


def scale_place_of(spec: PointSpec, options: Mapping[str, Any]) -> Place | None:
    """Where a point's SunSpec scale factor lies: an int16 of the same table."""
    register = spec.address.get("scale_register")
    if register is None:
        return None
    order = str(options.get("byte_order", "big"))
    codec = RegisterCodec("int16", 1, byte_order=order, missing=-0x8000)
    return Place(str(spec.address.get("table", "holding")), int(register), 1, codec)


def compile_plan(specs: Sequence[PointSpec], options: Mapping[str, Any]) -> ReadPlan:
    """The fewest requests that read these points. Raises ValueError on a bad address.

    A scale factor is read along where that takes no further request, else once per connection.
    """
    places = {spec.name: place_of(spec, options) for spec in specs}
    scales = {spec.name: scale_place_of(spec, options) for spec in specs}
    wanted = {place for place in scales.values() if place is not None}
    spans = merge(list(places.values()), options)
    for scale in sorted(wanted, key=lambda place: place.start):
        tried = merge([*places.values(), *(s for s in wanted if _held(s, spans)), scale], options)
        if len(tried) <= len(spans):
            spans = tried
    fields = tuple(
        Field(name, next(span for span in spans if span.holds(place)), place, scales[name]) for name, place in places.items()
    )
    outside = tuple(sorted((s for s in wanted if not _held(s, spans)), key=lambda place: place.start))
    return ReadPlan(tuple(spans), fields, outside)


def merge(places: Sequence[Place], options: Mapping[str, Any]) -> list[Span]:
    """Spans that hold all places, each at most `max_registers` long.

    Gaps are read along, as one longer answer costs less than a second request, unless `holes: forbidden`:
    some meters refuse a block that crosses registers they do not have.
    """
    gap = 0 if options.get("holes") == "forbidden" else MAX_BITS
    spans: list[Span] = []
    for place in sorted(places, key=lambda p: (p.table, p.start, p.length)):
        most = MAX_BITS if place.table in BIT_TABLES else min(int(options.get("max_registers", MAX_REGISTERS)), MAX_REGISTERS)
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
