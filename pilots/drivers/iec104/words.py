"""APDUs of IEC 60870-5-104 in words, for the frame log. [zone: field]

Source: IEC 60870-5-104:2006, 5.1 (I, S and U format).
"""

from __future__ import annotations

from pilots.drivers.iec60870.words import describe_asdu

_FUNCTIONS = {
    0x07: "STARTDT act",
    0x0B: "STARTDT con",
    0x13: "STOPDT act",
    0x23: "STOPDT con",
    0x43: "TESTFR act",
    0x83: "TESTFR con",
}


def describe_apdu(frame: bytes) -> str:
    """A whole APDU in one line; never raises, bad ones are described as such.

    >>> describe_apdu(bytes.fromhex("680443000000")), describe_apdu(bytes.fromhex("680401000a00"))
    ('U TESTFR act', 'S N(R) 5')
    >>> describe_apdu(bytes.fromhex("680e 0200 0400 6401060001000000 0014"))
    'I N(S) 1 N(R) 2: C_IC_NA_1 (100) activation, CA 1: station'
    """
    if len(frame) < 6 or frame[0] != 0x68 or frame[1] != len(frame) - 2:
        return f"no APDU: {frame.hex(' ')}"
    received = int.from_bytes(frame[4:6], "little") >> 1
    if not frame[2] & 0x01:
        return f"I N(S) {int.from_bytes(frame[2:4], 'little') >> 1} N(R) {received}: {describe_asdu(frame[6:])}"
    if len(frame) > 6:
        return f"no APDU: {frame.hex(' ')}"
    return f"S N(R) {received}" if frame[2] & 0x03 == 0x01 else f"U {_FUNCTIONS.get(frame[2], f'{frame[2]:02x}')}"
