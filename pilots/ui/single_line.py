"""One accessible SVG of a pilot: power network and communication column. [SGAM component and communication layers]

Drawn on the server from the topology alone, so the bytes depend on nothing else. Values, positions and link states are
placeholders that look unknown until the live frames fill them (static/js/live.js). No colours here: classes only.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from html import escape

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from pilots.domain.topology import DeviceKind, DeviceSpec, LinkSpec
from pilots.ui.comm_column import LetterRow, NodeRow, Row, column_height, column_rows
from pilots.ui.layout import Conductor, Place, arrange
from pilots.ui.quantities import shown_number
from pilots.ui.single_line_symbols import symbol
from pilots.ui.topology import Letter, Topology, by_letter
from pilots.ui.words import KIND_NAMES, direction_role

K = DeviceKind
#: Width of a character at 12 px in the widest fallback font, times 1.1: text is cut to fit it.
CHARACTER = 7.2
#: Further points a kind shows under its power, where its profile has them.
EXTRAS: dict[DeviceKind, tuple[str, ...]] = {K.STORAGE_UNIT: ("soc",), K.TRANSFORMER: ("loading", "oil_temperature")}
NODE_X, NODE_INDENT = 28, 36
_CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))
#: What a power takes of its line: sign, four digits and unit.
VALUE_WIDTH = 72
#: Length of a bar, and where a nameplate says what it is measured against, the strictest first.
BAR = 64
LIMITS = ("connection_capacity_w", "site_limit_w", "rated_power_w", "peak_power_wp")


def fit(text: str, width: float) -> str:
    """The text, cut in its middle when it is wider than `width` px.

    >>> fit("es-EVSE01", 100), fit("a very long name of a device", 80)
    ('es-EVSE01', 'a ver…evice')
    """
    room = int(width / CHARACTER)
    if len(text) <= room:
        return text
    tail = max((room - 1) // 2, 1)
    return f"{text[: max(room - 1 - tail, 1)]}…{text[-tail:]}"


def tag(name: str, content: str = "", **attributes: object) -> str:
    """An element; `class_` becomes class, `data_x` data-x; None leaves an attribute out."""
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    return f"<{' '.join(parts)}>{content}</{name}>"


def drawing_of(topology: Topology) -> SafeString:
    """`draw` in the reader's language, drawn once; "" where nothing is to be seen."""
    return _picture(topology, get_language()) if topology.devices else SafeString()


@lru_cache(maxsize=64)
def _picture(topology: Topology, _language: str) -> SafeString:
    return mark_safe(draw(topology))  # noqa: S308  every text is escaped by `tag`


def draw(topology: Topology) -> str:
    """The SVG element of a pilot."""
    rows = column_rows(topology)
    drawing = arrange(topology, column_height(rows))
    writer = _Writer(topology)
    parts = [
        tag("g", "".join(writer.column(rows)), class_="column"),
        tag("g", "".join(map(writer.conductor, drawing.conductors)), class_="conductors"),
        tag("g", "".join(map(writer.flow, drawing.conductors)), class_="flows"),
        *map(writer.device, drawing.places),
    ]
    size = {"width": drawing.width, "height": drawing.height}
    return tag(
        "svg",
        "".join(parts),
        class_="diagram",
        role="group",
        aria_label=_("Single-line diagram of %(pilot)s") % {"pilot": topology.code.upper()},
        viewBox=f"0 0 {drawing.width:g} {drawing.height:g}",
        **size,
    )


#: The triangle of a direction, pointing away from the grid.
FLOW = tag("path", class_="flow", d="M-6-4.5H6L0 6Z")


