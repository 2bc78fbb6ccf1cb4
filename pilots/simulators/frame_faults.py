"""Frames of the field protocols, as far as a fault needs to know them: where they end, whose they are, how to spoil them.

[zones: field to operation, simulated] Modbus Messaging on TCP/IP V1.0b 3.1.3 (MBAP), Modbus over Serial Line V1.02 2.5.1
(RTU), IEC 60870-5-104 5 (APCI), IEC 60870-5-1 6.2.4.2 (FT1.2), RFC 1006 6 (TPKT).
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod

from pymodbus.framer import FramerRTU

from pilots.domain.topology import Protocol

LARGEST_FRAME = 65535


class Framing(ABC):
    """One protocol's frames in the direction from the equipment."""

    @abstractmethod
    def split(self, buffer: bytearray) -> list[bytes] | None:
        """The whole frames at the head of `buffer`, taken out of it; None when these are not this protocol's bytes."""

    def unit(self, frame: bytes) -> int | None:
        """The unit that answers in this frame; None where frames do not say."""
        return None

    def with_wrong_unit(self, frame: bytes) -> bytes:
        """The frame as if somebody else had sent it."""
        return frame

    @abstractmethod
    def with_wrong_length(self, frame: bytes, source: random.Random) -> bytes:
        """A frame whose length field lies, or whose end is missing."""

    def as_exception(self, frame: bytes, code: int) -> bytes:
        """A refusal in place of this answer."""
        return frame

    def garbled(self, frame: bytes, source: random.Random) -> bytes:
        """Random bytes in place of the frame."""
        return source.randbytes(len(frame))


class Mbap(Framing):
    """Modbus TCP."""

    def split(self, buffer: bytearray) -> list[bytes] | None:
        frames = []
        while len(buffer) >= 8:
            length = int.from_bytes(buffer[4:6])
            if buffer[2:4] != b"\0\0" or not 2 <= length <= 254:
                return None
            if len(buffer) < 6 + length:
                break
            frames.append(bytes(buffer[: 6 + length]))
            del buffer[: 6 + length]
        return frames

    def unit(self, frame: bytes) -> int | None:
        return frame[6]

    def with_wrong_unit(self, frame: bytes) -> bytes:
        return frame[:6] + bytes([frame[6] ^ 1]) + frame[7:]

    def with_wrong_length(self, frame: bytes, source: random.Random) -> bytes:
        if source.random() < 0.5 and len(frame) > 9:
            return frame[: -source.randint(1, len(frame) - 8)]
        lie = int.from_bytes(frame[4:6]) + source.choice((-2, -1, 1, 2, 5, 300))
        return frame[:4] + max(0, lie).to_bytes(2) + frame[6:]

    def as_exception(self, frame: bytes, code: int) -> bytes:
        return frame[:4] + b"\0\3" + frame[6:7] + bytes([frame[7] | 0x80, code])

    def garbled(self, frame: bytes, source: random.Random) -> bytes:
        """The head stays, so that the garbage reaches the one who asked and nobody else."""
        return frame[:7] + source.randbytes(len(frame) - 7)


class Rtu(Framing):
    """Modbus on a serial line; a message of the equipment is a frame, because only silence ends one."""

    def split(self, buffer: bytearray) -> list[bytes] | None:
        frame = bytes(buffer)
        buffer.clear()
        return [frame] if len(frame) >= 4 else None

    def unit(self, frame: bytes) -> int | None:
        return frame[0]

    def with_wrong_unit(self, frame: bytes) -> bytes:
        return _with_crc(bytes([frame[0] ^ 1]) + frame[1:-2])

    def with_wrong_length(self, frame: bytes, source: random.Random) -> bytes:
        if source.random() < 0.5 and len(frame) > 4:
            return frame[: -source.randint(1, len(frame) - 3)]
        return frame + source.randbytes(source.randint(1, 5))

    def as_exception(self, frame: bytes, code: int) -> bytes:
        return _with_crc(bytes([frame[0], frame[1] | 0x80, code]))


