"""ASDUs in words, for the frame log and for what an engineer examined. [zone: field]

Source of the words: IEC 60870-5-101:2003, 7.2.3 (causes), 7.2.6 (elements and qualifiers).
"""

from __future__ import annotations

from datetime import UTC, datetime

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.iec60870 import asdu, times
from pilots.drivers.iec60870.asdu import IEC104_SIZES, Asdu, InformationObject, Sizes
from pilots.drivers.iec60870.elements import (
    COMMANDS,
    COUNTERS,
    KINDS,
    MONITOR_BASE,
    PROTECTION_EVENTS,
    TIMED_COMMAND_OFFSET,
    TIMED_COMMANDS,
    type_name,
)

CAUSES: dict[int, str] = {
    1: "periodic",
    2: "background scan",
    3: "spontaneous",
    4: "initialised",
    5: "requested",
    6: "activation",
    7: "activation confirmation",
    8: "deactivation",
    9: "deactivation confirmation",
    10: "activation termination",
    11: "return information of a remote command",
    12: "return information of a local command",
    13: "file transfer",
    20: "interrogated by station",
    **{20 + group: f"interrogated by group {group}" for group in range(1, 17)},
    37: "interrogated by general counters",
    **{37 + group: f"interrogated by counter group {group}" for group in range(1, 5)},
    **asdu.REFUSING_CAUSES,
}
MOST_OBJECTS = 16  # in one line of words
_SOME_HOUR = datetime(2000, 1, 1, 0, 30, tzinfo=UTC)  # for short tags, whose hour is not shown
_SINGLE, _DOUBLE = ("off", "on"), ("intermediate", "off", "on", "indeterminate")
_STEPS = ("not permitted", "lower", "higher", "not permitted")
_STATES = {1: _SINGLE, 3: _DOUBLE, 38: _DOUBLE, 45: _SINGLE, 46: _DOUBLE, 47: _STEPS}
_QUALITY = ((0x01, "OV"), (0x10, "BL"), (0x20, "SB"), (0x40, "NT"), (0x80, "IV"))
_EVENT_QUALITY = ((0x08, "EI"), (0x10, "BL"), (0x20, "SB"), (0x40, "NT"), (0x80, "IV"))
_COUNTER_QUALITY = ((0x20, "CY"), (0x40, "CA"), (0x80, "IV"))
PULSES = {"none": 0, "short": 1, "long": 2, "persistent": 3}
_PULSES = {number: f"{word} pulse" if number < 3 else word for word, number in PULSES.items() if number}
_FREEZES = ("read", "freeze", "freeze and reset", "reset")
_RESTARTS = ("power on", "manual reset", "remote reset")


def cause_name(cause: int) -> str:
    """The standard's words for a cause of transmission.

    >>> cause_name(3), cause_name(23), cause_name(63)
    ('spontaneous', 'interrogated by group 3', 'cause 63')
    """
    return CAUSES.get(cause, f"cause {cause}")


def describe_asdu(octets: bytes, sizes: Sizes = IEC104_SIZES) -> str:
    """An ASDU in one line; never raises, bad ones are described as such.

    >>> describe_asdu(bytes.fromhex("0d01030001000a00000000803f40"))
    'M_ME_NC_1 (13) spontaneous, CA 1: IOA 10 = 1 NT'
    """
    try:
        return asdu_words(octets, sizes)
    except ProtocolViolation as violation:
        return f"bad ASDU: {violation}: {octets.hex(' ')}"


def asdu_words(octets: bytes, sizes: Sizes = IEC104_SIZES) -> str:
    """The same. Raises ProtocolViolation where it is none in these sizes."""
    unit = asdu.decode(octets, sizes, _SOME_HOUR)
    if unit.type_id not in KINDS:
        return f"{head_words(unit)}: {octets[sizes.head :].hex(' ')}"
    objects = [object_words(unit.type_id, item) for item in unit.objects[:MOST_OBJECTS]]
    if len(unit.objects) > MOST_OBJECTS:
        objects.append(f"and {len(unit.objects) - MOST_OBJECTS} more")
    return f"{head_words(unit)}: {'; '.join(objects) or 'no objects'}"


