"""What a controlling station asks by itself: clock, interrogations of stations, groups and counters, tests. [zone: field]

Source: IEC 60870-5-101:2003, 7.4.5-7.4.8, 7.4.11; IEC 60870-5-5:1995, 6.6-6.9, 6.11. At the start and after a restart of the
station (M_EI_NA_1): clock, everything, counters; then each by its own period.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.activations import Activation, Activations
from pilots.drivers.iec60870.asdu import Asdu, InformationObject
from pilots.drivers.iec60870.options import FREEZES, StationOptions

logger = logging.getLogger(__name__)

RETRY_S = 60.0  # an interrogation that failed does not wait for a long period
TEST_PATTERN = 0x55AA  # FBP of C_TS_NA_1


@dataclass(order=True, slots=True)
class _Due:
    """One thing to ask of a station, again and again; equal moments go by rank."""

    at: float
    rank: int
    period_s: float = field(compare=False)
    name: str = field(compare=False)
    ask: Callable[[], Awaitable[object]] = field(compare=False)


class Interrogations:
    """Everything that is asked of the stations of one connection without anybody having ordered it."""

    def __init__(
        self,
        activations: Activations,
        options: StationOptions,
        counts: Counter[str],
        *,
        name: str,
        wants_counters: bool,
        sync_clock: Callable[[int], Awaitable[None]],
        one_at_a_time: bool,
        test_type: int,
    ) -> None:
        self._activations, self._options, self._counts, self._name = activations, options, counts, name
        self._wants_counters, self._sync_clock, self._test_type = wants_counters, sync_clock, test_type
        self._turn = asyncio.Lock() if one_at_a_time else None
        self._turns: dict[int, asyncio.Lock] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._restarted: dict[int, asyncio.Event] = {}
        self._failing: set[tuple[int, str]] = set()
        self._tests = 0

    # ---------------------------------------------------------------- by itself

    def start(self, common_addresses: Iterable[int]) -> None:
        """Each station is asked by a task of its own until `cancel`."""
        for common_address in common_addresses:
            self._restarted[common_address] = asyncio.Event()
            name = f"iec60870 interrogations {self._name} {common_address}"
            self._tasks[common_address] = asyncio.create_task(self._keep_asking(common_address), name=name)

    def cancel(self) -> None:
        """Nothing more is asked; may be called by what the tasks themselves wait for."""
        for task in self._tasks.values():
            task.cancel()

    async def stopped(self) -> None:
        """After `cancel`: no task is left."""
        tasks, self._tasks = set(self._tasks.values()), {}
        if tasks:
            await asyncio.wait(tasks)

    def restart(self, common_address: int) -> None:
        """The station has started anew: what it was told is forgotten, what it told may be old."""
        restarted = self._restarted.get(common_address)
        if restarted is not None:
            restarted.set()
            self._activations.abandon_interrogations(common_address)

    async def _keep_asking(self, common_address: int) -> None:
        restarted = self._restarted[common_address]
        while True:
            restarted.clear()
            agenda = self._agenda(common_address)
            while not await self._is_set_before(restarted, agenda[0].at if agenda else None):
                due = heapq.heappop(agenda)
                succeeded = await self._asked(common_address, due)
                next_at = self._next_at(due, succeeded)
                if next_at is not None:
                    due.at = next_at
                    heapq.heappush(agenda, due)

    def _agenda(self, common_address: int) -> list[_Due]:
        now, options = asyncio.get_running_loop().time(), self._options
        agenda = [_Due(now, 1, options.gi_period_s, "interrogation", lambda: self.interrogate(common_address))]
        if options.clock_sync:
            agenda.append(_Due(now, 0, options.clock_period_s, "clock", lambda: self._sync_clock(common_address)))
        if self._wants_counters:
            agenda.append(_Due(now, 2, options.counter_period_s, "counters", lambda: self.count(common_address)))
        for group, period_s in options.groups.items():
            agenda.append(_Due(now + period_s, 3, period_s, f"group {group}", self._group(common_address, group)))
        for group, period_s in options.counter_groups.items():
            ask = self._counter_group(common_address, group)
            agenda.append(_Due(now + period_s, 4, period_s, f"counter group {group}", ask))
        if options.test_period_s:
            period_s = options.test_period_s
            agenda.append(_Due(now + period_s, 5, period_s, "test", lambda: self._test(common_address)))
        heapq.heapify(agenda)
        return agenda

    def _group(self, common_address: int, group: int) -> Callable[[], Awaitable[object]]:
        return lambda: self.interrogate(common_address, group)

    def _counter_group(self, common_address: int, group: int) -> Callable[[], Awaitable[object]]:
        return lambda: self.count(common_address, group)

    async def _is_set_before(self, event: asyncio.Event, moment: float | None) -> bool:
        try:
            async with asyncio.timeout_at(moment):
                return await event.wait()
        except TimeoutError:
            return event.is_set()

    async def _asked(self, common_address: int, due: _Due) -> bool:
        key = (common_address, due.name)
        try:
            await due.ask()
        except (AnswerTimeout, DeviceRefused, LinkDown) as error:
            self._counts["interrogations_failed"] += 1
            if key not in self._failing:
                self._failing.add(key)
                logger.warning("%s, common address %s: %s: %s", self._name, common_address, due.name, error)
            return False
        self._failing.discard(key)
        return True

    def _next_at(self, due: _Due, succeeded: bool) -> float | None:
        """Late cycles are skipped, never made up for. None: never again."""
        now = asyncio.get_running_loop().time()
        if not succeeded and due.name == "interrogation":
            return now + min(due.period_s or RETRY_S, RETRY_S)
        if not due.period_s:
            return None
        return due.at + due.period_s * max(1, math.ceil((now - due.at) / due.period_s))

    # ---------------------------------------------------------------- one at a time

    async def interrogate(self, common_address: int, group: int = 0) -> int:
        """The number of objects that an interrogation of everything, or of one group, brought.

        Raises AnswerTimeout, DeviceRefused, LinkDown.
        """
        item = InformationObject(0, asdu.STATION_INTERROGATION + group)
        async with self._my_turn(common_address):
            return await self._collected(self._activations.request(asdu.C_IC, common_address, item))

    async def count(self, common_address: int, group: int = asdu.GENERAL_COUNTERS) -> int:
        """The number of counters that came, frozen before or reset after where the options say so. Raises as above."""
        freeze = FREEZES[self._options.counter_freeze]
        async with self._my_turn(common_address):
            if freeze in (FREEZES["freeze"], FREEZES["freeze_reset"]):
                await self._confirmed(self._counters(common_address, group, freeze))
            objects = await self._collected(self._counters(common_address, group, FREEZES["read"]))
            if freeze == FREEZES["reset"]:
                await self._confirmed(self._counters(common_address, group, freeze))
            return objects

    async def _test(self, common_address: int) -> None:
        self._tests = (self._tests + 1) % 0x10000
        pattern, time = (TEST_PATTERN, None) if self._test_type == asdu.C_TS_NA else (self._tests, datetime.now(UTC))
        item = InformationObject(0, pattern, time=time)
        await self._confirmed(self._activations.request(self._test_type, common_address, item))

    def _counters(self, common_address: int, group: int, freeze: int) -> Asdu:
        return self._activations.request(asdu.C_CI, common_address, InformationObject(0, group | freeze << 6))

    def _my_turn(self, common_address: int) -> asyncio.Lock:
        return self._turn or self._turns.setdefault(common_address, asyncio.Lock())

    async def _confirmed(self, request: Asdu) -> None:
        with self._activations.opened(request) as activation:
            await self._activations.confirmed(activation)

    async def _collected(self, request: Asdu) -> int:
        """Answered and told to be complete, or silent for `gi_timeout_s` (counted: some stations never say so)."""
        with self._activations.opened(request) as activation:
            await self._activations.confirmed(activation)
            activation.heard = asyncio.get_running_loop().time()
            if not await self._ended(activation):
                self._counts["interrogations_unterminated"] += 1
            return activation.objects

    async def _ended(self, activation: Activation) -> bool:
        """As long as objects come, a slow line has time."""
        loop, patience_s = asyncio.get_running_loop(), self._options.gi_timeout_s
        while activation.heard + patience_s > loop.time():
            await asyncio.wait((activation.ended,), timeout=activation.heard + patience_s - loop.time())
            if activation.ended.done():
                activation.ended.result()
                return True
        return False
