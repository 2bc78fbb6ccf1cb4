"""Every type identification this project speaks: its name, its information element and its time tag. [zone: field]

Source: IEC 60870-5-101:2003, 7.2.6 (elements) and 7.3 (types); IEC 60870-5-104:2006, 8 (types with CP56Time2a).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pilots.drivers.iec60870 import times

_Fields = tuple[Any, ...]


class Element(NamedTuple):
    """One information element: its struct letters, and value with qualifier out of the unpacked fields and back.

    `read` gets the fields with the object address in front, so the element starts at index 1. `mask` tells the simple ones to
    who reads in bulk: 0 is a value and a whole octet of quality, else one octet for both with these bits for the value.
    """

    letters: str
    read: Callable[[_Fields], tuple[float, int]]
    write: Callable[[float, int], _Fields]
    mask: int | None = None


def _packed(mask: int) -> Element:
    """Value and qualifier share one octet (SIQ, DIQ, SCO, DCO, RCO: 7.2.6.1, .2, .15-.17)."""
    rest = ~mask & 0xFF
    return Element("B", lambda f: (f[1] & mask, f[1] & rest), lambda v, q: (_whole(v, 0, mask) | q & rest,), mask)


def _plain(letters: str, convert: Callable[[float], float]) -> Element:
    return Element(letters, lambda f: (f[1], f[2]), lambda v, q: (convert(v), q), 0)


def _whole(value: float, low: int, high: int) -> int:
    """The whole number nearest to `value`. Raises ValueError outside low..high (also for NaN and infinity)."""
    if not low - 0.5 <= value <= high + 0.5:
        raise ValueError(f"{value} does not fit {low}..{high}")
    return min(max(round(value), low), high)


def _to_normalised(value: float) -> int:
    """NVA: -1..1-2^-15 in steps of 2^-15 (7.2.6.6)."""
    return _whole(value * 32768, -32768, 32767)


def _read_step(fields: _Fields) -> tuple[float, int]:
    """VTI (7.2.6.5): the transient bit, the tap changer moves, stands in bit 8 of the qualifier."""
    octet, quality = fields[1:3]
    position = octet & 0x7F
    return (position - 128 if position & 0x40 else position), quality | (octet & 0x80) << 1


def _read_protection(fields: _Fields) -> tuple[float, int]:
    """SEP (7.2.6.10): the event's state in two bits of the quality octet, then its duration."""
    return fields[1] & 0x03, fields[1] & 0xFC | fields[2] << 8


_SINGLE, _DOUBLE = _packed(0x01), _packed(0x03)
_STEP = Element("BB", _read_step, lambda v, q: (_whole(v, -64, 63) & 0x7F | q >> 1 & 0x80, q & 0xFF))
_BITS = _plain("IB", lambda v: _whole(v, 0, 0xFFFFFFFF))
_NORMALISED = Element("hB", lambda f: (f[1] / 32768, f[2]), lambda v, q: (_to_normalised(v), q))
_BARE_NORMALISED = Element("h", lambda f: (f[1] / 32768, 0), lambda v, q: (_to_normalised(v),))
_SCALED = _plain("hB", lambda v: _whole(v, -32768, 32767))
_FLOAT = _plain("fB", float)
_COUNTER = _plain("iB", lambda v: _whole(v, -(2**31), 2**31 - 1))
#: SCD (7.2.6.40): sixteen single points, then which of them changed; those stand above the quality octet.
_PACKED_SINGLES = Element("HHB", lambda f: (f[1], f[3] | f[2] << 8), lambda v, q: (_whole(v, 0, 0xFFFF), q >> 8, q & 0xFF))
_PROTECTION = Element("BH", _read_protection, lambda v, q: (_whole(v, 0, 3) | q & 0xFC, q >> 8))
#: SPE or OCI (7.2.6.11, .12), quality, duration in ms.
_STARTS = Element("BBH", lambda f: (f[1], f[2] | f[3] << 8), lambda v, q: (_whole(v, 0, 255), q & 0xFF, q >> 8))
_BITS_COMMAND = Element("I", lambda f: (f[1], 0), lambda v, q: (_whole(v, 0, 0xFFFFFFFF),))
_OCTET = Element("B", lambda f: (f[1], 0), lambda v, q: (_whole(v, 0, 255),))
_TWO_OCTETS = Element("H", lambda f: (f[1], 0), lambda v, q: (_whole(v, 0, 0xFFFF),))
_NOTHING = Element("", lambda f: (0, 0), lambda v, q: ())


class Kind(NamedTuple):
    """One type identification; `tag` is the length of its time tag in octets, 0 without."""

    name: str
    element: Element
    tag: int = 0


