"""Which parts of a pilot's network are energised: a search over the positions of its switches. [process to operation]

A section is everything joined without a switch between. It is energised only with proof: a good voltage or power in it, or in
one that switches known to be closed join to it. It has no supply where a voltage says so, or where the switch towards the grid is
known to be open. Everything else is unknown: beyond a switch whose position is unknown nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from pilots.domain.topology import GUEST_KINDS, HEAD_KINDS, NODE_KINDS, DeviceKind

#: Less than this many volts or watts prove nothing.
NOTHING = 1.0
OPEN, CLOSED = 1, 2
#: The section of power devices that no infeed reaches.
LOOSE = "?"
_EVIDENCE = ("voltage", "active_power")


class Supply(StrEnum):
    LIVE = "live"
    DEAD = "dead"
    UNKNOWN = "unknown"


class Verdict(NamedTuple):
    """What is known of a section, and the references of the readings it rests on: it holds while they are good."""

    state: Supply
    basis: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A device as the search sees it: the next one towards the grid, the meter that stands for it, its points."""

    id: str
    kind: DeviceKind
    parent: str = ""
    measured_by: str = ""


@dataclass(slots=True)
class Section:
    """`key` is the switch that leads to it, or the infeed it begins with; `position` refers to that switch's position."""

    key: str
    parent: str = ""
    position: str = ""
    evidence: list[str] = field(default_factory=list)


def sections_of(parts: Iterable[Part], points: Mapping[str, Iterable[str]]) -> dict[str, Section]:
    """The sections by their keys, those towards the grid first; `points` names each device's points."""
    by_id = {part.id: part for part in sorted(parts, key=lambda part: part.id)}
    children: dict[str, list[Part]] = {}
    for part in by_id.values():
        children.setdefault(part.parent if part.parent in by_id else "", []).append(part)
    found: dict[str, Section] = {}
    for root in children.get("", []):
        if root.kind in NODE_KINDS | GUEST_KINDS:
            continue
        key = root.id if root.kind in HEAD_KINDS else LOOSE
        _fill(root, found.setdefault(key, Section(key)), found, children, points)
    return found


def _fill(
    part: Part,
    section: Section,
    found: dict[str, Section],
    children: Mapping[str, list[Part]],
    points: Mapping[str, Iterable[str]],
) -> None:
    section.evidence += [each for each in _evidence(part, points) if each not in section.evidence]
    beyond = section
    if part.kind is DeviceKind.SWITCH:
        # A switch at the very top stands on both sides: nothing says what is before it.
        position = f"{part.id}/position" if "position" in points.get(part.id, ()) else ""
        beyond = found[below(part.id)] = Section(below(part.id), section.key, position)
    for child in children.get(part.id, []):
        _fill(child, beyond, found, children, points)


def below(switch: str) -> str:
    """The key of the section that a switch leads to."""
    return f"{switch}/"


def _evidence(part: Part, points: Mapping[str, Iterable[str]]) -> Iterator[str]:
    for name in _EVIDENCE:
        carriers = [carrier for carrier in (part.id, part.measured_by) if name in points.get(carrier, ())]
        yield from (f"{carrier}/{name}" for carrier in carriers[:1])


def references_of(sections: Mapping[str, Section]) -> set[str]:
    """Every reading the search may rest on."""
    positions = {section.position for section in sections.values() if section.position}
    return positions.union(*(section.evidence for section in sections.values()))


def supply(sections: Mapping[str, Section], good: Mapping[str, float]) -> dict[str, Verdict]:
    """The verdict on each section; `good` holds the values of the good readings by reference.

    >>> net = {"G": Section("G", evidence=["G/voltage"]), "S/": Section("S/", "G", "S/position")}
    >>> [verdict.state.value for verdict in supply(net, {"G/voltage": 230, "S/position": 2}).values()]
    ['live', 'live']
    >>> [verdict.state.value for verdict in supply(net, {"G/voltage": 230, "S/position": 1}).values()]
    ['live', 'dead']
    >>> [verdict.state.value for verdict in supply(net, {"G/voltage": 230}).values()]
    ['live', 'unknown']
    """
    ways = {key: _way_up(sections, section, good) for key, section in sections.items()}
    groups: dict[str, list[Section]] = {}
    for key, way in ways.items():
        groups.setdefault(way[-1].key, []).append(sections[key])
    heads = {top: _verdict(sections[top], group, ways, good) for top, group in groups.items()}
    return {key: _with_way(heads[way[-1].key], way) for key, way in ways.items()}


def _way_up(sections: Mapping[str, Section], section: Section, good: Mapping[str, float]) -> list[Section]:
    """The section and those above it that closed switches join to it, the topmost last."""
    way = [section]
    while way[-1].parent and good.get(way[-1].position) == CLOSED:
        way.append(sections[way[-1].parent])
    return way


def _verdict(top: Section, group: list[Section], ways: Mapping[str, list[Section]], good: Mapping[str, float]) -> Verdict:
    readings = [(section, each) for section in group for each in section.evidence if each in good]
    for section, each in readings:
        if abs(good[each]) > NOTHING:
            return _with_way(Verdict(Supply.LIVE, (each,)), ways[section.key])
    silent = [(section, each) for section, each in readings if each.endswith("/voltage")]
    if silent:
        return _with_way(Verdict(Supply.DEAD, (silent[0][1],)), ways[silent[0][0].key])
    if top.parent and good.get(top.position) == OPEN:
        return Verdict(Supply.DEAD, (top.position,))
    return Verdict(Supply.UNKNOWN)


def _with_way(verdict: Verdict, way: list[Section]) -> Verdict:
    """It rests on the closed switches on the way too."""
    if verdict.state is Supply.UNKNOWN:
        return verdict
    closed = [section.position for section in way[:-1] if section.position not in verdict.basis]
    return verdict._replace(basis=(*verdict.basis, *closed))
