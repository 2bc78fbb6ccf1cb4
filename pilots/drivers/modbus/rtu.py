"""Modbus RTU: frames between silences, on a serial line or carried by TCP to one. [zone: field]

Modbus over Serial Line V1.02, 2.4 (master), 2.5.1 (framing). Answers carry no number: `late` keeps old ones from being taken
for new ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.modbus.frames import (
    LONGEST_RTU,
    MASK_WRITE,
    REFUSED,
    WRITE_COIL,
    WRITE_REGISTER,
    Request,
    is_rtu_request,
    rtu_frame,
    split_rtu,
)
from pilots.drivers.modbus.late import Unanswered
from pilots.drivers.modbus.link import POLL, ModbusLink
from pilots.drivers.modbus.options import LinkOptions
from pilots.drivers.modbus.ports import Port
from pilots.drivers.traffic import LATE, Traffic

#: Questions whose proper answer is their own copy: an echo looks the same.
_REPEATED = (WRITE_COIL, WRITE_REGISTER, MASK_WRITE)
#: t3.5 as a computer sees it: adapters hand bytes over in portions, and the gateway has other lines to serve.
LEAST_GAP_S = 0.1
#: The same where a network lies between us and the line.
CARRIED_GAP_S = 0.25
SECOND_LOOK_S = 0.02
#: By place: until when answers to the questions of a link that is closed may still come, by the loop's clock.
_owed_until: dict[str, float] = {}


class RtuLink(ModbusLink):
    """`carried`: bytes come by TCP from a serial device server, which keeps the line's silences by itself."""

    numbered = False

    def __init__(
        self, port: Port, options: LinkOptions, traffic: Traffic, on_lost: Callable[[], None], *, carried: bool = False
    ) -> None:
        super().__init__(port, options, traffic, on_lost)
        line = options.line
        self._silence_s = 0.0 if carried else line.silence_s
        self._late_s = options.late_s + line.bytes_s(LONGEST_RTU)
        self._gap_s = max(line.silence_s, CARRIED_GAP_S if carried else LEAST_GAP_S)
        self._echo = options.local_echo
        self._sent = b""
        self._echo_due = False
        self._buffer = b""
        self._sent_until = self._heard_until = 0.0
        self._gap: asyncio.TimerHandle | None = None
        self._fault = ""
        self._damaged = False
        self._unanswered = Unanswered()

    async def open(self) -> None:
        """As any link, once nothing more can come that the last link to this place has asked for."""
        await super().open()
        await asyncio.sleep(max(0.0, _owed_until.pop(self.place, 0.0) - self._loop.time()))

    def close(self) -> None:
        under_way = self._deadline + self._late_s if self._waiting is not None else 0.0
        owed_until = max(under_way, self._unanswered.until)
        if owed_until > self._loop.time():
            _owed_until[self.place] = owed_until
        super().close()
        if self._gap is not None:
            self._gap.cancel()
            self._gap = None

    async def ask(self, request: Request, priority: int = POLL, *, before: float | None = None) -> bytes:
        """As on any link, but a unit that was silent is asked only when its late answer has come or can no more come."""
        await self._let_late_answers_pass(request.unit)  # before the turn, so that the other units go on
        return await super().ask(request, priority, before=before)

    @property
    def disturbed(self) -> bool:
        return bool(self._fault)

    def late_for_s(self, unit: int) -> float:
        return self._unanswered.wait_s(unit, self._loop.time())

    async def _let_late_answers_pass(self, unit: int) -> None:
        pause_s = self.late_for_s(unit)
        if pause_s > 0:
            await asyncio.sleep(pause_s)

    async def _exchange(self, request: Request) -> bytes:
        await self._let_late_answers_pass(request.unit)  # the unit may have fallen silent while we waited for our turn
        telling = self._unanswered.telling(request)
        try:
            if telling is not None:
                await self._exchange_once(telling)
            return await self._exchange_once(request)
        except asyncio.CancelledError:
            self.cut_short = request if self.cut_short == telling else self.cut_short
            raise

    async def _exchange_once(self, request: Request) -> bytes:
        await self._await_silence()
        self._refuse_late()
        self._damaged = False
        answered = False
        try:
            answer = await super()._exchange(request)
            answered = True
        finally:
            if answered:
                self._unanswered.clear(request.unit)
            elif not self._damaged:
                now = self._loop.time()
                self._unanswered.note(request, now, now + self._late_s)
        return answer

    def _frame(self, request: Request) -> tuple[bytes, float]:
        frame, line = rtu_frame(request.unit, request.pdu), self.options.line
        self._sent, self._echo_due, self._fault = frame, self._echo is not False, ""
        self._sent_until = self._loop.time() + line.bytes_s(len(frame))
        on_line_s = line.bytes_s(len(frame) + request.answer_length + 3) + 2 * line.silence_s
        return frame, self.options.timeout_s + on_line_s

    async def _await_silence(self) -> None:
        """Nobody has spoken for t3.5. Raises ProtocolViolation on a line that is never quiet."""
        started = self._loop.time()
        while (pause_s := max(self._sent_until, self._heard_until) + self._silence_s - self._loop.time()) > 0:
            await asyncio.sleep(pause_s)
            if self._loop.time() > started + self.options.timeout_s + self.options.line.bytes_s(LONGEST_RTU):
                self.traffic.note_violation("babble")
                raise ProtocolViolation(f"{self.place}: the line is never quiet")
        self._sort(silent=True)

    def _on_bytes(self, data: bytes) -> None:
        self._buffer += data
        self._sort(silent=False)
        # Who has begun a frame has not ended it: adapters hand bytes over with pauses longer than t3.5.
        self._heard_until = self._loop.time() + (self._gap_s if self._buffer else 0.0)
        if self._gap is not None:
            self._gap.cancel()
        self._gap = self._loop.call_later(self._gap_s, self._look_again) if self._buffer else None

    def _look_again(self) -> None:
        # A loop that was held up has not read yet what came meanwhile: it does before this second timer runs.
        self._gap = self._loop.call_later(SECOND_LOOK_S, self._sort)

    def _sort(self, *, silent: bool = True) -> None:
        """Sound frames out of the buffer; the rest waits, or is noise once the line is silent."""
        buffer = self._buffer
        found, self._buffer = split_rtu(buffer, silent=silent)
        at = 0
        for frame in found:
            begin = buffer.index(frame, at)
            self._on_noise(buffer[at:begin])
            at = begin + len(frame)
            self._on_frame(frame)
        if silent:
            self._on_noise(buffer[at:])

    def _on_frame(self, frame: bytes) -> None:
        self.traffic.note_received(frame)
        if self._is_echo(frame):
            return
        unit, asked = frame[0], self._asked
        if asked is None or self._waiting is None or self._waiting.done():
            self._note_stray(frame)
        elif is_rtu_request(frame):
            self._note_other_master(frame)
        else:
            self._fault = asked.fault(unit, frame[1:-2])
            if not self._fault:
                self._settle(frame[1:-2])
            else:
                # Our unit's answer may still follow; if not, the time-out says what was heard.
                self._note_stray(frame, self._fault)

    def _is_echo(self, frame: bytes) -> bool:
        """Our own frame come back from an adapter that hears itself; the first that does tells what kind it is."""
        if not self._echo_due or frame != self._sent:
            return False
        if frame[1] in _REPEATED and not self._echo:
            return False
        self._echo, self._echo_due = True, False
        self.traffic.kinds["echo"] = self.traffic.kinds.get("echo", 0) + 1
        return True

    def _note_stray(self, frame: bytes, kind: str = "unasked") -> None:
        late = self._unanswered.hear(frame[0], frame[1:-2])
        self.traffic.note_violation(LATE if late else kind)

    def _note_other_master(self, frame: bytes) -> None:
        """Somebody else asks on this line. If it is our unit, whose answer comes next cannot be told."""
        if self._asked is not None and frame[0] == self._asked.unit:
            self._violate("another master", f"another master asked unit {frame[0]} while we did")
        else:
            self.traffic.note_violation("another master")

    def _on_noise(self, noise: bytes) -> None:
        """Bytes that make no frame. Those that begin as our answer would are that answer, damaged."""
        if not noise:
            return
        self.traffic.note_received(noise)
        asked = self._asked
        if asked is None or noise[0] != asked.unit or len(noise) < 2 or noise[1] & ~REFUSED != asked.function:
            self.traffic.note_violation("noise")
            self._fault = self._fault or "noise"
            return
        self._damaged = True
        kind = "truncated" if len(noise) < asked.answer_length + 3 and not noise[1] & REFUSED else "crc"
        self._violate(kind, f"the answer of unit {asked.unit} came damaged ({kind})")

    def _expire(self) -> None:
        self._sort(silent=True)
        asked = self._asked
        if (
            asked is not None
            and self._fault
            and self._fail(ProtocolViolation(f"{self.place}: unit {asked.unit} did not answer, {self._fault} was heard"))
        ):
            self.traffic.timeouts += 1
        super()._expire()