#: Type without time tag -> its name's middle, its element, and its sisters with CP24 and CP56 with theirs.
_MONITOR: dict[int, tuple[str, Element, int, str, int, str]] = {
    1: ("SP_NA", _SINGLE, 2, "SP_TA", 30, "SP_TB"),
    3: ("DP_NA", _DOUBLE, 4, "DP_TA", 31, "DP_TB"),
    5: ("ST_NA", _STEP, 6, "ST_TA", 32, "ST_TB"),
    7: ("BO_NA", _BITS, 8, "BO_TA", 33, "BO_TB"),
    9: ("ME_NA", _NORMALISED, 10, "ME_TA", 34, "ME_TD"),
    11: ("ME_NB", _SCALED, 12, "ME_TB", 35, "ME_TE"),
    13: ("ME_NC", _FLOAT, 14, "ME_TC", 36, "ME_TF"),
    15: ("IT_NA", _COUNTER, 16, "IT_TA", 37, "IT_TB"),
}
_EVENTS: dict[int, tuple[Element, int, str, str]] = {
    38: (_PROTECTION, 17, "EP_TA", "EP_TD"),
    39: (_STARTS, 18, "EP_TB", "EP_TE"),
    40: (_STARTS, 19, "EP_TC", "EP_TF"),
}
_COMMANDS: dict[int, tuple[str, str, Element]] = {
    45: ("SC_NA", "SC_TA", _SINGLE),
    46: ("DC_NA", "DC_TA", _DOUBLE),
    47: ("RC_NA", "RC_TA", _DOUBLE),
    48: ("SE_NA", "SE_TA", _NORMALISED),
    49: ("SE_NB", "SE_TB", _SCALED),
    50: ("SE_NC", "SE_TC", _FLOAT),
    51: ("BO_NA", "BO_TA", _BITS_COMMAND),
}
TIMED_COMMAND_OFFSET = 13  # 45 C_SC_NA_1 -> 58 C_SC_TA_1, ... 51 -> 64
_OTHERS: dict[int, Kind] = {
    20: Kind("M_PS_NA_1", _PACKED_SINGLES),
    21: Kind("M_ME_ND_1", _BARE_NORMALISED),
    70: Kind("M_EI_NA_1", _OCTET),
    100: Kind("C_IC_NA_1", _OCTET),
    101: Kind("C_CI_NA_1", _OCTET),
    102: Kind("C_RD_NA_1", _NOTHING),
    103: Kind("C_CS_NA_1", _NOTHING, times.LONG),
    104: Kind("C_TS_NA_1", _TWO_OCTETS),
    107: Kind("C_TS_TA_1", _TWO_OCTETS, times.LONG),
}


def _kinds() -> dict[int, Kind]:
    """Every type this project speaks."""
    kinds = dict(_OTHERS)
    for base, (name, element, short, short_name, long, long_name) in _MONITOR.items():
        kinds[base] = Kind(f"M_{name}_1", element)
        kinds[short] = Kind(f"M_{short_name}_1", element, times.SHORT)
        kinds[long] = Kind(f"M_{long_name}_1", element, times.LONG)
    for long, (element, short, short_name, long_name) in _EVENTS.items():
        kinds[short] = Kind(f"M_{short_name}_1", element, times.SHORT)
        kinds[long] = Kind(f"M_{long_name}_1", element, times.LONG)
    for base, (name, timed_name, element) in _COMMANDS.items():
        kinds[base] = Kind(f"C_{name}_1", element)
        kinds[base + TIMED_COMMAND_OFFSET] = Kind(f"C_{timed_name}_1", element, times.LONG)
    return kinds


KINDS = _kinds()
#: Each monitor type with its base: the type that stands for the same element whatever its time tag (36, 14 -> 13).
MONITOR_BASE: dict[int, int] = {
    20: 20,
    21: 9,
    **{type_id: base for base, row in _MONITOR.items() for type_id in (base, row[2], row[4])},
    **{type_id: base for base, row in _EVENTS.items() for type_id in (base, row[1])},
}
COUNTERS, PROTECTION_EVENTS = 15, frozenset({38, 39, 40})  # bases whose quality octet differs
COMMANDS = frozenset(_COMMANDS)
TIMED_COMMANDS = frozenset(base + TIMED_COMMAND_OFFSET for base in _COMMANDS)
#: Names of what others speak and we only pass over.
_FOREIGN = {
    105: "C_RP_NA_1",
    106: "C_CD_NA_1",
    110: "P_ME_NA_1",
    111: "P_ME_NB_1",
    112: "P_ME_NC_1",
    113: "P_AC_NA_1",
    120: "F_FR_NA_1",
    121: "F_SR_NA_1",
    122: "F_SC_NA_1",
    123: "F_LS_NA_1",
    124: "F_AF_NA_1",
    125: "F_SG_NA_1",
    126: "F_DR_TA_1",
    127: "F_SC_NB_1",
}


def type_name(type_id: int) -> str:
    """The standard's name of a type identification.

    >>> type_name(36), type_name(200)
    ('M_ME_TF_1', 'type 200')
    """
    kind = KINDS.get(type_id)
    return kind.name if kind else _FOREIGN.get(type_id, f"type {type_id}")