class _Writer:
    def __init__(self, topology: Topology) -> None:
        self.topology = topology

    # Power network

    def conductor(self, line: Conductor) -> str:
        path = f"M{line.x1:g} {line.y1:g}L{line.x2:g} {line.y2:g}"
        if line.kind == "wire":
            return tag("path", class_="wire", d=path)
        return tag("path", class_=f"{line.kind} unknown", d=path, data_section=line.section)

    def flow(self, line: Conductor) -> str:
        """A triangle in the middle of the line, pointing away from the grid; turned by a class when power flows back."""
        device = self.topology.by_id.get(line.flow)
        reference = self._power(device) if device is not None else ""
        if not reference or device is None:
            return ""
        turn = 0 if line.y1 != line.y2 else -90
        x, y = (line.x1 + line.x2) / 2, (line.y1 + line.y2) / 2
        if turn and line.x2 > line.x1:
            x = line.x1 + 9
        elif not turn:
            y = max(line.y1 + 10, line.y2 - 26) if abs(line.y2 - line.y1) > 30 else y - 4
        inner = tag("g", FLOW, class_="turn")
        return tag("g", inner, class_="flowing none", data_flow=reference, transform=f"translate({x:g} {y:g}) rotate({turn})")

    def device(self, place: Place) -> str:
        device, is_head = place.device, place.role == "head"
        picture = picture_of(device, "" if is_head else "scale(.75)") + guard_marks(18 if is_head else 14)
        hit = tag("rect", class_="hit", x=-18.0, y=-18.0, width=36.0, height=36.0)
        text = self._head_text(place) if is_head else self._ladder_text(place)
        button = tag("g", hit + picture, transform=f"translate({place.x:g} {place.y:g})")
        return tag("g", button + text, class_=self._device_class(place), **self._button(device), **_standing(place))

    def _button(self, device: DeviceSpec) -> dict[str, object]:
        label = f"{KIND_NAMES[device.kind]} {device.id}" + (f", {device.name}" if device.name else "")
        position = f"{device.id}/position" if "position" in self.topology.points.get(device.id, ()) else None
        return {
            "role": "button",
            "tabindex": 0,
            "aria_label": label,
            "aria_pressed": "false",
            "data_device": device.id,
            "data_label": label,
            "data_position": position if device.kind is K.SWITCH else None,
        }

    def _device_class(self, place: Place) -> str:
        words = ["device", place.role]
        if place.device.kind is K.SWITCH:
            words.append("switch unknown")
        return " ".join(words)

    def _head_text(self, place: Place) -> str:
        box, device = place.text, place.device
        parts = [tag("text", escape(fit(device.id, box.width - 44)), class_="name", x=box.x, y=place.y - 8)]
        parts += self._chips(device, box.x + 12 + CHARACTER * len(fit(device.id, box.width - 44)), place.y - 21)
        parts.append(
            _tag_word(box.x + (78 if self._power(device) else 0), place.y + (11 if self._power(device) else 24), "start")
        )
        if device.kind is K.SWITCH:
            parts.append(
                tag("text", escape(_("position unknown")), class_="word strong", data_word_position="", x=box.x, y=place.y + 9)
            )
            return "".join(parts)
        reference = self._power(device)
        if reference:
            parts.append(self._value(reference, box.x + 68, place.y + 11))
            parts.append(bar_of(device, reference, box.x + 68, place.y + 12.5))
            parts.append(self._word(device, reference, box.x + 78, place.y + 11, "start"))
        extras = self._extras(device)
        parts += [self._value(extra, box.x + 50 + 70 * n, place.y + 26, "small") for n, extra in enumerate(extras)]
        return "".join(parts)

    def _ladder_text(self, place: Place) -> str:
        box, device = place.text, place.device
        right = box.x + box.width
        reference = "" if place.role == "guest" else self._power(device)
        room = box.width - (VALUE_WIDTH if reference else 0)
        parts = [tag("text", escape(fit(device.id, room)), class_="name", x=box.x, y=place.y - 3)]
        if reference:
            parts.append(self._value(reference, right, place.y - 3))
            parts.append(bar_of(device, reference, right, place.y))
            parts.append(self._word(device, reference, right, place.y + 13, "end"))
        parts += [*self._chips(device, box.x, place.y + 3), _tag_word(right, place.y + 13, "end")]
        for number, extra in enumerate(self._extras(device)):
            parts.append(tag("text", escape(_("charge")), class_="word", x=box.x, y=place.y + 31 + 16 * number))
            parts.append(self._value(extra, right, place.y + 31 + 16 * number, "small"))
        return "".join(parts)

    def _power(self, device: DeviceSpec) -> str:
        return self.topology.power(device)

    def _extras(self, device: DeviceSpec) -> list[str]:
        own = self.topology.points.get(device.id, {})
        return [f"{device.id}/{point}" for point in EXTRAS.get(device.kind, ()) if point in own]

    def _unit(self, reference: str) -> str:
        device, _slash, point = reference.partition("/")
        return self.topology.points.get(device, {}).get(point, "")

    def _value(self, reference: str, right: float, y: float, size: str = "") -> str:
        # A small value stands close below another: their boxes must not run into each other, nor into the bar between.
        left, top, width = (-56.0, -10.5, 60.0) if size else (-70.0, -13.5, 74.0)
        box = tag("rect", class_="oldbox", x=left, y=top, width=width, height=3.0 - top)
        digits = tag("tspan", "–", class_="n") + tag("tspan", "", class_="u", dx=3)
        text = tag("text", digits, class_="num", text_anchor="end")
        return tag(
            "g",
            box + text + tag("text", "", class_="mark", x=5.0, y=-4.0),
            class_=f"v never {size}".strip(),
            data_ref=reference,
            data_unit=self._unit(reference),
            transform=f"translate({right:g} {y:g})",
        )

    def _word(self, device: DeviceSpec, reference: str, x: float, y: float, anchor: str) -> str:
        role = direction_role(device.kind)
        return tag(
            "text", escape(_("never received")), class_="word", x=x, y=y, text_anchor=anchor, data_word=reference, data_role=role
        )

    def _chips(self, device: DeviceSpec, x: float, y: float) -> list[str]:
        """Letters of the links that end at the device, at most three."""
        shown = list(self.topology.links_at(device.id).items())[:3]
        return [chip(letter, links, x + 8 + 19 * n, y + 8, "small") for n, (letter, links) in enumerate(shown)]

    # Communication column

    def column(self, rows: list[Row]) -> Iterable[str]:
        yield from (self._spine(row) for row in rows if row.parent_y is not None)
        for row in rows:
            yield self._node(row) if isinstance(row, NodeRow) else self._letter(row)

    def _spine(self, row: Row) -> str:
        x = NODE_X + NODE_INDENT * (row.depth - 1)
        reach = x + NODE_INDENT - 15 if isinstance(row, NodeRow) else x
        path = f"M{x:g} {row.parent_y:g}V{row.y:g}H{reach:g}"
        return tag("path", class_="wire unknown", d=path, data_links=link_keys(row.links))

    def _node(self, row: NodeRow) -> str:
        x = NODE_X + NODE_INDENT * row.depth
        device = row.device
        picture = tag("g", symbol(device.kind, device.name), class_="sym", transform="scale(.75)")
        hit = tag("rect", class_="hit", x=-18.0, y=-18.0, width=36.0, height=36.0)
        room = 244 - x - 22
        words = _carrier(row.links, room) if row.links else fit(device.name or str(KIND_NAMES[device.kind]), room)
        texts = tag("text", escape(fit(device.id, room)), class_="name strong", x=x + 22, y=row.y - 3)
        texts += tag("text", escape(words), class_="word", x=x + 22, y=row.y + 12, **_link_word(row.links, words))
        button = tag("g", hit + picture, transform=f"translate({x:g} {row.y:g})")
        whole = tag("g", button + texts, class_="device node", **self._button(device))
        # Two letters may join the same two nodes (Bulgaria's b and b'): both chips stand on the wire.
        chips = ""
        for number, (letter, same) in enumerate(by_letter(row.links).items()):
            chips += chip(letter, same, x - NODE_INDENT, row.y - 19 * number)
        return whole + chips

    def _letter(self, row: LetterRow) -> str:
        x = NODE_X + NODE_INDENT * max(row.depth - 1, 0)
        room = 244 - x - 16
        first = fit(ends_words(row.ends), room)
        carrier = _carrier(row.links, room)
        texts = tag("text", escape(first), class_="name", x=x + 16, y=row.y - 3)
        texts += tag("text", escape(carrier), class_="word", x=x + 16, y=row.y + 11, **_link_word(row.links, carrier))
        return chip(row.letter, row.links, x, row.y) + texts


