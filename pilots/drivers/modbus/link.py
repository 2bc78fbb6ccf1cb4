"""The only place that knows pymodbus: one TCP link, one request in flight, commands before polls. [zone: field]

Modbus Messaging on TCP/IP Implementation Guide V1.0b; the exception codes are those of the Application Protocol, 7.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import struct
from collections.abc import AsyncIterator, Callable

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException, ModbusIOException
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest, WriteSingleCoilRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown, ProtocolViolation
from pilots.drivers.traffic import Traffic

# It logs an ERROR for each time-out: a dead plant would fill the disk with what our own counters already say.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, still working on it",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device did not respond",
}
READS: dict[str, Callable[..., ModbusPDU]] = {
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
}
COMMAND, POLL = 0, 1
# After this many silent requests in a row pymodbus closes the link: one dead unit must never cost its neighbours theirs.
NEVER = 1_000_000_000
MBAP = struct.Struct(">HHHB")
MBAP_FUNCTION = struct.Struct(">HHHBB")


class Turnstile:
    """Lets one task through at a time, commands before polls, else in order of arrival."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._taken = False

    @contextlib.asynccontextmanager
    async def turn(self, priority: int) -> AsyncIterator[None]:
        if self._taken:
            ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (priority, next(self._order), ticket))
            try:
                await ticket
            except asyncio.CancelledError:
                if ticket.done() and not ticket.cancelled():
                    self._next()  # the turn was ours already when we were cancelled: hand it on
                raise
        self._taken = True
        try:
            yield
        finally:
            self._next()

    def _next(self) -> None:
        """The turn goes straight to the first that waits, so that no newcomer can slip in between."""
        while self._waiting:
            ticket = heapq.heappop(self._waiting)[2]
            if not ticket.done():
                ticket.set_result(None)
                return
        self._taken = False


