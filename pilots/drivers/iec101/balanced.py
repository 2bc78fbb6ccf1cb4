"""Our end of a balanced line: a primary for what we send, a secondary for what the station sends. [zone: field]

Source: IEC 60870-5-101:2003, 6.2.2 and IEC 60870-5-2:1992, 5 and 6. We are the controlling station: our frames carry DIR.
The station's frames are confirmed only after their data are committed; it repeats what we have not confirmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from pilots.domain.errors import AnswerTimeout, DeviceRefused, FieldError, LinkDown, ProtocolViolation
from pilots.drivers.iec101 import ft12
from pilots.drivers.iec101.ft12 import Frame
from pilots.drivers.iec101.link import CONFIRMS, STATUS_ANSWERS, Ft12Link, Item, accepted
from pilots.drivers.iec101.options import LineOptions, Timing
from pilots.drivers.iec101.outgoing import Outgoing, Queue
from pilots.drivers.traffic import Traffic

#: A station that never spoke may be an unbalanced one, which shows in its answer to a test.
UNSPOKEN_S = 2.0


class BalancedLink(Ft12Link[Item]):
    """An AsduLink to the one station at the other end; `on_restart()` tells that it reset our link after it had sent data."""

    def __init__(
        self,
        *,
        options: LineOptions,
        timing: Timing,
        address: int,
        receive: Callable[[bytes], Item],
        commit: Callable[[list[Item]], Awaitable[None]],
        on_closed: Callable[[], None],
        on_restart: Callable[[], None],
        traffic: Traffic,
    ) -> None:
        super().__init__(options=options, timing=timing, receive=receive, commit=commit, on_closed=on_closed, traffic=traffic)
        self.address, self._on_restart = address, on_restart
        # As primary.
        self._fcb = True  # of our next request that counts
        self._busy = False
        self._outgoing = Queue("the station", options.busy_limit_s)
        # As secondary.
        self._their_fcb: bool | None = None  # of their last request that counted
        self._reply = b""  # what it was answered with; empty while its data are not committed
        self._copied = 0.0  # when its newest copy came
        self._told = self._spoke = False

    def _queues(self) -> Iterable[Queue]:
        return [self._outgoing]

    async def start(self) -> None:
        """The station's link layer is reset. Raises AnswerTimeout, LinkDown, DeviceRefused."""
        await self._ask_status()
        answer = await self.line.ask(self._frame(ft12.PRM | ft12.RESET_LINK), partial(self._misfit, CONFIRMS), outlast=False)
        if answer is None:
            raise AnswerTimeout("the station tells its link status, but does not confirm a reset of the link")
        if not accepted(answer):
            raise DeviceRefused("the station refuses a reset of the link", device_code=f"link function {answer.function}")
        self._begin()

    # ---------------------------------------------------------------- as primary

    async def send(self, asdu: bytes, *, before: float | None = None) -> None:
        """The station's link layer has it. Raises NotSent, LinkDown: it did not leave; AnswerTimeout, DeviceRefused."""
        if self.ended:
            raise LinkDown("the connection is down")
        await self._outgoing.pass_on(asdu, before, self._wake.set)

    async def _work(self) -> None:
        """What waits leaves, one after the other; a line that was silent for long is tested."""
        while not self.ended:
            self._wake.clear()
            if self._outgoing and not self._busy:
                await self._send(self._outgoing.take())
            elif self._outgoing:
                await asyncio.sleep(self.options.poll_busy_s)
                await self._ask_status()
            elif await self._slept():
                await self._ask(ft12.TEST_LINK)

    async def _slept(self) -> bool:
        """Whether nothing woke us and nothing was heard for a test interval: a short one until the station spoke itself."""
        interval = self.options.test_interval_s if self._spoke else min(self.options.test_interval_s, UNSPOKEN_S)
        due = max(self.line.last_octet, self._loop.time() - interval) + interval
        try:
            async with asyncio.timeout_at(due):
                await self._wake.wait()
        except TimeoutError:
            return self.line.last_octet + interval <= self._loop.time() + 0.001
        return False

    async def _send(self, item: Outgoing) -> None:
        try:
            answer = await self._ask(ft12.SEND_CONFIRM, item.asdu)
        except (FieldError, asyncio.CancelledError):
            item.fail(AnswerTimeout("the connection was lost: whether the station took the data is unknown"))
            raise
        if not self._settle(item, answer):
            self._busy = True
            self._outgoing.put_back(item)

    async def _ask_status(self) -> None:
        """Whether its buffer is full is known. Raises AnswerTimeout."""
        request = self._frame(ft12.PRM | ft12.REQUEST_STATUS)
        answer = await self.line.ask(request, partial(self._misfit, STATUS_ANSWERS, single=False), outlast=False)
        if answer is None:
            raise AnswerTimeout("the station does not answer")
        self._busy = answer.busy

    async def _ask(self, function: int, data: bytes = b"") -> Frame:
        """The answer to a request that counts. Raises AnswerTimeout: then the link is lost."""
        control = ft12.PRM | ft12.FCV | function | (ft12.FCB if self._fcb else 0)
        answer = await self.line.ask(self._frame(control, data), partial(self._misfit, CONFIRMS), outlast=False)
        if answer is None:
            raise AnswerTimeout("the station does not answer")
        if answer.access_demand:  # only an unbalanced station has such a bit: it waits to be polled, for ever
            raise ProtocolViolation("the station shows that class 1 data wait to be polled. Is the line unbalanced (mode)?")
        self._fcb, self._busy = not self._fcb, answer.busy
        return answer

    def _misfit(self, functions: frozenset[int], frame: Frame, *, single: bool = True) -> str:
        if frame.single:
            return "" if single else "single character"
        if frame.direction:
            return "echo"
        if frame.address != self.address:
            return "wrong link address"
        return "" if frame.function in functions else "wrong function"

    def _frame(self, control: int, data: bytes = b"") -> bytes:
        return ft12.encode(ft12.DIRECTION | control, self.address, self.options.link_address_size, data)

    # ---------------------------------------------------------------- as secondary

    def _on_request(self, frame: Frame) -> None:
        """The station speaks as primary."""
        if frame.direction:
            self.traffic.note_violation("echo")
        elif frame.address != self.address:
            self.traffic.note_violation("wrong link address")
        elif frame.fcv and frame.fcb is self._their_fcb:
            self._copied = self._loop.time()
            if self._reply:
                self.line.send(self._reply)
        else:
            self._take_request(frame)

    def _take_request(self, frame: Frame) -> None:
        self._spoke = True
        if frame.fcv:
            self._their_fcb = frame.fcb
        if frame.function == ft12.RESET_LINK:
            self._their_fcb = False
            self._answer(ft12.ACK)
            if self._told:
                self._told = False
                self._on_restart()
        elif frame.function == ft12.REQUEST_STATUS:
            self.line.send(self._frame(ft12.STATUS))
        elif frame.function == ft12.TEST_LINK:
            self._answer(ft12.ACK)
        elif frame.function in (ft12.SEND_CONFIRM, ft12.SEND_NO_REPLY):
            self._take_data(frame)
        else:
            self._answer(ft12.NOT_IMPLEMENTED)

    def _take_data(self, frame: Frame) -> None:
        self._told = True
        confirmed = frame.function == ft12.SEND_CONFIRM
        if confirmed:
            self._reply, self._copied = b"", self._loop.time()
        committed = partial(self._committed, frame.fcb) if confirmed else _nothing
        try:
            delivered = self._deliver(frame.data, committed)
        except ProtocolViolation as violation:
            self._fail(violation)
            return
        if confirmed and not delivered:
            self._answer(ft12.ACK)

    def _committed(self, fcb: bool) -> None:
        """Confirmed while the station surely waits for it; else at its next copy, for a late ACK could pass for another's."""
        if self.ended or fcb is not self._their_fcb:
            return
        self._reply = self._frame(ft12.ACK)
        if self._loop.time() - self._copied < self.timing.answer:
            self.line.send(self._reply)

    def _answer(self, function: int) -> None:
        self._reply = self._frame(function)
        self.line.send(self._reply)


def _nothing() -> None:
    """SEND/NO REPLY wants no answer."""
