"""Framing and link layer of IEC 60870-5-104, controlling station: STARTDT, STOPDT, TESTFR, t1-t3, k, w. [zone: field]

Source: IEC 60870-5-104:2006, 5 (APCI, sequence numbers, timers) and 9.6 (parameters). The one thing that differs from the
usual master: N(R), in S- and I-frames alike, acknowledges a received I-frame only after `commit` has returned for it, so
that a peer keeps in its own buffer whatever we have not stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Generic, TypeVar, cast

from pilots.domain.errors import AnswerTimeout, FieldError, LinkDown, NotSent, ProtocolViolation
from pilots.drivers.iec104.parameters import MODULUS, LinkParameters
from pilots.drivers.traffic import Traffic

logger = logging.getLogger(__name__)
Item = TypeVar("Item")

FRAMING = "framing"  # the violation after which nothing can be told apart any more
START = 0x68
MAX_LENGTH = 253
STARTDT_ACT, STARTDT_CON, STOPDT_ACT, STOPDT_CON, TESTFR_ACT, TESTFR_CON = 0x07, 0x0B, 0x13, 0x23, 0x43, 0x83
FUNCTION_NAMES = {STARTDT_CON: "STARTDT", STOPDT_CON: "STOPDT", TESTFR_CON: "TESTFR"}
CLOSE_PATIENCE_S = 1.0  # for STOPDT con, for the last commit and for the socket
TIMER_SLACK_S = 0.001  # the loop may wake that much before the asked time
MAX_UNCOMMITTED = 1024  # I-frames: beyond that the socket is not read, a peer that ignores k waits in TCP


class BadFrame(ProtocolViolation):
    """The peer broke the rules of the link; `kind` says which in a word or two, for the counters."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def u_frame(function: int) -> bytes:
    return bytes((START, 4, function, 0, 0, 0))


def s_frame(receive_number: int) -> bytes:
    return bytes((START, 4, 1, 0)) + (receive_number << 1).to_bytes(2, "little")


def i_frame(send_number: int, receive_number: int, asdu: bytes) -> bytes:
    control = (send_number << 1).to_bytes(2, "little") + (receive_number << 1).to_bytes(2, "little")
    return bytes((START, 4 + len(asdu))) + control + asdu


def split_frames(buffer: bytearray) -> Iterator[bytes]:
    """Takes each complete APDU, start and length octet included, off `buffer`. Raises ProtocolViolation at garbage."""
    position = 0
    try:
        while len(buffer) - position >= 2:
            length = buffer[position + 1]
            if buffer[position] != START or not 4 <= length <= MAX_LENGTH:
                raise BadFrame(f"no APDU starts with {bytes(buffer[position : position + 2]).hex(' ')}", FRAMING)
            if len(buffer) - position < 2 + length:
                return
            yield bytes(buffer[position : position + 2 + length])
            position += 2 + length
        if len(buffer) > position and buffer[position] != START:
            raise BadFrame(f"no APDU starts with {buffer[position]:02x}", FRAMING)
    finally:
        del buffer[:position]