def head_words(unit: Asdu) -> str:
    """Type, cause, P/N, T, originator and common address."""
    cause = cause_name(unit.cause) + (" negative" if unit.negative else "") + (" TEST" if unit.test else "")
    originator = f" from {unit.originator}" if unit.originator else ""
    number = f" ({unit.type_id})" if type_name(unit.type_id) != f"type {unit.type_id}" else ""
    return f"{type_name(unit.type_id)}{number} {cause}{originator}, CA {unit.common_address}"


def object_words(type_id: int, item: InformationObject) -> str:
    """One information object: address, value, qualifier, time."""
    if type_id in (asdu.C_IC, asdu.C_CI, asdu.M_EI):
        return _system_words(type_id, int(item.value))
    words = [] if type_id in (asdu.C_CS, asdu.C_RD) else ["=", _value(type_id, item.value)]
    words += _qualifier(type_id, item.qualifier)
    if KINDS[type_id].tag:
        words.append(_time(item.time, KINDS[type_id].tag))
    return " ".join([f"IOA {item.address}", *words])


def _base(type_id: int) -> int:
    return type_id - TIMED_COMMAND_OFFSET if type_id in TIMED_COMMANDS else MONITOR_BASE.get(type_id, type_id)


def _value(type_id: int, value: float) -> str:
    states = _STATES.get(_base(type_id))
    if states:
        return f"{value:g} ({states[int(value)]})"
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _qualifier(type_id: int, qualifier: int) -> list[str]:
    if type_id in COMMANDS or type_id in TIMED_COMMANDS:
        return _command_qualifier(_base(type_id), qualifier)
    base = MONITOR_BASE.get(type_id)
    if base is None:
        return []
    if base == COUNTERS:
        return [f"SQ {qualifier & 0x1F}", *_bits(qualifier, _COUNTER_QUALITY)]
    if base in PROTECTION_EVENTS:
        return [f"{qualifier >> 8} ms", *_bits(qualifier, _EVENT_QUALITY)]
    moving = ["moving"] if base == 5 and qualifier & 0x100 else []
    changed = [f"changed {qualifier >> 8:#06x}"] if base == 20 else []
    return moving + changed + _bits(qualifier, _QUALITY)


def _command_qualifier(base: int, qualifier: int) -> list[str]:
    if base == 51:
        return []
    action = "select" if qualifier & asdu.SELECT else "execute"
    pulse = qualifier >> 2 & 0x1F if base <= 47 else qualifier & 0x7F
    return [action, _PULSES.get(pulse, f"qualifier {pulse}") if base <= 47 else f"QL {pulse}"] if pulse else [action]


def _time(time: datetime | None, tag: int) -> str:
    """A short tag knows minutes only."""
    if time is None:
        return "without valid time"
    form = f"{time:%Y-%m-%d %H:%M:%S}" if tag == times.LONG else f"xx:{time:%M:%S}"
    return f"{form}.{time.microsecond // 1000:03}"


def _system_words(type_id: int, value: int) -> str:
    if type_id == asdu.M_EI:
        cause = _RESTARTS[value & 0x7F] if value & 0x7F < len(_RESTARTS) else f"COI {value & 0x7F}"
        return cause + (" after a change of parameters" if value & 0x80 else "")
    if type_id == asdu.C_IC:
        group = value - asdu.STATION_INTERROGATION
        return "station" if not group else f"group {group}" if 1 <= group <= 16 else f"QOI {value}"
    request = value & 0x3F
    whose = "all counters" if request == asdu.GENERAL_COUNTERS else f"counter group {request}"
    return f"{whose}, {_FREEZES[value >> 6]}"


def _bits(octet: int, names: tuple[tuple[int, str], ...]) -> list[str]:
    return [name for bit, name in names if octet & bit]