def picture_of(device: DeviceSpec, transform: str = "") -> str:
    """The symbol; a house that stands for many carries their number where one has its door."""
    count = device.nameplate.get("households")
    drawn = tag("g", symbol(device.kind, device.name), class_="sym many" if count else "sym", transform=transform or None)
    return drawn + (tag("text", str(count), class_="count", y=6.0) if count else "")


def chip(letter: str, links: Iterable[LinkSpec], x: float, y: float, size: str = "", state: str = "unknown") -> str:
    """The letter of a link in its box; the state is a class."""
    half = 8 if size else 9
    box = tag("rect", x=-half, y=-half, width=2 * half, height=2 * half)
    name = tag("text", escape(Letter(letter).shown), y=4.5, text_anchor="middle")
    # Longer than the box is wide, so that a link that is down has another outline, not only another colour.
    reach = half + 3.5
    inner = half - 1
    # The arm towards a prime's corner is left out inside the box, so that e and e′ stay told apart.
    cross = tag("path", class_="cut", d="".join(_stub(x * inner, y * inner, x * reach, y * reach) for x, y in _CORNERS))
    cross += tag("path", class_="cut inner", d=f"M{-inner} {-inner}L{inner} {inner}M0 0L{-inner} {inner}")
    title = tag("title", escape(_("Link %(letter)s") % {"letter": letter}))
    return tag(
        "g", title + box + cross + name, class_=f"chip {state} {size}".strip(), data_letter=letter,
        data_links=link_keys(links), transform=f"translate({x:g} {y:g})",
    )  # fmt: skip


