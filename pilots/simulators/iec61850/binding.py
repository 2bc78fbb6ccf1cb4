"""From the points of a profile to the attributes of a simulated IED, and their values. [zone: field, simulated]

A reference says enough of the common data class (IEC 61850-7-3, clause 7): TotW.mag.f is an MV, PhV.phsA.cVal.mag.f a WYE,
Pos.stVal a DPS, Str.general an ACD; a control object is a DPC, SPC or APC by its point's kind and name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointKind, PointSpec
from pilots.simulators.iec61850 import model
from pilots.simulators.iec61850.library import mms
from pilots.simulators.iec61850.model import Branch, Leaf, Member, Model

#: What stands between a data object and its number.
_TAILS = (("cVal", "mag"), ("mxVal",), ("mag",), ("instMag",))
_BAD = mms.BitStringData([index in (1, 6) for index in range(13)])  # validity invalid, failure


@dataclass(slots=True)
class Bound:
    """One attribute that follows a point: `holder` has its q and t; `member` is the data object as data sets name it."""

    device_id: str
    spec: PointSpec
    member: Member
    leaf: Leaf
    holder: Branch
    told: float | str | None = None
    known: bool = False  # whether a value was ever told

    def follow(self, raw: float | str | None, moment: datetime) -> str:
        """Takes the plant's value if it changed enough: "data", "quality" or "" for what changed."""
        wire = self.spec.to_wire(raw) if isinstance(raw, (int, float)) else raw
        missing = wire is None or (isinstance(wire, float) and not math.isfinite(wire))
        was_missing = self.known and self.told is None
        if not self._differs(None if missing else raw):
            return ""
        self.known, self.told = True, None if missing else raw
        if not missing and wire is not None:
            self.leaf.value = data_for(self.leaf.kind, wire)
        self._mark(_BAD if missing else model.GOOD, moment)
        return "quality" if missing or was_missing else "data"

    def _differs(self, raw: float | str | None) -> bool:
        if not self.known or raw is None or self.told is None or isinstance(raw, str) or isinstance(self.told, str):
            return not self.known or raw != self.told
        return raw != self.told if self.spec.deadband == 0 else abs(raw - self.told) > self.spec.deadband

    def _mark(self, quality: Any, moment: datetime) -> None:
        for name, value in (("q", quality), ("t", model.stamp(moment))):
            part = self.holder.parts.get(name)
            if isinstance(part, Leaf):
                part.value = value


def bind(tree: Model, prefix: str, device_id: str, spec: PointSpec) -> Bound | None:
    """The attribute of a monitored point, its data object made where it is missing; None for controls and for no reference."""
    if "ref" not in spec.address or constraint_of(spec) == "CO":
        return None
    domain, node, path = split(prefix, spec)
    if len(path) < 2:
        raise CatalogueError(f"{device_id} {spec.name}: {spec.address['ref']} names a data object, not an attribute of it")
    constraint = constraint_of(spec)
    holder_path = _holder(path)
    holder = tree.branch(domain, "$".join((node, constraint, *holder_path)))
    above = holder.at(path[len(holder_path) : -1])
    leaf = above.parts.setdefault(path[-1], Leaf(*_kind_of(spec, path)))
    if not isinstance(leaf, Leaf):
        raise CatalogueError(f"{device_id} {spec.name}: {spec.address['ref']} is a structure")
    if constraint in ("ST", "MX"):
        holder.parts.setdefault("q", model.quality())
        holder.parts.setdefault("t", model.time_stamp())
    return Bound(device_id, spec, Member(domain, f"{node}${constraint}${path[0]}"), leaf, holder)


def split(prefix: str, spec: PointSpec) -> tuple[str, str, list[str]]:
    """Domain, logical node, and the path from the data object on."""
    domain, _, rest = str(spec.address["ref"]).partition("/")
    node, *path = rest.split(".")
    return prefix + domain, node, path


def constraint_of(spec: PointSpec) -> str:
    """The point's functional constraint; as the driver has it where the profile names none."""
    usual = {PointKind.MEASUREMENT: "MX", PointKind.SETPOINT: "CO", PointKind.COMMAND: "CO", PointKind.NAMEPLATE: "DC"}
    return str(spec.address.get("fc", usual.get(spec.kind, "ST")))


def is_double(name: str) -> bool:
    """Whether a data object of that name is a double point: positions are."""
    return name.startswith("Pos")


def data_for(kind: Any, wire: float | str) -> Any:
    """The MMS value of a wire value in that type."""
    if isinstance(kind, mms.VisibleStringTypeDescription):
        return mms.VisibleStringData(str(wire))
    number = float(wire) if not isinstance(wire, str) else 0.0
    if isinstance(kind, mms.BooleanTypeDescription):
        return mms.BooleanData(number != 0)
    if isinstance(kind, mms.FloatingPointTypeDescription):
        return mms.FloatingPointData(number)
    if isinstance(kind, mms.BitStringTypeDescription):
        whole = round(number)
        return mms.BitStringData([bool(whole >> shift & 1) for shift in reversed(range(abs(kind.xyz)))])
    return mms.IntegerData(round(number))


def _holder(path: list[str]) -> list[str]:
    """The path of what holds q and t beside the attribute: all but the value's own steps."""
    above = path[:-1]
    for tail in _TAILS:
        if len(above) > len(tail) and tuple(above[-len(tail) :]) == tail:
            return above[: -len(tail)]
    return above


def _kind_of(spec: PointSpec, path: list[str]) -> tuple[Any, Any]:
    """Type and first value of a point's attribute."""
    if spec.kind is PointKind.TEXT:
        return mms.VisibleStringTypeDescription(-255), mms.VisibleStringData("")
    if path[-1] in ("f", "setMag", "setVal") or (path[-1] == "mag" and len(path) == 2):
        return model.FLOAT32, mms.FloatingPointData(0.0)
    if path[-1] == "stVal" and is_double(path[0]):
        return model.DOUBLE_POSITION, mms.BitStringData([False, False])
    if path[-1] in ("general", "phsA", "phsB", "phsC", "neut") or (path[-1] == "stVal" and set(spec.labels) == {0, 1}):
        return model.BOOLEAN, mms.BooleanData(False)
    wide = spec.kind is PointKind.COUNTER
    return mms.IntegerTypeDescription(64 if wide else 32), mms.IntegerData(0)
