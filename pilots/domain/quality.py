"""Quality of a value: validity, source and flags. [all zones]

Source: IEC 61850-7-3 `Quality` (validity, source, detailQual); the mapping from IEC 60870-5-101 QDS (7.2.6.3) is `from_qds`.
Stored as one small integer: bits 0-1 validity, 2-4 source, 5-14 flags.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum, IntFlag


class Validity(IntEnum):
    GOOD = 0
    QUESTIONABLE = 1
    INVALID = 2


class Source(IntEnum):
    PROCESS = 0
    SUBSTITUTED = 1
    ESTIMATED = 2
    SIMULATED = 3
    FORECAST = 4


class Flag(IntFlag):
    NONE = 0
    OVERFLOW = 1
    BLOCKED = 2
    OLD = 4
    FAILURE = 8
    OUT_OF_RANGE = 16
    INCONSISTENT = 32
    COMM_FAILURE = 64
    CLOCK_UNSYNCED = 128
    NOT_AVAILABLE = 256


@dataclass(frozen=True, slots=True)
class Quality:
    """How far a value may be trusted, where it comes from and what is wrong with it.

    >>> Quality(validity=Validity.QUESTIONABLE, flags=Flag.OLD).as_dict()
    {'validity': 'questionable', 'source': 'process', 'flags': ['old']}
    >>> Quality.unpack(Quality(source=Source.SIMULATED, flags=Flag.OVERFLOW).pack()).source.name
    'SIMULATED'
    """

    validity: Validity = Validity.GOOD
    source: Source = Source.PROCESS
    flags: Flag = Flag.NONE

    def pack(self) -> int:
        return self.validity | self.source << 2 | self.flags << 5

    @classmethod
    def unpack(cls, packed: int) -> Quality:
        return cls(Validity(packed & 3), Source(packed >> 2 & 7), Flag(packed >> 5))

    @property
    def proves(self) -> bool:
        """Good and not put in by hand: only this may prove a set-point, open an interlock or stand as a fresh measurement.

        >>> Quality().proves, Quality(source=Source.SUBSTITUTED).proves, Quality(Validity.QUESTIONABLE).proves
        (True, False, False)
        """
        return self.validity is Validity.GOOD and self.source is not Source.SUBSTITUTED

    def as_dict(self) -> dict[str, object]:
        """The northbound form: `{"validity", "source", "flags"}`, all in lower case words."""
        flags = [flag.name.lower() for flag in Flag if flag in self.flags and flag.name]
        return {"validity": self.validity.name.lower(), "source": self.source.name.lower(), "flags": flags}

    @classmethod
    def from_dict(cls, form: dict[str, object]) -> Quality:
        """The inverse of `as_dict`. Raises KeyError or ValueError when a word is unknown."""
        words = form.get("flags") or []
        if not isinstance(words, list):
            raise ValueError("flags is a list of words")
        flags = Flag.NONE
        for word in words:
            flags |= Flag[str(word).upper()]
        validity = Validity[str(form.get("validity", "good")).upper()]
        return cls(validity, Source[str(form.get("source", "process")).upper()], flags)

    def worse(self, validity: Validity, flags: Flag = Flag.NONE) -> Quality:
        """This quality, at best as valid as `validity`, with `flags` added."""
        return replace(self, validity=max(self.validity, validity), flags=self.flags | flags)


GOOD = Quality()
INVALID = Quality(Validity.INVALID)


def from_qds(qds: int) -> Quality:
    """Quality of an IEC 60870-5-101 quality descriptor (7.2.6.3): OV 1, BL 16, SB 32, NT 64, IV 128.

    >>> from_qds(0x80).validity.name, from_qds(0x40).flags.name, from_qds(0x20).source.name
    ('INVALID', 'OLD', 'SUBSTITUTED')
    """
    validity = Validity.INVALID if qds & 0x80 else Validity.QUESTIONABLE if qds & 0x51 else Validity.GOOD
    flags = Flag.NONE
    for bit, flag in ((0x01, Flag.OVERFLOW), (0x10, Flag.BLOCKED), (0x40, Flag.OLD)):
        if qds & bit:
            flags |= flag
    return Quality(validity, Source.SUBSTITUTED if qds & 0x20 else Source.PROCESS, flags)


def aged(quality: Quality, *, received: datetime, max_age_s: float | None, now: datetime) -> Quality:
    """The quality as a reader must show it now: a value not renewed within `max_age_s` is old and questionable.

    Readers call this too, not only the gateway that marks old data: a dead gateway marks nothing.
    """
    if max_age_s is None or (now - received).total_seconds() <= max_age_s:
        return quality
    return quality.worse(Validity.QUESTIONABLE, Flag.OLD)
