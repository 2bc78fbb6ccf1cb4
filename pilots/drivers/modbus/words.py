"""Modbus frames in a line of words, for the frame log. [zone: field]

Whether a frame is a question or an answer shows in its form, but for the writes whose answer repeats them.
"""

from __future__ import annotations

import struct

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.modbus.frames import MBAP, REFUSED, crc16, split_mbap

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
TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_LONGEST_VALUES = 64


def describe_mbap(frame: bytes) -> str:
    """A frame of Modbus TCP in words; what is none is shown as bytes."""
    try:
        frames, rest = split_mbap(frame)
    except ProtocolViolation as error:
        return f"no Modbus frame ({error}): {_hex(frame)}"
    if len(frames) != 1 or rest:
        return f"incomplete frame: {_hex(frame)}"
    number, _, _, unit = MBAP.unpack_from(frame)
    return f"{describe_pdu(unit, frame[7:])} (transaction {number})"


def describe_rtu(frame: bytes) -> str:
    """A frame of a serial line in words."""
    if len(frame) < 4 or crc16(frame):
        return f"noise or a damaged frame: {_hex(frame)}"
    return describe_pdu(frame[0], frame[1:-2])


def describe_pdu(unit: int, pdu: bytes) -> str:
    """
    >>> describe_pdu(3, bytes.fromhex("03 0bd3 0002"))
    '→ unit 3 read holding 3027 ×2'
    >>> describe_pdu(3, bytes.fromhex("83 02"))
    '← unit 3 exception 2 illegal data address'
    >>> describe_pdu(3, bytes.fromhex("06 0028 0005"))
    '↔ unit 3 write holding 40 = 0005'
    """
    function = pdu[0] if pdu else 0
    if function & REFUSED and len(pdu) == 2:
        return f"← unit {unit} exception {pdu[1]} {EXCEPTIONS.get(pdu[1], 'of no known meaning')}"
    try:
        words = _read(function, pdu) if function in TABLES else _write(function, pdu)
    except (struct.error, IndexError):
        words = ""
    arrow, _, rest = words.partition(" ")
    return f"{arrow} unit {unit} {rest}" if words else f"unit {unit} function {function}: {_hex(pdu)}"


def _read(function: int, pdu: bytes) -> str:
    table = TABLES[function]
    if len(pdu) == 5 and (pdu[1] != 3 or function > 2 or int.from_bytes(pdu[3:], "big") <= 2000):
        start, count = struct.unpack_from(">HH", pdu, 1)
        return f"→ read {table} {start} ×{count}"
    if len(pdu) != 2 + pdu[1]:
        return f"← {table} answer of {len(pdu) - 2} bytes that says it has {pdu[1]}: {_hex(pdu)}"
    return f"← {table} {_hex(pdu[2:], group=1 if function <= 2 else 2)}"


def _write(function: int, pdu: bytes) -> str:
    start, second = struct.unpack_from(">HH", pdu, 1)
    if function == 5 and len(pdu) == 5:
        return f"↔ write coil {start} = {'on' if second else 'off'}"
    if function == 6 and len(pdu) == 5:
        return f"↔ write holding {start} = {pdu[3:].hex()}"
    if function == 22 and len(pdu) == 7:
        return f"↔ write holding {start}, keep bits {pdu[3:5].hex()}, put {pdu[5:].hex()}"
    if function not in (15, 16):
        return ""
    table = "coil" if function == 15 else "holding"
    if len(pdu) == 5:
        return f"← {table} {start} ×{second} written"
    if len(pdu) != 6 + pdu[5]:
        return ""
    return f"→ write {table} {start} ×{second} = {_hex(pdu[6:], group=1 if function == 15 else 2)}"


def _hex(raw: bytes, *, group: int = 1) -> str:
    shown = raw[:_LONGEST_VALUES]
    return shown.hex(" ", -group) + (" ..." if len(raw) > len(shown) else "")
