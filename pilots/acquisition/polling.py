"""Asks the devices of one connection in turn, each by its periods, and lets no silent one delay its neighbours. [station]

A line is asked in cycles as long as its shortest period. Questions fill the first half of a cycle; the second half is for
set-points and for devices that did not answer last time: those are asked only in a gap, and for no longer than it lasts.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown, ProtocolViolation
from pilots.domain.measurement import RawReading
from pilots.drivers.base import Driver, Target
from pilots.drivers.figures import PollCounters
from pilots.models.leases import HeldLease

log = logging.getLogger(__name__)

BUSY_SHARE = 0.5
#: A gap of this share of a cycle is long enough to ask a silent device in.
GAP_SHARE = 0.4
#: A line that never has such a gap gives a silent device this share of a cycle, and not before so many cycles.
FORCED_SHARE, FORCED_AFTER = 0.1, 3
#: So many questions in a row without a single frame: nobody is there.
UNHEARD = 3


@dataclass(order=True, slots=True)
class Slot:
    """One device's points of one period, due again and again at `phase` + n periods (loop time, seconds)."""

    due: float
    device: str = field(compare=False)
    points: Sequence[str] = field(compare=False)
    period_s: float = field(compare=False)
    phase: float = field(compare=False)
    #: False until it was asked once: the first round runs as fast as the line carries it.
    on_grid: bool = field(compare=False, default=False)

    def next_due(self, now: float) -> float:
        """The first moment of the grid at least half a period from now.

        >>> Slot(0, "m", ("p",), 10, 3).next_due(2), Slot(0, "m", ("p",), 10, 3).next_due(9)
        (13.0, 23.0)
        """
        return self.phase + -((self.phase - now - self.period_s / 2) // self.period_s) * self.period_s


@dataclass(slots=True)
class Silent:
    """A device that did not answer last time (`cause`): its slots rest, the most frequent one is asked in gaps."""

    next_try: float
    cause: Slot
    slots: list[Slot]

    @property
    def question(self) -> Slot:
        return min(self.slots, key=lambda slot: slot.period_s)


class Lateness:
    """How late polls start, in whole milliseconds, of all connections of a gateway."""

    def __init__(self) -> None:
        self._counts = [0] * 1001

    def note(self, seconds: float) -> None:
        self._counts[min(1000, max(0, int(seconds * 1000)))] += 1

    def quantile_ms(self, share: float) -> int:
        """Milliseconds (1000: or more) that this share of the polls noted so far did not exceed.

        >>> late = Lateness()
        >>> late.note(0.0021), late.note(5), late.quantile_ms(0.5), late.quantile_ms(0.99)
        (None, None, 2, 1000)
        """
        wanted, seen = share * sum(self._counts), 0
        for milliseconds, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return milliseconds
        return 1000

    def clear(self) -> None:
        self._counts = [0] * 1001


#: Told of every answer: device and readings, or None for an answer without any (a refusal).
Take = Callable[[str, Sequence[RawReading] | None], None]


class Poller:
    """Polls one open driver for as long as the lease allows it."""

    def __init__(
        self, driver: Driver, slots: list[Slot], *, lease: HeldLease, take: Take, counters: PollCounters, lateness: Lateness
    ) -> None:
        self._driver, self._slots, self._lease, self._take = driver, slots, lease, take
        self._counters, self._lateness = counters, lateness
        self._silent: dict[str, Silent] = {}
        self._pause: asyncio.Future[None] | None = None
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        self._frames = driver.traffic.heard
        #: Devices asked in vain since the last frame came, with whether each had answered the time before.
        self._unheard: list[tuple[str, bool]] = []

    def stop(self) -> None:
        """The connection has ended, or another way is better: `run` returns after the question that is under way."""
        self._stopped = True
        self._end_pause()

    def _end_pause(self) -> None:
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)

    async def run(self) -> None:
        """Until `stop`. Raises LinkDown, also when nobody answers any more."""
        loop, slots = self._loop, self._slots
        while not self._stopped:
            now = loop.time()
            gap_s = slots[0].due - now if slots else float("inf")
            if gap_s <= 0:
                await self._poll(slots[0], now)
                continue
            silent = self._to_try(now, gap_s) if self._silent else None
            if silent is not None:
                await self._try(silent, gap_s)
            else:
                await self._sleep(min(gap_s, self._until_next_try(now)))

    # The living

    async def _poll(self, slot: Slot, now: float) -> None:
        if slot.on_grid:
            self._lateness.note(now - slot.due)
        if await self._ask(slot, None):
            slot.due = self._next_due(slot)
            slot.on_grid = True
            heapq.heapreplace(self._slots, slot)
        else:
            self._rest(slot)

    def _next_due(self, slot: Slot) -> float:
        """A late poll is skipped and counted: cycles never pile up."""
        now = self._loop.time()
        if not slot.on_grid:
            return slot.next_due(now)
        following = slot.due + slot.period_s
        if following < now:
            missed = int((now - following) / slot.period_s) + 1
            self._counters.skipped += missed
            following += missed * slot.period_s
        return following

    async def _ask(self, slot: Slot, within_s: float | None) -> bool:
        """Whether the device answered, be it with a refusal. Raises LinkDown."""
        if not self._lease.usable:
            raise LinkDown("This gateway's lease on the connection has run out.")
        self._counters.polls += 1
        asked_at, sent = self._loop.time(), self._driver.traffic.sent
        try:
            async with asyncio.timeout(within_s):
                readings = await self._driver.read(slot.device, slot.points)
        except LinkDown:
            raise
        except DeviceRefused as error:
            self._note_failure(slot, error)
            self._take(slot.device, None)
            return True
        except (AnswerTimeout, ProtocolViolation, TimeoutError) as error:
            self._note_failure(slot, error)
            if self._driver.traffic.sent > sent:  # else the driver leaves the unit alone: that is no silence of it
                self._note_silence(slot, error)
            # A bad answer that came at once costs the others nothing; noise that took a time-out costs what silence does.
            took_s = self._loop.time() - asked_at
            return isinstance(error, ProtocolViolation) and took_s <= FORCED_SHARE * self._cycle_s
        self._unheard.clear()
        self._frames = self._driver.traffic.heard
        self._take(slot.device, readings)
        return True

    def _note_failure(self, slot: Slot, error: Exception) -> None:
        self._counters.failed += 1
        log.debug("%s: %s", slot.device, error)

    def _note_silence(self, slot: Slot, error: Exception) -> None:
        """Raises LinkDown when there is nobody at all."""
        heard = self._driver.traffic.heard > self._frames
        self._frames = self._driver.traffic.heard
        if heard and isinstance(error, AnswerTimeout):
            self._unheard.clear()
            self._take(slot.device, None)  # the gateway before the device has spoken
        else:
            self._unheard.append((slot.device, slot.device not in self._silent))
            self._check_anybody()

    def _check_anybody(self) -> None:
        """One silent device proves nothing; three that spoke before do, and three questions to all that are left."""
        living, asked = {slot.device for slot in self._slots}, {device for device, _ in self._unheard}
        spoke = sum(had_answered for _, had_answered in self._unheard)
        if spoke >= UNHEARD or (len(self._unheard) >= UNHEARD and living <= asked):
            raise LinkDown(f"{self._driver.target.place}: nobody has answered {len(self._unheard)} questions in a row.")

    # The silent

    def _rest(self, cause: Slot) -> None:
        """The device's slots leave the cycle; the next try is in a period."""
        own = [slot for slot in self._slots if slot.device == cause.device]
        self._slots[:] = [slot for slot in self._slots if slot.device != cause.device]
        heapq.heapify(self._slots)
        self._silent[cause.device] = silent = Silent(0.0, cause, own)
        silent.next_try = self._loop.time() + silent.question.period_s

    def _to_try(self, now: float, gap_s: float) -> Silent | None:
        """The silent device whose turn it is, if the gap is long enough."""
        silent = min(self._silent.values(), key=lambda each: each.next_try)
        if silent.next_try > now:
            return None
        cycle_s = self._cycle_s
        waited_s = now - silent.next_try
        return silent if gap_s >= cycle_s * GAP_SHARE or waited_s > FORCED_AFTER * cycle_s else None

    @property
    def _cycle_s(self) -> float:
        return min((slot.period_s for slot in self._slots), default=0.0)

    async def _try(self, silent: Silent, gap_s: float) -> None:
        slot = silent.question
        within_s = max(0.9 * gap_s, FORCED_SHARE * self._cycle_s) if self._slots else None
        if await self._ask(slot, within_s):
            self._wake(slot, silent)
        else:
            silent.next_try = max(silent.next_try + slot.period_s, self._loop.time() + slot.period_s / 2)

    def _wake(self, answered: Slot, silent: Silent) -> None:
        """It answers again: what rested is asked at once, but for the question that it did not answer."""
        now = self._loop.time()
        del self._silent[answered.device]
        for slot in silent.slots:
            slot.on_grid = slot is answered or slot is silent.cause
            slot.due = slot.next_due(now) if slot.on_grid else now
            heapq.heappush(self._slots, slot)

    def _until_next_try(self, now: float) -> float:
        """Until a silent device's turn comes; while one waits for a gap, the next slot ends the wait."""
        turns = [silent.next_try - now for silent in self._silent.values() if silent.next_try > now]
        return min(turns, default=float("inf"))

    async def _sleep(self, seconds: float) -> None:
        self._pause = self._loop.create_future()
        handle = self._loop.call_later(seconds, self._end_pause) if seconds != float("inf") else None
        try:
            await self._pause
        finally:
            self._pause = None
            if handle is not None:
                handle.cancel()


