"""Values of a plant as c104's information objects, and its commands back to numbers. [zone: station, simulated]

IEC 60870-5-101:2003, 7.2.6 and 7.3. c104 takes naive times and writes them in the zone of the process: UTC.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import c104

#: Monitor types -> the same without time tag. c104 leaves 20 and 21 out of its interrogations.
MONITOR = {type_id: type_id for type_id in range(1, 16, 2)} | {30 + n: 1 + 2 * n for n in range(8)}
#: Commands without time tag; each has a sister with one.
CONTROL, TIMED = range(45, 52), 13
_UNTAGGED = 30  # types below it carry no time
_DOUBLES = (c104.Double.INTERMEDIATE, c104.Double.OFF, c104.Double.ON, c104.Double.INDETERMINATE)
_COUNTER = 15


def information(type_id: int, wire: float | None, at: datetime.datetime) -> c104.Information:
    """The object's information, stamped `at`; an unknown value goes out as invalid, not as a number."""
    stamp = at.replace(tzinfo=None) if type_id >= _UNTAGGED else None
    number = 0.0 if wire is None else wire
    if MONITOR[type_id] == _COUNTER:
        state = c104.BinaryCounterQuality() if wire is not None else c104.BinaryCounterQuality.Invalid
        # A binary counter reading has 31 bits and rolls over.
        return c104.BinaryCounterInfo(counter=int(number) % 2**31, sequence=c104.UInt5(0), quality=state, recorded_at=stamp)
    quality = c104.Quality() if wire is not None else c104.Quality.Invalid
    return _MAKERS[MONITOR[type_id]](number, quality, stamp)


def commanded(value: object) -> float:
    """The wire value of a command: double commands 1 open (OFF), 2 closed (ON); steps 1 lower, 2 higher."""
    if isinstance(value, c104.Byte32):
        return float(int.from_bytes(bytes(value), "little"))
    return float(value)  # type: ignore[arg-type]


def _within(value: float, low: int, high: int) -> int:
    return max(low, min(round(value), high))


def _bits(value: float) -> c104.Byte32:
    """By its octets: of a number c104 2.2 keeps nothing below 2^31."""
    return c104.Byte32(_within(value, 0, 2**32 - 1).to_bytes(4, "little"))


_MAKERS: dict[int, Callable[[float, c104.Quality, datetime.datetime | None], c104.Information]] = {
    1: lambda value, quality, at: c104.SingleInfo(on=bool(value), quality=quality, recorded_at=at),
    3: lambda value, quality, at: c104.DoubleInfo(state=_DOUBLES[int(value) & 3], quality=quality, recorded_at=at),
    5: lambda value, quality, at: c104.StepInfo(c104.Int7(_within(value, -64, 63)), False, quality, at),
    7: lambda value, quality, at: c104.BinaryInfo(_bits(value), quality, at),
    9: lambda value, quality, at: c104.NormalizedInfo(c104.NormalizedFloat(max(-1.0, min(value, 1 - 2**-15))), quality, at),
    11: lambda value, quality, at: c104.ScaledInfo(c104.Int16(_within(value, -(2**15), 2**15 - 1)), quality, at),
    13: lambda value, quality, at: c104.ShortInfo(actual=value, quality=quality, recorded_at=at),
}
