"""Link frames with their ASDUs in words, for the frame log. [zone: field]

The log keeps octets and no sizes, so the sizes are told from the frame: those with which it reads best.
"""

from __future__ import annotations

from functools import lru_cache

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.iec101 import ft12
from pilots.drivers.iec101.ft12 import Frame
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Sizes
from pilots.drivers.iec60870.words import CAUSES, describe_asdu

_ADDRESS_SIZES = (1, 2, 0)
_SIZES = tuple(
    Sizes(*sizes)
    for sizes in ((2, 2, 3), (1, 1, 2), (1, 2, 2), (2, 1, 2), (2, 2, 2), (1, 2, 3), (2, 1, 3), (1, 1, 3), (1, 1, 1), (1, 2, 1))
)


@lru_cache(maxsize=1024)
def describe(raw: bytes) -> str:
    """A frame in one line; never raises, what is none is said to be noise."""
    readings = [frame for size in _ADDRESS_SIZES if (frame := _frame(raw, size)) is not None]
    if not readings:
        return f"{len(raw)} octets that are no frame: {raw.hex(' ')}"
    if not readings[0].data:
        return ft12.describe(readings[0])
    scored = [(_plausible(frame.data, sizes), frame, sizes) for frame in readings for sizes in _SIZES]
    _, frame, sizes = max(scored, key=lambda each: each[0])  # the first of the best
    return f"{ft12.describe(frame)}: {describe_asdu(frame.data, sizes)}"


def _frame(raw: bytes, address_size: int) -> Frame | None:
    if raw[:1] == bytes((ft12.FIXED,)) and len(raw) != 4 + address_size:
        return None
    items = ft12.Parser(address_size).feed(raw)
    return items[0] if len(items) == 1 and isinstance(items[0], Frame) and items[0].raw == raw else None


def _plausible(octets: bytes, sizes: Sizes) -> int:
    """How much speaks for these sizes: the length fits, and cause and addresses are such as stations use."""
    try:
        unit = asdu.decode(octets, sizes)
    except ProtocolViolation:
        return 0
    if not unit.objects:
        return 0
    near = all(item.address < 1 << 16 for item in unit.objects)
    return 1 + (unit.cause in CAUSES) + (0 < unit.common_address < 1 << 12) + near + (unit.originator == 0)
