"""Where the models of the simulated SunSpec devices stand, so that a scanning client finds its way. [zone: field, simulated]

Source: SunSpec Device Information Model Specification 6 (marker, model headers, end marker); the chains are those that the
profiles of the same names describe.
"""

from __future__ import annotations

import struct

from pilots.simulators.registers import UnitImage

BASE = 40000
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


def _name(image: UnitImage, start: int, text: str, width: int) -> None:
    raw = text.encode()[: 2 * width].ljust(2 * width, b"\0")
    for offset, word in enumerate(struct.unpack(f">{width}H", raw)):
        image.words[start + offset] = word
