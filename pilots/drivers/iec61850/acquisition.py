"""What runs while an association stands: learning types, taking reports, reading the rest, storing. [zone: field]"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import MutableMapping, Sequence

from pilots.domain.errors import AnswerTimeout, DeviceRefused, FieldError, LinkDown, ProtocolViolation
from pilots.domain.measurement import RawReading
from pilots.drivers.base import DeviceTarget, Sink
from pilots.drivers.iec61850.acsi import Server
from pilots.drivers.iec61850.blocks import Block, Blocks, ReportOptions, group_of
from pilots.drivers.iec61850.cycle import Cycle
from pilots.drivers.iec61850.intake import Intake, store
from pilots.drivers.iec61850.link import Link
from pilots.drivers.iec61850.mms import Name
from pilots.drivers.iec61850.names import Place, prefix_of
from pilots.drivers.iec61850.options import Options
from pilots.drivers.iec61850.sources import Source, source_of
from pilots.drivers.iec61850.values import UNREAD

log = logging.getLogger(__name__)

#: Tries for the buffered block whose events we have up to a point, before another instance of it is good enough.
PATIENCE = 6
#: Which blocks each device's configuration names; None leaves the choice to us.
Wanted = Sequence[tuple[DeviceTarget, Sequence[ReportOptions] | None]]


class Acquisition:
    """Values of one association, from `start` to `stop`."""

    def __init__(
        self, link: Link, server: Server, sink: Sink, memory: MutableMapping[Name, bytes], counts: Counter[str], options: Options
    ) -> None:
        self.intake = Intake(link, sink, memory, counts)
        self._link, self._server, self._sink, self._counts, self._options = link, server, sink, counts, options
        self._blocks = Blocks(server, memory, counts)
        self._candidates: list[Block] = []
        self._missed: Counter[Name] = Counter()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, places: Sequence[Place], wanted: Wanted) -> None:
        self._tasks = [
            asyncio.create_task(self._work(places, wanted), name="iec61850 reports and reads"),
            asyncio.create_task(self.intake.store_forever(), name="iec61850 commits"),
        ]

    async def stop(self) -> None:
        """Nothing of it runs on. What was received and not yet stored is not remembered either: it will come again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, places: Sequence[Place], wanted: Wanted) -> None:
        """Outermost loop of an association's acquisition: whatever ends it ends the connection."""
        try:
            sources = await self._learn(places)
            self._candidates = await self._find_blocks(sources, wanted)
            await self._subscribe(sources)
            await self._keep_current(sources)
        except FieldError as error:
            self._note(error)
            self._link.fail(error)
        except Exception as error:
            log.exception("%s: acquisition ended", self._link)
            self._link.fail(LinkDown(f"acquisition ended: {error}"))

    # ---------------------------------------------------------------- at the start

    async def _learn(self, places: Sequence[Place]) -> list[Source]:
        """The points' sources; a point that the device does not have is stored as invalid, once."""
        objects = dict.fromkeys(place.data_object for place in places)
        # As many at once as the device takes; what fails here fails again below, where it is told.
        await asyncio.gather(*(self._server.type_of(name) for name in objects), return_exceptions=True)
        sources: list[Source] = []
        missing: dict[str, list[RawReading]] = {}
        for place in places:
            try:
                sources.append(source_of(place, await self._server.type_of(place.data_object)))
            except (DeviceRefused, ProtocolViolation) as refused:
                log.warning("%s/%s: %s", place.device_id, place.spec.name, refused)
                self._note(refused)
                self._counts["unknown_points"] += 1
                missing.setdefault(place.device_id, []).append(RawReading(place.spec.name, None, UNREAD))
        await store(self._sink, missing)
        return sources

    async def _find_blocks(self, sources: Sequence[Source], wanted: Wanted) -> list[Block]:
        found: list[Block] = []
        for device, options in wanted:
            if options is not None:
                found += await self._blocks.configured(options, prefix_of(device.address))
            else:
                own = [source.place.name for source in sources if source.place.device_id == device.id]
                nodes = {Name(name.domain, name.item.partition("$")[0]) for name in own}
                found += await self._blocks.found(nodes | {Name(name.domain, "LLN0") for name in own})
        return list({block.name: block for block in found}.values())

    async def _subscribe(self, sources: Sequence[Source]) -> None:
        """Every block that tells more than those we hold already is asked to report to us; ours of last time first."""
        for block in sorted(self._candidates, key=lambda each: not self._blocks.knows(each)):
            uncovered = [source for source in sources if source.key not in self.intake.covered]
            if not uncovered:
                return
            held = any(group_of(subscription.block) == block.group for subscription in self.intake.subscriptions)
            if not held and not self._waits_for_sibling(block) and not await self._take(block, uncovered):
                self._missed[block.name] += 1

    async def _take(self, block: Block, uncovered: Sequence[Source]) -> bool:
        subscription = await self._blocks.hold(block, uncovered)
        if subscription is None:
            return False
        self.intake.subscriptions.append(subscription)  # before it starts: the first report may overtake the answer
        try:
            await self._blocks.start(subscription)
        except DeviceRefused as refused:
            self.intake.subscriptions.remove(subscription)
            log.info("%s does not start: %s", block.name, refused)
            return False
        return True

    def _waits_for_sibling(self, block: Block) -> bool:
        """Whether another instance holds events for us: the device may not have noticed yet that our last connection died."""
        siblings = [each for each in self._candidates if each.group == block.group and each.name != block.name]
        return any(self._blocks.knows(each) and 0 < self._missed[each.name] < PATIENCE for each in siblings)

    # ---------------------------------------------------------------- from then on

    async def _keep_current(self, sources: Sequence[Source]) -> None:
        loop = asyncio.get_running_loop()
        cycle = Cycle(self._server, sources, idle_s=self._options.idle_read_s, now=loop.time(), counts=self._counts)
        retry = loop.time() + self._options.retry_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(cycle.due, retry)):
                    await self.intake.lost_one.wait()
            await self._renew_stale()
            if cycle.due <= loop.time():
                await self._read_next(cycle)
            if retry <= loop.time():
                await self._subscribe(sources)
                retry = loop.time() + self._options.retry_s

    async def _read_next(self, cycle: Cycle) -> None:
        """A device that answers late or wrongly has missed a cycle; whether it is still there the keep-alive tells."""
        try:
            readings = await cycle.ask_next(self.intake.covered, asyncio.get_running_loop().time())
        except (AnswerTimeout, DeviceRefused, ProtocolViolation) as error:
            self._counts["reads_failed"] += 1
            self._note(error)
            return
        await store(self._sink, readings)

    def _note(self, error: FieldError) -> None:
        if isinstance(error, ProtocolViolation):
            self._link.traffic.note_violation("answer")

    async def _renew_stale(self) -> None:
        self.intake.lost_one.clear()
        stale, self.intake.stale = self.intake.stale, set()
        for block in stale:
            await self._blocks.renew(block)
