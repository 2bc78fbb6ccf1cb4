"""Report control blocks: which there are, and taking one so that it reports to us and loses nothing. [zone: field]

IEC 61850-7-2, 17.2 (BRCB, URCB), IEC 61850-8-1, 17.1. We change as little as possible: each write to TrgOps, IntgPd or
OptFlds of a buffered block empties its buffer.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, fields

from pilots.domain.errors import CatalogueError, DeviceRefused, ProtocolViolation
from pilots.drivers.iec61850.acsi import Server
from pilots.drivers.iec61850.data import Bits, DataFailure, Type, Value
from pilots.drivers.iec61850.mms import Name
from pilots.drivers.iec61850.names import mms_name
from pilots.drivers.iec61850.reports import DATA_SET, ENTRY_ID, OVERFLOW, SEQUENCE_NUMBER, Subscription
from pilots.drivers.iec61850.sources import Extract, Source, extracts_of, is_part

log = logging.getLogger(__name__)

BUFFERED, UNBUFFERED = "BR", "RP"
#: Bits of TrgOps (IEC 61850-8-1, 8.1.3.9).
DATA_CHANGE, QUALITY_CHANGE, INTEGRITY, GENERAL_INTERROGATION = 1, 2, 4, 5
#: Seconds a buffered block stays ours after the connection is lost: long enough to come back.
RESERVED_S = 120
#: Written as EntryID it stands before the first entry: everything the buffer still holds is sent.
BEFORE_THE_FIRST = bytes(8)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportOptions:
    """One entry of the option `reports`: a block, or the name that its instances share (brcbA for brcbA01, brcbA02, ...)."""

    rcb: str
    buffered: bool = True
    integrity_s: float | None = None
    purge: bool = False

    @classmethod
    def of(cls, form: object) -> ReportOptions:
        """Raises CatalogueError."""
        known = {each.name for each in fields(cls)}
        if not isinstance(form, Mapping) or "rcb" not in form or set(form) - known:
            raise CatalogueError(f"an entry has {', '.join(sorted(known))}: {{rcb: LD0/LLN0.brcbA01}}", field="reports")
        if not re.fullmatch(r"[^/.]+/[^/.]+\.[^/.]+", str(form["rcb"])):
            raise CatalogueError(f"{form['rcb']!r} is no reference like LD0/LLN0.brcbA01", field="reports.rcb")
        return cls(**form)


@dataclass(frozen=True, slots=True)
class Block:
    """One report control block that may be taken; `options` where the configuration named it."""

    name: Name
    buffered: bool
    options: ReportOptions | None = None

    @property
    def group(self) -> str:
        return group_of(self.name)


def group_of(block: Name) -> str:
    """What a block's instances have in common: the name without its number."""
    return str(block).rstrip("0123456789")


