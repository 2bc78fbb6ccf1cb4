"""The data of a simulated IED as MMS shows it: domains, variables that nest, data sets. [zone: field, simulated]

IEC 61850-8-1, clause 7: a logical node is a structure of functional constraints, each of data objects, each of attributes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pilots.simulators.iec61850.library import mms

#: Called with the client's connection and the value; answers None, or the data access error.
WriteHook = Callable[[Any, Any], Awaitable[Any]]
ReadHook = Callable[[Any], Any]

BOOLEAN = mms.BooleanTypeDescription()
FLOAT32 = mms.FloatingPointTypeDescription(32, 8)
UTC_TIME = mms.UtcTimeTypeDescription()
QUALITY = mms.BitStringTypeDescription(-13)
DOUBLE_POSITION = mms.BitStringTypeDescription(2)
GOOD = mms.BitStringData([False] * 13)


@dataclass(slots=True)
class Leaf:
    """One attribute. Without `on_write` it can only be read; `on_read` answers instead of the value."""

    kind: Any
    value: Any
    on_write: WriteHook | None = None
    on_read: ReadHook | None = None


@dataclass(slots=True)
class Branch:
    """A structure; with `on_write` it is written as a whole (Oper)."""

    parts: dict[str, Node] = field(default_factory=dict)
    on_write: WriteHook | None = None

    def at(self, path: list[str]) -> Branch:
        """The structure at that path, made where it is missing."""
        if not path:
            return self
        below = self.parts.setdefault(path[0], Branch())
        if not isinstance(below, Branch):
            raise TypeError(f"{path[0]} is an attribute")
        return below.at(path[1:])


Node = Leaf | Branch


class Member(NamedTuple):
    """One member of a data set."""

    domain: str
    item: str


@dataclass(slots=True)
class Model:
    """All domains; data sets by domain and item ("LLN0$dsStatus")."""

    domains: dict[str, Branch] = field(default_factory=dict)
    data_sets: dict[Member, list[Member]] = field(default_factory=dict)

    def branch(self, domain: str, item: str) -> Branch:
        """That structure, made where it is missing."""
        return self.domains.setdefault(domain, Branch()).at(item.split("$"))

    def find(self, domain: str, item: str) -> Node | None:
        node: Node | None = self.domains.get(domain)
        for part in item.split("$"):
            node = node.parts.get(part) if isinstance(node, Branch) else None
        return node

    def names(self, domain: str) -> list[str]:
        """Every variable of a domain, sorted as clients expect it."""
        return sorted(_names("", self.domains[domain])) if domain in self.domains else []


def _names(above: str, branch: Branch) -> Iterator[str]:
    for part, node in branch.parts.items():
        name = f"{above}${part}" if above else part
        yield name
        if isinstance(node, Branch):
            yield from _names(name, node)


def type_of(node: Node) -> Any:
    """The node's MMS type description."""
    if isinstance(node, Leaf):
        return node.kind
    return mms.StructureTypeDescription([(name, type_of(part)) for name, part in node.parts.items()])


def data_of(node: Node) -> Any:
    """The node's MMS value now."""
    if isinstance(node, Leaf):
        return node.value
    return mms.StructureData([data_of(part) for part in node.parts.values()])


def stamp(moment: datetime, *, synchronised: bool = True) -> Any:
    """A UtcTime of millisecond accuracy."""
    return mms.UtcTimeData(moment, True, False, not synchronised, 10)


def integer(value: int, bits: int = 8) -> Leaf:
    return Leaf(mms.IntegerTypeDescription(bits), mms.IntegerData(value))


def unsigned(value: int, bits: int = 32) -> Leaf:
    return Leaf(mms.UnsignedTypeDescription(bits), mms.UnsignedData(value))


def boolean(value: bool = False) -> Leaf:
    return Leaf(BOOLEAN, mms.BooleanData(value))


def text(value: str, most: int = 129) -> Leaf:
    return Leaf(mms.VisibleStringTypeDescription(-most), mms.VisibleStringData(value))


def quality() -> Leaf:
    return Leaf(QUALITY, GOOD)


def time_stamp() -> Leaf:
    return Leaf(UTC_TIME, stamp(datetime.fromtimestamp(0, UTC)))
