"""Modbus requests, and bytes to frames on both carriers: TCP (MBAP header) and serial lines (RTU). [zone: field]

Pure: nothing here waits or sends. Modbus Application Protocol V1.1b3, 4.1 and 6; Messaging on TCP/IP V1.0b, 3.1.3;
Modbus over Serial Line V1.02, 2.5.1 (RTU frame) and 6.2.2 (CRC).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pilots.domain.errors import ProtocolViolation

MBAP = struct.Struct(">HHHB")  # transaction, protocol (0), length of what follows it, unit
_LENGTH = struct.Struct(">HH")
_PDU = struct.Struct(">BHH")
#: A PDU has at most 253 bytes, so that an RTU frame keeps within 256.
LONGEST_PDU = 253
LONGEST_RTU, LONGEST_MBAP = 256, 260
READ_FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS, MASK_WRITE = 5, 6, 15, 16, 22
REFUSED = 0x80


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one unit. A proper answer's PDU has `answer_length` bytes and begins with `answer_head`."""

    unit: int
    pdu: bytes
    answer_length: int
    answer_head: bytes

    @property
    def function(self) -> int:
        return self.pdu[0]

    def fault(self, unit: int, pdu: bytes) -> str:
        """What keeps this PDU from being the answer, in two words; empty when it is one, be it a refusal."""
        if unit == self.unit and len(pdu) == self.answer_length and pdu.startswith(self.answer_head):
            return ""
        if unit != self.unit:
            return "wrong unit"
        if not pdu or pdu[0] & ~REFUSED != self.function:
            return "wrong function"
        if pdu[0] & REFUSED:
            return "" if len(pdu) == 2 else "wrong length"
        if len(pdu) != self.answer_length:
            return "wrong length"
        return "wrong length" if self.function <= 4 else "another write"


def read_request(unit: int, table: str, start: int, count: int) -> Request:
    """`count` registers or bits of a table. Raises ValueError beyond the address space or one answer's length."""
    function = READ_FUNCTIONS[table]
    bits = function <= 2
    if not 1 <= count <= (2000 if bits else 125) or not 0 <= start <= 0x10000 - count:
        raise ValueError(f"{count} from {start} on cannot be read from table {table}")
    size = (count + 7) // 8 if bits else 2 * count
    return Request(unit, _PDU.pack(function, start, count), 2 + size, bytes((function, size)))


def write_registers_request(unit: int, start: int, raw: bytes, *, single: bool = False) -> Request:
    """These registers are to hold `raw`; `single` takes function 6 for one. Raises ValueError beyond the address space."""
    count = len(raw) // 2
    _check(start, count)
    if single and count == 1:
        return _write(unit, struct.pack(">BH", WRITE_REGISTER, start) + raw)
    return _write(unit, struct.pack(">BHHB", WRITE_REGISTERS, start, count, len(raw)) + raw)


def write_coil_request(unit: int, address: int, on: bool, *, multiple: bool = False) -> Request:
    """A coil is to be on or off; `multiple` takes function 15 for it. Raises ValueError beyond the address space."""
    _check(address, 1)
    if multiple:
        return _write(unit, struct.pack(">BHHBB", WRITE_COILS, address, 1, 1, on))
    return _write(unit, _PDU.pack(WRITE_COIL, address, 0xFF00 if on else 0))


def mask_write_request(unit: int, address: int, keep: int, put: int) -> Request:
    """The register becomes `(register & keep) | (put & ~keep)`, in the device and at once. Raises ValueError likewise."""
    _check(address, 1)
    pdu = struct.pack(">BHHH", MASK_WRITE, address, keep, put)
    return Request(unit, pdu, len(pdu), pdu)


def _check(start: int, count: int) -> None:
    if not 0 <= start <= 0x10000 - count:
        raise ValueError(f"{count} from {start} on lie outside 0 to 65535")


def _write(unit: int, pdu: bytes) -> Request:
    """A write is confirmed by its function, address and value, or address and count: its own first five bytes."""
    return Request(unit, pdu, 5, pdu[:5])


