"""Everything that is wrong or doubtful in one profile file, for the person who writes it. [zone: none, configuration]

The loader stops at the first fault; this goes on, and adds what a loader must not refuse: unknown names, missing proofs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pilots.catalogue.includes import read_profile_document
from pilots.catalogue.loader import find_profile
from pilots.catalogue.points import monitor_types, point_faults, register_count, unchecked_profile_of
from pilots.catalogue.schema_check import schema_errors, schema_of
from pilots.catalogue.vocabulary import UNITS, vocabulary, word_of
from pilots.catalogue.yaml_lines import Document
from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.profile import Profile
from pilots.domain.topology import Protocol

_MODBUS = (Protocol.MODBUS_TCP, Protocol.MODBUS_RTU)
_IEC60870 = (Protocol.IEC104, Protocol.IEC101)
#: IEC 60870-5-101 7.2.1 in control direction, the second of each pair with time tag.
_COMMAND_TYPES = {45, 46, 47, 58, 59, 60}
_SETPOINT_TYPES = {48, 49, 50, 51, 61, 62, 63, 64}
#: Units in which 0 is no rest position.
_NOT_GIVEN_BACK_BY_ZERO = {"%", "V", "Hz", "degC"}
#: SunSpec models that count generation as positive power.
_GENERATION_POSITIVE = {101, 102, 103, 111, 112, 113, 701, 714, 802}


@dataclass(slots=True)
class Findings:
    """What one file's check found; `profile` is absent when the form is too wrong to go on."""

    file: str
    errors: list[CatalogueError] = field(default_factory=list)
    warnings: list[CatalogueError] = field(default_factory=list)
    profile: Profile | None = None


def check_profile(name: str) -> Findings:
    """The findings of a profile file (a path that ends in .yaml) or of a built-in profile, by line."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else find_profile(name)
    findings = Findings(str(path))
    try:
        document = read_profile_document(path, find_profile)
    except CatalogueError as error:
        findings.errors.append(error)
        return findings
    findings.errors += schema_errors(document, "profile")
    if not findings.errors:
        findings.profile = unchecked_profile_of(document)
        findings.errors += _errors(document, findings.profile, path.stem)
        findings.warnings += _warnings(document, findings.profile)
    for found in (findings.errors, findings.warnings):
        found.sort(key=lambda error: error.line or 0)
    return findings


def _errors(document: Document, profile: Profile, stem: str) -> Iterator[CatalogueError]:
    if profile.name != stem:
        yield document.error(f"the name must be that of the file, {stem}", "name")
    yield from point_faults(document, profile)
    for name, spec in profile.points.items():
        yield from _word_errors(document, name, spec)
        yield from _kind_errors(document, name, spec)
        feedback = profile.points.get(spec.feedback)
        if feedback is not None and feedback.unit != spec.unit and spec.kind is PointKind.SETPOINT:
            sentence = f"{spec.feedback} is in {feedback.unit or 'no unit'}, the set-point in {spec.unit or 'no unit'}"
            yield document.error(sentence, "points", name, "feedback")
        yield from _watchdog_errors(document, name, spec)
        if profile.protocol in _MODBUS:
            yield from _modbus_errors(document, name, spec)
        if profile.protocol in _IEC60870:
            yield from _iec60870_errors(document, name, spec)
    if profile.protocol in _MODBUS:
        yield from _overlaps(document, profile)


def _word_errors(document: Document, name: str, spec: PointSpec) -> Iterator[CatalogueError]:
    if spec.unit not in UNITS:
        known = ", ".join(sorted(UNITS - {""}))
        yield document.error(f"{spec.unit!r} is no unit of ours ({known}); scale turns kW into W", "points", name, "unit")
    elif word_of(name) in vocabulary() and vocabulary()[word_of(name)] != (spec.unit, spec.kind.value):
        unit, kind = vocabulary()[word_of(name)]
        sentence = f"{word_of(name)} is a {kind} in {unit or 'no unit'} (docs/points.md); give another thing another name"
        yield document.error(sentence, "points", name, "unit" if unit != spec.unit else "kind")


def _kind_errors(document: Document, name: str, spec: PointSpec) -> Iterator[CatalogueError]:
    if spec.kind is PointKind.COUNTER and spec.sign < 0:
        yield document.error("a counter is never negative: import and export are two counters", "points", name, "sign")
    if spec.kind is PointKind.COUNTER and spec.low is not None and spec.low < 0:
        yield document.error("a counter is never negative", "points", name, "low")
    if spec.feedback and not spec.kind.writable:
        yield document.error("only set-points and commands have a feedback", "points", name, "feedback")
    if spec.feedback == name:
        yield document.error("a set-point is not proven by itself", "points", name, "feedback")
    limit = spec.capability is not None and "limit" in spec.capability.modes
    if limit and spec.capability is not None and spec.capability.minimum < 0:
        yield document.error("a ceiling is never negative", "points", name, "capability", "minimum")


def _modbus_errors(document: Document, name: str, spec: PointSpec) -> Iterator[CatalogueError]:
    address = spec.address
    kind, table = address.get("type", "uint16"), address.get("table", "holding")
    place = ("points", name, "address")
    if not spec.kind.writable and spec.poll is None:
        yield document.error("without a poll class it is never asked", "points", name, "poll")
    if spec.kind.writable and table in ("input", "discrete"):
        yield document.error(f"table {table} cannot be written", *place, "table")
    if (kind == "string") != (spec.kind is PointKind.TEXT):
        yield document.error(f"type {kind} does not make a {spec.kind.value}", *place, "type")
    if kind == "string" and "length" not in address:
        yield document.error("a string needs its length in registers", *place, "length")
    for part in {"bit", "bits"} & address.keys():
        low, high = address["bits"] if part == "bits" else (address["bit"], address["bit"])
        whole = kind.startswith(("uint", "int", "bit"))
        if not whole or not low <= high < 16 * register_count(address):
            yield document.error(f"a {kind} has no {part} {address[part]}", *place, part)
    if table in ("coil", "discrete") and "type" in address:
        yield document.error(f"table {table} holds single bits and has no types", *place, "type")
    start = int(address.get("register", address.get("offset", 0)))
    if start + register_count(address) > 0x10000:
        yield document.error(f"{kind} at {start} reaches beyond register 65535", *place, "register")
    if spec.kind.writable is False and {"enable", "reversion_register", "reversion_offset", "write_scale"} & address.keys():
        yield document.error(f"a {spec.kind.value} is never written", *place)


def _watchdog_errors(document: Document, name: str, spec: PointSpec) -> Iterator[CatalogueError]:
    reverts = {"reversion_register", "reversion_offset"} & spec.address.keys()
    if spec.capability is not None and spec.capability.watchdog_s and not reverts:
        yield document.error("a watchdog needs its reversion register", "points", name, "capability", "watchdog_s")


def _overlaps(document: Document, profile: Profile) -> Iterator[CatalogueError]:
    """Registers that two points take in different ways: one of them has the wrong address or type."""
    shapes: dict[tuple[object, ...], tuple[str, int, str, bool]] = {}
    for name, spec in profile.points.items():
        address = spec.address
        start, kind = int(address.get("register", address.get("offset", 0))), address.get("type", "uint16")
        partly = bool({"bit", "bits"} & address.keys()) or kind.startswith(("bit", "enum"))
        where = address.get("model"), address.get("nth", 1), address.get("table", "holding")
        for register in range(start, start + register_count(address)):
            other, first, other_kind, other_partly = shapes.setdefault((*where, register), (name, start, kind, partly))
            fits = first == start and (other_kind == kind or ((partly or other_partly) and register_count(address) == 1))
            if other != name and not fits:
                sentence = f"register {register} is {other_kind} at {first} for {other} and {kind} at {start} here"
                yield document.error(sentence, "points", name, "address")
                break


def _iec60870_errors(document: Document, name: str, spec: PointSpec) -> Iterator[CatalogueError]:
    types, place = monitor_types(spec.address), ("points", name, "address")
    unknown = types - {1, 3, 5, 7, 9, 11, 13, 15, 20, 38, 39, 40}
    if unknown:
        yield document.error(f"type {min(unknown)} is no monitor type (IEC 60870-5-101 7.2.1)", *place, "type")
    if "bit" in spec.address and (types - {7, 20} or (types == {20} and spec.address["bit"] > 15)):
        yield document.error("only type 7 (bits 0 to 31) and type 20 (bits 0 to 15) have bits", *place, "bit")
    if spec.kind is PointKind.COUNTER and types and 15 not in types and not types & {9, 11, 13}:
        yield document.error("a counter comes as type 15 or 37, or as a measured value", *place, "type")
    command = spec.address.get("command_type")
    if command is not None and not spec.kind.writable:
        yield document.error(f"a {spec.kind.value} takes no commands", *place, "command_type")
    fitting = _COMMAND_TYPES | {51, 64} if spec.kind is PointKind.COMMAND else _SETPOINT_TYPES
    if command is not None and spec.kind.writable and command not in fitting:
        yield document.error(f"type {command} does not carry a {spec.kind.value}", *place, "command_type")


def _warnings(document: Document, profile: Profile) -> Iterator[CatalogueError]:
    known = schema_of("profile")["properties"]["options"]["properties"]
    for option in profile.options:
        if option not in known:
            yield document.error("no driver of ours knows this option", "options", option)
    for name, spec in profile.points.items():
        yield from _word_warnings(document, name, spec)
        if spec.kind.writable:
            yield from _order_warnings(document, name, spec)
        turned = spec.sign > 0 and word_of(name) in ("active_power", "dc_power")
        if turned and spec.address.get("model") in _GENERATION_POSITIVE:
            yield document.error("SunSpec counts generation as positive here, we as negative: sign -1", "points", name, "sign")


def _word_warnings(document: Document, name: str, spec: PointSpec) -> Iterator[CatalogueError]:
    if word_of(name) not in vocabulary():
        yield document.error(f"{word_of(name)} is no word of docs/points.md: sums and use cases pass it by", "points", name)
    if spec.kind in (PointKind.STATUS, PointKind.COMMAND) and not spec.labels and word_of(name) != "alarm_word":
        yield document.error("without labels people read numbers", "points", name)
    bounded = {"low", "high"} & spec.shares.keys() or (spec.low, spec.high) != (None, None)
    if not bounded and spec.kind in (PointKind.MEASUREMENT, PointKind.COUNTER):
        yield document.error("without low and high nothing is out of range", "points", name)


def _order_warnings(document: Document, name: str, spec: PointSpec) -> Iterator[CatalogueError]:
    if not spec.feedback:
        yield document.error("without a feedback nothing proves that it was done", "points", name)
    capability = spec.capability
    if capability is None or spec.kind is not PointKind.SETPOINT or spec.unit not in _NOT_GIVEN_BACK_BY_ZERO:
        return
    if "absolute" in capability.modes and capability.default is None and capability.minimum <= 0 <= capability.maximum:
        sentence = "when it expires 0 is written: declare a default unless that is meant"
        yield document.error(sentence, "points", name, "capability", "minimum")
