"""The diagram as a ladder, for a phone: one device a row, with the rails that lead to it. [all zones]

Order, sections and the communication column are those of the diagram. As there, a device that is the only one behind another
stands straight below it; where several are, they stand one step further in, on a rail that runs down from what they share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pilots.domain.supply import below
from pilots.domain.topology import DeviceKind, DeviceSpec, LinkSpec
from pilots.ui.comm_column import NodeRow, Row, column_rows
from pilots.ui.layout import arrange, electrical_roots, guests_of
from pilots.ui.single_line import ends_words
from pilots.ui.topology import Topology

#: A rail passes a row, has this row and more to come, ends with this row, or ended before.
PASS, TEE, END, NONE = "pass", "tee", "end", "none"


@dataclass(frozen=True, slots=True)
class Rail:
    """One step of the indent: what stands there, and the section of the network it belongs to."""

    shape: str
    section: str = ""


@dataclass(frozen=True, slots=True)
class Rung:
    """`section` is where the device stands, `beyond` where what hangs on it stands, "" where nothing does."""

    device: DeviceSpec
    level: int
    section: str
    rails: tuple[Rail, ...] = ()
    straight: bool = False
    beyond: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """A row of the communication column: a device, or the ends that the links of a letter join."""

    level: int
    links: tuple[LinkSpec, ...]
    device: DeviceSpec | None = None
    ends: str = ""


def rungs(topology: Topology) -> list[Rung]:
    """The power network from the grid outwards."""
    sections = {place.device.id: place.section for place in arrange(topology, 0).places}
    return [rung for root in electrical_roots(topology) for rung in _climb(topology, root, sections)]


def _climb(
    topology: Topology,
    device: DeviceSpec,
    sections: Mapping[str, str],
    rails: tuple[Rail, ...] = (),
    level: int = 1,
) -> Iterator[Rung]:
    children, section = topology.children(device.id), sections[device.id]
    beyond = below(device.id) if device.kind is DeviceKind.SWITCH else section
    straight = level > 1 and not (rails and rails[-1].shape in (TEE, END))
    yield Rung(device, level, section, rails, straight, beyond if children else "")
    going_on = tuple(Rail(PASS, rail.section) if rail.shape in (TEE, PASS) else Rail(NONE) for rail in rails)
    for number, child in enumerate(children, 1):
        branch = () if len(children) == 1 else (Rail(END if number == len(children) else TEE, beyond),)
        yield from _climb(topology, child, sections, going_on + branch, level + 1)


def ways(topology: Topology) -> list[Way]:
    """The communication column from the top, then the gateways, controllers and battery managers."""
    guests = [guest for hosted in guests_of(topology).values() for guest in hosted]
    own = [Way(1, tuple(link for link in topology.links if guest.id in link.ends), guest) for guest in guests]
    return [*map(_way, column_rows(topology)), *own]


def _way(row: Row) -> Way:
    if isinstance(row, NodeRow):
        return Way(row.depth + 1, row.links, row.device)
    return Way(row.depth + 1, row.links, ends=ends_words(row.ends))
