"""One MMS association: opening it, requests and their answers, keep-alive, reports handed on as they come. [zone: field]

IEC 61850-8-1, 8.1 and annex A. An answer is found by its invoke id, which is never used twice: one that comes late is
counted and thrown away. A message that cannot be understood is counted and dropped, lost framing ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from pilots.domain.errors import AnswerTimeout, DeviceRefused, FieldError, LinkDown, ProtocolViolation
from pilots.drivers.iec61850 import mms, osi
from pilots.drivers.iec61850.osi import Selectors
from pilots.drivers.traffic import Traffic

CLOSE_PATIENCE_S = 1.0
#: Octets of one message in pieces: twice what we tell the peer we can take.
MOST_PENDING = 2 * mms.LARGEST_MESSAGE


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkParameters:
    """Seconds. `keep_alive_s`: silence after which the peer is asked who it is, so that a dead one is noticed."""

    connect_timeout_s: float = 10.0
    timeout_s: float = 5.0
    keep_alive_s: float = 20.0
    selectors: Selectors = field(default_factory=Selectors)

    def __post_init__(self) -> None:
        if min(self.connect_timeout_s, self.timeout_s, self.keep_alive_s) <= 0:
            raise ValueError("timeouts are above 0")


class Link(asyncio.Protocol):
    """One association as client; lives in one event loop.

    `on_report(report)` is called for each information report as it arrives and must not wait. `on_closed()` is called once,
    when the connection is gone for whatever reason; `failure` then says why (None after our own `close`).
    """

    def __init__(
        self,
        parameters: LinkParameters,
        on_report: Callable[[mms.Report], None],
        on_closed: Callable[[], None],
        traffic: Traffic,
    ) -> None:
        self.parameters, self.traffic = parameters, traffic
        self.failure: FieldError | None = None
        self.ended = False
        self.counts: Counter[str] = Counter()
        self._on_report, self._on_closed = on_report, on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._disconnected = asyncio.Event()
        self._buffer, self._pieces = bytearray(), bytearray()
        self._tpdu_size = 128
        self._handshake: asyncio.Future[bytes] | None = None  # who waits for the next packet or message of the opening
        self._transport_stands = False
        self._next_id = 0
        self._asked: dict[int, asyncio.Future[mms.Answer]] = {}
        self._slots = asyncio.Semaphore(1)
        self._concluded = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._tester: asyncio.Task[None] | None = None
        self._heard = self._loop.time()
        self._paused = False

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """The encryption of this connection, where there is one."""
        found: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return found

    # ---------------------------------------------------------------- life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disconnected.set()
        self._end(LinkDown(f"the peer closed the connection{f': {exc}' if exc else ''}"))

    async def associate(self) -> None:
        """Requests may be sent. Raises LinkDown (refused), AnswerTimeout, ProtocolViolation; the link is closed then."""
        selectors = self.parameters.selectors
        try:
            confirm = await self._shake((osi.connect_request(selectors),), "the transport connection")
            self._tpdu_size, self._transport_stands = osi.confirmed_size(confirm), True
            request = osi.associate_request(mms.initiate_request(), selectors)
            response = await self._shake(osi.data_packets(request, self._tpdu_size), "the association")
            agreed = mms.initiated(osi.associate_response(response))
        except FieldError as error:
            self.fail(error)
            raise
        self._slots = asyncio.Semaphore(min(agreed.outstanding, mms.MOST_OUTSTANDING))
        self._watch()

    async def _shake(self, packets: Iterator[bytes] | tuple[bytes, ...], what: str) -> bytes:
        if self.ended:
            raise self.failure or LinkDown("the connection was closed")
        self._handshake = self._loop.create_future()
        for each in packets:
            self._write(each)
        try:
            async with asyncio.timeout(self.parameters.connect_timeout_s):
                return await self._handshake
        except TimeoutError as error:
            raise AnswerTimeout(f"{what} is not answered within {self.parameters.connect_timeout_s:g} s") from error
        finally:
            self._handshake = None

    async def close(self) -> None:
        """Concluded (best effort), socket closed. Never raises; twice is once."""
        if not self.ended and self._transport_stands:
            self._send(mms.conclude_request())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._concluded.wait(), min(self.parameters.timeout_s, CLOSE_PATIENCE_S))
        self._end(None)
        if self._transport is not None:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._disconnected.wait(), CLOSE_PATIENCE_S)
            self._transport.abort()

    def _end(self, failure: FieldError | None) -> None:
        """The link takes part in nothing any more; whoever waits for it learns why."""
        if self.ended:
            return
        self.ended, self.failure = True, failure
        if self._timer is not None:
            self._timer.cancel()
        if self._tester is not None:
            self._tester.cancel()
        reason = failure or LinkDown("the connection was closed")
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(reason)
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(AnswerTimeout(f"the connection was lost before an answer came: {reason}"))
        self._concluded.set()
        self._on_closed()

    def fail(self, failure: FieldError) -> None:
        """The connection is given up for this reason."""
        if self.ended:
            return
        self.traffic.timeouts += isinstance(failure, AnswerTimeout)
        self._end(failure)
        if self._transport is not None:
            self._transport.abort()  # not close(): a dead peer never lets the send buffer drain

    # ---------------------------------------------------------------- requests

    async def request(self, service: bytes) -> mms.Answer:
        """The peer's answer. Raises LinkDown (it did not leave), AnswerTimeout (it did), DeviceRefused (service error)."""
        async with self._slots:
            if self.ended:
                raise LinkDown("the connection is down")
            self._next_id += 1
            invoke_id = self._next_id
            waiting: asyncio.Future[mms.Answer] = self._loop.create_future()
            self._asked[invoke_id] = waiting
            left = self._loop.time()
            self._send(mms.confirmed_request(invoke_id, service))
            try:
                async with asyncio.timeout(self.parameters.timeout_s):
                    answer = await waiting
            except TimeoutError as error:
                self.traffic.timeouts += 1
                self._test_soon()
                raise AnswerTimeout(f"no answer within {self.parameters.timeout_s:g} s") from error
            finally:
                del self._asked[invoke_id]
            self.traffic.note_round_trip(self._loop.time() - left)
            return answer

    def _send(self, message: bytes) -> None:
        for each in osi.data_packets(osi.data_message(message), self._tpdu_size):
            self._write(each)

    def _write(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)
            self.traffic.note_sent(frame)

    # ---------------------------------------------------------------- what comes

    def pause_reading(self) -> None:
        """The peer must wait: reports come faster than they can be stored."""
        if self._transport is not None and not self._paused and not self.ended:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and self._paused and not self.ended:
            self._paused, self._heard = False, self._loop.time()
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        self._heard = self._loop.time()
        self._buffer += data
        try:
            for frame in osi.split_packets(self._buffer):
                self.traffic.note_received(frame)
                self._take_packet(frame)
        except FieldError as failure:
            if isinstance(failure, ProtocolViolation):
                self.traffic.note_violation("framing")
            self.fail(failure)

    def _take_packet(self, frame: bytes) -> None:
        if self.ended:
            return  # a message before this one in the same segment has ended it
        if not self._transport_stands:
            self._answer_handshake(frame)
            return
        unit = osi.data_unit(frame)
        self._pieces += unit.data
        if len(self._pieces) > MOST_PENDING:
            raise ProtocolViolation(f"a message of more than {MOST_PENDING} octets")
        if unit.last:
            message, self._pieces = bytes(self._pieces), bytearray()
            if self._handshake is not None:
                self._answer_handshake(message)
            else:
                self._take_message(message)

    def _answer_handshake(self, octets: bytes) -> None:
        if self._handshake is None or self._handshake.done():
            raise ProtocolViolation("something came that nobody asked for")
        self._handshake.set_result(octets)

    def _take_message(self, octets: bytes) -> None:
        try:
            carried = osi.carried(octets)
            message = None if carried is None else mms.decode(carried)
        except ProtocolViolation:
            self.traffic.note_violation("message")
            return
        if isinstance(message, mms.Answer):
            self._take_answer(message)
        elif isinstance(message, mms.Refusal):
            self._take_refusal(message)
        elif isinstance(message, mms.Report):
            self._on_report(message)
        elif isinstance(message, mms.Concluded):
            self._take_conclusion(message)

    def _take_answer(self, answer: mms.Answer) -> None:
        waiting = self._waiting(answer.invoke_id)
        if waiting is not None:
            waiting.set_result(answer)

    def _take_refusal(self, refusal: mms.Refusal) -> None:
        self.traffic.refused += 1
        waiting = self._waiting(refusal.invoke_id)
        if waiting is not None:
            waiting.set_exception(DeviceRefused(f"the device refuses: {refusal.words}", device_code=refusal.words))

    def _waiting(self, invoke_id: int | None) -> asyncio.Future[mms.Answer] | None:
        waiting = self._asked.get(invoke_id) if invoke_id is not None else None
        if waiting is not None and not waiting.done():
            return waiting
        if invoke_id is not None and 0 < invoke_id <= self._next_id:
            self.counts["late_answers"] += 1
        else:
            self.traffic.note_violation("invoke id")
        return None

    def _take_conclusion(self, message: mms.Concluded) -> None:
        if message.asked:
            self._send(mms.conclude_response())
            self.fail(LinkDown("the peer concluded the association"))
        else:
            self._concluded.set()

    # ---------------------------------------------------------------- keep-alive

    def _watch(self) -> None:
        if not self.ended:
            self._timer = self._loop.call_at(self._heard + self.parameters.keep_alive_s, self._tick)

    def _tick(self) -> None:
        silent = self._loop.time() - self._heard
        if silent + 0.001 < self.parameters.keep_alive_s or self._paused:
            if self._paused:
                self._heard = self._loop.time()
            self._watch()
        else:
            self._test_soon()

    def _test_soon(self) -> None:
        """The peer is asked for a sign of life; without one the link ends."""
        if not self.ended and self._tester is None:
            self._tester = self._loop.create_task(self._test(), name="iec61850 keep-alive")

    async def _test(self) -> None:
        since = self._loop.time()
        with contextlib.suppress(DeviceRefused, LinkDown):  # a refusal is a sign of life
            try:
                await self.request(mms.identify())
            except AnswerTimeout as error:
                if self._heard <= since and not self._paused:
                    self.fail(error)
        self._tester = None
        if self._timer is not None:
            self._timer.cancel()
        self._watch()


async def open_link(
    link: Callable[[], Link], host: str, port: int, *, context: ssl.SSLContext | None, server_name: str | None, within_s: float
) -> Link:
    """A link whose socket is open. Raises LinkDown in words an engineer can act on."""
    loop = asyncio.get_running_loop()
    name = server_name if context is not None else None
    try:
        async with asyncio.timeout(within_s):
            _, opened = await loop.create_connection(link, host, port, ssl=context, server_hostname=name)
    except TimeoutError as error:
        raise LinkDown(f"Port {port} of {host} does not open within {within_s:g} s.") from error
    except ssl.SSLError as error:
        raise LinkDown(f"Port {port} of {host} opens, TLS does not: {error.reason or error}. Check the certificates.") from error
    except OSError as error:
        raise LinkDown(f"Port {port} of {host} does not open ({error.strerror or error}). Check host and port.") from error
    return opened
