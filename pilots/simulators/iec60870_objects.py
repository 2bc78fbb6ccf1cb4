"""Values of a plant as information objects of hat-drivers, and its commands back. [zone: station, simulated]

IEC 60870-5-101:2003, 7.2.6, 7.3 and 7.4.5: reports carry CP56Time2a where the profile declares a type with a time tag,
interrogated values none. hat-drivers divides normalised values by 2^15 - 1, the standard and we by 2^15.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from hat.drivers import iec101

from pilots.domain.point import PointSpec

RENEW_SHARE = 0.7  # of the promised longest silence
#: Of 15 octets at most (time-tagged floats), so that they fit a frame of 101 and of 104.
OBJECTS_PER_ASDU = 15
#: Types with a time tag -> the same without.
TAGGED = {30 + n: 1 + 2 * n for n in range(8)}
MONITOR = {*range(1, 16, 2), 20, 21, *TAGGED}
COUNTERS, PACKED, BARE = 15, 20, 21
_BINARY = (1, 3, PACKED)
_NORMALISED_SHARE = 2**15 / (2**15 - 1)
_DOUBLES = (iec101.DoubleValue.INTERMEDIATE, iec101.DoubleValue.OFF, iec101.DoubleValue.ON, iec101.DoubleValue.FAULT)


@dataclass(slots=True, kw_only=True)
class Monitored:
    """One information object and what was last reported of it; `type_id` without time tag."""

    device: str
    spec: PointSpec
    common: int
    address: int
    type_id: int
    timed: bool
    group: int
    reported: float | None = None
    reported_at: float = -math.inf

    @property
    def is_counter(self) -> bool:
        return self.type_id == COUNTERS

    @property
    def is_event(self) -> bool:
        """Whether its changes are class 1 data: switching, not measuring."""
        return self.type_id in _BINARY

    def is_due(self, value: float | None, now: float) -> bool:
        """Whether it changed beyond its deadband or its promised silence is about to end."""
        if self.spec.max_interval_s is not None and now - self.reported_at >= RENEW_SHARE * self.spec.max_interval_s:
            return True
        if value is None or self.reported is None:
            return value is not self.reported
        return abs(value - self.reported) > self.spec.deadband

    def note(self, value: float | None, now: float) -> None:
        self.reported, self.reported_at = value, now


def declared_type(spec: PointSpec) -> int:
    """The type in which a point is reported: the first that it declares."""
    types = spec.address.get("type", 36)
    return int(types[0] if isinstance(types, list | tuple) else types)


def data_message(each: Monitored, value: float | None, *, cause: Any, at: datetime | None = None) -> Any:
    """The object's value; what is unknown goes out as invalid, not as a number. With `at`, a time tag."""
    stamp = None if at is None or not each.timed else _time(at)
    return iec101.DataMsg(False, 0, each.common, each.address, _data(each, value), stamp, cause)


def _data(each: Monitored, value: float | None) -> Any:
    invalid = value is None
    wire = 0.0 if value is None else each.spec.to_wire(value)
    binary = iec101.IndicationQuality(invalid, False, False, False)
    measured = iec101.MeasurementQuality(invalid, False, False, False, False)
    makers: dict[int, Callable[[], Any]] = {
        1: lambda: iec101.SingleData(iec101.SingleValue(int(bool(wire))), binary),
        3: lambda: iec101.DoubleData(_DOUBLES[int(wire) & 3], binary),
        5: lambda: iec101.StepPositionData(iec101.StepPositionValue(_within(wire, -64, 63), False), measured),
        7: lambda: iec101.BitstringData(iec101.BitstringValue(_within(wire, 0, 2**32 - 1).to_bytes(4, "little")), measured),
        9: lambda: iec101.NormalizedData(_normalised(wire), measured),
        11: lambda: iec101.ScaledData(iec101.ScaledValue(_within(wire, -(2**15), 2**15 - 1)), measured),
        # A binary counter reading has 31 bits and rolls over.
        COUNTERS: lambda: iec101.BinaryCounterData(
            iec101.BinaryCounterValue(int(wire) % 2**31), iec101.CounterQuality(invalid, False, False, 0)
        ),
        PACKED: lambda: iec101.StatusData(iec101.StatusValue(_bits(_within(wire, 0, 2**16 - 1)), _bits(0)), measured),
        BARE: lambda: iec101.NormalizedData(_normalised(wire), None),  # it has no quality to say that it is unknown
    }
    return makers.get(each.type_id, lambda: iec101.FloatingData(iec101.FloatingValue(wire), measured))()


def _within(value: float, low: int, high: int) -> int:
    return max(low, min(round(value), high))


def _bits(word: int) -> list[bool]:
    return [bool(word >> n & 1) for n in range(16)]


def _normalised(value: float) -> Any:
    return iec101.NormalizedValue(max(-1.0, min(value, 1 - 2**-15)) * _NORMALISED_SHARE)


class Packer:
    """Puts messages into ASDUs, several objects in one as real units do: hat-drivers itself gives each an ASDU of its own.

    `messages` and `asdus` are hat-drivers' encoders of the protocol.
    """

    def __init__(self, messages: Any, asdus: Any) -> None:
        self._messages, self._asdus = messages, asdus

    def pack(self, messages: Sequence[Any]) -> list[bytes]:
        """Neighbours of one type, cause and common address share an ASDU."""
        units = [self._asdus.decode_asdu(octets)[0] for octets in self._messages.encode(list(messages))]
        packed = []
        for _, alike in groupby(units, key=lambda unit: unit[:3]):
            run = list(alike)
            for first in range(0, len(run), OBJECTS_PER_ASDU):
                objects = [each for unit in run[first : first + OBJECTS_PER_ASDU] for each in unit.ios]
                packed.append(bytes(self._asdus.encode_asdu(run[first]._replace(ios=objects))))
        return packed


def commanded(command: Any) -> float:
    """The wire value of a command; double commands: 1 open (OFF), 2 closed (ON)."""
    value = command.value
    if isinstance(value, iec101.DoubleValue):
        return float(_DOUBLES.index(value))
    if isinstance(value, iec101.BitstringValue):
        return float(int.from_bytes(value.value, "little"))
    if isinstance(value, iec101.NormalizedValue):
        return float(value.value / _NORMALISED_SHARE)
    return float(getattr(value.value, "value", value.value))


def moment_of(time: Any) -> datetime:
    """A time tag of seven octets. Raises ValueError for one that is no date."""
    seconds, milliseconds = divmod(time.milliseconds, 1000)
    day = datetime(2000 + time.years, time.months, time.day_of_month, tzinfo=UTC)
    return day.replace(hour=time.hours, minute=time.minutes, second=seconds, microsecond=milliseconds * 1000)


def _time(at: datetime) -> Any:
    """hat-drivers' own conversion goes through the zone of the process."""
    utc = at.astimezone(UTC)
    return iec101.Time(
        size=iec101.TimeSize.SEVEN,
        milliseconds=utc.second * 1000 + utc.microsecond // 1000,
        invalid=False,
        substituted=False,
        minutes=utc.minute,
        summer_time=False,
        hours=utc.hour,
        day_of_week=0,
        day_of_month=utc.day,
        months=utc.month,
        years=utc.year % 100,
    )
