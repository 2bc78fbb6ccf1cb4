"""SunSpec information models as the SunSpec Alliance publishes them in JSON, with the offset of every point. [zone: field]

SunSpec Device Information Model Specification 4-6: a model is an ID register, a length register and points in order, each as
long as its type; groups follow their model's points and repeat. Offsets count registers from the ID register.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilots.domain.errors import CatalogueError

#: SunSpec types that a register can have in our profiles; the driver knows what each says when it has no value.
TYPES = {name: name for name in ("int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "string")}
TYPES |= {name: name for name in ("acc16", "acc32", "acc64", "enum16", "enum32", "bitfield16", "bitfield32", "bitfield64")}
TYPES |= {"count": "uint16"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelPoint:
    """One point of a model: `name` is `group.point` inside a group, `offset` that of the group's first instance."""

    name: str
    offset: int
    registers: int
    type: str
    label: str = ""
    unit: str = ""
    scale_factor: str = ""
    writable: bool = False
    symbols: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """One model: its points by name, and the registers of one instance of each group."""

    id: int
    label: str
    points: Mapping[str, ModelPoint]
    strides: Mapping[str, int]

    def point(self, name: str) -> ModelPoint | None:
        return self.points.get(name)


def model_folder() -> Path:
    """Where pysunspec2 keeps its model files. Raises CatalogueError when it is not installed: it is a tool of developers."""
    found = importlib.util.find_spec("sunspec2")
    if found is None or not found.submodule_search_locations:
        raise CatalogueError("pysunspec2 is not installed: it is among requirements-dev.txt")
    return Path(found.submodule_search_locations[0]) / "models" / "json"


def read_model(number: int, folder: Path) -> Model:
    """The model of that number. Raises CatalogueError when there is none."""
    path = folder / f"model_{number}.json"
    try:
        group = json.loads(path.read_text(encoding="utf-8"))["group"]
    except OSError as error:
        raise CatalogueError(f"there is no model {number}", file=str(path)) from error
    points: dict[str, ModelPoint] = {}
    strides: dict[str, int] = {}
    offset = _read_points(group, "", 0, points)
    for inner in group.get("groups", []):
        if inner.get("groups"):
            break  # groups within repeating groups move with the counts: nothing behind them has a fixed place
        end = _read_points(inner, f"{inner['name']}.", offset, points)
        strides[inner["name"]] = end - offset
        offset = end
    return Model(id=number, label=str(group.get("label", "")).strip(), points=points, strides=strides)


def _read_points(group: Mapping[str, Any], prefix: str, offset: int, points: dict[str, ModelPoint]) -> int:
    for point in _points(group, prefix, offset):
        points[point.name] = point
        offset += point.registers
    return offset


def _points(group: Mapping[str, Any], prefix: str, offset: int) -> Iterator[ModelPoint]:
    for raw in group["points"]:
        registers = int(raw["size"])
        yield ModelPoint(
            name=prefix + raw["name"],
            offset=offset,
            registers=registers,
            type=raw["type"],
            label=str(raw.get("label", "")).strip(),
            unit=str(raw.get("units", "")).strip(),
            scale_factor=str(raw.get("sf", "")).strip(),
            writable=raw.get("access") == "RW",
            symbols={int(symbol["value"]): symbol["name"] for symbol in raw.get("symbols", [])},
        )
        offset += registers
