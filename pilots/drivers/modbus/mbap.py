"""Modbus TCP and Modbus/TCP Security: frames with an MBAP header. [zone: field] [Messaging on TCP/IP V1.0b, 3.1.3 and 4.2]

Each request has a number of its own and its answer carries it: a late answer is never taken for the current one.
"""

from __future__ import annotations

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.modbus.frames import LONGEST_MBAP, MBAP, Request, split_mbap
from pilots.drivers.modbus.link import ModbusLink
from pilots.drivers.traffic import LATE

#: So often in a row the beginning of frames was lost: only a new connection can find it again.
MOST_FRAMING_LOSSES = 3


class MbapLink(ModbusLink):
    """Frames are found by their length field; what is wrong with one costs that one."""

    _number = 0
    _rest = b""
    _framing_losses = 0

    def _frame(self, request: Request) -> tuple[bytes, float]:
        # Number 0 is never used: some devices send it with whatever they say.
        self._number = number = self._number % 0xFFFF + 1
        return MBAP.pack(number, 0, len(request.pdu) + 1, request.unit) + request.pdu, self.options.timeout_s

    def _on_bytes(self, data: bytes) -> None:
        if not self._rest and 8 <= len(data) <= LONGEST_MBAP and data[2:6] == (len(data) - 6).to_bytes(4, "big"):
            self._on_frame(data)  # exactly one frame, as nearly always
            return
        buffer = self._rest + data
        try:
            found, self._rest = split_mbap(buffer)
        except ProtocolViolation as error:
            self._lose_framing(buffer, str(error))
            return
        for frame in found:
            self._on_frame(frame)
        if found and self._rest:
            buffer, self._rest = self._rest, b""
            self._on_bytes(buffer)

    def _on_frame(self, frame: bytes) -> None:
        self.traffic.note_received(frame)
        number, _, _, unit = MBAP.unpack_from(frame)
        asked, waiting = self._asked, self._waiting
        if asked is None or waiting is None or waiting.done() or number != self._number:
            self._note_stray(number, unit)
            return
        self._framing_losses = 0
        pdu = frame[7:]
        fault = asked.fault(unit, pdu)
        if fault:
            self._violate(fault, f"unit {unit} answered with {fault} to function {asked.function} of unit {asked.unit}")
        else:
            waiting.set_result(pdu)

    def _note_stray(self, number: int, unit: int) -> None:
        if number == 0:
            self._violate("wrong transaction", f"unit {unit} answered with transaction 0")
        else:
            self.traffic.note_violation(LATE)

    def _lose_framing(self, buffer: bytes, words: str) -> None:
        """What came is dropped; the next frame is looked for in what comes next."""
        self._rest = b""
        self._framing_losses += 1
        self.traffic.note_received(buffer)
        self._violate("framing", words)
        if self._framing_losses >= MOST_FRAMING_LOSSES:
            self.port.close()
            self._break("its frames cannot be told apart")

    def _expire(self) -> None:
        if self._rest:
            self.traffic.note_received(self._rest)
            self.traffic.note_violation("truncated")
            self._rest = b""
        super()._expire()
