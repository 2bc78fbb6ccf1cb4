"""Where devices and links stand on the SGAM plane: domains by zones, links on lanes of their own. [all zones, D7.1 2.1]

Devices of one kind in one cell are one node. A link leaves a node by a port of its own and runs in a lane between two zones;
where nodes stand in its way it goes down beside the domain. Ports at the top and at the bottom of nodes never have the same x,
and lanes are shared only by links that do not meet: so no line runs on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pilots.domain.topology import DeviceKind, DeviceSpec, LinkSpec

SLOT, BOX_W, BOX_H = 142, 126, 50
HEAD_W, HEAD_H = 104, 26
#: A domain or zone without devices is a strip.
STRIP_W, STRIP_H = 30, 22
LANE, GUTTER, PAD = 22, 9, 10
PORT = 10


@dataclass(slots=True, eq=False)
class Node:
    """Devices of one kind at one place; `x` and `y` are the box's middle."""

    domain: str
    zone: str
    kind: DeviceKind
    devices: list[DeviceSpec]
    slot: int = 0
    x: float = 0
    y: float = 0


@dataclass(slots=True, eq=False)
class Line:
    """Links of one letter between two nodes by one protocol: `path` are its corners, `label` where its letter stands."""

    upper: Node
    lower: Node
    links: list[LinkSpec]
    width: float = 0
    path: list[tuple[float, float]] = field(default_factory=list)
    label: tuple[float, float] = (0, 0)


@dataclass(frozen=True, slots=True)
class Band:
    """A domain (across) or a zone (down), with its extent."""

    key: str
    start: float
    size: float
    vacant: bool


@dataclass(frozen=True, slots=True)
class Plane:
    nodes: Sequence[Node]
    lines: Sequence[Line]
    domains: Sequence[Band]
    zones: Sequence[Band]
    width: float
    height: float


def arrange_plane(
    places: Mapping[tuple[str, str], Sequence[DeviceSpec]],
    links: Iterable[LinkSpec],
    axes: tuple[Sequence[str], Sequence[str]],
    width: Callable[[Line], float],
) -> Plane:
    """The plane of a pilot; `axes` are domains and zones, those from the top down; `width` is what a line's label takes."""
    arrangement = _Arrangement(*axes, _nodes(places))
    lines = _lines(arrangement, links)
    for line in lines:
        line.width = width(line)
    return arrangement.plane(lines)


def _nodes(places: Mapping[tuple[str, str], Sequence[DeviceSpec]]) -> list[Node]:
    nodes = []
    for (domain, zone), devices in places.items():
        kinds: dict[DeviceKind, list[DeviceSpec]] = {}
        for device in devices:
            kinds.setdefault(device.kind, []).append(device)
        nodes += [Node(domain, zone, kind, own, slot) for slot, (kind, own) in enumerate(kinds.items())]
    return nodes


def _lines(arrangement: _Arrangement, links: Iterable[LinkSpec]) -> list[Line]:
    at = {device.id: node for node in arrangement.nodes for device in node.devices}
    groups: dict[tuple[object, ...], Line] = {}
    for link in links:
        ends = [at[end] for end in link.ends if end in at]
        if len(ends) == 2 and ends[0] is not ends[1]:
            upper, lower = sorted(ends, key=arrangement.order)
            key = (link.letter, id(upper), id(lower), link.protocol)
            groups.setdefault(key, Line(upper, lower, [])).links.append(link)
    return list(groups.values())


