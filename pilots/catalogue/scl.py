"""A substation configuration file (ICD, CID, SCD) read: devices, nodes, types resolved, reports, addresses.
[zone: none, configuration]

IEC 61850-6. The file comes from outside: no document type, no entities, nothing fetched, bounded in octets, elements and
depth. A refusal names the file's line and element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from xml.sax import SAXException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

from defusedxml import DefusedXmlException
from defusedxml.sax import parseString

from pilots.domain.errors import CatalogueError

LARGEST_FILE = 32 * 1024 * 1024
MOST_ELEMENTS = 1_000_000
DEEPEST = 40
#: Structures in one data object: types that contain one another must not unfold for ever.
MOST_PARTS = 2000
#: Makers' own content; it may be larger than the rest and tells us nothing.
_FOREIGN = "Private"


@dataclass(slots=True)
class Element:
    """One XML element: its name without prefix, where it begins, what is in it."""

    tag: str
    line: int
    attributes: Mapping[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def get(self, name: str, default: str = "") -> str:
        return self.attributes.get(name, default)

    def all(self, *tags: str) -> Iterator[Element]:
        """The elements of these names directly inside."""
        return (child for child in self.children if child.tag in tags)

    def first(self, tag: str) -> Element | None:
        return next(self.all(tag), None)

    def named(self, tag: str, name: str) -> Element | None:
        return next((child for child in self.all(tag) if child.get("name") == name), None)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One resolved data attribute below a data object: `path` from the object on, its constraint and basic type."""

    path: tuple[str, ...]
    fc: str
    basic_type: str
    enumeration: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """One logical node: `name` as in references (prefix, class, instance), and the element that declares it."""

    domain: str
    name: str
    node_class: str
    element: Element

    @property
    def type_id(self) -> str:
        return self.element.get("lnType")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an access point is reached: host, port and those connection options that differ from the usual."""

    ied: str
    access_point: str
    host: str
    port: int
    options: Mapping[str, str]


_SELECTORS = {
    "OSI-TSEL": "tsel", "OSI-SSEL": "ssel", "OSI-PSEL": "psel", "OSI-AP-Title": "ap_title", "OSI-AE-Qualifier": "ae_qualifier",
}  # fmt: skip
_USUAL = {"tsel": "0001", "ssel": "0001", "psel": "00000001"}


class Scl:
    """One file. Raises CatalogueError where a template that is asked for is missing."""

    def __init__(self, root: Element, file: str) -> None:
        self.file, self._root = file, root
        templates = root.first("DataTypeTemplates")
        self._types = {
            tag: {child.get("id"): child for child in (templates.all(tag) if templates is not None else ())}
            for tag in ("LNodeType", "DOType", "DAType", "EnumType")
        }

    @cached_property
    def ieds(self) -> list[str]:
        """The devices that serve data, by name."""
        return [ied.get("name") for ied in self._root.all("IED") if any(True for _ in self._logical_devices(ied))]

    def ied(self, name: str = "") -> Element:
        """The device of that name, or the only one. Raises CatalogueError naming those there are."""
        names = self.ieds
        if (not name and len(names) != 1) or (name and name not in names):
            wanted = f"there is no IED {name!r}" if name else "name one of the IEDs"
            raise CatalogueError(f"{wanted}: the file has {', '.join(names) or 'none'}", file=self.file)
        return next(ied for ied in self._root.all("IED") if ied.get("name") == (name or names[0]))

    def nodes(self, ied: Element) -> list[Node]:
        """Its logical nodes in the order of the file, LLN0 first in each logical device; domains without the `prefix`."""
        found = []
        own = "" if self.prefix(ied) else ied.get("name")
        for device in self._logical_devices(ied):
            for node in device.all("LN0", "LN"):
                name = node.get("prefix") + node.get("lnClass") + node.get("inst")
                domain = own + device.get("inst") if not own or not device.get("ldName") else device.get("ldName")
                found.append(Node(domain, name, node.get("lnClass"), node))
        return found

    def prefix(self, ied: Element) -> str:
        """What stands before its logical devices' names: the IED's name, nothing where the file names domains otherwise."""
        name = ied.get("name")
        named = [device for device in self._logical_devices(ied) if device.get("ldName")]
        return name if all(device.get("ldName") == name + device.get("inst") for device in named) else ""

    def endpoints(self, ied: Element) -> list[Endpoint]:
        """Where the communication section says the device is reached."""
        found = []
        for network in self._within("Communication", "SubNetwork"):
            for point in network.all("ConnectedAP"):
                address = point.first("Address")
                if point.get("iedName") == ied.get("name") and address is not None:
                    found.append(_endpoint(point, address))
        return found

    def error(self, element: Element, message: str) -> CatalogueError:
        """The refusal of that element."""
        identity = element.get("id") or element.get("name") or element.get("lnType")
        place = f"{element.tag} {identity}".strip()
        return CatalogueError(message, file=self.file, line=element.line, field=place)

    # ---------------------------------------------------------------- types

    def data_objects(self, node: Node) -> Iterator[tuple[str, Element]]:
        """Name and DOType of each data object of a node."""
        declared = self._template("LNodeType", node.type_id, node.element)
        for data_object in declared.all("DO"):
            yield data_object.get("name"), self._template("DOType", data_object.get("type"), data_object)

    def leaves(self, kind: Element) -> list[Leaf]:
        """Every attribute of a DOType, sub data objects included. Raises CatalogueError for types without end."""
        leaves: list[Leaf] = []
        waiting: list[tuple[Element, tuple[str, ...], str]] = [(kind, (), "")]
        for _ in range(MOST_PARTS):
            if not waiting:
                return leaves
            part, above, fc = waiting.pop()
            inner = []
            for each in part.all("SDO", "DA", "BDA"):
                path, own = (*above, each.get("name")), each.get("fc") or fc
                if each.tag == "SDO" or each.get("bType") == "Struct":
                    tag = "DOType" if each.tag == "SDO" else "DAType"
                    inner.append((self._template(tag, each.get("type"), each), path, own))
                else:
                    leaves.append(Leaf(path, own, each.get("bType"), each.get("type") if each.get("bType") == "Enum" else ""))
            waiting += reversed(inner)
        raise self.error(kind, f"a type of more than {MOST_PARTS} parts, or one that contains itself")

    def literals(self, enumeration: str) -> dict[int, str]:
        """The words of an enumeration by number; empty where the file does not declare it."""
        declared = self._types["EnumType"].get(enumeration)
        values = declared.all("EnumVal") if declared is not None else ()
        return {int(value.get("ord")): value.text.strip() for value in values if value.get("ord").lstrip("-").isdigit()}

    def value(self, node: Node, data_object: str, path: tuple[str, ...]) -> str:
        """What the file sets this attribute to: for the instance, else in its type; empty where it does not."""
        place = node.element.named("DOI", data_object)
        for step in path[:-1]:
            place = place.named("SDI", step) if place is not None else None
        attribute = place.named("DAI", path[-1]) if place is not None else None
        return _val(attribute) or self._default(node, data_object, path)

    def _default(self, node: Node, data_object: str, path: tuple[str, ...]) -> str:
        kind: Element | None = next((kind for name, kind in self.data_objects(node) if name == data_object), None)
        part: Element | None = None
        for step in path:
            part = next((each for each in kind.all("DA", "BDA", "SDO") if each.get("name") == step), None) if kind else None
            if part is None:
                return ""
            kind = self._types["DOType" if part.tag == "SDO" else "DAType"].get(part.get("type"))
        return _val(part)

    def _template(self, tag: str, identifier: str, asking: Element) -> Element:
        found = self._types[tag].get(identifier)
        if found is None:
            raise self.error(asking, f"there is no {tag} {identifier!r} in the file")
        return found

    def _logical_devices(self, ied: Element) -> Iterator[Element]:
        for point in ied.all("AccessPoint"):
            for server in point.all("Server"):
                yield from server.all("LDevice")

    def _within(self, outer: str, inner: str) -> Iterator[Element]:
        found = self._root.first(outer)
        return found.all(inner) if found is not None else iter(())


def read_scl(path: Path) -> Scl:
    """The file. Raises CatalogueError when it cannot be read, is too large, or is no SCL."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise CatalogueError(f"larger than {LARGEST_FILE // 1024 // 1024} MiB", file=str(path))
        return parse_scl(path.read_bytes(), str(path))
    except OSError as error:
        raise CatalogueError(f"cannot be read: {error.strerror}", file=str(path)) from error


def parse_scl(octets: bytes, file: str) -> Scl:
    """The same from octets, for an upload. Raises CatalogueError."""
    if len(octets) > LARGEST_FILE:
        raise CatalogueError(f"larger than {LARGEST_FILE // 1024 // 1024} MiB", file=file)
    builder = _Builder(file)
    try:
        parseString(octets, builder, forbid_dtd=True)
    except DefusedXmlException as error:
        raise CatalogueError("document types and entities are not allowed", file=file, line=builder.line) from error
    except SAXException as error:
        raise CatalogueError(f"no XML: {error.getMessage()}", file=file, line=builder.line) from error
    except (UnicodeError, LookupError, ValueError) as error:
        raise CatalogueError(f"no XML: {error}", file=file) from error
    root = builder.root
    if root is None or root.tag != "SCL":
        raise CatalogueError("not an SCL file", file=file, line=1, field=root.tag if root is not None else "")
    return Scl(root, file)


class _Builder(ContentHandler):
    """Builds the elements; keeps lines, leaves out makers' own content."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file
        self.root: Element | None = None
        self._open: list[Element] = []
        self._foreign = 0
        self._count = 0
        self._locator: Locator | None = None

    @property
    def line(self) -> int:
        return int(self._locator.getLineNumber() or 1) if self._locator is not None else 1

    def setDocumentLocator(self, locator: Locator) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        tag = name.rpartition(":")[2]
        self._count += 1
        if self._count > MOST_ELEMENTS or len(self._open) + self._foreign >= DEEPEST:
            what = f"more than {MOST_ELEMENTS} elements" if self._count > MOST_ELEMENTS else f"nested deeper than {DEEPEST}"
            raise CatalogueError(what, file=self.file, line=self.line, field=tag)
        if self._foreign or tag == _FOREIGN:
            self._foreign += 1
            return
        element = Element(tag, self.line, dict(attrs.items()))
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def endElement(self, name: str) -> None:
        if self._foreign:
            self._foreign -= 1
        else:
            self._open.pop()

    def characters(self, content: str) -> None:
        if not self._foreign and self._open and self._open[-1].tag in ("Val", "EnumVal", "P"):
            self._open[-1].text += content


def _val(element: Element | None) -> str:
    value = element.first("Val") if element is not None else None
    return value.text.strip() if value is not None else ""


def _endpoint(point: Element, address: Element) -> Endpoint:
    # Addresses only: no other letters reach a screen or a shell from here.
    parts = {part.get("type"): re.sub(r"[^A-Za-z0-9.,:_-]", "", part.text) for part in address.all("P")}
    options = {option: parts[name] for name, option in _SELECTORS.items() if parts.get(name)}
    port = parts.get("MMS-Port", "")
    return Endpoint(
        ied=point.get("iedName"),
        access_point=point.get("apName"),
        host=parts.get("IP", ""),
        port=int(port) if port.isdigit() else 102,
        options={option: value for option, value in options.items() if _USUAL.get(option) != value},
    )
