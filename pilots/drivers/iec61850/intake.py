"""From reports to committed values: in order, remembered only once they are stored. [zone: field]

MMS acknowledges no report. What stands for it is the EntryID of a buffered report: it is remembered after the commit, and
asked for after a reconnect. A peer that is faster than the database waits in TCP.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, MutableMapping, Sequence
from typing import NamedTuple

from pilots.domain.errors import LinkDown, ProtocolViolation
from pilots.domain.measurement import RawReading
from pilots.drivers.base import Sink
from pilots.drivers.iec61850.link import Link
from pilots.drivers.iec61850.mms import Name, Report
from pilots.drivers.iec61850.reports import Entry, Subscription, decode_report

log = logging.getLogger(__name__)

#: Reports waiting for their commit: beyond that the socket is not read.
MOST_WAITING = 256


class _Arrival(NamedTuple):
    subscription: Subscription
    entry: Entry
    readings: Mapping[str, list[RawReading]]


class Intake:
    """The reports of one association. `stale` holds the unbuffered subscriptions that lost a report."""

    def __init__(self, link: Link, sink: Sink, memory: MutableMapping[Name, bytes], counts: Counter[str]) -> None:
        self.link, self.counts = link, counts
        self.subscriptions: list[Subscription] = []
        self.stale: set[Name] = set()
        self.lost_one = asyncio.Event()
        self._sink, self._memory = sink, memory
        self._waiting: list[_Arrival] = []
        self._arrived = asyncio.Event()

    @property
    def covered(self) -> set[tuple[str, str]]:
        """The points that come by report."""
        return set().union(*(subscription.covered for subscription in self.subscriptions))

    def take(self, report: Report) -> None:
        """The report waits for its commit. One that nobody asked for or that cannot be read is counted."""
        try:
            entry = decode_report(report.values)
        except ProtocolViolation:
            self.link.traffic.note_violation("report")
            return
        subscription = next((each for each in self.subscriptions if each.takes(entry)), None)
        if subscription is None:
            self.counts["unknown_reports"] += 1
            return
        if any(member >= subscription.members for member in entry.values):
            self.link.traffic.note_violation("report")
            return
        self._check(subscription, entry)
        self._waiting.append(_Arrival(subscription, entry, subscription.readings(entry)))
        self._arrived.set()
        if len(self._waiting) >= MOST_WAITING:
            self.link.pause_reading()

    def _check(self, subscription: Subscription, entry: Entry) -> None:
        """Losses are counted; of an unbuffered block the present state is asked for again."""
        self.counts["buffer_overflows"] += entry.overflow
        if not subscription.is_gapless(entry):
            self.counts["reports_missed"] += 1
            if not subscription.buffered:
                self.stale.add(subscription.block)
                self.lost_one.set()

    async def store_forever(self) -> None:
        """Outermost loop of the receiving side: one commit after the other, everything that came in the meantime at once."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            self.link.resume_reading()
            try:
                await self._commit(batch)
            except Exception as error:
                log.exception("received reports could not be stored, the connection is given up without remembering them")
                self.link.fail(LinkDown(f"received values could not be stored: {error}"))
                return

    async def _commit(self, batch: Sequence[_Arrival]) -> None:
        readings: dict[str, list[RawReading]] = {}
        for arrival in batch:
            for device_id, of_device in arrival.readings.items():
                readings.setdefault(device_id, []).extend(of_device)
        await store(self._sink, readings)
        for subscription, entry, _ in batch:
            if subscription.buffered and entry.entry_id and not entry.more_follows:
                self._memory[subscription.block] = entry.entry_id


async def store(sink: Sink, readings: Mapping[str, list[RawReading]]) -> None:
    """Everything is committed: one sink call a device, all under way together, order kept inside each."""
    if len(readings) == 1:
        ((device_id, of_device),) = readings.items()
        await sink(device_id, of_device)
    elif readings:
        async with asyncio.TaskGroup() as group:
            for device_id, of_device in readings.items():
                group.create_task(_stored(sink, device_id, of_device))


async def _stored(sink: Sink, device_id: str, readings: Sequence[RawReading]) -> None:
    await sink(device_id, readings)
