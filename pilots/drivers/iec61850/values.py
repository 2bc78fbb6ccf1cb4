"""From IEC 61850's value, quality and time stamp to a reading. [zone: field]

IEC 61850-7-3, 6.2 (Quality) and IEC 61850-8-1, 8.1.3.6 (UtcTime); docs/points.md has our words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from pilots.domain.measurement import RawReading
from pilots.domain.quality import Flag, Quality, Source, Validity
from pilots.drivers.iec61850.data import Bits, DataFailure, EntryTime, Type, UtcTime, Value

#: A value, why there is none, or that nothing was told.
Told = Value | DataFailure | None
#: No IED of today was stamping values before: earlier stamps are those of a clock that was never set.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
#: Longer bit strings are no number and no quality.
LONGEST_BITS = 64
UNREAD = Quality(Validity.INVALID, flags=Flag.FAILURE)
_TEST, _SUBSTITUTED = 11, 10
#: Bits of detailQual, operatorBlocked among them, and our word for each; oscillatory and inaccurate only cast doubt.
_DETAILS = (
    (2, Flag.OVERFLOW, Validity.QUESTIONABLE),
    (3, Flag.OUT_OF_RANGE, Validity.QUESTIONABLE),
    (4, Flag.FAILURE, Validity.INVALID),
    (5, Flag.NONE, Validity.QUESTIONABLE),
    (6, Flag.FAILURE, Validity.INVALID),
    (7, Flag.OLD, Validity.QUESTIONABLE),
    (8, Flag.INCONSISTENT, Validity.QUESTIONABLE),
    (9, Flag.NONE, Validity.QUESTIONABLE),
    (12, Flag.BLOCKED, Validity.QUESTIONABLE),
)


@lru_cache(maxsize=4096)
def quality_of(bits: Bits) -> Quality:
    """The quality a Quality attribute tells; few of the possible ones ever occur.

    >>> quality_of(Bits.of(13, 0, 1, 7)).as_dict()
    {'validity': 'questionable', 'source': 'process', 'flags': ['old']}
    """
    validity = {0: Validity.GOOD, 3: Validity.QUESTIONABLE}.get(2 * bits.has(0) + bits.has(1), Validity.INVALID)
    quality = Quality(validity, Source.SUBSTITUTED if bits.has(_SUBSTITUTED) else Source.PROCESS)
    for bit, flag, least in _DETAILS:
        if bits.has(bit):
            quality = quality.worse(least, flag)
    return quality


def reading_of(point: str, value: Told, quality: Told, stamp: Told, entered: datetime | None = None) -> RawReading | None:
    """The reading of an attribute with its `q` and `t`; None for a value under test, which says nothing of the process.

    `entered` stands in for a missing stamp: when the device put the value into its buffer.
    """
    bits = quality if isinstance(quality, Bits) and quality.length <= LONGEST_BITS else Bits(13, 0)
    told = quality_of(bits)
    if bits.has(_TEST):
        return None
    wire = None if value is None or isinstance(value, DataFailure) else wire_of(value)
    if wire is None:
        return RawReading(point, None, told.worse(Validity.INVALID, Flag.FAILURE))
    if not isinstance(stamp, UtcTime):
        return RawReading(point, wire, told, entered)
    if stamp.clock_failure or stamp.not_synchronised or stamp.moment is None or stamp.moment < EARLIEST:
        # Such a stamp may be of 1970: the value would never be the newest. The received time stands in.
        return RawReading(point, wire, told.worse(Validity.GOOD, Flag.CLOCK_UNSYNCED), entered)
    return RawReading(point, wire, told, stamp.moment)


def wire_of(value: Value) -> float | str | None:
    """A value as a number or words; None for structures, which are no value of a point. Double points are 0 to 3.

    >>> wire_of(True), wire_of(Bits(2, 0b10)), wire_of((1.0,)) is None
    (1.0, 2.0, True)
    """
    if isinstance(value, (bool, int, float)):
        return float(value)
    if isinstance(value, Bits):
        return float(value.value) if value.length <= LONGEST_BITS else None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (UtcTime, EntryTime)):
        return "" if value.moment is None else value.moment.isoformat().replace("+00:00", "Z")
    return value if isinstance(value, str) else None


def words_of(value: Value | DataFailure, kind: Type | None = None) -> str:
    """A whole value as an engineer reads it, with the names of its parts where the type is known.

    >>> from pilots.drivers.iec61850.data import Kind
    >>> words_of((50.0, Bits(13, 0)), Type(Kind.STRUCTURE, parts={"f": Type(Kind.FLOAT), "q": Type(Kind.BIT_STRING)}))
    '{f: 50.0, q: 0000000000000}'
    """
    if isinstance(value, tuple):
        parts: Mapping[str, Type] = kind.parts if kind is not None else {}
        names = list(parts) if len(parts) == len(value) else [""] * len(value)
        each = [
            f"{name}: {words_of(one, parts.get(name))}" if name else words_of(one) for name, one in zip(names, value, strict=True)
        ]
        return "{" + ", ".join(each) + "}"
    if isinstance(value, Bits):
        return format(value.value, f"0{value.length}b") if value.length else "no bits"
    if isinstance(value, DataFailure):
        return f"failure {value.code}"
    if isinstance(value, (bool, int, float)):
        return str(value).lower() if isinstance(value, bool) else repr(value)
    return repr(value) if isinstance(value, str) else str(wire_of(value))
