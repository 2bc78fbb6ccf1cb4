"""The communication column: platform, SCADA, RTUs top down, each letter where its links begin. [field to enterprise]"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pilots.domain.topology import NODE_KINDS, DeviceKind, DeviceSpec, LinkSpec
from pilots.ui.topology import Topology

NODE_ROW, LETTER_ROW = 50, 34
TOP = 8
_ORDER = [DeviceKind.PLATFORM, DeviceKind.SCADA, DeviceKind.HEAD_END_SYSTEM, DeviceKind.WEATHER_SOURCE, DeviceKind.RTU]


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A communication device; `letters` are those of its links to the node above (`parent` is that row's y)."""

    device: DeviceSpec
    y: float
    depth: int
    parent_y: float | None
    links: tuple[LinkSpec, ...]


@dataclass(frozen=True, slots=True)
class LetterRow:
    """Links of one letter from a node (or among field devices) to field devices."""

    letter: str
    y: float
    depth: int
    parent_y: float | None
    links: tuple[LinkSpec, ...]
    ends: tuple[str, ...]


Row = NodeRow | LetterRow


def column_rows(topology: Topology) -> list[Row]:
    """The column's rows from the top; every link of the pilot is in exactly one of them."""
    return _Column(topology).rows


def column_height(rows: Iterable[Row]) -> float:
    return max((row.y + NODE_ROW / 2 for row in rows), default=0)


class _Column:
    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.nodes = sorted(
            (device for device in topology.devices if device.kind in NODE_KINDS),
            key=lambda device: (_ORDER.index(device.kind), device.position, device.id),
        )
        self.rows: list[Row] = []
        self.drawn: set[LinkSpec] = set()
        self.seen: set[str] = set()
        self.y: float = TOP
        for node in self.nodes:
            if node.id not in self.seen:
                self._node(node, 0, None, ())
        self._letters(self._undrawn(), 0, None)

    def _node(self, node: DeviceSpec, depth: int, parent_y: float | None, links: tuple[LinkSpec, ...]) -> None:
        self.seen.add(node.id)
        self.drawn.update(links)
        y = self._take(NODE_ROW)
        self.rows.append(NodeRow(node, y, depth, parent_y, links))
        own = [link for link in self._undrawn() if node.id in link.ends]
        field = [link for link in own if not self._is_node(_other(link, node.id))]
        self._letters(field, depth + 1, y)
        for other in self.nodes:
            joining = tuple(link for link in own if _other(link, node.id) == other.id)
            if joining and other.id not in self.seen:
                self._node(other, depth + 1, y, joining)
        # Links to nodes that already stand above are told in words.
        self._letters([link for link in self._undrawn() if node.id in link.ends], depth + 1, y)

    def _letters(self, links: list[LinkSpec], depth: int, parent_y: float | None) -> None:
        for letter in sorted({link.letter for link in links}, key=lambda each: (each[0], len(each))):
            same = tuple(link for link in links if link.letter == letter)
            ends = sorted({end for link in same for end in link.ends if parent_y is None or not self._is_node(end)})
            self.drawn.update(same)
            self.rows.append(LetterRow(letter, self._take(LETTER_ROW), depth, parent_y, same, tuple(ends)))

    def _take(self, height: float) -> float:
        centre = self.y + height / 2
        self.y += height
        return centre

    def _undrawn(self) -> list[LinkSpec]:
        return [link for link in self.topology.links if link not in self.drawn]

    def _is_node(self, device_id: str) -> bool:
        device = self.topology.by_id.get(device_id)
        return device is not None and device.kind in NODE_KINDS


def _other(link: LinkSpec, end: str) -> str:
    return link.ends[1] if link.ends[0] == end else link.ends[0]
