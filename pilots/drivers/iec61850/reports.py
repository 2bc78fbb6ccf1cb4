"""Reports as they come: which control block they belong to, what they carry, in what order. [zone: field]

IEC 61850-8-1, 17.2 (mapping of the report) and IEC 61850-7-2, 17.2.3 (BufOvfl, EntryID, segmentation).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pilots.domain.errors import ProtocolViolation
from pilots.domain.measurement import RawReading
from pilots.drivers.iec61850.data import Bits, DataFailure, EntryTime, Value
from pilots.drivers.iec61850.mms import Name
from pilots.drivers.iec61850.sources import Extract, Role, pick
from pilots.drivers.iec61850.values import EARLIEST, Told, reading_of

#: Bits of OptFlds (IEC 61850-7-2, table 43) in the order their fields stand in a report.
SEQUENCE_NUMBER, TIME_OF_ENTRY, REASON, DATA_SET, DATA_REFERENCE, OVERFLOW, ENTRY_ID, REVISION, SEGMENTATION = range(1, 10)
#: Members of a data set: devices have some hundred.
MOST_MEMBERS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One report (or a segment of one) taken apart. `values` by the position of their member in the data set."""

    report_id: str
    data_set: str = ""
    number: int | None = None
    entered: datetime | None = None
    overflow: bool = False
    entry_id: bytes = b""
    more_follows: bool = False
    values: Mapping[int, Value | DataFailure] = field(default_factory=dict)


def decode_report(values: Sequence[Value | DataFailure]) -> Entry:
    """The entry in an RPT's values. Raises ProtocolViolation when they do not follow its own option fields."""
    fields = iter(values)
    report_id, options = next(fields, None), next(fields, None)
    if not isinstance(report_id, str) or not isinstance(options, Bits):
        raise ProtocolViolation("a report without identifier or option fields")
    head = {bit: next(fields, None) for bit in _head_bits(options)}
    segment = (next(fields, None), next(fields, None)) if options.has(SEGMENTATION) else (None, False)
    inclusion = next(fields, None)
    if not isinstance(inclusion, Bits) or inclusion.length > MOST_MEMBERS:
        raise ProtocolViolation("a report without inclusion bits, or of too many members")
    included = [index for index in range(inclusion.length) if inclusion.has(index)]
    if options.has(DATA_REFERENCE):
        _skip(fields, len(included))
    data = dict(zip(included, fields, strict=False))
    if len(data) != len(included):
        raise ProtocolViolation(f"{len(data)} values in a report that includes {len(included)}")
    return _entry(report_id, head, segment, data)


def _head_bits(options: Bits) -> Iterator[int]:
    for bit in (SEQUENCE_NUMBER, TIME_OF_ENTRY, DATA_SET, OVERFLOW, ENTRY_ID, REVISION):
        if options.has(bit):
            yield bit


def _skip(fields: Iterator[object], count: int) -> None:
    for _ in range(count):
        next(fields, None)


def _entry(
    report_id: str, head: Mapping[int, object], segment: tuple[object, object], data: dict[int, Value | DataFailure]
) -> Entry:
    number, entered, entry_id = head.get(SEQUENCE_NUMBER), head.get(TIME_OF_ENTRY), head.get(ENTRY_ID)
    stamp = entered.moment if isinstance(entered, EntryTime) else None
    return Entry(
        report_id=report_id,
        data_set=str(head.get(DATA_SET, "")),
        number=number if isinstance(number, int) else None,
        entered=stamp if stamp is not None and stamp >= EARLIEST else None,
        overflow=head.get(OVERFLOW) is True,
        entry_id=entry_id if isinstance(entry_id, bytes) else b"",
        more_follows=segment[1] is True,
        values=data,
    )


@dataclass(slots=True)
class Subscription:
    """One control block that reports to us. `extracts` stand by member; `kept` is what each point was last told.

    A member may carry a value without its quality (a data set of single attributes): the last one told stands in.
    """

    block: Name
    buffered: bool
    data_set: str
    report_ids: frozenset[str]
    members: int
    extracts: Mapping[int, Sequence[Extract]]
    counts: Counter[str]
    expected: int | None = None
    kept: dict[tuple[str, str], dict[Role, Told]] = field(default_factory=dict)

    @property
    def covered(self) -> set[tuple[str, str]]:
        """The points whose value it carries."""
        return {extract.key for listed in self.extracts.values() for extract in listed if extract.role is Role.VALUE}

    def takes(self, entry: Entry) -> bool:
        return entry.report_id in self.report_ids and entry.data_set in ("", self.data_set)

    def is_gapless(self, entry: Entry) -> bool:
        """Whether no report was lost before this one; asks once for each entry. Segments share their number."""
        number, expected = entry.number, self.expected
        if number is not None and not entry.more_follows:
            self.expected = number + 1
        # 0 begins a new count: after enabling, and after the largest number, whose width devices do not agree on.
        return number is None or expected is None or number in (0, expected)

    def readings(self, entry: Entry) -> dict[str, list[RawReading]]:
        """What the entry tells, by device. Values under test are counted and left out."""
        told: dict[tuple[str, str], dict[Role, Told]] = {}
        for member, value in entry.values.items():
            for key, role, steps in self.extracts.get(member, ()):
                told.setdefault(key, {})[role] = pick(value, steps)
        readings: dict[str, list[RawReading]] = {}
        for key, parts in told.items():
            reading = self._reading(key, parts, entry)
            if reading is not None:
                readings.setdefault(key[0], []).append(reading)
        return readings

    def _reading(self, key: tuple[str, str], parts: dict[Role, Told], entry: Entry) -> RawReading | None:
        kept = self.kept.setdefault(key, {})
        kept.pop(Role.STAMP, None)  # a stamp belongs to its own report only
        kept.update(parts)
        if Role.VALUE not in kept:
            return None  # its quality came before its first value
        entered = entry.entered if self.buffered else None
        reading = reading_of(key[1], kept[Role.VALUE], kept.get(Role.QUALITY), kept.get(Role.STAMP), entered)
        self.counts["test_values"] += reading is None
        return reading
