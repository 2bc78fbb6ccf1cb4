"""What both modes of an FT1.2 link have in common: its end, its one running task, its received ASDUs. [zone: field]

Source: IEC 60870-5-101:2003, 6: an unbalanced and a balanced link carry the same ASDUs.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from pilots.domain.errors import DeviceRefused, FieldError, LinkDown, ProtocolViolation
from pilots.drivers.iec101 import ft12
from pilots.drivers.iec101.carrier import Carrier
from pilots.drivers.iec101.commits import Commits
from pilots.drivers.iec101.ft12 import Frame
from pilots.drivers.iec101.line import Line
from pilots.drivers.iec101.options import LineOptions, Timing
from pilots.drivers.iec101.outgoing import Outgoing, Queue
from pilots.drivers.traffic import Traffic

logger = logging.getLogger(__name__)
Item = TypeVar("Item")

#: So many ASDUs that cannot be read, and never one that can, are no accident.
UNREADABLE = 3
REFUSALS = frozenset({ft12.NACK, ft12.NOT_FUNCTIONING, ft12.NOT_IMPLEMENTED})
CONFIRMS = REFUSALS | {ft12.ACK}
STATUS_ANSWERS = REFUSALS | {ft12.STATUS}


class Ft12Link(ABC, Generic[Item]):
    """An AsduLink (iec60870/link.py) on a `Line`; `attach` gives it its carrier, `start` begins."""

    def __init__(
        self,
        *,
        options: LineOptions,
        timing: Timing,
        receive: Callable[[bytes], Item],
        commit: Callable[[list[Item]], Awaitable[None]],
        on_closed: Callable[[], None],
        traffic: Traffic,
    ) -> None:
        self.ended = False
        self.failure: FieldError | None = None
        self.options, self.timing, self.traffic = options, timing, traffic
        self._receive, self._on_closed = receive, on_closed
        self._loop = asyncio.get_running_loop()
        self.line = Line(options, timing, traffic, self._on_request)
        self._commits = Commits(commit, self._fail)
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._unreadable: int | None = 0  # in a row from the start; None once a readable one came

    def attach(self, carrier: Carrier) -> None:
        self.line.attach(carrier)

    @abstractmethod
    async def start(self) -> None:
        """The link layer of the other end is reset; what it tells flows. Raises FieldError."""

    @abstractmethod
    async def send(self, asdu: bytes, *, before: float | None = None) -> None:
        """The other end's link layer has it. Raises NotSent, LinkDown: it did not leave; AnswerTimeout, DeviceRefused."""

    @abstractmethod
    def _queues(self) -> Iterable[Queue]:
        """Where user data wait."""

    @abstractmethod
    def _on_request(self, frame: Frame) -> None:
        """Takes a frame of a primary station that is not our own echo."""

    @abstractmethod
    async def _work(self) -> None:
        """Returns once the link has ended. Raises FieldError when it ends by that."""

    async def close(self) -> None:
        """Nothing runs on, the last commit was awaited for a moment. Never raises; twice is once."""
        self._end(None)
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
        await self._commits.end()

    def on_lost(self, reason: str) -> None:
        """The carrier is gone."""
        self._fail(LinkDown(reason))

    def _begin(self) -> None:
        self._running = self._loop.create_task(self._run(), name=f"iec101 {self.options.mode}")

    async def _run(self) -> None:
        """Outermost loop of the sending side."""
        try:
            await self._work()
        except FieldError as failure:
            self._fail(failure)
        except Exception as error:
            logger.exception("work on the line ended")
            self._fail(LinkDown(f"work on the line ended: {error}"))

    def _fail(self, failure: FieldError) -> None:
        if not self.ended:
            self.traffic.violations += isinstance(failure, ProtocolViolation)
            self._end(failure)

    def _end(self, failure: FieldError | None) -> None:
        """The link takes part in nothing any more; whoever waits for it learns why."""
        if self.ended:
            return
        self.ended, self.failure = True, failure
        for queue in self._queues():
            queue.fail(failure if isinstance(failure, LinkDown) else LinkDown("the connection is closed"))
        self.line.close(failure)
        self._wake.set()
        self._on_closed()

    # ---------------------------------------------------------------- for both directions

    def _deliver(self, asdu: bytes, committed: Callable[[], None]) -> bool:
        """Whether the ASDU is on its way into the store. Raises ProtocolViolation when it seems that none can be read."""
        try:
            item = self._receive(asdu)
        except ProtocolViolation as violation:
            self._note_unreadable(violation)
            return False
        self._unreadable = None
        self._commits.put(item, committed)
        return True

    def _note_unreadable(self, violation: ProtocolViolation) -> None:
        """Dropped and counted: left unconfirmed, the station would send it for ever."""
        self.traffic.note_violation("asdu")
        logger.warning("%s", violation)
        if self._unreadable is not None:
            self._unreadable += 1
            if self._unreadable >= UNREADABLE:
                raise violation

    def _settle(self, item: Outgoing, answer: Frame) -> bool:
        """Whether `item` has its outcome; else the link layer had no room and does not have it."""
        if accepted(answer):
            item.confirm()
            return True
        if answer.single or answer.function == ft12.NACK:
            return False
        words = ft12.SECONDARY_WORDS[answer.function]
        item.fail(DeviceRefused(f"the station's {words}", device_code=f"link function {answer.function}"))
        return True


def accepted(answer: Frame) -> bool:
    """Whether a secondary's frame says yes."""
    return answer.raw[0] == ft12.SINGLE_ACK if answer.single else answer.function == ft12.ACK