def split_mbap(buffer: bytes) -> tuple[list[bytes], bytes]:
    """The whole frames at the head of `buffer`, and what follows them.

    Raises ProtocolViolation when the head is no MBAP header: from there on nobody knows where frames begin.

    >>> frames, rest = split_mbap(bytes.fromhex("0007 0000 0003 01 83 02  0008 00"))
    >>> [frame.hex() for frame in frames], rest.hex()
    (['000700000003018302'], '000800')
    """
    frames: list[bytes] = []
    at, end = 0, len(buffer)
    while end - at >= 6:
        protocol, length = _LENGTH.unpack_from(buffer, at + 2)
        if protocol or not 2 <= length <= LONGEST_PDU + 1:
            if frames:
                break  # what came before it is sound; the caller asks again for the rest
            raise ProtocolViolation(f"protocol id {protocol} instead of 0" if protocol else f"impossible length {length}")
        following = at + 6 + length
        if following > end:
            break
        frames.append(buffer[at:following])
        at = following
    return frames, buffer[at:]


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Unit, PDU and CRC, low byte first.

    >>> rtu_frame(1, bytes.fromhex("03 0000 000a")).hex(" ")
    '01 03 00 00 00 0a c5 cd'
    """
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def split_rtu(buffer: bytes, *, silent: bool = False) -> tuple[list[bytes], bytes]:
    """The whole frames with a good CRC at the head of `buffer`, and what follows them.

    RTU frames have no mark at their beginning. While bytes flow, the head alone is looked at: a frame still incomplete
    there is waited for. Once the line is `silent`, frames are found behind noise too, and nothing is left over.
    """
    frames: list[bytes] = []
    at, end = 0, len(buffer)
    while at < end:
        length = _sound_length(buffer, at, wait=not silent)
        if length:
            frames.append(buffer[at : at + length])
            at += length
        elif silent:
            at += 1
        else:
            break
    return frames, buffer[at:]


def is_rtu_request(frame: bytes) -> bool:
    """Whether a sound frame is a question (of another master, or our own come back) that cannot be read as an answer.

    >>> is_rtu_request(rtu_frame(1, bytes.fromhex("03 0000 000a"))), is_rtu_request(rtu_frame(1, bytes.fromhex("06 0000 000a")))
    (True, False)
    """
    if frame[1] in (3, 4) and frame[2] & 1:
        return True  # an answer has whole registers
    return _answer_length(frame, 0) != len(frame)


def _sound_length(buffer: bytes, at: int, *, wait: bool) -> int:
    """The length of the frame that begins here, 0 if none does. `wait`: not as long as an answer is still on its way."""
    for length in (_answer_length(buffer, at), _request_length(buffer, at)):
        if length > len(buffer) - at:
            if wait:
                return 0
        elif length and crc16(buffer[at : at + length]) == 0:
            return length
    return 0


def _answer_length(buffer: bytes, at: int) -> int:
    """What an answer that begins here says it has, CRC included; 1 beyond the buffer while it has not said; 0 for none."""
    missing = len(buffer) - at + 1
    if missing <= 2:
        return missing
    function = buffer[at + 1]
    if function & REFUSED:
        return 5
    if 1 <= function <= 4 or function == 23:
        return 5 + buffer[at + 2] if missing > 3 else missing
    return {5: 8, 6: 8, 15: 8, 16: 8, 22: 10}.get(function, 0)


def _request_length(buffer: bytes, at: int) -> int:
    """The same for a question."""
    missing = len(buffer) - at + 1
    if missing <= 2:
        return missing
    function = buffer[at + 1]
    counted = {15: 6, 16: 6, 23: 10}.get(function)
    if counted is not None:
        return counted + 3 + buffer[at + counted] if missing > counted + 1 else missing
    return 8 if 1 <= function <= 6 else 10 if function == 22 else 0


def _crc_table() -> tuple[int, ...]:
    table = list(range(256))
    for _ in range(8):
        table = [crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1 for crc in table]
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes) -> int:
    """The CRC of serial Modbus; 0 over a frame that ends with its own."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc
