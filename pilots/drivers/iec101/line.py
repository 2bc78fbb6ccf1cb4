"""One FT1.2 line: sends a frame, waits for its answer, repeats it, and never takes a late answer for it. [zone: field]

Source: IEC 60870-5-2:1992, 4 and 5: a request without an answer is repeated unchanged, so its answers are alike; they carry
no number, so after a repetition the line waits until the surplus answers have come or can come no more.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from pilots.domain.errors import FieldError, LinkDown
from pilots.drivers.iec101 import ft12
from pilots.drivers.iec101.carrier import Carrier
from pilots.drivers.iec101.ft12 import Damaged, Frame
from pilots.drivers.iec101.options import LONGEST_FRAME, LineOptions, Timing
from pilots.drivers.traffic import LATE, Traffic

#: "" when the frame answers the request, else why not, in a word or two for the counters.
Judge = Callable[[Frame], str]
#: Answers come as far apart as the requests left: a silence that much longer than the wait ends them.
SURPLUS_SILENCE = 1.5
#: Noise is remembered up to here, to say what it might have been.
NOISE_KEPT = 512


class Line:
    """The frames of one carrier; lives in one event loop. `on_request` gets what a primary station sends to us."""

    def __init__(self, options: LineOptions, timing: Timing, traffic: Traffic, on_request: Callable[[Frame], None]) -> None:
        self.options, self.timing, self.traffic = options, timing, traffic
        self.heard = False  # at least one sound frame came
        self.noise = bytearray()
        self._on_request = on_request
        self._loop = asyncio.get_running_loop()
        self._parser = ft12.Parser(options.link_address_size)
        self._carrier: Carrier | None = None
        self._last_octet = self._loop.time() - 1.0
        self._last_sent = b""
        self._judge: Judge | None = None
        self._answer: asyncio.Future[Frame] | None = None
        self._timeout: asyncio.Timeout | None = None
        self._latest = 0.0  # the answer that began in time must be whole by then
        self.noisy = False  # noise since our request left
        self._surplus = asyncio.Semaphore(0)
        self._stalled: asyncio.TimerHandle | None = None

    def attach(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def close(self, failure: FieldError | None = None) -> None:
        """Nothing is sent or heard any more; a request under way ends with `failure`."""
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            carrier.close()
        if self._stalled is not None:
            self._stalled.cancel()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(failure or _closed())

    @property
    def last_octet(self) -> float:
        """When something was heard last, by the loop's clock."""
        return self._last_octet

    # ---------------------------------------------------------------- asking

    async def ask(self, request: bytes, judge: Judge, *, retries: int | None = None, outlast: bool = True) -> Frame | None:
        """The answer to `request`, sent again up to `retries` times; None when none came. One at a time.

        With `outlast` the answers to a request that was given up are waited for once more: without an address they must
        not be taken for another station's. Raises FieldError when the line is closed.
        """
        self._judge, self._surplus = judge, asyncio.Semaphore(0)
        copies = 1 + (self.options.retries if retries is None else retries)
        try:
            for copy in range(copies):
                self.traffic.retries += copy > 0
                await self._silence(repeated=copy > 0)
                answer = await self._once(request)
                if answer is not None:
                    await self._outlast(copy)
                    return answer
            await self._outlast(copies if outlast else 0)
            return None
        finally:
            self._judge = None

    def send(self, frame: bytes) -> None:
        """The frame left, unasked for: an answer of ours, or one that wants none."""
        if self._carrier is not None:
            self._last_sent = frame
            self.traffic.note_sent(frame)
            self._carrier.write(frame)

    async def send_unanswered(self, frame: bytes) -> None:
        """The frame has left the line as well."""
        await self._silence(repeated=False)
        self.send(frame)
        await asyncio.sleep(self.options.line_time_s(len(frame)) + self.timing.gap)

    async def _once(self, request: bytes) -> Frame | None:
        if self._carrier is None:
            raise _closed()
        left = self._loop.time()
        wait = self.options.line_time_s(len(request)) + self.timing.answer
        self._latest = left + wait + self.options.line_time_s(LONGEST_FRAME) + self.timing.stall
        self.noisy = False
        answer = self._answer = self._loop.create_future()
        self.send(request)
        try:
            async with asyncio.timeout_at(left + wait) as self._timeout:
                frame: Frame = await answer
        except TimeoutError:
            self.traffic.timeouts += 1
            return None
        finally:
            self._answer = self._timeout = None
            if answer.done() and not answer.cancelled():
                answer.exception()  # the asker may be gone: that is no leak
        self.traffic.note_round_trip(self._loop.time() - left)
        return frame

    async def _silence(self, *, repeated: bool) -> None:
        """The line has been silent for a gap and no half frame is held; a line that is never silent is not waited for."""
        gap = max(self.timing.gap, 0.02) if repeated else self.timing.gap
        if repeated and self.options.balanced:
            gap += random.uniform(0, self.timing.answer / 2)  # else both ends would collide again
            await asyncio.sleep(gap)
        until = self._loop.time() + self.timing.answer
        while self._parser.holding or not self.options.balanced:
            rest = self._last_octet + max(gap, self.timing.stall if self._parser.holding else 0.0) - self._loop.time()
            if rest <= 0 or self._loop.time() >= until:
                break
            await asyncio.sleep(rest)
        if self._parser.holding:
            self._dispatch(self._parser.flush())

    async def _outlast(self, surplus: int) -> None:
        """So many answers more came and were dropped, or the line was silent for so long that they are lost."""
        for _ in range(surplus):
            try:
                async with asyncio.timeout(SURPLUS_SILENCE * self.timing.answer):
                    await self._surplus.acquire()
            except TimeoutError:
                return

    # ---------------------------------------------------------------- hearing

    def on_octets(self, octets: bytes) -> None:
        """What the carrier brings."""
        if self._carrier is None:
            return
        self._last_octet = self._loop.time()
        self._dispatch(self._parser.feed(octets))
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if self._parser.holding and self._carrier is not None:
            self._wait_for_rest()

    def _wait_for_rest(self) -> None:
        rest = self.options.line_time_s(self._parser.missing)
        self._stalled = self._loop.call_later(rest + self.timing.stall, self._on_stall)
        timeout = self._timeout
        if timeout is not None and not timeout.expired():
            whole = min(self._last_octet + rest + self.timing.stall, self._latest)
            if (timeout.when() or 0.0) < whole:
                timeout.reschedule(whole)

    def _on_stall(self) -> None:
        """No frame pauses that long: what is held is noise, and perhaps a frame stands behind it."""
        self._stalled = None
        self._dispatch(self._parser.flush())

    def _dispatch(self, items: list[Frame | Damaged]) -> None:
        for item in items:
            self.traffic.note_received(item.raw)
            if isinstance(item, Damaged):
                self.noisy = True
                self.traffic.note_violation(item.kind)
                self.noise = (self.noise + item.raw)[-NOISE_KEPT:]
        for item in items:  # only now: a single character beside noise of the same moment is noise too
            if isinstance(item, Frame) and self._carrier is not None:
                self._take(item)

    def _take(self, frame: Frame) -> None:
        if frame.from_primary:
            self.heard = True
            self._take_from_primary(frame)
            return
        why = self._judge(frame) if self._judge is not None else LATE
        if frame.single and self.noisy:
            why = "noise"
        if why:
            self.traffic.note_violation(why)
        elif self._answer is None or self._answer.done():
            self.traffic.note_violation(LATE)
            self._surplus.release()
        else:
            self.heard = True
            self._answer.set_result(frame)

    def _take_from_primary(self, frame: Frame) -> None:
        if frame.raw == self._last_sent:
            self.traffic.note_violation("echo")
        else:
            self._on_request(frame)


def _closed() -> LinkDown:
    return LinkDown("the line is closed")
