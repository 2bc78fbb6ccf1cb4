"""One Modbus connection, whatever carries it: one request in flight, commands before polls, one timer. [zone: field]

Modbus Application Protocol V1.1b3, 7 (exceptions). Gateways take one request at a time and so do serial lines.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable

from pilots.domain.errors import AnswerTimeout, DeviceRefused, FieldError, LinkDown, NotSent, ProtocolViolation
from pilots.drivers.modbus import frames
from pilots.drivers.modbus.frames import REFUSED, Request
from pilots.drivers.modbus.options import LinkOptions
from pilots.drivers.modbus.ports import Port
from pilots.drivers.modbus.words import EXCEPTIONS
from pilots.drivers.traffic import Traffic

COMMAND, POLL = 0, 1
STILL_WORKING, BUSY, NO_PATH, NO_TARGET = 5, 6, 10, 11
#: A busy unit is asked once more, after this.
BUSY_PAUSE_S = 0.1


class Turnstile:
    """Lets one task through at a time, commands before polls, else in order of arrival."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._taken = False

    def take(self) -> bool:
        """The turn is ours if nobody has it."""
        if self._taken:
            return False
        self._taken = True
        return True

    async def wait(self, priority: int) -> None:
        """The turn is ours once those before us had theirs."""
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), ticket))
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.done() and not ticket.cancelled():
                self.leave()  # the turn was ours already when we were cancelled: hand it on
            raise

    def leave(self) -> None:
        """The turn goes straight to the first that waits, so that no newcomer can slip in between."""
        while self._waiting:
            ticket = heapq.heappop(self._waiting)[2]
            if not ticket.done():
                ticket.set_result(None)
                return
        self._taken = False