def poll_slots(target: Target, *, spread: str, now: float) -> list[Slot]:
    """A heap of what to ask and when, all due now for the first time.

    Phases follow from `spread`, the connection's name, so that thousands of connections are not asked in the same moment;
    those of one connection fill the first half of its cycle evenly.
    """
    groups: dict[float, list[tuple[str, list[str]]]] = defaultdict(list)
    for device in target.devices:
        periods: dict[float, list[str]] = defaultdict(list)
        for name, spec in device.points.items():
            if spec.period_s is not None and not spec.kind.writable:
                periods[spec.period_s].append(name)
        for period_s, names in periods.items():
            groups[period_s].append((device.id, names))
    if not groups:
        return []
    cycle_s, count = min(groups), sum(len(group) for group in groups.values())
    within, which = _fractions(spread)
    slots: list[Slot] = []
    for period_s, group in sorted(groups.items()):
        cycles = max(1, round(period_s / cycle_s))
        for index, (asked, names) in enumerate(group):
            cycle = (index * cycles // len(group) + int(which * cycles)) % cycles
            phase = (within + cycle + BUSY_SHARE * len(slots) / count) * cycle_s
            slots.append(Slot(now, asked, tuple(names), period_s, phase % period_s))
    heapq.heapify(slots)
    return slots


def _fractions(name: str) -> tuple[float, float]:
    """Two numbers from 0 to 1 that belong to this name."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32, int.from_bytes(digest[4:8], "big") / 2**32