class _Arrangement:
    def __init__(self, domains: Sequence[str], zones: Sequence[str], nodes: list[Node]) -> None:
        self.domains, self.zones, self.nodes = domains, zones, nodes
        self.row = {zone: number for number, zone in enumerate(zones)}
        self.taken = {(node.domain, node.slot, self.row[node.zone]) for node in nodes}

    def order(self, node: Node) -> tuple[int, int, int]:
        return self.row[node.zone], self.domains.index(node.domain), node.slot

    def plane(self, lines: list[Line]) -> Plane:
        ways = [self._way(line) for line in lines]
        columns = self._columns([line for line, way in zip(lines, ways, strict=True) if way == "beside"])
        ports = self._ports(lines)
        gutters = self._gutters(lines, ways, columns)
        lanes = _Lanes(min((band.start for band in columns if not band.vacant), default=HEAD_W))
        runs = [self._runs(line, way, ports[line], gutters.get(line, 0)) for line, way in zip(lines, ways, strict=True)]
        for line, own in zip(lines, runs, strict=True):
            lanes.take(line, own)
        rows = self._rows(lanes)
        for node in self.nodes:
            band = rows[self.row[node.zone]]
            node.y = band.start + band.size - PAD - BOX_H / 2
        for line, own in zip(lines, runs, strict=True):
            self._draw(line, own, ports[line], lanes, rows)
        last = columns[-1]
        return Plane(
            self.nodes, lines, columns, rows, last.start + last.size, rows[-1].start + rows[-1].size + lanes.depth(len(rows))
        )

    # Across

    def _way(self, line: Line) -> str:
        """How a line passes the zones between its ends: none, over the lower node, under the upper one, or beside the domain."""
        first, last = self.row[line.upper.zone] + 1, self.row[line.lower.zone]
        if last <= first:
            return "next"
        for way, node in (("lower", line.lower), ("upper", line.upper)):
            if not any((node.domain, node.slot, row) in self.taken for row in range(first, last)):
                return way
        return "beside"

    def _columns(self, beside: list[Line]) -> list[Band]:
        bands, x = [], float(HEAD_W)
        for domain in self.domains:
            own = [node for node in self.nodes if node.domain == domain]
            gutter = GUTTER * sum(line.lower.domain == domain for line in beside)
            width = PAD + gutter + SLOT * (1 + max(node.slot for node in own)) if own else STRIP_W
            for node in own:
                node.x = x + PAD + gutter + SLOT * node.slot + BOX_W / 2
            bands.append(Band(domain, x, width, not own))
            x += width
        return bands

    def _gutters(self, lines: list[Line], ways: list[str], columns: list[Band]) -> dict[Line, float]:
        starts, found, used = {band.key: band.start for band in columns}, {}, dict.fromkeys(self.domains, 0)
        for line, way in zip(lines, ways, strict=True):
            if way == "beside":
                used[line.lower.domain] += 1
                found[line] = starts[line.lower.domain] + PAD / 2 + GUTTER * (used[line.lower.domain] - 0.5)
        return found

    def _ports(self, lines: list[Line]) -> dict[Line, tuple[float, float]]:
        """x of each line at its upper and its lower node; ports of a side in the order of the far ends."""
        sides: dict[tuple[Node, bool], list[tuple[float, int, Line]]] = {}
        for number, line in enumerate(lines):
            same_row = line.upper.zone == line.lower.zone
            sides.setdefault((line.upper, same_row), []).append((line.lower.x, number, line))
            sides.setdefault((line.lower, True), []).append((line.upper.x, number, line))
        xs: dict[tuple[Line, Node], float] = {}
        for (node, top), own in sides.items():
            start = node.x - PORT * ((len(own) - 1) // 2) + (0 if top else PORT / 2)
            for place, (_far, _number, line) in enumerate(sorted(own, key=lambda each: each[:2])):
                xs[line, node] = start + PORT * place
        return {line: (xs[line, line.upper], xs[line, line.lower]) for line in lines}

    def _runs(self, line: Line, way: str, ports: tuple[float, float], gutter: float) -> list[tuple[int, float, float]]:
        """Its level pieces: channel (the one above that row), from x, to x; the first is the upper one."""
        upper, lower = ports
        first, last = self.row[line.upper.zone] + 1, self.row[line.lower.zone]
        if way == "beside":
            return [(first, upper, gutter), (last, gutter, lower)]
        return [(first if way == "lower" else last, upper, lower)]

    # Down

    def _rows(self, lanes: _Lanes) -> list[Band]:
        bands, y = [], float(HEAD_H)
        for number, zone in enumerate(self.zones):
            vacant = not any(node.zone == zone for node in self.nodes)
            height = lanes.depth(number) + (STRIP_H if vacant else BOX_H + 2 * PAD)
            bands.append(Band(zone, y, height, vacant))
            y += height
        return bands

    def _draw(
        self, line: Line, runs: list[tuple[int, float, float]], ports: tuple[float, float], lanes: _Lanes, rows: list[Band]
    ) -> None:
        leaves = -BOX_H / 2 if line.upper.zone == line.lower.zone else BOX_H / 2
        path = [(ports[0], line.upper.y + leaves)]
        for number, (channel, start, end) in enumerate(runs):
            y = rows[channel].start + LANE * (lanes.of[line, number] + 0.5) + PAD / 2
            path += [(start, y), (end, y)]
            if number == _longest(runs):
                line.label = (lanes.middle(line, start, end), y)
        line.path = [*path, (ports[1], line.lower.y - BOX_H / 2)]


def _longest(runs: list[tuple[int, float, float]]) -> int:
    return max(range(len(runs)), key=lambda number: abs(runs[number][1] - runs[number][2]))


class _Lanes:
    """Level lanes of each channel; a piece takes the first lane in which nothing meets it or its label.

    No label begins left of `edge`: the names of domains without devices stand there.
    """

    def __init__(self, edge: float) -> None:
        self.edge = edge
        self.of: dict[tuple[Line, int], int] = {}
        self._taken: dict[int, list[list[tuple[float, float]]]] = {}

    def take(self, line: Line, runs: list[tuple[int, float, float]]) -> None:
        for number, (channel, start, end) in enumerate(runs):
            own = [start, end]
            if number == _longest(runs):
                middle = self.middle(line, start, end)
                own += [middle - line.width / 2, middle + line.width / 2]
            left, right = min(own) - PORT / 2, max(own) + PORT / 2
            lanes = self._taken.setdefault(channel, [])
            free = (n for n, lane in enumerate(lanes) if all(right < low or high < left for low, high in lane))
            chosen = next(free, len(lanes))
            lanes[chosen:] = lanes[chosen:] or [[]]
            lanes[chosen].append((left, right))
            self.of[line, number] = chosen

    def middle(self, line: Line, start: float, end: float) -> float:
        """Where the label of a line stands that runs from start to end."""
        return max((start + end) / 2, self.edge + line.width / 2)

    def depth(self, channel: int) -> float:
        return len(self._taken.get(channel, ())) * LANE + (PAD if channel in self._taken else 0)
