"""Where everything of a single-line diagram stands: pure arithmetic from the topology, same input, same numbers.

The head (infeed, switches, transformers) stands upright in columns. What hangs on a busbar is a feeder: one slot wide, a
ladder of rows downwards, filled from the left in the order of `position`; a full busbar goes on in a section below. So a
feeder added at the end moves nothing. A nudge moves a feeder, or a device of the head with all below it. All lengths are
pixels at full size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pilots.domain.supply import LOOSE, below
from pilots.domain.topology import GUEST_KINDS, HEAD_KINDS, NODE_KINDS, DeviceKind, DeviceSpec
from pilots.ui.topology import Topology

K = DeviceKind

SLOT, SLOTS = 250, 4
WIDTH = SLOT * SLOTS
SPINE = 24
INDENT = 30
ROW, TALL_ROW = 46, 64
HEAD_ROW, HEAD_TOP, HEAD_PITCH = 74, 44, 210
SECTION_GAP = 40
HALF = 15  # half a ladder symbol
TEXT_GAP = 7
TEXT_END = 6  # between a text slot and the next feeder


Nudge = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle that belongs to one device: its symbol or its text slot."""

    x: float
    y: float
    width: float
    height: float
    owner: str

    def overlaps(self, other: Box) -> bool:
        beside = self.x + self.width <= other.x or other.x + other.width <= self.x
        return not (beside or self.y + self.height <= other.y or other.y + other.height <= self.y)


@dataclass(frozen=True, slots=True)
class Place:
    """One device: centre of its symbol, its text slot, and whether it stands in the head, on a ladder or as a guest."""

    device: DeviceSpec
    x: float
    y: float
    text: Box
    role: str  # head, rung, guest, node
    section: str

    @property
    def symbol(self) -> Box:
        half = 20 if self.role == "head" else HALF
        return Box(self.x - half, self.y - half, 2 * half, 2 * half, self.device.id)


@dataclass(frozen=True, slots=True)
class Conductor:
    """A line of the power network in one section of `domain.supply`; `flow` names the device whose power the triangle shows."""

    x1: float
    y1: float
    x2: float
    y2: float
    section: str
    flow: str = ""
    kind: str = "con"  # con, bus, wire


@dataclass
class Drawing:
    """The finished arrangement."""

    width: float = WIDTH
    height: float = 0
    places: list[Place] = field(default_factory=list)
    conductors: list[Conductor] = field(default_factory=list)
    head_bottom: float = 0
    column: Box = field(default_factory=lambda: Box(0, 0, 0, 0, ""))

    def boxes(self) -> list[Box]:
        return [box for place in self.places for box in (place.symbol, place.text)]


def arrange(topology: Topology, column_height: float) -> Drawing:
    """The drawing of a topology beside a communication column of that height."""
    return _Arranger(topology, column_height).run()


def electrical_roots(topology: Topology) -> list[DeviceSpec]:
    """Where the power network begins: devices without a parent that are no communication devices."""
    return [root for root in topology.children("") if root.kind not in NODE_KINDS | GUEST_KINDS]


def guests_of(topology: Topology) -> dict[str, list[DeviceSpec]]:
    """Gateways, controllers and battery managers by the device they serve: the first one a link of theirs names."""
    found: dict[str, list[DeviceSpec]] = {}
    for device in topology.children(""):
        if device.kind in GUEST_KINDS:
            found.setdefault(_host(topology, device), []).append(device)
    return found


def _host(topology: Topology, guest: DeviceSpec) -> str:
    for link in topology.links:
        if guest.id in link.ends:
            other = link.ends[0] if link.ends[1] == guest.id else link.ends[1]
            host = topology.by_id.get(other)
            if host is not None and host.kind not in NODE_KINDS | GUEST_KINDS:
                return host.id
    return ""


