"""Which SunSpec models a device has and where they stand, so that a profile need not know. [zone: field]

SunSpec Device Information Model Specification, 6: a marker at one of three places, then model after model (id, length), then
the end mark. Devices put the same models in any order; `{model: 103, offset: 14}` is found in all of them.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pilots.domain.errors import DeviceRefused, ProtocolViolation
from pilots.domain.point import PointSpec

BASES = (40_000, 50_000, 0)
MARKER = b"SunS"
END = 0xFFFF
#: No device has more; a chain that never ends is none.
MOST_MODELS = 200

#: Registers from a holding register on, as bytes. Raises FieldError.
ReadHolding = Callable[[int, int], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a device: its id register stands at `start`, `length` registers follow the two of its head."""

    id: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Chain:
    """All models of one device, in its own order."""

    base: int
    models: tuple[Model, ...]

    def find(self, model: int, nth: int = 1) -> Model | None:
        """The nth model of that id, 1 the first; None when there are not so many."""
        found = [each for each in self.models if each.id == model]
        return found[nth - 1] if 1 <= nth <= len(found) else None

    def __str__(self) -> str:
        return f"SunSpec models {', '.join(str(model.id) for model in self.models)} from {self.base} on"


async def discover(read: ReadHolding) -> Chain:
    """The chain of the device. Raises DeviceRefused when it has none, else what `read` raises."""
    for base in BASES:
        try:
            marker = await read(base, 2)
        except DeviceRefused:
            continue
        if marker == MARKER:
            return Chain(base, tuple(await _walk(read, base + 2)))
    raise DeviceRefused(f"no SunSpec marker at {', '.join(map(str, BASES))}", device_code="no_sunspec")


async def _walk(read: ReadHolding, start: int) -> list[Model]:
    models: list[Model] = []
    while len(models) < MOST_MODELS and start <= END - 1:
        try:
            model, length = struct.unpack(">2H", await read(start, 2))
        except DeviceRefused:
            if not models:
                raise
            return models  # some devices have no register where the end mark should be
        if model == END:
            return models
        models.append(Model(model, start, length))
        start += 2 + length
    raise ProtocolViolation("the chain of SunSpec models has no end")


def is_relative(spec: PointSpec) -> bool:
    """Whether the point's address counts from a model's beginning."""
    return "model" in spec.address and "register" not in spec.address


def resolve(spec: PointSpec, chain: Chain) -> PointSpec | None:
    """The point with registers of this very device; None when the device has no such model or its model is shorter."""
    address = spec.address
    model = chain.find(int(address["model"]), int(address.get("nth", 1)))
    if model is None or int(address["offset"]) >= model.length + 2:
        return None
    found: dict[str, Any] = {name: value for name, value in address.items() if name not in ("model", "nth", "offset")}
    found["register"] = model.start + int(address["offset"])
    for relative, absolute in (("scale_offset", "scale_register"), ("reversion_offset", "reversion_register")):
        if relative in found:
            found[absolute] = model.start + int(found.pop(relative))
    enable = found.get("enable")
    if isinstance(enable, Mapping) and "offset" in enable:
        found["enable"] = {"register": model.start + int(enable["offset"]), "value": enable.get("value", 1)}
    return replace(spec, address=found)
