"""Report control blocks of a simulated IED, with EntryID, overflow, purge, resync. [zone: field, simulated]

IEC 61850-7-2, 17.2; mapping IEC 61850-8-1, clause 17.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pilots.simulators.iec61850 import model
from pilots.simulators.iec61850.library import mms
from pilots.simulators.iec61850.model import Leaf, Member, Model

#: Bits of OptFlds and TrgOps, and of the reason for inclusion, which shares TrgOps' positions.
SEQUENCE, TIME, REASON, DATA_SET, REFERENCE, OVERFLOW, ENTRY, REVISION = range(1, 9)
DATA_CHANGE, QUALITY_CHANGE, DATA_UPDATE, INTEGRITY, GENERAL = range(1, 6)
REASONS = {"data": DATA_CHANGE, "quality": QUALITY_CHANGE, "integrity": INTEGRITY, "general": GENERAL}
#: Entries a buffered block holds; then the oldest is lost and the next report says so.
BUFFER_ENTRIES = 100
NO_ENTRY = bytes(8)
DENIED, BUSY, INVALID = (
    mms.DataAccessError.OBJECT_ACCESS_DENIED,
    mms.DataAccessError.TEMPORARILY_UNAVAILABLE,
    mms.DataAccessError.OBJECT_VALUE_INVALID,
)
_CONFIGURATION = ("RptID", "DatSet", "OptFlds", "BufTm", "TrgOps", "IntgPd")


class _DayAndTime(NamedTuple):
    """What hat's encoder takes a time apart into."""

    days: int
    seconds: int


