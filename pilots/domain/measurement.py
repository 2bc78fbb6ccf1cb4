"""From what a driver saw to what everyone else may use. [field -> station]"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from pilots.domain.point import PointSpec
from pilots.domain.quality import GOOD, Flag, Quality, Source, Validity

FUTURE_TOLERANCE = timedelta(seconds=60)
#: No device keeps events for so long: an older stamp is that of a clock nobody has set (1970, 1980, 2000).
PAST_TOLERANCE = timedelta(days=366)


class RawReading(NamedTuple):
    """One value as the driver saw it: unscaled, in the device's own sign.

    `value` None means the device gave none (not implemented, exception): the quality says why, it is never 0.
    `source_time` None means the device sent no time: the received time stands in.
    A tuple, because one is made for each value that is read, and a frozen dataclass takes four times as long.
    """

    point: str
    value: float | str | None
    quality: Quality = GOOD
    source_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """A value in SI unit and IEC load convention with quality and both times (aware UTC).

    Text points carry `text`, everything else `value`; both None means the value is missing.
    """

    value: float | None
    quality: Quality
    source_time: datetime
    received_time: datetime
    text: str | None = None


def normalise(reading: RawReading, spec: PointSpec, *, received: datetime, simulated: bool) -> Measurement:
    """The measurement of a raw reading: scaled and signed, NaN and infinity turned into a missing value,
    implausible values marked, device stamps from the future or of a clock never set replaced and flagged."""
    quality = reading.quality
    if simulated and quality.source is Source.PROCESS:
        quality = Quality(quality.validity, Source.SIMULATED, quality.flags)
    source_time = reading.source_time or received
    if not is_plausible(source_time, received):
        # A stamp from the future must not pin the latest value for ever, nor one of 1970 keep it from being renewed: the
        # received time decides instead.
        source_time = received
        quality = quality.worse(Validity.QUESTIONABLE, Flag.CLOCK_UNSYNCED)
    if isinstance(reading.value, str):
        return Measurement(None, quality, source_time, received, storable(reading.value))
    if reading.value is None:
        return Measurement(None, quality.worse(Validity.INVALID), source_time, received)
    value = spec.from_wire(reading.value)
    if not math.isfinite(value):
        return Measurement(None, quality.worse(Validity.INVALID, Flag.NOT_AVAILABLE), source_time, received)
    if (spec.low is not None and value < spec.low) or (spec.high is not None and value > spec.high):
        quality = quality.worse(Validity.QUESTIONABLE, Flag.OUT_OF_RANGE)
    return Measurement(value, quality, source_time, received)


def is_plausible(stamp: datetime, received: datetime) -> bool:
    """Whether a device whose clock is set can have stamped what came then."""
    return -PAST_TOLERANCE <= stamp - received <= FUTURE_TOLERANCE


def storable(text: str) -> str:
    """The text without what no database and no JSON can carry (NUL, lone surrogates).

    >>> storable("EVSE\\0\\0 \\ud800!")
    'EVSE ?!'
    """
    return text.replace("\0", "").encode("utf-8", "replace").decode()