class ModbusLink(ABC):
    """What both carriers share: whose turn it is, what was asked, until when an answer counts."""

    #: Whether answers carry the number of their question; if not, a unit that was silent must not be asked on at once.
    numbered = True
    #: The newest question on the line whose asker did not wait for the answer.
    cut_short: Request | None = None

    def __init__(self, port: Port, options: LinkOptions, traffic: Traffic, on_lost: Callable[[], None]) -> None:
        self.port, self.options, self.traffic = port, options, traffic
        port.on_bytes, port.on_lost = self._on_bytes, self._break
        self._on_lost = on_lost
        self._turnstile = Turnstile()
        self._loop = asyncio.get_running_loop()
        self._asked: Request | None = None
        self._waiting: asyncio.Future[bytes] | None = None
        self._before: float | None = None  # of what has the turn: when it may not leave any more
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> bool:
        return self.port.connected

    @property
    def carrier(self) -> str:
        """Of what kind it is, in words."""
        return self.port.carrier

    @property
    def place(self) -> str:
        return self.port.place

    async def open(self) -> None:
        """Raises LinkDown when nobody is there."""
        await self.port.open()

    def close(self) -> None:
        self.port.close()
        self._fail(AnswerTimeout(f"the connection to {self.place} was closed while it was asked"))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def disturbed(self) -> bool:
        """Whether something else was heard since the last question left: no answer is then no silence of the unit."""
        return False

    def late_for_s(self, unit: int) -> float:
        """For how long an answer of this unit to an old question may still come and could be taken for a new one's."""
        return 0.0

    async def ask(self, request: Request, priority: int = POLL, *, before: float | None = None) -> bytes:
        """The PDU of a proper answer. Raises FieldError, NotSent when its turn came only after `before` (the loop's clock)."""
        answer = await self._take_turn(request, priority, before)
        if answer[0] & REFUSED and answer[1] == BUSY:
            self.traffic.retries += 1
            await asyncio.sleep(BUSY_PAUSE_S)
            answer = await self._take_turn(request, priority, before)
        if answer[0] & REFUSED:
            raise self._refusal(request, answer[1])
        return answer

    async def _take_turn(self, request: Request, priority: int, before: float | None) -> bytes:
        if not self._turnstile.take():
            await self._turnstile.wait(priority)
        try:
            if not self.port.connected:
                raise LinkDown(f"the connection to {self.place} is lost")
            self._before = before
            return await self._exchange(request)
        finally:
            self._turnstile.leave()

    async def read(self, unit: int, table: str, start: int, count: int, *, priority: int = POLL) -> bytes:
        """`count` registers as bytes, or bits, eight to a byte, the first lowest. Raises FieldError."""
        return (await self.ask(frames.read_request(unit, table, start, count), priority))[2:]

    async def write_registers(
        self, unit: int, start: int, raw: bytes, *, single: bool = False, before: float | None = None
    ) -> str:
        """The device took these registers; its answer in words. Raises FieldError. `single` writes with function 6."""
        request = frames.write_registers_request(unit, start, raw, single=single)
        await self.ask(request, COMMAND, before=before)
        return f"function {request.function} register {start} confirmed"

    async def write_coil(self, unit: int, address: int, on: bool, *, multiple: bool = False, before: float | None = None) -> str:
        request = frames.write_coil_request(unit, address, on, multiple=multiple)
        await self.ask(request, COMMAND, before=before)
        return f"function {request.function} coil {address} confirmed"

    async def mask_register(self, unit: int, address: int, keep: int, put: int, *, before: float | None = None) -> str:
        """Only the bits that `keep` has not were changed, by the device itself."""
        await self.ask(frames.mask_write_request(unit, address, keep, put), COMMAND, before=before)
        return f"function {frames.MASK_WRITE} register {address} confirmed"

    # One exchange

    @abstractmethod
    def _frame(self, request: Request) -> tuple[bytes, float]:
        """The bytes to send, and seconds that the answer may take from then on."""

    @abstractmethod
    def _on_bytes(self, data: bytes) -> None:
        """Bytes came."""

    async def _exchange(self, request: Request) -> bytes:
        """The answer's PDU, sound but perhaps a refusal. Raises LinkDown, AnswerTimeout, ProtocolViolation."""
        self._refuse_late()
        frame, allowed_s = self._frame(request)
        self._asked, self._waiting = request, self._loop.create_future()
        started = self._loop.time()
        self._deadline = started + allowed_s
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()
        try:
            self.port.write(frame)
            self.traffic.note_sent(frame)
            answer = await self._waiting
        except asyncio.CancelledError:
            self.cut_short = request
            raise
        finally:
            self._waiting = None
        self.traffic.note_round_trip(self._loop.time() - started)
        return answer

    def _refuse_late(self) -> None:
        """Raises NotSent when the time of what has the turn is over."""
        if self._before is not None and self._before <= self._loop.time():
            raise NotSent

    def _set_timer(self) -> None:
        # One timer for all requests: it is moved when it runs out, because most answers come long before.
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._deadline:
            self._set_timer()
        else:
            self._expire()

    def _expire(self) -> None:
        asked = self._asked
        if asked is not None and self._fail(
            AnswerTimeout(f"unit {asked.unit} at {self.place} did not answer within {self.options.timeout_s:g} s")
        ):
            self.traffic.timeouts += 1

    def _settle(self, pdu: bytes) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(pdu)

    def _fail(self, error: FieldError) -> bool:
        """Who waits for an answer learns that none will come; False when nobody does."""
        if self._waiting is None or self._waiting.done():
            return False
        self._waiting.set_exception(error)
        return True

    def _violate(self, kind: str, words: str) -> None:
        """Counted, and told to who waits."""
        self.traffic.note_violation(kind)
        self._fail(ProtocolViolation(f"{self.place}: {words}"))

    def _break(self, reason: str) -> None:
        # The request may have left before the link broke.
        self._fail(AnswerTimeout(f"the connection to {self.place} broke while it was asked: {reason}"))
        self._on_lost()

    def _refusal(self, request: Request, code: int) -> AnswerTimeout | DeviceRefused:
        """The error of an exception answer. 5 and 11 leave the outcome open: the request reached or may have reached it."""
        words = f"unit {request.unit}: exception {code}, {EXCEPTIONS.get(code, 'unknown code')}"
        if code in (STILL_WORKING, NO_TARGET):
            self.traffic.timeouts += 1
            return AnswerTimeout(words)
        self.traffic.refused += 1
        refused = DeviceRefused(words, device_code=str(code))
        refused.permanent = code not in (BUSY, NO_PATH)
        return refused
