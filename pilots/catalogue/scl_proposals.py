"""From a device's SCL file to points of ours, and to a profile that has them. [zone: none, configuration]

Names are those of docs/points.md where one fits (`scl_words`), else made of the reference and marked as such.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pilots.catalogue.scl import Element, Leaf, Node, Scl
from pilots.catalogue.scl_words import (
    BY_EDITION,
    FEEDBACK,
    LABELS,
    LIMITS,
    MULTIPLIERS,
    PLAIN,
    POSITIONS,
    REFERENCE,
    UNITS,
    VALUES,
    our_word,
)
from pilots.catalogue.vocabulary import vocabulary, word_of
from pilots.domain.point import PointKind


@dataclass(frozen=True, slots=True)
class Proposal:
    """A point that a device offers. `ref` is its whole reference, the IED's name included; `report` the control block that
    carries it ("" for none); `known` False marks a name that is not of our vocabulary. `scale` makes `unit` of the wire value.
    """

    point: str
    address: Mapping[str, str]
    unit: str
    kind: PointKind
    ref: str
    known: bool
    report: str
    buffered: bool = False
    scale: float = 1.0
    labels: Mapping[int, str] = field(default_factory=dict)
    feedback: str = ""
    limits: tuple[str, str] | None = None  # minimum and maximum of a set-point, as the profile spells them
    remark: str = ""


def propose(scl: Scl, ied: str = "") -> list[Proposal]:
    """The points of one device, known ones first. Raises CatalogueError: no such device, several, or a missing template."""
    element = scl.ied(ied)
    nodes, prefix = scl.nodes(element), scl.prefix(element)
    reports = _Reports(nodes)
    found = [each for node in nodes for each in _of_node(scl, node, prefix, reports)]
    return sorted(_unique(found), key=lambda proposal: not proposal.known)


# ---------------------------------------------------------------- from nodes to candidates


class _Candidate(NamedTuple):
    proposal: Proposal
    rank: int
    node: str


def _of_node(scl: Scl, node: Node, prefix: str, reports: _Reports) -> Iterator[_Candidate]:
    for data_object, kind in scl.data_objects(node):
        if data_object not in PLAIN and not (data_object == "Health" and node.node_class != "LPHD"):
            yield from _of_object(scl, node, data_object, kind, prefix, reports)


def _of_object(scl: Scl, node: Node, name: str, kind: Element, prefix: str, reports: _Reports) -> Iterator[_Candidate]:
    by_holder: dict[tuple[str, ...], dict[tuple[str, ...], Leaf]] = {}
    for leaf in scl.leaves(kind):
        ends = [value for value in VALUES if leaf.path[-len(value) :] == value]
        if ends:
            value = max(ends, key=len)
            by_holder.setdefault(leaf.path[: -len(value)], {})[value] = leaf
    for holder, values in by_holder.items():
        best = next(values[value] for value in VALUES if value in values)
        yield _Read(scl, node, name, prefix).candidate(holder, best, reports)
    if any(leaf.fc == "CO" and leaf.path[0] == "Oper" for leaf in scl.leaves(kind)):
        yield _Read(scl, node, name, prefix).control(kind)


@dataclass(frozen=True, slots=True)
class _Read:
    """One data object of one node, being turned into candidates."""

    scl: Scl
    node: Node
    name: str
    prefix: str

    def candidate(self, holder: tuple[str, ...], leaf: Leaf, reports: _Reports) -> _Candidate:
        path = ".".join((self.name, *holder))
        word, rank = our_word(self.node.node_class, path)
        kind = _kind(leaf)
        if kind is not PointKind.SETPOINT and word in FEEDBACK:
            word, rank = "", 9  # mxVal of a set-point: not the set-point itself
        ref = self._reference(*leaf.path)
        report, buffered = reports.of(self.node, leaf.fc, (self.name, *leaf.path))
        unit, scale, remark = self._unit(word, holder, leaf)
        proposal = Proposal(
            point=word or _snake(self.node.name, *path.split(".")),
            address={"ref": ref, "fc": leaf.fc},
            unit=unit,
            kind=kind,
            ref=self.prefix + ref,
            known=bool(word),
            report=report,
            buffered=buffered,
            scale=scale,
            labels=self._labels(word, leaf),
            limits=self._limits(word) if kind is PointKind.SETPOINT else None,
            remark=remark,
        )
        return _Candidate(proposal, rank, self.node.name)

    def control(self, kind: Element) -> _Candidate:
        """The object's command or set-point; ctlModel is the device's to tell."""
        analogue = kind.get("cdc") in ("APC", "BAC")
        word, rank = our_word(self.node.node_class, self.name)
        if word == "position":
            word, rank = "position_cmd", 0 if self.node.node_class == "CSWI" else 1
        elif not analogue and word not in FEEDBACK:
            word = ""
        ref = self._reference()
        proposal = Proposal(
            point=word or f"{_snake(self.node.name, self.name)}_{'set' if analogue else 'cmd'}",
            address={"ref": ref, "fc": "CO"},
            unit=_own_unit(word) if word else "",
            kind=PointKind.SETPOINT if analogue else PointKind.COMMAND,
            ref=self.prefix + ref,
            known=bool(word),
            report="",
            labels=LABELS.get(word, {}),
            limits=self._limits(word),
            feedback=FEEDBACK.get(word, ""),
            remark=self._edition(word),
        )
        return _Candidate(proposal, rank, self.node.name)

    def _reference(self, *path: str) -> str:
        """Raises CatalogueError for names that are no identifiers: they go into profiles and onto screens."""
        reference = f"{self.node.domain}/{self.node.name}.{'.'.join((self.name, *path))}"
        if not re.fullmatch(REFERENCE, reference):
            raise self.scl.error(self.node.element, f"{_plain(reference)!r} is no reference of IEC 61850")
        return reference

    def _unit(self, word: str, holder: tuple[str, ...], leaf: Leaf) -> tuple[str, float, str]:
        """Unit, scale that makes it of the wire value, and what is doubtful about it."""
        told = self.scl.value(self.node, self.name, (*holder, "units", "SIUnit"))
        power = self.scl.value(self.node, self.name, (*holder, "units", "multiplier"))
        exponent = MULTIPLIERS.get(power, int(power) if re.fullmatch(r"-?\d{1,2}", power) else 0)
        unit, own = UNITS.get(told, ""), _own_unit(word) if word else ""
        remark = self._edition(word)
        if word and unit and unit != own:
            remark = f"the file says {told}, we count in {own or 'no unit'}"
        if told and not unit:
            remark = f"unit {_plain(told)} is not one of ours"
        return own if word else unit, 10.0**exponent, remark

    def _labels(self, word: str, leaf: Leaf) -> dict[int, str]:
        if word in LABELS:
            return dict(LABELS[word])
        if leaf.basic_type == "Dbpos":
            return dict(POSITIONS)
        if leaf.basic_type == "BOOLEAN":
            return {0: "off", 1: "on"}
        return {code: _plain(text) for code, text in self.scl.literals(leaf.enumeration).items() if text and code >= 0}

    def _limits(self, word: str) -> tuple[str, str] | None:
        told = [self._number(name) for name in ("minVal", "maxVal")]
        if all(told):
            return told[0], told[1]
        return LIMITS.get(word)

    def _number(self, name: str) -> str:
        for part in (("f",), ("i",), ()):
            text = self.scl.value(self.node, self.name, (name, *part))
            if re.fullmatch(r"-?\d{1,15}(\.\d{1,9})?", text):
                return text
        return ""

    def _edition(self, word: str) -> str:
        by_edition = word and BY_EDITION.fullmatch(self.node.node_class)
        return f"{self.node.node_class}: name by edition of IEC 61850-7-420" if by_edition else ""


def _own_unit(word: str) -> str:
    return vocabulary().get(word_of(word), ("", ""))[0]


def _kind(leaf: Leaf) -> PointKind:
    if leaf.path[-1] == "actVal":
        return PointKind.COUNTER
    if leaf.fc in ("SP", "SE", "SG"):
        return PointKind.SETPOINT
    if leaf.fc == "MX":
        return PointKind.MEASUREMENT
    return PointKind.TEXT if leaf.basic_type.startswith(("VisString", "Unicode")) else PointKind.STATUS


def _unique(found: Sequence[_Candidate]) -> list[Proposal]:
    """One point a name: the best rank keeps a known word, the others are named after their node."""
    best: dict[str, _Candidate] = {}
    for candidate in found:
        name = candidate.proposal.point
        if name not in best or candidate.rank < best[name].rank:
            best[name] = candidate
    taken: set[str] = set()
    proposals = []
    for candidate in found:
        proposal = candidate.proposal
        if best[proposal.point] is not candidate:
            address = proposal.address["ref"].partition("/")[2].split(".")
            proposal = replace(proposal, point=_snake(*address), known=False, feedback="")
        proposals.append(replace(proposal, point=_free(proposal.point, taken)))
        taken.add(proposals[-1].point)
    names = {proposal.point for proposal in proposals}
    return [each if each.feedback in names else replace(each, feedback="") for each in proposals]


def _free(name: str, taken: set[str]) -> str:
    number = 2
    wanted = name
    while wanted in taken:
        wanted, number = f"{name}_{number}", number + 1
    return wanted


def _snake(*parts: str) -> str:
    """A name of our form from a reference's parts.

    >>> _snake("BackPTOC2", "Str", "general")
    'back_ptoc2_str_general'
    """
    words = "_".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", part) for part in parts).lower()
    plain = re.sub(r"[^a-z0-9]+", "_", words).strip("_")
    return plain if plain[:1].isalpha() else f"p_{plain}"


def _plain(text: str) -> str:
    """A maker's words without what could break out of a line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:60].strip()