class Apci(Framing):
    """IEC 60870-5-104; only frames with data (I format) name a station."""

    def split(self, buffer: bytearray) -> list[bytes] | None:
        frames = []
        while len(buffer) >= 2:
            if buffer[0] != 0x68 or buffer[1] < 4:
                return None
            if len(buffer) < 2 + buffer[1]:
                break
            end = 2 + buffer[1]
            frames.append(bytes(buffer[:end]))
            del buffer[:end]
        return frames

    def unit(self, frame: bytes) -> int | None:
        return int.from_bytes(frame[10:12], "little") if self._has_data(frame) else None

    def with_wrong_unit(self, frame: bytes) -> bytes:
        return frame[:10] + bytes([frame[10] ^ 1]) + frame[11:] if self._has_data(frame) else frame

    def with_wrong_length(self, frame: bytes, source: random.Random) -> bytes:
        if not self._has_data(frame):
            return frame
        return frame[:1] + bytes([max(4, min(255, frame[1] + source.choice((-3, -1, 1, 4))))]) + frame[2:]

    @staticmethod
    def _has_data(frame: bytes) -> bool:
        return len(frame) >= 12 and not frame[2] & 1


class Ft12(Framing):
    """IEC 60870-5-101 with a link address of one octet; a message of the equipment is a frame."""

    def split(self, buffer: bytearray) -> list[bytes] | None:
        frame = bytes(buffer)
        buffer.clear()
        return [frame] if frame[:1] in (b"\x10", b"\x68", b"\xe5") else None

    def with_wrong_unit(self, frame: bytes) -> bytes:
        start = {0x10: 1, 0x68: 4}.get(frame[0])
        if start is None:
            return frame
        body = bytearray(frame[start:-2])
        body[1] ^= 1
        return frame[:start] + bytes(body) + bytes([sum(body) & 0xFF, 0x16])

    def with_wrong_length(self, frame: bytes, source: random.Random) -> bytes:
        if frame[0] != 0x68:
            return frame[:-1]
        lie = (frame[1] + source.choice((-2, -1, 1, 3))) & 0xFF
        return frame[:1] + bytes([lie]) * 2 + frame[3:]


class Tpkt(Framing):
    """IEC 61850 MMS on ISO transport."""

    def split(self, buffer: bytearray) -> list[bytes] | None:
        frames = []
        while len(buffer) >= 4:
            length = int.from_bytes(buffer[2:4])
            if buffer[0] != 3 or length < 7:
                return None
            if len(buffer) < length:
                break
            frames.append(bytes(buffer[:length]))
            del buffer[:length]
        return frames

    def with_wrong_length(self, frame: bytes, source: random.Random) -> bytes:
        lie = max(4, min(LARGEST_FRAME, len(frame) + source.choice((-3, -1, 1, 4))))
        return frame[:2] + lie.to_bytes(2) + frame[4:]


class Messages(Framing):
    """Whatever comes at once (HTTP, websockets): no unit, no lengths to lie about."""

    def split(self, buffer: bytearray) -> list[bytes] | None:
        message = bytes(buffer)
        buffer.clear()
        return [message]

    def with_wrong_length(self, frame: bytes, source: random.Random) -> bytes:
        return frame


FRAMINGS: dict[Protocol, type[Framing]] = {
    Protocol.MODBUS_TCP: Mbap,
    Protocol.MODBUS_RTU: Rtu,
    Protocol.IEC104: Apci,
    Protocol.IEC101: Ft12,
    Protocol.IEC61850: Tpkt,
    Protocol.OCPP16: Messages,
    Protocol.PUSH: Messages,
}


def _with_crc(body: bytes) -> bytes:
    return body + int(FramerRTU.compute_CRC(body)).to_bytes(2)