def limit_w(device: DeviceSpec) -> float | None:
    """What the device, or its connection, can carry, from its nameplate; None where that is not declared."""
    found = (device.nameplate.get(key) for key in LIMITS)
    return next((float(limit) for limit in found if limit), None)


def bar_of(device: DeviceSpec, reference: str, right: float = BAR, y: float = -1.5) -> str:
    """Power against its limit; from the middle where it goes both ways. The page sets the length."""
    limit = limit_w(device)
    if limit is None:
        return ""
    both = direction_role(device.kind) in ("storage", "infeed")
    title = tag("title", escape(_("of %(limit)s") % {"limit": shown_number(limit, "W")}))
    track = tag("path", class_="track", d=f"M0 0H{BAR}M0-1.5V1.5M{BAR}-1.5V1.5" + (f"M{BAR / 2:g}-1.5V1.5" if both else ""))
    fill = tag("rect", class_="fill", y=-1.5, width=0, height=3, x=BAR / 2 if both else 0)
    place = f"translate({right - BAR:g} {y + 1.5:g})"
    return tag(
        "g",
        title + track + fill,
        class_="bar",
        data_bar=reference,
        data_limit=limit,
        data_both=1 if both else None,
        transform=place,
    )


def _standing(place: Place) -> dict[str, object]:
    """Where the device stands in the network: its section, and the next one towards the grid."""
    return {} if place.role == "guest" else {"data_section": place.section, "data_parent": place.device.parent}


def guard_marks(reach: float) -> str:
    """Do not operate, and the letter of who holds a point: there always, shown by the classes `tagged` and `held`."""
    tagged = tag("rect", x=-9.0, y=-6.0, width=18.0, height=12.0) + tag("path", d="M-5 0H5")
    held = tag("rect", x=-7.0, y=-7.0, width=14.0, height=14.0) + tag("text", "M", y=4.5, text_anchor="middle")
    return tag("g", tagged, class_="tagmark", transform=f"translate({-reach:g} {-reach:g})") + tag(
        "g", held, class_="holdmark", transform=f"translate({-reach:g} {reach:g})"
    )


def _tag_word(x: float, y: float, anchor: str) -> str:
    return tag("text", escape(_("do not operate")), class_="word tagword", x=x, y=y, text_anchor=anchor)


def _stub(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"M{x1} {y1}L{x2} {y2}"


def link_keys(links: Iterable[LinkSpec]) -> str:
    """The edges as live frames name them: `letter|end|end`, separated by blanks."""
    return " ".join(f"{link.letter}|{link.ends[0]}|{link.ends[1]}" for link in links)


def _link_word(links: Iterable[LinkSpec], words: str) -> dict[str, object]:
    keys = link_keys(links)
    return {"data_link_word": keys, "data_text": words} if keys else {}


def _carrier(links: Iterable[LinkSpec], room: float) -> str:
    """Protocol and medium of the links, the protocol alone where both do not fit."""
    first = next(iter(links))
    both = f"{first.protocol}, {first.medium}"
    return both if fit(both, room) == both else fit(first.protocol.split(",")[0], room)


def ends_words(ends: tuple[str, ...]) -> str:
    """The first end, and how many more there are."""
    if len(ends) <= 1:
        return "".join(ends)
    return f"{ends[0]} +{len(ends) - 1}"
