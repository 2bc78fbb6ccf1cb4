"""The time tags of IEC 60870-5-101/104 as octets: CP56Time2a and CP24Time2a. [zone: field]

Source: IEC 60870-5-101:2003, 7.2.6.18 and .19. The wire carries UTC; a set SU bit (summer time) means that the hour
stands one ahead of it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pilots.domain.columns import NEVER, Ints
from pilots.domain.moments import microseconds

LONG, SHORT = 7, 3  # octets of CP56Time2a and CP24Time2a
_INVALID = 0x80  # IV, in the octet of the minutes
_SUMMER = 0x80  # SU, in the octet of the hours
_HOUR = timedelta(hours=1)
_MINUTE_MS = 60_000
_OCTETS = 256 ** np.arange(5, dtype=np.int64)
_HALF_HOUR = timedelta(minutes=30)
YEARS = range(2000, 2100)  # the wire has seven bits for years and 0..99 of them are defined


def decode_long(tag: bytes) -> datetime | None:
    """The aware UTC time of a CP56Time2a; None when its IV bit is set or it is no date.

    >>> decode_long(bytes.fromhex("dc05040301071a"))
    datetime.datetime(2026, 7, 1, 3, 4, 1, 500000, tzinfo=datetime.timezone.utc)
    >>> decode_long(bytes.fromhex("dc05048301071a")).hour
    2
    """
    start, milliseconds = _decode_minute(tag[2:]), tag[0] | tag[1] << 8
    return start + timedelta(milliseconds=milliseconds) if start is not None and milliseconds < _MINUTE_MS else None


def decode_column(milliseconds: Ints, minutes: NDArray[np.uint8]) -> Ints:
    """The same for many tags, `minutes` with five octets a row: microseconds since 1970 UTC, NEVER for None."""
    keys = minutes @ _OCTETS
    found, which = np.unique(keys, return_inverse=True)
    starts = np.array([_minute_us(int(key).to_bytes(5, "little")) for key in found], dtype=np.int64)[which]
    return np.where((milliseconds < _MINUTE_MS) & (starts != NEVER), starts + milliseconds * 1000, NEVER)


def _minute_us(tag: bytes) -> int:
    minute = _decode_minute(tag)
    return NEVER if minute is None else microseconds(minute)


@lru_cache(maxsize=256)
def _decode_minute(tag: bytes) -> datetime | None:
    """The full minute of a CP56Time2a's last five octets."""
    minute, hour, day, month, year = tag
    if minute & _INVALID or year & 0x7F > 99:
        return None
    try:
        time = datetime(2000 + (year & 0x7F), month & 0x0F, day & 0x1F, hour & 0x1F, minute & 0x3F, tzinfo=UTC)
    except ValueError:
        return None
    return time - _HOUR if hour & _SUMMER else time


def encode_long(time: datetime | None) -> bytes:
    """The CP56Time2a: standard time, day of week not given; IV set where there is no time. Raises ValueError."""
    if time is None:
        return bytes((0, 0, _INVALID, 0, 0, 0, 0))
    utc = time.astimezone(UTC)
    if utc.year not in YEARS:
        raise ValueError(f"CP56Time2a cannot carry the year {utc.year}")
    head = _milliseconds(utc).to_bytes(2, "little")
    return head + bytes((utc.minute, utc.hour, utc.day, utc.month, utc.year - 2000))


def decode_short(tag: bytes, received: datetime | None) -> datetime | None:
    """The aware UTC time of a CP24Time2a, which has minutes and milliseconds only: the one nearest to `received`.

    An event that waited longer than half an hour cannot be told from a newer one: that is the format's limit. None when the
    IV bit is set, when it is no time, or without `received`.

    >>> decode_short(bytes.fromhex("dc053b"), datetime(2026, 7, 1, 3, 1, tzinfo=UTC)).isoformat()
    '2026-07-01T02:59:01.500000+00:00'
    """
    low, high, minute = tag
    second, millisecond = divmod(low | high << 8, 1000)
    if minute & _INVALID or minute & 0x3F > 59 or second > 59 or received is None:
        return None
    time = received.astimezone(UTC).replace(minute=minute & 0x3F, second=second, microsecond=millisecond * 1000)
    if time - received > _HALF_HOUR:
        return time - _HOUR
    return time + _HOUR if received - time > _HALF_HOUR else time


def encode_short(time: datetime | None) -> bytes:
    """The CP24Time2a of a time; IV set where there is none."""
    if time is None:
        return bytes((0, 0, _INVALID))
    utc = time.astimezone(UTC)
    return _milliseconds(utc).to_bytes(2, "little") + bytes((utc.minute,))


def _milliseconds(time: datetime) -> int:
    return time.second * 1000 + time.microsecond // 1000
