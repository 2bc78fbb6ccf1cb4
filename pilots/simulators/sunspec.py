"""Where the models of the simulated SunSpec devices stand, so that a scanning client finds its way. [zone: field, simulated]

Source: SunSpec Device Information Model Specification 6 (marker, model headers, end marker), model lengths of the SunSpec
Alliance's JSON. Profiles with fixed registers stand where they say; those that name models get a chain made for them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from pilots.domain.point import PointSpec
from pilots.drivers.modbus.plan import place_of, scale_place_of
from pilots.drivers.modbus.sunspec import Chain, Model, is_relative
from pilots.simulators.registers import UnitImage

BASE = 40000
#: Registers after the head, without repeating groups.
LENGTHS = {
    1: 66, 101: 50, 102: 50, 103: 50, 111: 60, 112: 60, 113: 60, 120: 26, 121: 30, 122: 44, 123: 24, 124: 24, 160: 8,
    201: 105, 202: 105, 203: 105, 204: 105, 213: 124, 502: 28, 701: 153, 702: 50, 703: 17, 704: 65, 705: 13, 706: 13,
    707: 7, 708: 7, 709: 7, 710: 7, 711: 12, 712: 12, 713: 7, 714: 18, 802: 62, 803: 26, 804: 46,
}  # fmt: skip
MARKER = struct.unpack(">2H", b"SunS")
END = 0xFFFF
#: (model id, registers with its two header words)
CHAINS: dict[str, tuple[tuple[int, int], ...]] = {
    "sunspec-inverter-103": ((1, 68), (103, 52), (120, 28), (123, 26)),
    "sunspec-inverter-701": ((1, 68), (701, 155), (704, 67), (714, 45)),
    "sunspec-storage": ((1, 68), (701, 155), (704, 67), (713, 9), (802, 64)),
}


def add_chain(image: UnitImage, profile: str, device_id: str) -> None:
    """Marker, model headers, the common model's words and the end mark stand in the image."""
    chain = CHAINS.get(profile)
    if chain is None:
        return
    image.words[BASE], image.words[BASE + 1] = MARKER
    register = BASE + 2
    for model, length in chain:
        image.words[register], image.words[register + 1] = model, length - 2
        register += length
    image.words[register], image.words[register + 1] = END, 0
    _name(image, BASE + 4, "INVADE simulated", 16)
    _name(image, BASE + 20, profile, 16)
    _name(image, BASE + 52, device_id, 16)
    # Whatever the profile does not use is "not implemented", which for most types reads 0xFFFF.
    image.fill(BASE, register, 0xFFFF)


def lay_out(points: Iterable[PointSpec]) -> Chain | None:
    """A chain with every model that these points name, the common model first; None when none names any."""
    lengths: dict[tuple[int, int], int] = {}
    for spec in points:
        if is_relative(spec):
            key = int(spec.address["model"]), int(spec.address.get("nth", 1))
            lengths[key] = max(lengths.get(key, LENGTHS.get(key[0], 0)), _extent(spec) - 2)
    if not lengths:
        return None
    lengths.setdefault((1, 1), LENGTHS[1])
    models, start = [], BASE + 2
    for (model, _), length in sorted(lengths.items()):
        models.append(Model(model, start, length))
        start += 2 + length
    return Chain(BASE, tuple(models))


def _extent(spec: PointSpec) -> int:
    """Registers from the model's first on that the point needs."""
    place, scale = place_of(spec, {}), scale_place_of(spec, {})
    ends = [place.start + place.length, 0 if scale is None else scale.start + 1]
    ends.append(int(spec.address.get("enable", {}).get("offset", -1)) + 1)
    ends.append(int(spec.address.get("reversion_offset", -2)) + 2)
    return max(ends)


def write_chain(image: UnitImage, chain: Chain, device_id: str) -> None:
    """Marker, model headers, the common model's words and the end mark stand in the image."""
    image.words[BASE], image.words[BASE + 1] = MARKER
    for model in chain.models:
        image.words[model.start], image.words[model.start + 1] = model.id, model.length
    end = chain.models[-1].start + 2 + chain.models[-1].length
    image.words[end], image.words[end + 1] = END, 0
    _name(image, BASE + 4, "INVADE simulated", 16)
    _name(image, BASE + 52, device_id, 16)
    image.fill(BASE, end, 0xFFFF)


def _name(image: UnitImage, start: int, text: str, width: int) -> None:
    raw = text.encode()[: 2 * width].ljust(2 * width, b"\0")
    for offset, word in enumerate(struct.unpack(f">{width}H", raw)):
        image.words[start + offset] = word