class ModbusLink:
    """One Modbus TCP connection. `on_lost` is called once when it breaks, not when we close it."""

    def __init__(self, host: str, port: int, *, timeout_s: float, traffic: Traffic, on_lost: Callable[[], None]) -> None:
        self.place = f"{host}:{port}"
        self._timeout_s, self._traffic, self._on_lost = timeout_s, traffic, on_lost
        self._turnstile = Turnstile()
        self._pending: ExpectedAnswer | None = None
        self._garbage = ""
        self._client = AsyncModbusTcpClient(
            host,
            port=port,
            timeout=timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._see_packet,
            trace_connect=self._see_connect,
        )
        self._client.set_max_no_responses(NEVER)

    @property
    def connected(self) -> bool:
        return self._client.connected

    async def open(self) -> None:
        """Raises LinkDown when nobody listens there."""
        try:
            opened = await self._client.connect()
        except (OSError, ModbusException) as error:
            raise LinkDown(f"no TCP connection to {self.place}: {error}") from error
        if not opened:
            raise LinkDown(f"no TCP connection to {self.place}")

    def close(self) -> None:
        self._client.close()
        self._fail_pending(ConnectionException("the connection was closed"))

    async def read(self, unit: int, table: str, start: int, count: int, *, priority: int = POLL) -> bytes | list[bool]:
        """`count` registers as bytes, or bits. Raises FieldError."""
        request = READS[table](address=start, count=count, dev_id=unit)
        answer = await self._ask(request, priority)
        if table in ("coil", "discrete"):
            if not count <= len(answer.bits) < count + 8:
                raise self._violation(f"unit {unit} answered {len(answer.bits)} bits for {count}")
            return list(answer.bits[:count])
        if len(answer.registers) != count:
            raise self._violation(f"unit {unit} answered {len(answer.registers)} registers for {count}")
        return struct.pack(f">{count}H", *answer.registers)

    async def write_registers(self, unit: int, start: int, raw: bytes, *, single: bool = False) -> str:
        """The device took these registers; its answer in words. Raises FieldError. `single` writes with function 6."""
        words = list(struct.unpack(f">{len(raw) // 2}H", raw))
        if single and len(words) == 1:
            answer = await self._ask(WriteSingleRegisterRequest(address=start, registers=words, dev_id=unit), COMMAND)
            fits = answer.address == start and list(answer.registers) == words
        else:
            answer = await self._ask(WriteMultipleRegistersRequest(address=start, registers=words, dev_id=unit), COMMAND)
            fits = answer.address == start and answer.count == len(words)
        if not fits:
            raise self._violation(f"unit {unit} confirmed another write than register {start}")
        return f"function {answer.function_code} register {start} confirmed"

    async def write_coil(self, unit: int, address: int, on: bool) -> str:
        answer = await self._ask(WriteSingleCoilRequest(address=address, bits=[on], dev_id=unit), COMMAND)
        if answer.address != address or list(answer.bits)[:1] != [on]:
            raise self._violation(f"unit {unit} confirmed another write than coil {address}")
        return f"function 5 coil {address} confirmed"

    async def _ask(self, request: ModbusPDU, priority: int) -> ModbusPDU:
        async with self._turnstile.turn(priority):
            if not self.connected:
                raise LinkDown(f"the connection to {self.place} is lost")
            self._pending, self._garbage = ExpectedAnswer(request), ""
            started = asyncio.get_running_loop().time()
            try:
                answer = await self._client.execute(False, request)
            except ConnectionException as error:
                # The request may have left before the link broke.
                raise AnswerTimeout(f"the connection to {self.place} broke while unit {request.dev_id} was asked") from error
            except ModbusException as error:
                raise self._silence(request) from error
            finally:
                self._pending = None
            self._traffic.note_round_trip(asyncio.get_running_loop().time() - started)
        return self._checked(request, answer)

    def _checked(self, request: ModbusPDU, answer: ModbusPDU) -> ModbusPDU:
        # pymodbus lets transaction id 0 pass for any; a late answer must not pass for the one awaited.
        if answer.transaction_id != request.transaction_id or answer.dev_id != request.dev_id:
            raise self._violation(f"answer of unit {answer.dev_id} to another request")
        if answer.function_code & 0x7F != request.function_code:
            raise self._violation(f"unit {request.dev_id} answered function {answer.function_code} to {request.function_code}")
        if answer.isError():
            raise self._refusal(request, answer.exception_code)
        return answer

    def _refusal(self, request: ModbusPDU, code: int) -> AnswerTimeout | DeviceRefused:
        """The error of an exception answer. 5 and 11 leave the outcome open: the request reached or may have reached it."""
        words = f"unit {request.dev_id}: exception {code}, {EXCEPTIONS.get(code, 'unknown code')}"
        if code in (5, 11):
            self._traffic.timeouts += 1
            return AnswerTimeout(words)
        self._traffic.refused += 1
        refused = DeviceRefused(words, device_code=str(code))
        refused.permanent = code not in (6, 10)
        return refused

    def _silence(self, request: ModbusPDU) -> AnswerTimeout | ProtocolViolation:
        if self._garbage:
            return ProtocolViolation(f"{self.place}: {self._garbage}")
        self._traffic.timeouts += 1
        return AnswerTimeout(f"unit {request.dev_id} at {self.place} did not answer within {self._timeout_s:g} s")

    def _violation(self, words: str) -> ProtocolViolation:
        self._traffic.violations += 1
        return ProtocolViolation(f"{self.place}: {words}")

    def _see_packet(self, sending: bool, packet: bytes) -> bytes:
        """Counts traffic and keeps what is no proper answer away from pymodbus; who waits learns of it at once."""
        if sending:
            self._traffic.note_sent(packet)
            return packet
        self._traffic.note_received(packet)
        fault = self._pending.fault(packet) if self._pending is not None else ""
        if not fault:
            return packet
        self._garbage = fault
        self._traffic.violations += 1
        self._fail_pending(ModbusIOException(fault))
        return b""

    def _see_connect(self, connected: bool) -> None:
        if not connected:
            self._fail_pending(ConnectionException("the connection is lost"))
            self._on_lost()

    def _fail_pending(self, error: ModbusException) -> None:
        """Who still waits for an answer learns at once that none can come, not after the time-out."""
        waiting = self._client.ctx.response_future
        if self._pending is not None and not waiting.done():
            waiting.set_exception(error)


class ExpectedAnswer:
    """What the answer's frame must look like; checked before pymodbus, which closes the link over what it cannot decode."""

    def __init__(self, request: ModbusPDU) -> None:
        self._request = request

    def fault(self, buffer: bytes) -> str:
        """What is wrong with the frames in `buffer`, in words; empty when all are sound, late or incomplete."""
        while len(buffer) > MBAP.size:
            transaction, protocol, length, unit, function = MBAP_FUNCTION.unpack_from(buffer)
            if protocol != 0:
                return f"protocol id {protocol} instead of 0"
            if not 2 <= length <= 254:
                return f"impossible frame length {length}"
            if transaction == self._request.transaction_id:
                words = self._answer_fault(unit, function, buffer[8 : 6 + length], length)
                if words:
                    return words
            buffer = buffer[6 + length :]
        return ""

    def _answer_fault(self, unit: int, function: int, body: bytes, length: int) -> str:
        asked = self._request
        if unit != asked.dev_id:
            return f"unit {unit} answered for unit {asked.dev_id}"
        if function & 0x7F != asked.function_code:
            return f"unit {unit} answered function {function} to {asked.function_code}"
        if function & 0x80:
            wanted = 3
        elif function <= 4:
            wanted = 3 + body[0] if body else length
        else:
            wanted = 6
        return "" if length == wanted else f"unit {unit} sent a frame of length {length} that says it has {wanted}"