class Blocks:
    """The report control blocks of one association. `memory` holds the last entry stored of each buffered one."""

    def __init__(self, server: Server, memory: MutableMapping[Name, bytes], counts: Counter[str]) -> None:
        self.server, self.memory, self.counts = server, memory, counts

    def knows(self, block: Block) -> bool:
        """Whether we have stored entries of it: it goes on where we stopped."""
        return block.name in self.memory

    # ---------------------------------------------------------------- which

    async def configured(self, options: Iterable[ReportOptions], prefix: str) -> list[Block]:
        """The blocks that the configuration names, instances in order. One that does not exist is logged and left out."""
        found = []
        for each in options:
            wanted = mms_name(prefix, each.rcb, BUFFERED if each.buffered else UNBUFFERED)
            present = await self._of_node(Name(wanted.domain, wanted.item.partition("$")[0]), buffered=each.buffered)
            chosen = [block for block in present if _is_instance(block.name.item, wanted.item)]
            if not chosen:
                self.counts["blocks_missing"] += 1
                log.warning("%s: there is no report control block %s", wanted.domain, wanted.item)
            found += [Block(block.name, block.buffered, each) for block in chosen]
        return found

    async def found(self, nodes: Collection[Name]) -> list[Block]:
        """Every block of these logical nodes, buffered ones first."""
        found = []
        for buffered in (True, False):
            for node in sorted(nodes):
                found += await self._of_node(node, buffered=buffered)
        return found

    async def _of_node(self, node: Name, *, buffered: bool) -> list[Block]:
        group = f"{node.item}${BUFFERED if buffered else UNBUFFERED}"
        try:
            kind = await self.server.type_of(Name(node.domain, group))
        except (DeviceRefused, ProtocolViolation):
            return []
        return [Block(Name(node.domain, f"{group}${part}"), buffered) for part in kind.parts]

    # ---------------------------------------------------------------- taking one

    async def hold(self, block: Block, sources: Collection[Source]) -> Subscription | None:
        """The block reports to us; None when it tells nothing of these points, somebody else has it or it cannot be read.

        Raises LinkDown, AnswerTimeout.
        """
        try:
            kind = await self.server.type_of(block.name)
            values = _parts(kind, await self.server.read_one(block.name))
            subscription = await self._subscription(block, values, sources)
            if subscription is None or values.get("RptEna") is True:
                return None
            await self._prepare(_Taking(block, kind, values, subscription), sources)
        except (DeviceRefused, ProtocolViolation) as refused:
            log.info("%s is not ours to take: %s", block.name, refused)
            return None
        return subscription

    async def start(self, subscription: Subscription) -> None:
        """Reports come from now on, the present state of everything first. Raises DeviceRefused when it is somebody else's."""
        await self._write(subscription.block, await self.server.type_of(subscription.block), "RptEna", True)
        await self.renew(subscription.block)

    async def renew(self, block: Name) -> None:
        """The block has been asked for the present state of everything (general interrogation)."""
        await self._try(block, await self.server.type_of(block), "GI", True)

    async def _subscription(self, block: Block, values: Mapping[str, Value], sources: Iterable[Source]) -> Subscription | None:
        data_set = str(values.get("DatSet", ""))
        domain, _, item = data_set.partition("/")
        if not item:
            return None
        members = await self.server.members(Name(domain, item))
        extracts = {index: told for index, member in enumerate(members) if (told := await self._extracts(member, sources))}
        own_id = str(values.get("RptID", ""))
        ids = frozenset(filter(None, (own_id, str(block.name))))
        subscription = Subscription(block.name, block.buffered, data_set, ids, len(members), extracts, self.counts)
        return subscription if subscription.covered else None

    async def _extracts(self, member: Name, sources: Iterable[Source]) -> list[Extract]:
        """What a member tells of these points; its type is asked only where it tells anything."""
        concerned = [source for source in sources if any(is_part(name, member) for _, name in source.named())]
        try:
            return extracts_of(member, await self.server.type_of(member), concerned) if concerned else []
        except DeviceRefused as refused:
            log.warning("%s stands in a data set, but its type is not told: %s", member, refused)
            return []

    async def _prepare(self, taking: _Taking, sources: Iterable[Source]) -> None:
        """Reserved, its options sufficient, a buffered one set to go on where we stopped. Raises DeviceRefused if taken."""
        block, kind = taking.block.name, taking.kind
        if "Resv" in kind.parts:
            await self._write(block, kind, "Resv", True)
        if isinstance(reserved := taking.values.get("ResvTms"), int) and reserved >= 0:
            await self._try(block, kind, "ResvTms", RESERVED_S)
        for attribute, value in taking.changes(_interval_s(taking, sources)):
            await self._try(block, kind, attribute, value)
        if taking.block.buffered:
            await self._resume(taking)

    async def _resume(self, taking: _Taking) -> None:
        """Entries come from the one after the last we stored; after a restart of ours from the first still there."""
        block, kind = taking.block.name, taking.kind
        last = self.memory.get(block)
        if last is None and taking.block.options is not None and taking.block.options.purge:
            await self._try(block, kind, "PurgeBuf", True)
            return
        if last is not None:
            if await self._try(block, kind, "EntryID", last):
                return
            self.counts["buffer_gaps"] += 1
            log.warning("%s no longer knows the last entry we stored: its buffer ran over or was cleared", block)
        await self._try(block, kind, "EntryID", BEFORE_THE_FIRST)

    async def _write(self, block: Name, kind: Type, attribute: str, value: Value) -> None:
        await self.server.write(Name(block.domain, f"{block.item}${attribute}"), kind.parts[attribute], value)

    async def _try(self, block: Name, kind: Type, attribute: str, value: Value) -> bool:
        """Whether the device took it: what is fixed by its configuration cannot be changed, and need not stop us."""
        if attribute not in kind.parts:
            return False
        try:
            await self._write(block, kind, attribute, value)
        except DeviceRefused as refused:
            self.counts["block_writes_refused"] += 1
            log.info("%s: %s stays as it is: %s", block, attribute, refused)
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Taking:
    """A block being taken: its type and the values it has now."""

    block: Block
    kind: Type
    values: Mapping[str, Value]
    subscription: Subscription

    def changes(self, interval_s: float | None) -> list[tuple[str, Value]]:
        """What must be written so that reports carry what we need; nothing that is so already."""
        options = (SEQUENCE_NUMBER, DATA_SET, *((OVERFLOW, ENTRY_ID) if self.block.buffered else ()))
        triggers = (DATA_CHANGE, QUALITY_CHANGE, GENERAL_INTERROGATION, *((INTEGRITY,) if interval_s else ()))
        wanted = [self._bits("OptFlds", options), self._bits("TrgOps", triggers)]
        period = self.values.get("IntgPd")
        if interval_s and isinstance(period, int) and not 0 < period <= round(1000 * interval_s):
            wanted.append(("IntgPd", round(1000 * interval_s)))
        return [change for change in wanted if change is not None]

    def _bits(self, attribute: str, needed: Iterable[int]) -> tuple[str, Value] | None:
        present = self.values.get(attribute)
        if not isinstance(present, Bits):
            return None
        value = present.value | Bits.of(present.length, *needed).value
        return None if value == present.value else (attribute, Bits(present.length, value))


def _interval_s(taking: _Taking, sources: Iterable[Source]) -> float | None:
    """How often the block must renew everything: as configured, else as its most demanding point asks."""
    options = taking.block.options
    if options is not None and options.integrity_s is not None:
        return options.integrity_s
    covered = taking.subscription.covered
    asked = [renewal_s(source) for source in sources if source.key in covered]
    return min(filter(None, asked), default=None)


def renewal_s(source: Source) -> float | None:
    """How often a point promises to be renewed."""
    spec = source.place.spec
    return spec.period_s or spec.max_interval_s


def _is_instance(item: str, wanted: str) -> bool:
    return item == wanted or (item.startswith(wanted) and item[len(wanted) :].isdigit())


def _parts(kind: Type, value: Value | DataFailure) -> dict[str, Value]:
    """A structure's parts by name. Raises DeviceRefused when it is none."""
    if not isinstance(value, tuple) or len(value) != len(kind.parts):
        raise DeviceRefused("the report control block has another form than its type", device_code="type-inconsistent")
    return dict(zip(kind.parts, value, strict=True))