class Link(asyncio.Protocol, Generic[Item]):
    """One connection as controlling station; lives in one event loop.

    `receive(asdu)` is called for each I-frame as it arrives and must not wait; it may raise ProtocolViolation.
    `commit(items)` is awaited with what `receive` returned, in order, everything that came in the meantime at once;
    only one commit runs at a time. `on_closed()` is called once, when the connection is gone for whatever reason;
    `failure` then says why (None after our own `close`).
    """

    def __init__(
        self,
        parameters: LinkParameters,
        receive: Callable[[bytes], Item],
        commit: Callable[[list[Item]], Awaitable[None]],
        on_closed: Callable[[], None],
        traffic: Traffic,
    ) -> None:
        self.parameters, self.traffic = parameters, traffic
        self.failure: FieldError | None = None
        self.ended = False
        self._receive, self._commit, self._on_closed = receive, commit, on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._loop.time()
        self._disconnected = asyncio.Event()
        # Ours: V(S) counts on, `_sent` holds when each I-frame without acknowledgement left, oldest first.
        self._send_count = 0
        self._sent: deque[float] = deque()
        self._room = asyncio.Event()
        # Theirs: received >= committed >= acknowledged; `_arrivals` holds when each unacknowledged one came.
        self._received = self._committed = self._acknowledged = 0
        self._arrivals: deque[float] = deque()
        self._batch: list[Item] = []
        self._arrived = asyncio.Event()
        self._reading_paused = False
        self._committer: asyncio.Task[None] | None = None
        # U-frame confirmations we wait for: function -> deadline, and who waits.
        self._expected: dict[int, tuple[float, float]] = {}
        self._answers: dict[int, asyncio.Future[None]] = {}

    # ---------------------------------------------------------------- life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # other loops' transports are no subclass of it
        self._heard = self._loop.time()
        self._committer = self._loop.create_task(self._commit_forever(), name="iec104 commits")
        self._arm(self._heard + self.parameters.t3)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disconnected.set()
        self._end(LinkDown(_why(exc)))

    async def start(self) -> None:
        """Data transfer is started. Raises AnswerTimeout after t1, LinkDown when the peer hangs up instead."""
        await self._ask(STARTDT_ACT, STARTDT_CON)

    async def close(self) -> None:
        """STOPDT (best effort), socket closed, last commit awaited for a moment. Never raises; twice is once."""
        if not self.ended:
            self._acknowledge()
            with contextlib.suppress(FieldError, TimeoutError):
                await asyncio.wait_for(self._ask(STOPDT_ACT, STOPDT_CON), min(self.parameters.t1, CLOSE_PATIENCE_S))
        self._end(None)
        if self._transport is not None:
            self._transport.close()
            await _wait(self._loop.create_task(self._disconnected.wait()))
            self._transport.abort()
        if self._committer is not None:
            await _wait(self._committer)

    def _end(self, failure: FieldError | None) -> None:
        """The link takes part in nothing any more; whoever waits for it learns why. What came in is still committed."""
        if self.ended:
            return
        self.ended, self.failure = True, failure
        if self._timer is not None:
            self._timer.cancel()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(failure or LinkDown("the connection was closed"))
        self._room.set()
        self._arrived.set()
        self._on_closed()

    def fail(self, failure: FieldError) -> None:
        """The connection is given up at once, for that reason."""
        if self.ended:
            return
        if isinstance(failure, ProtocolViolation):
            self.traffic.note_violation(failure.kind if isinstance(failure, BadFrame) else "asdu")
        self.traffic.timeouts += isinstance(failure, AnswerTimeout)
        self._end(failure)
        if self._transport is not None:
            self._transport.abort()  # not close(): a dead peer never lets the send buffer drain

    # ---------------------------------------------------------------- sending

    async def send(self, asdu: bytes, *, before: float | None = None) -> None:
        """The ASDU left in an I-frame. Waits while k are unacknowledged, at the latest until `before` (the loop's clock).

        Raises LinkDown or NotSent: it did not leave.
        """
        if not self.ended and len(self._sent) >= self.parameters.k:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(before):
                    await self._room_in_window()
        if self.ended:
            raise LinkDown("the connection is down")
        if before is not None and before <= self._loop.time():
            raise NotSent
        now = self._loop.time()
        self._write(i_frame(self._send_count % MODULUS, self._committed % MODULUS, asdu))
        self._note_acknowledged()
        self._send_count += 1
        self._sent.append(now)
        self._arm(now + self.parameters.t1)

    async def _room_in_window(self) -> None:
        while not self.ended and len(self._sent) >= self.parameters.k:
            self._room.clear()
            await self._room.wait()

    async def _ask(self, activation: int, confirmation: int) -> None:
        if self.ended:
            raise self.failure or LinkDown("the connection is down")
        answer = self._answers[confirmation] = self._loop.create_future()
        self._expect(activation, confirmation)
        try:
            await answer
        finally:
            del self._answers[confirmation]

    def _expect(self, activation: int, confirmation: int) -> None:
        now = self._loop.time()
        self._expected[confirmation] = (now, now + self.parameters.t1)
        self._write(u_frame(activation))
        self._arm(now + self.parameters.t1)

    def _write(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)
            self.traffic.note_sent(frame)

    # ---------------------------------------------------------------- receiving

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        self._heard = self._loop.time()
        self._buffer += data
        try:
            for frame in split_frames(self._buffer):
                self.traffic.note_received(frame)
                self._take(frame)
        except ProtocolViolation as violation:
            if isinstance(violation, BadFrame) and violation.kind == FRAMING:
                self.traffic.note_received(bytes(self._buffer))  # what stands where a frame should begin
            self.fail(violation)
            return
        if self._batch and len(self._batch) >= MAX_UNCOMMITTED and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _take(self, frame: bytes) -> None:
        control = frame[2]
        if control & 0x01 == 0:
            self._take_i(frame)
        elif len(frame) != 6:
            raise BadFrame(f"an S- or U-frame of {len(frame)} octets", "length")
        elif control == 0x01:
            self._take_acknowledgement(int.from_bytes(frame[4:6], "little"))
        else:
            self._take_u(control)

    def _take_i(self, frame: bytes) -> None:
        number = int.from_bytes(frame[2:4], "little") >> 1
        if number != self._received % MODULUS:
            raise BadFrame(f"I-frame {number} came, {self._received % MODULUS} was due", "sequence number")
        self._take_acknowledgement(int.from_bytes(frame[4:6], "little"))
        self._batch.append(self._receive(frame[6:]))
        self._received += 1
        self._arrivals.append(self._heard)
        self._arrived.set()

    def _take_acknowledgement(self, field: int) -> None:
        oldest = self._send_count - len(self._sent)
        count = ((field >> 1) - oldest) % MODULUS
        if count > len(self._sent):
            raise BadFrame(f"N(R) {field >> 1} acknowledges I-frames that were never sent", "acknowledgement")
        for _ in range(count):
            self._sent.popleft()
        if count:
            self._room.set()

    def _take_u(self, function: int) -> None:
        if function == TESTFR_ACT:
            self._write(u_frame(TESTFR_CON))
            return
        if function not in FUNCTION_NAMES:
            raise BadFrame(f"U-frame {function:02x} is not one a controlled station sends", "U-frame")
        asked = self._expected.pop(function, None)
        if asked is None:
            return  # a second confirmation of the same activation harms nobody
        self.traffic.note_round_trip(self._heard - asked[0])
        self._arm(self._heard + self.parameters.t3)  # while the test ran the timer stood at t1
        answer = self._answers.get(function)
        if answer is not None and not answer.done():
            answer.set_result(None)

    # ---------------------------------------------------------------- committing and acknowledging

    async def _commit_forever(self) -> None:
        """Outermost loop of the receiving side: one commit after the other until the link has ended and all is stored."""
        while not (self.ended and not self._batch):
            await self._arrived.wait()
            self._arrived.clear()
            self._resume_reading()
            if self._batch and not await self._commit_batch():
                return

    async def _commit_batch(self) -> bool:
        """What has come is stored and may be acknowledged; False when it could not be: the link has failed."""
        batch, self._batch = self._batch, []
        try:
            await self._commit(batch)
        except asyncio.CancelledError:
            self.fail(LinkDown("storing the received values was given up"))
            raise
        except Exception as error:
            logger.exception("received ASDUs could not be stored, the link is closed without acknowledging them")
            self.fail(LinkDown(f"received values could not be stored: {error}"))
            return False
        self._committed += len(batch)
        self._acknowledge_if_due()
        return True

    def _resume_reading(self) -> None:
        if self._reading_paused and not self.ended and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def _acknowledge_if_due(self) -> None:
        """S-frame when w committed ones wait or the oldest waits since t2; else the timer sees to it."""
        waiting = self._committed - self._acknowledged
        if self.ended or not waiting:
            return
        due = self._arrivals[0] + self.parameters.t2
        if waiting >= self.parameters.w or due <= self._loop.time() + TIMER_SLACK_S:
            self._acknowledge()
        else:
            self._arm(due)

    def _acknowledge(self) -> None:
        if self._committed > self._acknowledged:
            self._write(s_frame(self._committed % MODULUS))
            self._note_acknowledged()

    def _note_acknowledged(self) -> None:
        for _ in range(self._committed - self._acknowledged):
            self._arrivals.popleft()
        self._acknowledged = self._committed

    # ---------------------------------------------------------------- timers

    def _arm(self, deadline: float) -> None:
        """The tick comes at `deadline` at the latest."""
        if self.ended:
            return
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time() + TIMER_SLACK_S
        for function, (_, deadline) in self._expected.items():
            if deadline <= now:
                self.fail(AnswerTimeout(f"{FUNCTION_NAMES[function]} is not answered within {self.parameters.t1:g} s"))
                return
        if self._sent and self._sent[0] + self.parameters.t1 <= now:
            self.fail(AnswerTimeout(f"an I-frame is not acknowledged within {self.parameters.t1:g} s"))
            return
        self._acknowledge_if_due()
        if self._heard + self.parameters.t3 <= now and TESTFR_CON not in self._expected:
            self._expect(TESTFR_ACT, TESTFR_CON)
        self._arm(min(self._deadlines()))

    def _deadlines(self) -> Iterator[float]:
        for _, deadline in self._expected.values():
            yield deadline
        if self._sent:
            yield self._sent[0] + self.parameters.t1
        if self._committed > self._acknowledged:
            yield self._arrivals[0] + self.parameters.t2
        if TESTFR_CON not in self._expected:
            yield self._heard + self.parameters.t3


def _why(error: Exception | None) -> str:
    if isinstance(error, ssl.SSLError):  # with TLS 1.3 a refused certificate shows only now
        return f"the peer ended TLS: {error.reason or error}"
    return f"the peer closed the connection{f': {error}' if error else ''}"


async def _wait(task: asyncio.Task[object] | asyncio.Task[None]) -> None:
    """The task is done or cancelled within CLOSE_PATIENCE_S."""
    await asyncio.wait((task,), timeout=CLOSE_PATIENCE_S)
    if not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=CLOSE_PATIENCE_S)
