"""The frame log as a capture file that Wireshark and tshark read. [zone: field]

Format: libpcap file with link type 101, raw IP (https://www.tcpdump.org/linktypes.html). Frames of every protocol are
put into one made-up TCP conversation between 192.0.2.1 (us) and 192.0.2.2 (RFC 5737: addresses for documentation), so that
a serial line's frames can be read as well: "Decode As" its TCP port the dissector that the driver names.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from pilots.drivers.traffic import LoggedFrame

_FILE_HEAD = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
_RECORD_HEAD = struct.Struct("<IIII")
_IP = struct.Struct(">BBHHHBBH4s4s")
_TCP = struct.Struct(">HHIIBBHHH")
_US, _THEM = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
_OUR_PORT = 49152
_PUSH_ACK = 0x18


def capture(frames: Iterable[LoggedFrame], *, port: int) -> bytes:
    """A whole capture file; `port` is the far end's TCP port by which a reader chooses its dissector.

    A frame that the log cut is cut here too and says so by its original length.
    """
    sequence = {True: 1, False: 1}
    records = [_FILE_HEAD]
    for frame in frames:
        packet = _packet(frame, sequence[frame.sent], sequence[not frame.sent], port)
        sequence[frame.sent] += frame.length
        seconds, fraction = divmod(frame.at, 1)
        missing = frame.length - len(frame.raw)
        records.append(_RECORD_HEAD.pack(int(seconds), int(fraction * 1e6), len(packet), len(packet) + missing))
        records.append(packet)
    return b"".join(records)


def _packet(frame: LoggedFrame, sequence: int, acknowledged: int, port: int) -> bytes:
    ports = (_OUR_PORT, port) if frame.sent else (port, _OUR_PORT)
    ends = (_US, _THEM) if frame.sent else (_THEM, _US)
    numbers = (sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF)
    whole = min(_IP.size + _TCP.size + frame.length, 0xFFFF)
    head = _ip_head(whole, frame.number, ends)
    tcp = _tcp_head(ports, numbers, ends, frame.raw)
    return head + tcp + frame.raw


def _ip_head(length: int, number: int, ends: tuple[bytes, bytes]) -> bytes:
    head = _IP.pack(0x45, 0, length, number & 0xFFFF, 0x4000, 64, 6, 0, *ends)
    return head[:10] + struct.pack(">H", _checksum(head)) + head[12:]


def _tcp_head(ports: tuple[int, int], numbers: tuple[int, int], ends: tuple[bytes, bytes], data: bytes) -> bytes:
    head = _TCP.pack(*ports, *numbers, 5 << 4, _PUSH_ACK, 65535, 0, 0)
    pseudo = ends[0] + ends[1] + struct.pack(">BBH", 0, 6, len(head) + len(data))
    return head[:16] + struct.pack(">H", _checksum(pseudo + head + data)) + head[18:]


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