@dataclass(frozen=True, slots=True)
class _EntryMoment:
    """A time that hat-drivers 0.10 writes right: it puts seconds where TimeOfDay has milliseconds (IEC 61850-8-1, 8.1.3.7)."""

    moment: datetime

    def __sub__(self, epoch: datetime) -> _DayAndTime:
        since = self.moment - epoch
        return _DayAndTime(since.days, (since - timedelta(days=since.days)) // timedelta(milliseconds=1))


class Entry(NamedTuple):
    """One report before it is sent: values and reasons by the position of their member."""

    identifier: bytes
    moment: datetime
    values: dict[int, Any]
    reasons: dict[int, str]


class ReportBlock:
    """One instance. It reports to the one client that has enabled it; `unsent` counts what it will send next."""

    def __init__(self, tree: Model, domain: str, node: str, name: str, data_set: Member, *, buffered: bool) -> None:
        self.tree, self.data_set, self.buffered = tree, data_set, buffered
        self.reference = f"{domain}/{node}${'BR' if buffered else 'RP'}${name}"
        self.owner: Any = None
        self.entries: deque[Entry] = deque()
        self.unsent = 0  # entries at the end of the buffer that the client has not got
        self.overflowed = False
        self._made = 0
        self._sequence = 0
        self._integrity_due: datetime | None = None
        self._flushing: asyncio.Task[None] | None = None
        self.branch = tree.branch(domain, f"{node}${'BR' if buffered else 'RP'}${name}")
        self.branch.parts.update(self._attributes())

    # ---------------------------------------------------------------- what happens

    @property
    def members(self) -> list[Member]:
        return self.tree.data_sets[self.data_set]

    @property
    def enabled(self) -> bool:
        return bool(self._value("RptEna"))

    async def note_changes(self, changes: Mapping[Member, str], now: datetime) -> None:
        """Members changed: those whose trigger is on are reported, or kept until somebody asks."""
        wanted = {index: changes[member] for index, member in enumerate(self.members) if member in changes}
        wanted = {index: reason for index, reason in wanted.items() if self._triggers(reason)}
        if wanted:
            await self._add(wanted, now)

    async def tick(self, now: datetime) -> None:
        """The integrity period is kept."""
        period_ms = int(self._value("IntgPd"))
        if not period_ms or not self._triggers("integrity") or not (self.enabled or self.buffered):
            self._integrity_due = None
        elif self._integrity_due is None or now >= self._integrity_due:
            if self._integrity_due is not None:
                await self._add(dict.fromkeys(range(len(self.members)), "integrity"), now)
            self._integrity_due = now + timedelta(milliseconds=period_ms)

    def forget(self, connection: Any) -> None:
        """The client is gone: nothing is sent to it, a buffered block goes on collecting."""
        if self.owner is connection:
            self.owner = None
            self._set("RptEna", mms.BooleanData(False))
            if "Resv" in self.branch.parts:
                self._set("Resv", mms.BooleanData(False))

    # ---------------------------------------------------------------- entries

    def _triggers(self, reason: str) -> bool:
        return bool(list(self._value("TrgOps"))[REASONS[reason]])

    async def _add(self, reasons: dict[int, str], now: datetime) -> None:
        if self.buffered or self.enabled:
            self._keep(reasons, now)
            await self._flush()

    def _keep(self, reasons: dict[int, str], now: datetime) -> None:
        self._made += 1
        values = {index: self._data(index) for index in sorted(reasons)}
        self.entries.append(Entry(self._made.to_bytes(8, "big"), now, values, reasons))
        self.unsent += 1
        while len(self.entries) > (BUFFER_ENTRIES if self.buffered else 1):
            self.entries.popleft()
            if self.unsent > len(self.entries):
                self.unsent, self.overflowed = len(self.entries), self.buffered

    def _flush_soon(self) -> None:
        """Reports leave after the answer to the write that asked for them, which the connection has by then."""
        self._flushing = asyncio.create_task(self._flush())

    def _data(self, index: int) -> Any:
        node = self.tree.find(*self.members[index])
        return mms.DataAccessError.OBJECT_NON_EXISTENT if node is None else model.data_of(node)

    async def _flush(self) -> None:
        while self.enabled and self.owner is not None and self.unsent:
            entry = self.entries[len(self.entries) - self.unsent]
            self.unsent -= 1
            self._set("EntryID", mms.OctetStringData(entry.identifier))
            self._set("TimeofEntry", mms.BinaryTimeData(_EntryMoment(entry.moment)))
            with contextlib.suppress(ConnectionError):
                await self.owner.send_unconfirmed(self._report(entry))

    def _report(self, entry: Entry) -> Any:
        options = list(self._value("OptFlds"))
        number, self._sequence = self._sequence, (self._sequence + 1) % (1 << (16 if self.buffered else 8))
        included = [index in entry.values for index in range(len(self.members))]
        options[OVERFLOW], options[ENTRY] = options[OVERFLOW] and self.buffered, options[ENTRY] and self.buffered
        optional = (
            (SEQUENCE, mms.UnsignedData(number)),
            (TIME, mms.BinaryTimeData(_EntryMoment(entry.moment))),
            (DATA_SET, mms.VisibleStringData(str(self._value("DatSet")))),
            (OVERFLOW, mms.BooleanData(self.overflowed)),
            (ENTRY, mms.OctetStringData(entry.identifier)),
            (REVISION, mms.UnsignedData(int(self._value("ConfRev")))),
        )
        fields = [mms.VisibleStringData(str(self._value("RptID")) or self.reference), mms.BitStringData(options)]
        fields += [value for bit, value in optional if options[bit]]
        fields.append(mms.BitStringData(included))
        if options[REFERENCE]:
            fields += [mms.VisibleStringData("/".join(self.members[index])) for index in entry.values]
        fields += list(entry.values.values())
        if options[REASON]:
            fields += [_reason(entry.reasons[index]) for index in entry.values]
        self._set("SqNum", mms.UnsignedData(number))
        self.overflowed = False
        return mms.InformationReportUnconfirmed(mms.VmdSpecificObjectName("RPT"), fields)

    # ---------------------------------------------------------------- attributes

    def _attributes(self) -> dict[str, Leaf]:
        options = [False, True, True, True, True, False, self.buffered, self.buffered, True, False]
        triggers = [False, True, True, False, True, True]
        leaves = {
            "RptID": model.text(""),
            "RptEna": model.boolean(),
            "DatSet": model.text("/".join(self.data_set)),
            "ConfRev": model.unsigned(1),
            "OptFlds": Leaf(mms.BitStringTypeDescription(-10), mms.BitStringData(options)),
            "BufTm": model.unsigned(0),
            "SqNum": model.unsigned(0, 16 if self.buffered else 8),
            "TrgOps": Leaf(mms.BitStringTypeDescription(-6), mms.BitStringData(triggers)),
            "IntgPd": model.unsigned(0),
            "GI": model.boolean(),
        }
        if self.buffered:
            leaves |= {
                "PurgeBuf": model.boolean(),
                "EntryID": Leaf(mms.OctetStringTypeDescription(8), mms.OctetStringData(NO_ENTRY)),
                "TimeofEntry": Leaf(
                    mms.BinaryTimeTypeDescription(True), mms.BinaryTimeData(_EntryMoment(datetime(1984, 1, 1, tzinfo=UTC)))
                ),
                "ResvTms": model.integer(0, 16),
            }
        else:
            leaves = {"RptID": leaves.pop("RptID"), "RptEna": leaves.pop("RptEna"), "Resv": model.boolean(), **leaves}
        for name, leaf in leaves.items():
            if name not in ("ConfRev", "SqNum", "TimeofEntry"):
                leaf.on_write = self._writer(name)
        return leaves

    def _writer(self, name: str) -> Any:
        async def write(connection: Any, data: Any) -> Any:
            if self.owner not in (None, connection):
                return DENIED
            if type(data) is not type(self._leaf(name).value):
                return mms.DataAccessError.TYPE_INCONSISTENT
            return await self._write(name, connection, data)

        return write

    async def _write(self, name: str, connection: Any, data: Any) -> Any:
        if name == "RptEna":
            return self._enable(connection) if data.value else self._disable()
        if name == "GI":
            return self._interrogate() if data.value else None
        if self.enabled:
            return BUSY
        if name == "EntryID":
            return self._resync(bytes(data.value))
        if name == "PurgeBuf":
            self._purge(really=bool(data.value))
            return None
        if name == "Resv":
            self.owner = connection if data.value else None
        if name in _CONFIGURATION and self.buffered and data != self._leaf(name).value:
            self._purge(really=True)  # what is buffered belongs to the old configuration
        self._set(name, data)
        return None

    def _enable(self, connection: Any) -> Any:
        if self.enabled:
            return None
        self.owner, self._sequence = connection, 0
        self._set("RptEna", mms.BooleanData(True))
        if not self.buffered:
            self.entries.clear()
            self.unsent = 0
        self._flush_soon()
        return None

    def _disable(self) -> Any:
        self._set("RptEna", mms.BooleanData(False))
        return None

    def _interrogate(self) -> Any:
        if not self.enabled or not self._triggers("general"):
            return BUSY
        self._keep(dict.fromkeys(range(len(self.members)), "general"), datetime.now(UTC))
        self._flush_soon()
        return None

    def _resync(self, identifier: bytes) -> Any:
        """Reporting goes on after that entry; zeros stand before the first."""
        if identifier == NO_ENTRY:
            self.unsent = len(self.entries)
            return None
        for position, entry in enumerate(self.entries, 1):
            if entry.identifier == identifier:
                self.unsent = len(self.entries) - position
                self._set("EntryID", mms.OctetStringData(identifier))
                return None
        return INVALID

    def _purge(self, *, really: bool) -> None:
        if really:
            self.entries.clear()
            self.unsent, self.overflowed = 0, False

    def _leaf(self, name: str) -> Leaf:
        leaf = self.branch.parts[name]
        if not isinstance(leaf, Leaf):
            raise TypeError(name)
        return leaf

    def _value(self, name: str) -> Any:
        return self._leaf(name).value.value

    def _set(self, name: str, data: Any) -> None:
        if name in self.branch.parts:
            self._leaf(name).value = data


def _reason(word: str) -> Any:
    return mms.BitStringData([index == REASONS[word] for index in range(6)])


def instances(
    tree: Model, domain: str, name: str, data_set: Member, *, buffered: bool, count: int, node: str = "LLN0"
) -> list[ReportBlock]:
    """The instances of one block, numbered from 01: one client each."""
    return [ReportBlock(tree, domain, node, f"{name}{number:02d}", data_set, buffered=buffered) for number in range(1, count + 1)]
