"""Frames of the FT1.2 link layer: octets to frames and back, without any I/O. [zone: field]

Source: IEC 60870-5-1:1990, 6.2.4.2 (format class FT1.2) and IEC 60870-5-2:1992, 6 (control field, function codes), as
IEC 60870-5-101:2003, 6 selects them. The link address has 0, 1 or 2 octets: a wrong size turns every frame into noise.
"""

from __future__ import annotations

from typing import NamedTuple

FIXED, VARIABLE, END = 0x10, 0x68, 0x16
#: The single characters: E5 stands for ACK and for "no data"; A2 is hardly ever met and its opposite.
SINGLE_ACK, SINGLE_NACK = 0xE5, 0xA2
MAX_LENGTH = 255  # of control field, address and data together

DIRECTION, PRM, FCB, FCV, ACD, DFC, FUNCTION = 0x80, 0x40, 0x20, 0x10, 0x20, 0x10, 0x0F

# Primary to secondary.
RESET_LINK, TEST_LINK, SEND_CONFIRM, SEND_NO_REPLY = 0, 2, 3, 4
REQUEST_STATUS, REQUEST_CLASS_1, REQUEST_CLASS_2 = 9, 10, 11
# Secondary to primary.
ACK, NACK, DATA, NO_DATA, STATUS, NOT_FUNCTIONING, NOT_IMPLEMENTED = 0, 1, 8, 9, 11, 14, 15

PRIMARY_WORDS = {
    RESET_LINK: "reset of remote link",
    1: "reset of user process",
    TEST_LINK: "test of the link",
    SEND_CONFIRM: "send, confirm wanted",
    SEND_NO_REPLY: "send, no reply",
    8: "request of access demand",
    REQUEST_STATUS: "request of link status",
    REQUEST_CLASS_1: "request of class 1 data",
    REQUEST_CLASS_2: "request of class 2 data",
}
SECONDARY_WORDS = {
    ACK: "ACK",
    NACK: "NACK, link busy",
    DATA: "data",
    NO_DATA: "no data",
    STATUS: "link status",
    NOT_FUNCTIONING: "link service not functioning",
    NOT_IMPLEMENTED: "link service not implemented",
}


class Frame(NamedTuple):
    """One frame; `control` and `address` of a single character are -1, as it has none."""

    raw: bytes
    control: int
    address: int
    data: bytes = b""

    @property
    def single(self) -> bool:
        return self.control < 0

    @property
    def from_primary(self) -> bool:
        return not self.single and self.control & PRM != 0

    @property
    def direction(self) -> bool:
        """The DIR bit (balanced): set in what the controlling station sends."""
        return not self.single and self.control & DIRECTION != 0

    @property
    def fcb(self) -> bool:
        return self.control & FCB != 0

    @property
    def fcv(self) -> bool:
        return self.control & FCV != 0

    @property
    def access_demand(self) -> bool:
        """ACD of a secondary's frame: class 1 data wait."""
        return not self.single and self.control & ACD != 0

    @property
    def busy(self) -> bool:
        """DFC of a secondary's frame: it has no room for user data."""
        return not self.single and self.control & DFC != 0

    @property
    def function(self) -> int:
        return self.control & FUNCTION


class Damaged(NamedTuple):
    """Octets that are no frame; `kind` is "checksum" for a frame whose sum is wrong, else "noise"."""

    raw: bytes
    kind: str


def encode(control: int, address: int, address_size: int, data: bytes = b"") -> bytes:
    """The frame's octets: of variable length when there are data. Raises ValueError when they do not fit.

    >>> encode(PRM | REQUEST_STATUS, 1, 1).hex(" ")
    '10 49 01 4a 16'
    """
    try:
        body = bytes((control,)) + address.to_bytes(address_size, "little") + data
    except OverflowError as error:
        raise ValueError(f"link address {address} does not fit {address_size} octets") from error
    if len(body) > MAX_LENGTH:
        raise ValueError(f"{len(data)} octets do not fit a frame")
    head = bytes((VARIABLE, len(body), len(body), VARIABLE)) if data else bytes((FIXED,))
    return head + body + bytes((sum(body) & 0xFF, END))