class _Arranger:
    def __init__(self, topology: Topology, column_height: float) -> None:
        self.topology = topology
        self.drawing = Drawing()
        self.guests = guests_of(topology)
        self.column_height = column_height
        self.columns = 0
        self.bearers: list[tuple[Place, str]] = []
        self.many = False

    def run(self) -> Drawing:
        roots = electrical_roots(self.topology)
        heads = [root for root in roots if root.kind in HEAD_KINDS]
        loose = [root for root in roots if root.kind not in HEAD_KINDS]
        self.many = sum(1 for head in heads for _ in self._feeder_bearers(head)) + bool(loose) > 1
        for head in heads:
            self._head(head, self._new_column(), 0, head.id)
        self._strips()
        if loose:
            self._loose(loose)
        drawing = self.drawing
        drawing.column = Box(0, 0, SLOT, self.column_height, "")
        lowest = max((box.y + box.height for box in drawing.boxes()), default=0)
        drawing.height = max(lowest, self.column_height) + 16
        drawing.width = max(WIDTH, *(box.x + box.width for box in drawing.boxes())) if drawing.places else WIDTH
        return drawing

    # Head: one column a path, the first child straight below, further children in new columns to the right.

    def _feeder_bearers(self, device: DeviceSpec) -> Iterator[DeviceSpec]:
        children = self.topology.children(device.id)
        if any(child.kind not in HEAD_KINDS for child in children):
            yield device
        for child in children:
            if child.kind in HEAD_KINDS:
                yield from self._feeder_bearers(child)

    def _new_column(self) -> int:
        self.columns += 1
        return self.columns - 1

    def _column_x(self, column: int) -> float:
        return SLOT * (1 + column) + SPINE if self.many else SLOT + 50 + HEAD_PITCH * column

    def _head(self, device: DeviceSpec, column: int, depth: int, section: str, moved: Nudge = (0, 0)) -> Place:
        nudge = moved[0] + device.nudge[0], moved[1] + device.nudge[1]
        x, y = self._column_x(column) + nudge[0], HEAD_TOP + HEAD_ROW * depth + nudge[1]
        text = Box(x + 26, y - 24, (SLOT - SPINE if self.many else HEAD_PITCH) - 60, 50, device.id)
        place = Place(device, x, y, text, "head", section)
        self.drawing.places.append(place)
        beyond = below(device.id) if device.kind is K.SWITCH else section
        children = self.topology.children(device.id)
        feeders = [child for child in children if child.kind not in HEAD_KINDS]
        if feeders:
            self.bearers.append((place, beyond))
        self._head_children(place, [child for child in children if child.kind in HEAD_KINDS], column, depth, beyond, nudge)
        self.drawing.head_bottom = max(self.drawing.head_bottom, y + HEAD_ROW / 2)
        return place

    def _head_children(
        self, place: Place, children: list[DeviceSpec], column: int, depth: int, section: str, nudge: Nudge
    ) -> None:
        bears = any(bearer is place for bearer, _ in self.bearers)
        placed = []
        for number, child in enumerate(children):
            # A head that bears feeders goes straight down into its busbar, so its other children start new columns.
            straight = number == 0 and not bears
            placed.append(self._head(child, column if straight else self._new_column(), depth + 1, section, nudge))
        if not placed:
            return
        bus_y = place.y + HEAD_ROW / 2
        self._line(place.x, place.y, place.x, bus_y, section)
        for each in placed:
            self._line(each.x, bus_y, each.x, each.y, section, flow=each.device.id)
        if len(placed) > 1 or bears or placed[0].x != place.x:
            left, right = (edge(each.x for each in (place, *placed)) for edge in (min, max))
            self._line(left - 24, bus_y, right + 24, bus_y, section, kind="bus")

    # Strips: the busbars of one feeder-bearing head, with their feeders.

    def _strips(self) -> None:
        top = self.drawing.head_bottom + 16
        for place, section in self.bearers:
            if self.many:
                self._strip(place, section, place.x - SPINE, 1, top)
            else:
                self._strip(place, section, 0, SLOTS, max(top, self.column_height + 16))

    def _strip(self, head: Place, section: str, x0: float, slots: int, bus_y: float) -> None:
        feeders = [child for child in self.topology.children(head.device.id) if child.kind not in HEAD_KINDS]
        self._line(head.x, head.y, head.x, bus_y, section, flow=head.device.id if head.device.kind is not K.SWITCH else "")
        self._sections(feeders, section, x0, slots, bus_y)
        if slots > 1:
            # The head may meet the busbar beyond its last feeder.
            self._line(x0 + 6, bus_y, x0 + slots * SLOT - 10, bus_y, section, kind="bus")

    def _sections(self, feeders: list[DeviceSpec], section: str, x0: float, slots: int, bus_y: float) -> None:
        for start in range(0, len(feeders), slots):
            group = feeders[start : start + slots]
            reach = max(number * SLOT + SPINE + 10 + feeder.nudge[0] for number, feeder in enumerate(group))
            right = x0 + max(slots * SLOT - 10, reach)
            bottom = bus_y
            for number, feeder in enumerate(group):
                bottom = max(bottom, self._ladder(feeder, x0 + number * SLOT, bus_y, section))
            if start or slots == 1:
                self._line(x0 + 6, bus_y, right, bus_y, section, kind="bus")
            following = bottom + SECTION_GAP
            if start + slots < len(feeders):
                # The next section is the same busbar: joined at the left edge.
                self._line(x0 + 6, bus_y, x0 + 6, following, section, kind="bus")
            bus_y = following

    def _loose(self, devices: list[DeviceSpec]) -> None:
        """Power devices that no infeed reaches stand below, on a busbar of their own whose supply is unknown."""
        lowest = max((box.y + box.height for box in self.drawing.boxes()), default=self.column_height)
        self._sections(devices, LOOSE, 0, SLOTS, max(lowest, self.column_height) + SECTION_GAP)

    # Ladders

    def _ladder(self, feeder: DeviceSpec, x0: float, bus_y: float, section: str) -> float:
        """Places a feeder below the busbar; returns where it ends."""
        x0, cursor = x0 + feeder.nudge[0], _Cursor(bus_y + 18 + feeder.nudge[1])
        x = x0 + SPINE
        first = self._rung(feeder, x, x0, cursor, section)
        self._line(x, bus_y, x, first.y, section, flow=feeder.id)
        for guest in self._guests_below(feeder):
            place = self._place(guest, x + INDENT, x0, cursor, first.section, "guest")
            self.drawing.conductors.append(Conductor(place.x - HALF - 14, place.y, place.x - HALF, place.y, "", kind="wire"))
        return cursor.y

    def _guests_below(self, device: DeviceSpec) -> Iterable[DeviceSpec]:
        yield from self.guests.get(device.id, [])
        for child in self.topology.children(device.id):
            yield from self._guests_below(child)

    def _rung(self, device: DeviceSpec, x: float, x0: float, cursor: _Cursor, section: str) -> Place:
        place = self._place(device, x, x0, cursor, section, "rung")
        beyond = below(device.id) if device.kind is K.SWITCH else section
        children = self.topology.children(device.id)
        if len(children) == 1:
            child = self._rung(children[0], x, x0, cursor, beyond)
            self._line(x, place.y, x, child.y, beyond, flow=child.device.id)
            return place
        for child_spec in children:
            child = self._rung(child_spec, x + INDENT, x0, cursor, beyond)
            self._line(x, child.y, child.x, child.y, beyond, flow=child_spec.id)
            spine_end = child.y
        if children:
            self._line(x, place.y, x, spine_end, beyond)
        return place

    def _place(self, device: DeviceSpec, x: float, x0: float, cursor: _Cursor, section: str, role: str) -> Place:
        height = TALL_ROW if device.kind is K.STORAGE_UNIT else ROW
        y = cursor.take(height)
        left = x + HALF + TEXT_GAP
        text = Box(left, y - 18, x0 + SLOT - TEXT_END - left, height - 6, device.id)
        place = Place(device, x, y, text, role, section)
        self.drawing.places.append(place)
        return place

    def _line(self, x1: float, y1: float, x2: float, y2: float, section: str, *, flow: str = "", kind: str = "con") -> None:
        self.drawing.conductors.append(Conductor(x1, y1, x2, y2, section, flow, kind))


class _Cursor:
    """How far down a ladder is filled."""

    def __init__(self, y: float) -> None:
        self.y = y

    def take(self, height: float) -> float:
        """The symbol's centre in the next row of that height."""
        centre = self.y + ROW / 2
        self.y += height
        return centre