# ---------------------------------------------------------------- reports


class _Reports:
    """Which report control block carries what, from the data sets of all nodes."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._carried: list[tuple[Element, str, str, bool]] = []  # FCDA, its node's domain, block, buffered
        for node in nodes:
            sets = {each.get("name"): each for each in node.element.all("DataSet")}
            for block in node.element.all("ReportControl"):
                members = sets.get(block.get("datSet"))
                reference = f"{node.domain}/{node.name}.{block.get('name')}"
                for member in members.all("FCDA") if members is not None else ():
                    self._carried.append((member, node.domain, reference, block.get("buffered") == "true"))

    def of(self, node: Node, fc: str, path: tuple[str, ...]) -> tuple[str, bool]:
        """The block for an attribute: buffered for status, unbuffered for measurement where there is a choice."""
        found = [(block, buffered) for member, _, block, buffered in self._carried if _carries(member, node, fc, path)]
        wanted = fc == "ST"
        return min(found, key=lambda each: each[1] is not wanted, default=("", False))


def _carries(member: Element, node: Node, fc: str, path: tuple[str, ...]) -> bool:
    name = member.get("prefix") + member.get("lnClass") + member.get("lnInst")
    told = tuple(part for part in f"{member.get('doName')}.{member.get('daName')}".split(".") if part)
    same = name == node.name and node.domain.endswith(member.get("ldInst")) and member.get("fc") == fc
    return same and path[: len(told)] == told


# ---------------------------------------------------------------- profile


def profile_text(proposals: Sequence[Proposal], *, name: str, source: str, maker: str = "any", model: str = "any") -> str:
    """A device profile of these points as YAML that its schema accepts; what cannot be a point yet stands as a comment."""
    blocks = {proposal.report: proposal.buffered for proposal in proposals if proposal.report}
    lines = [
        f"name: {name}",
        "protocol: iec61850",
        f"maker: {_quoted(maker)}",
        f"model: {_quoted(model)}",
        f"source: {_quoted(source)}",
    ]
    if blocks:
        lines += ["options:", "  reports:"]
        lines += [f"    - {{rcb: {_quoted(block)}, buffered: {str(buffered).lower()}}}" for block, buffered in blocks.items()]
    chosen = {proposal.point for proposal in proposals}
    lines.append("points:")
    for proposal in proposals:
        lines += _point_lines(proposal, chosen)
    return "\n".join(lines) + "\n"


def _point_lines(proposal: Proposal, chosen: set[str]) -> list[str]:
    address = ", ".join(f"{key}: {value}" for key, value in proposal.address.items())
    fields = [f"kind: {proposal.kind.value}"]
    fields += [f"unit: {_quoted(proposal.unit)}"] if proposal.unit else []
    fields += ["poll: N"] if proposal.kind in (PointKind.MEASUREMENT, PointKind.COUNTER) else []
    fields.append(f"address: {{{address}}}")
    fields += [f"scale: {proposal.scale!r}"] if proposal.scale != 1 else []
    if proposal.labels:
        fields.append("labels: {" + ", ".join(f"{code}: {_quoted(label)}" for code, label in proposal.labels.items()) + "}")
    fields += [f"feedback: {proposal.feedback}"] if proposal.feedback in chosen else []
    if proposal.limits is not None and proposal.kind.writable:
        fields.append("capability: {{minimum: {}, maximum: {}}}".format(*proposal.limits))
    line = f"  {proposal.point}: {{{', '.join(fields)}}}"
    remark = [f"  # {_plain(proposal.remark)}"] if proposal.remark else []
    if proposal.kind is PointKind.SETPOINT and proposal.limits is None:
        return [f"  # {proposal.point}: a set-point needs a capability {{minimum, maximum}} (address: {{{address}}})"]
    return [*remark, line]


def _quoted(text: str) -> str:
    """A YAML string; JSON's form is one."""
    return json.dumps("".join(letter if letter.isprintable() else " " for letter in text), ensure_ascii=False)