class Parser:
    """Takes octets as they come and tells frames from noise; what it holds back is the beginning of a frame, perhaps."""

    def __init__(self, address_size: int) -> None:
        self.address_size = address_size
        self._held = bytearray()

    @property
    def holding(self) -> int:
        """Octets of a frame that is not complete."""
        return len(self._held)

    @property
    def missing(self) -> int:
        """How many octets the frame that is under way needs at least."""
        return max(0, self._length(0) - len(self._held)) if self._held else 0

    def feed(self, octets: bytes) -> list[Frame | Damaged]:
        """What is complete now, in order."""
        self._held += octets
        return self._take(until_empty=False)

    def flush(self) -> list[Frame | Damaged]:
        """The line fell silent: what was held back is no frame, though one may stand behind a false start."""
        return self._take(until_empty=True)

    def _take(self, *, until_empty: bool) -> list[Frame | Damaged]:
        found: list[Frame | Damaged] = []
        start = at = 0  # octets from `start` to `at` are noise
        while at < len(self._held):
            length = self._length(at)
            if length and at + length > len(self._held) and not until_empty:
                break
            item = self._item(at, length) if length and at + length <= len(self._held) else None
            if item is None:
                at += 1
                continue
            if at > start:
                found.append(Damaged(bytes(self._held[start:at]), "noise"))
            found.append(item)
            start = at = at + length
        if at > start:
            found.append(Damaged(bytes(self._held[start:at]), "noise"))
        del self._held[:at]
        return found

    def _length(self, at: int) -> int:
        """How long the frame that starts there is, as far as one can tell; 0 where none starts."""
        held, first = self._held, self._held[at]
        if first in (SINGLE_ACK, SINGLE_NACK):
            return 1
        if first == FIXED:
            return 4 + self.address_size
        if first != VARIABLE:
            return 0
        head = held[at : at + 4]
        fits = len(head) < 2 or head[1] >= 1 + self.address_size
        if not fits or (len(head) > 2 and head[2] != head[1]) or (len(head) > 3 and head[3] != VARIABLE):
            return 0
        return head[1] + 6 if len(head) > 1 else 7 + self.address_size

    def _item(self, at: int, length: int) -> Frame | Damaged | None:
        """The complete frame there; None when it does not end as a frame does."""
        raw = bytes(self._held[at : at + length])
        if length == 1:
            return Frame(raw, -1, -1)
        if raw[-1] != END:
            return None
        body = raw[1:-2] if raw[0] == FIXED else raw[4:-2]
        if sum(body) & 0xFF != raw[-2]:
            return Damaged(raw, "checksum")
        past = 1 + self.address_size
        return Frame(raw, body[0], int.from_bytes(body[1:past], "little"), body[past:])


def describe(frame: Frame) -> str:
    """The link layer's part of a frame in words.

    >>> describe(Frame(b"", 0x7B, 3))
    'to 3: request of class 2 data, FCB 1'
    """
    if frame.single:
        return "E5: ACK or no data" if frame.raw[0] == SINGLE_ACK else "A2: NACK"
    if frame.from_primary:
        words = [PRIMARY_WORDS.get(frame.function, f"function {frame.function}")]
        words += [f"FCB {frame.fcb:d}"] if frame.fcv else []
    else:
        words = [SECONDARY_WORDS.get(frame.function, f"function {frame.function}")]
        words += ["ACD: class 1 waits"] if frame.access_demand else []
        words += ["DFC: buffer full"] if frame.busy else []
    words += ["DIR"] if frame.direction else []
    return f"{'to' if frame.from_primary else 'from'} {frame.address}: {', '.join(words)}"
