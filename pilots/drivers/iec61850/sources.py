"""How a point's value, quality and stamp lie in what a device sends. [zone: field]

A data object holds them side by side (MV: mag, q, t) or one level down (WYE: phsA with cVal, q, t); IEC 61850-7-3, clause 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from pilots.domain.errors import DeviceRefused
from pilots.drivers.iec61850.data import DataFailure, Kind, Type, Value
from pilots.drivers.iec61850.mms import Name
from pilots.drivers.iec61850.names import Place

Steps = tuple[int, ...]
_LEAF_KINDS = frozenset(Kind) - {Kind.STRUCTURE, Kind.ARRAY}


class Role(IntEnum):
    VALUE = 0
    QUALITY = 1
    STAMP = 2


@dataclass(frozen=True, slots=True)
class Source:
    """Where a point comes from: `container` is the smallest variable that holds value, quality and stamp together.

    `steps` lead to each role inside the container's value; a role that the device does not offer is absent.
    """

    place: Place
    container: Name
    steps: dict[Role, Steps]

    @property
    def key(self) -> tuple[str, str]:
        return self.place.device_id, self.place.spec.name

    def named(self) -> Iterator[tuple[Role, Name]]:
        """Each role's own variable."""
        yield Role.VALUE, self.place.name
        for role, part in ((Role.QUALITY, "q"), (Role.STAMP, "t")):
            if role in self.steps:
                yield role, Name(self.container.domain, f"{self.container.item}${part}")


class Extract(NamedTuple):
    """What one member of a data set tells of one point."""

    key: tuple[str, str]
    role: Role
    steps: Steps


def source_of(place: Place, kind: Type) -> Source:
    """The source of a point whose data object is of that type. Raises DeviceRefused when the object has no such part."""
    leaf, holder, depth = kind, -1, 0
    for depth, step in enumerate(place.steps):
        if "q" in leaf.parts or "t" in leaf.parts:
            holder = depth
        if step not in leaf.parts:
            raise DeviceRefused(f"{place.data_object} has no {'.'.join(place.steps)}", device_code="object-non-existent")
        leaf = leaf.parts[step]
    if leaf.kind not in _LEAF_KINDS:
        raise DeviceRefused(f"{place.name} is a {leaf.kind}, name one attribute of it", device_code="type-inconsistent")
    if holder < 0:
        return Source(place, place.name, {Role.VALUE: ()})
    return _held(place, kind, holder)


def _held(place: Place, kind: Type, holder: int) -> Source:
    above, below = place.steps[:holder], place.steps[holder:]
    container = Name(place.name.domain, "$".join((place.data_object.item, *above)))
    inner = type_at(kind, above)
    steps = {Role.VALUE: indices(inner, below)}
    steps |= {role: indices(inner, (part,)) for role, part in ((Role.QUALITY, "q"), (Role.STAMP, "t")) if part in inner.parts}
    return Source(place, container, steps)


def extracts_of(member: Name, kind: Type, sources: Iterable[Source]) -> list[Extract]:
    """What a data set's member of that type tells of these points."""
    found = []
    for source in sources:
        for role, name in source.named():
            if is_part(name, member):
                rest = tuple(name.item[len(member.item) + 1 :].split("$")) if name != member else ()
                found.append(Extract(source.key, role, indices(kind, rest)))
    return found


def is_part(name: Name, whole: Name) -> bool:
    """Whether the variable is the other one or lies in it."""
    return name.domain == whole.domain and f"{name.item}$".startswith(f"{whole.item}$")


def type_at(kind: Type, names: Iterable[str]) -> Type:
    for name in names:
        kind = kind.parts[name]
    return kind


def indices(kind: Type, names: Iterable[str]) -> Steps:
    """The same way by position: a structure's values come without names."""
    steps = []
    for name in names:
        steps.append(list(kind.parts).index(name))
        kind = kind.parts[name]
    return tuple(steps)


def pick(value: Value | DataFailure | None, steps: Steps) -> Value | DataFailure | None:
    """What these steps lead to; None where the value has another shape than its type promised."""
    for step in steps:
        if not isinstance(value, tuple) or step >= len(value):
            return value if isinstance(value, DataFailure) else None
        value = value[step]
    return value
