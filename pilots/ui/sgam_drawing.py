"""One accessible SVG of a pilot on the SGAM plane: devices by kind, links by letter, what the layer asks of them. [D7.1 2.1]

Links stand as unknown until the live frames tell their state (static/js/sgam.js). No colours here: classes only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from textwrap import wrap
from urllib.parse import quote

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from pilots.domain.topology import DeviceSpec
from pilots.ui.sgam_plane import BOX_H, BOX_W, HEAD_H, HEAD_W, Band, Line, Node, Plane, arrange_plane
from pilots.ui.single_line import CHARACTER, fit, tag
from pilots.ui.single_line_symbols import symbol
from pilots.ui.topology import Letter, Topology
from pilots.ui.words import KIND_NAMES

Names = Mapping[str, object]
#: What the links of a protocol carry, by how its name begins.
CARRIED = {
    "IEC 60870-5": gettext_lazy("information objects"),
    "IEC 61850": gettext_lazy("logical nodes"),
    "OCPP": gettext_lazy("meter values, charging profiles"),
    "HTTPS": gettext_lazy("measurements, set-points"),
    "Modbus": gettext_lazy("registers"),
}
#: Room that "unknown" or "2 of 10 down" takes in the widest of the languages.
STATE_ROOM = 13
_SYMBOL = 34


def draw_plane(
    topology: Topology, places: Mapping[tuple[str, str], Sequence[DeviceSpec]], domains: Names, zones: Names, layer: str
) -> str:
    """The SVG element; the zones from the top down."""
    plane = arrange_plane(places, topology.links, (list(domains), list(zones)), lambda line: _label_width(line, layer))
    writer = _Writer(topology.code, plane, layer)
    parts = [
        *(writer.domain(band, str(domains[band.key])) for band in plane.domains),
        *(writer.zone(band, str(zones[band.key])) for band in plane.zones),
        *map(writer.way, plane.lines),
        *map(writer.node, plane.nodes),
        *map(writer.label, plane.lines),
    ]
    return tag(
        "svg",
        "".join(parts),
        class_="diagram plane",
        role="group",
        aria_label=_("Links on the plane of domains and zones"),
        viewBox=f"0 0 {plane.width:g} {plane.height:g}",
        width=plane.width,
        height=plane.height,
    )


def _label(line: Line, layer: str) -> str:
    """What the layer tells of a link beside its letter: medium, protocol, what it carries; how many they are."""
    first, count = line.links[0], len(line.links)
    told = {"component": first.medium, "communication": first.protocol, "information": _carried(first.protocol)}.get(layer, "")
    return fit(told.split(",")[0], 18 * CHARACTER) + (f" × {count}" if count > 1 else "")


def _carried(protocol: str) -> str:
    return next((str(words) for name, words in CARRIED.items() if protocol.startswith(name)), "")


def _label_width(line: Line, layer: str) -> float:
    return 30 + CHARACTER * max(len(_label(line, layer)), STATE_ROOM)


class _Writer:
    def __init__(self, pilot: str, plane: Plane, layer: str) -> None:
        self.pilot, self.plane, self.layer = pilot, plane, layer

    def domain(self, band: Band, name: str) -> str:
        edge = tag("path", class_="grid", d=f"M{band.start:g} {HEAD_H}V{self.plane.height:g}")
        middle = band.start + band.size / 2
        if band.vacant:
            y = HEAD_H + (self.plane.height - HEAD_H) / 2
            return edge + tag(
                "text",
                escape(name),
                class_="axis vacant",
                text_anchor="middle",
                transform=f"translate({middle + 4:g} {y:g}) rotate(-90)",
            )
        return edge + tag("text", escape(fit(name, band.size)), class_="axis", x=middle, y=HEAD_H - 9, text_anchor="middle")

    def zone(self, band: Band, name: str) -> str:
        edge = tag("path", class_="grid", d=f"M0 {band.start:g}H{self.plane.width:g}")
        y = band.start + (band.size + 9) / 2
        return edge + tag(
            "text",
            escape(fit(name, HEAD_W - 20)) + tag("tspan", band.key, class_="dim", dx=5),
            class_="axis vacant" if band.vacant else "axis",
            x=4.0,
            y=y,
        )

    def node(self, node: Node) -> str:
        """Devices of a kind: one leads to its faceplate, many are counted and told in the title."""
        first, count, left = node.devices[0], len(node.devices), node.x - BOX_W / 2
        drawn = tag("rect", class_="place", x=left, y=node.y - BOX_H / 2, width=BOX_W, height=BOX_H)
        drawn += tag("g", symbol(node.kind, ""), class_="sym", transform=f"translate({left + 18:g} {node.y:g}) scale(.65)")
        drawn += _node_text(node, left + _SYMBOL)
        if count > 1:
            return tag("g", tag("title", escape(", ".join(device.id for device in node.devices))) + drawn, class_="planenode")
        where = f"{reverse('pilot', args=[self.pilot])}?device={quote(first.id)}"
        return tag("a", drawn, class_="planenode", href=where)

    def way(self, line: Line) -> str:
        """The line alone, to be hit as well; who uses the keyboard takes its label."""
        corners = "M" + "L".join(f"{x:g} {y:g}" for x, y in line.path)
        drawn = tag("title", escape(_sentence(line)))
        drawn += tag("path", class_="hitway", d=corners) + tag("path", class_="wire unknown", d=corners)
        return tag("a", drawn, class_="way", href=self._href(line), tabindex=-1, aria_hidden="true", data_line=_keys(line))

    def label(self, line: Line) -> str:
        """Its letter and words; the page sets state, words and the link it leads to."""
        text, told = _label(line, self.layer), _sentence(line)
        left = 4 - line.width / 2
        chip = tag("rect", x=left, y=-9.0, width=18.0, height=18.0)
        chip += tag("path", class_="cut", d=f"M{left - 2.5:g}-11.5l23 23m0-23l-23 23")
        chip += tag("text", escape(Letter(line.links[0].letter).shown), x=left + 9, y=4.5, text_anchor="middle")
        words = tag("text", escape(text), class_="word", x=left + 25, y=4.0, data_label=text)
        hit = tag("rect", class_="plate", x=left, y=-10.0, width=line.width - 8, height=20.0)
        return tag(
            "a",
            tag("title", escape(told)) + hit + tag("g", chip, class_="chip unknown") + words,
            class_="label",
            href=self._href(line),
            data_line=_keys(line),
            data_told=told,
            transform=f"translate({line.label[0]:g} {line.label[1]:g})",
        )

    def _href(self, line: Line) -> str:
        return f"{reverse('links', args=[self.pilot])}?link={quote(_keys(line).split()[0])}"


def _keys(line: Line) -> str:
    """The links as live frames name them: `letter|end|end`, separated by blanks."""
    return " ".join(f"{link.letter}|{link.ends[0]}|{link.ends[1]}" for link in line.links)


def _sentence(line: Line) -> str:
    first, count = line.links[0], len(line.links)
    ends = {"a": KIND_NAMES[line.upper.kind], "b": KIND_NAMES[line.lower.kind], "letter": Letter(first.letter).shown, "n": count}
    told = ngettext("Link %(letter)s, %(a)s to %(b)s", "%(n)s links %(letter)s, %(a)s to %(b)s", count) % ends
    return f"{told}, {first.protocol}, {first.medium}"


def _node_text(node: Node, x: float) -> str:
    """Id or count, and the kind on one line or two."""
    room, kind = BOX_W - _SYMBOL - 4, str(KIND_NAMES[node.kind])
    words = wrap(kind, int(room / CHARACTER))
    head = node.devices[0].id if len(node.devices) == 1 else f"× {len(node.devices)}"
    rows = [head, words[0], *([" ".join(words[1:])] if words[1:] else [])]
    top = node.y + 4 - 7 * (len(rows) - 1)
    return "".join(
        tag("text", escape(fit(text, room)), class_=None if number else "strong", x=x, y=top + 14 * number)
        for number, text in enumerate(rows)
    )
