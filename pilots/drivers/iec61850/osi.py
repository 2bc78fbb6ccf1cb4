"""What carries MMS over TCP: TPKT, COTP class 0, session, presentation, association. [zone: field]

RFC 1006 (TPKT), ISO 8073 (COTP), ISO 8327-1 (session), ISO 8823-1 (presentation), ISO 8650-1 (ACSE), as IEC 61850-8-1,
annex A asks. Pure functions from octets to octets: after the association every message wears the same four small hats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pilots.domain.errors import LinkDown, ProtocolViolation
from pilots.drivers.iec61850.ber import Element, chosen, first, inside, number, tlv, whole_number

VERSION = 3
#: We offer COTP units of 8192 octets; a peer may answer with less.
_TPDU_SIZE_CODE = 13
_CR, _CC, _DR, _DT, _ER = 0xE0, 0xD0, 0x80, 0xF0, 0x70
_CONNECT, _ACCEPT, _REFUSE, _ABORT, _FINISH, _DISCONNECT, _DATA = 13, 14, 12, 25, 9, 10, 1
_USER_DATA = 0xC1
_ACSE_CONTEXT, _MMS_CONTEXT = 1, 3
_ACSE_SYNTAX, _MMS_SYNTAX = bytes.fromhex("52010001"), bytes.fromhex("28ca220201")
_BER_SYNTAX, _MMS_APPLICATION = bytes.fromhex("5101"), bytes.fromhex("28ca220203")
_REJECTED = {1: "for good", 2: "for now"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Selectors:
    """Whom we ask for at the far end. Most devices answer to the usual ones; an SCL file says when one does not."""

    transport: bytes = b"\x00\x01"
    session: bytes = b"\x00\x01"
    presentation: bytes = b"\x00\x00\x00\x01"
    ap_title: tuple[int, ...] = (1, 1, 1, 999, 1)
    ae_qualifier: int = 12


class Unit(NamedTuple):
    """One COTP data unit: its octets and whether it is the last of its message."""

    data: bytes
    last: bool


def split_packets(buffer: bytearray) -> Iterator[bytes]:
    """Takes each complete TPKT, head included, off `buffer`. Raises ProtocolViolation at garbage."""
    position = 0
    try:
        while len(buffer) - position >= 4:
            length = int.from_bytes(buffer[position + 2 : position + 4], "big")
            if buffer[position] != VERSION or length < 7:
                raise ProtocolViolation(f"no TPKT starts with {bytes(buffer[position : position + 4]).hex(' ')}")
            if len(buffer) - position < length:
                return
            yield bytes(buffer[position : position + length])
            position += length
        if len(buffer) > position and buffer[position] != VERSION:
            raise ProtocolViolation(f"no TPKT starts with {buffer[position]:02x}")
    finally:
        del buffer[:position]


def packet(tpdu: bytes) -> bytes:
    """A TPKT around a COTP unit."""
    return bytes((VERSION, 0)) + (len(tpdu) + 4).to_bytes(2, "big") + tpdu


# ---------------------------------------------------------------- COTP


def connect_request(selectors: Selectors) -> bytes:
    """The packet that opens the transport connection."""
    parameters = bytes((0xC0, 1, _TPDU_SIZE_CODE)) + _parameter(0xC1, b"\x00\x01") + _parameter(0xC2, selectors.transport)
    body = bytes((_CR, 0, 0, 0, 1, 0)) + parameters
    return packet(bytes((len(body),)) + body)


def confirmed_size(frame: bytes) -> int:
    """Octets a COTP unit of ours may have, from the packet that confirms the connection. Raises LinkDown when it refuses."""
    kind = _tpdu_kind(frame)
    if kind in (_DR, _ER):
        raise LinkDown("the transport connection is refused. Check the transport selector (tsel).")
    if kind != _CC:
        raise ProtocolViolation(f"COTP: unit {kind:02x} came instead of a connection confirm")
    at, stop = 11, min(len(frame), 5 + frame[4])
    while at + 2 < stop:
        if frame[at] == 0xC0 and 7 <= frame[at + 2] <= 13:
            return 1 << int(frame[at + 2])
        at += 2 + frame[at + 1]
    return 128


def data_packets(message: bytes, size: int) -> Iterator[bytes]:
    """The packets that carry one message in COTP units of at most `size` octets."""
    room = size - 3
    for at in range(0, len(message), room):
        last = at + room >= len(message)
        yield packet(bytes((2, _DT, 0x80 if last else 0)) + message[at : at + room])


def data_unit(frame: bytes) -> Unit:
    """What a packet carries after the connection stands. Raises LinkDown when the peer hangs up, ProtocolViolation."""
    kind = _tpdu_kind(frame)
    if kind in (_DR, _ER):
        raise LinkDown("the peer ended the transport connection")
    if kind != _DT or frame[4] != 2:
        raise ProtocolViolation(f"COTP: unit {kind:02x} is none of class 0")
    return Unit(frame[7:], bool(frame[6] & 0x80))


def _tpdu_kind(frame: bytes) -> int:
    """The kind of the unit in a packet (of at least seven octets: `split_packets` sees to it)."""
    if frame[4] < 2 or 5 + frame[4] > len(frame):
        raise ProtocolViolation("COTP: the head is longer than its packet")
    return frame[5] & 0xF0


def _parameter(code: int, value: bytes) -> bytes:
    return bytes((code, len(value))) + value


# ---------------------------------------------------------------- session, presentation, association


def associate_request(initiate: bytes, selectors: Selectors) -> bytes:
    """The message that opens session, presentation and association around an MMS initiate request."""
    information = tlv(0xBE, tlv(0x28, tlv(0x06, _BER_SYNTAX), _context(_MMS_CONTEXT), tlv(0xA0, initiate)))
    called = (
        tlv(0xA2, tlv(0x06, _object_identifier(selectors.ap_title))),
        tlv(0xA3, tlv(0x02, whole_number(selectors.ae_qualifier))),
    )
    calling = (tlv(0xA6, tlv(0x06, _object_identifier((1, 1, 1, 999)))), tlv(0xA7, tlv(0x02, whole_number(12))))
    association = tlv(0x60, tlv(0xA1, tlv(0x06, _MMS_APPLICATION)), *called, *calling, information)
    contexts = tlv(0xA4, _syntax(_ACSE_CONTEXT, _ACSE_SYNTAX), _syntax(_MMS_CONTEXT, _MMS_SYNTAX))
    normal = tlv(
        0xA2, tlv(0x81, b"\x00\x00\x00\x01"), tlv(0x82, selectors.presentation), contexts, _user_data(_ACSE_CONTEXT, association)
    )
    presentation = tlv(0x31, tlv(0xA0, tlv(0x80, b"\x01")), normal)
    return _session(_CONNECT, presentation, selectors.session)


def associate_response(message: bytes) -> bytes:
    """The MMS initiate response of an accepted association. Raises LinkDown when it is refused, ProtocolViolation."""
    kind, user_data = _session_user_data(message)
    if kind in (_REFUSE, _ABORT):
        raise LinkDown("the session is refused. Check the session and presentation selectors (ssel, psel).")
    if kind != _ACCEPT:
        raise ProtocolViolation(f"session: unit {kind} came instead of an accept")
    presentation = first(user_data)
    if presentation.tag != 0x31:
        raise ProtocolViolation("presentation: no connect accept came")
    normal = inside(user_data, presentation, 0xA2)
    carried = chosen(user_data, 0x61, normal.start, normal.stop)
    if carried is None:
        raise LinkDown("the presentation connection is refused. Check the presentation selector (psel).")
    return _associated(user_data, inside(user_data, carried, 0x30, 0xA0))


def _associated(octets: bytes, value: Element) -> bytes:
    answer = first(octets, value.start, value.stop)
    if answer.tag != 0x61:
        raise ProtocolViolation("association: no response came")
    result = number(octets, inside(octets, answer, 0xA2, 0x02))
    if result != 0:
        lasting = _REJECTED.get(result, f"with result {result}")
        raise LinkDown(f"the association is refused {lasting}. Check application title and qualifier (ap_title, ae_qualifier).")
    initiate = inside(octets, answer, 0xBE, 0x28, 0xA0)
    return octets[initiate.start : initiate.stop]


def data_message(mms: bytes) -> bytes:
    """An MMS message as it travels on a standing association: token, session data, presentation data."""
    return b"\x01\x00\x01\x00" + _user_data(_MMS_CONTEXT, mms)


def carried(message: bytes) -> bytes | None:
    """The MMS message inside; None for one of another context. Raises LinkDown when the peer ends the session."""
    if message[:4] != b"\x01\x00\x01\x00":
        kind = message[0] if message else -1
        if kind in (_FINISH, _ABORT, _DISCONNECT):
            raise LinkDown(f"the peer {'aborted' if kind == _ABORT else 'ended'} the association")
        raise ProtocolViolation(f"session: unit {kind} is no data")
    user_data = first(message, 4)
    if user_data.tag != 0x61:
        raise ProtocolViolation(f"presentation: {user_data.tag:02x} is no data")
    listed = inside(message, user_data, 0x30)
    if number(message, inside(message, listed, 0x02)) != _MMS_CONTEXT:
        return None
    value = inside(message, listed, 0xA0)
    return message[value.start : value.stop]


def _session(kind: int, user_data: bytes, called: bytes) -> bytes:
    items = bytes((5, 6, 0x13, 1, 0, 0x16, 1, 2, 0x14, 2, 0, 2)) + _parameter(0x33, b"\x00\x01") + _parameter(0x34, called)
    body = items + bytes((_USER_DATA,)) + _session_length(len(user_data)) + user_data
    return bytes((kind,)) + _session_length(len(body)) + body


def _session_length(size: int) -> bytes:
    return bytes((size,)) if size < 0xFF else b"\xff" + size.to_bytes(2, "big")


def _session_user_data(message: bytes) -> tuple[int, bytes]:
    """Kind and user data of a session unit. Raises ProtocolViolation when its parameters overrun it."""
    try:
        kind, (at, stop) = message[0], _span(message, 1)
        while at < stop:
            code, (start, end) = message[at], _span(message, at + 1)
            if code == _USER_DATA:
                return kind, message[start:end]
            at = end
    except IndexError as error:
        raise ProtocolViolation("session: a parameter ends before its length") from error
    return kind, b""


def _span(message: bytes, at: int) -> tuple[int, int]:
    size, start = message[at], at + 1
    if size == 0xFF:
        size, start = message[at + 1] << 8 | message[at + 2], at + 3
    if start + size > len(message):
        raise ProtocolViolation("session: a parameter is longer than its unit")
    return start, start + size


def _context(identifier: int) -> bytes:
    return tlv(0x02, bytes((identifier,)))


def _syntax(identifier: int, abstract: bytes) -> bytes:
    return tlv(0x30, _context(identifier), tlv(0x06, abstract), tlv(0x30, tlv(0x06, _BER_SYNTAX)))


def _user_data(identifier: int, value: bytes) -> bytes:
    return tlv(0x61, tlv(0x30, _context(identifier), tlv(0xA0, value)))


def _object_identifier(arcs: tuple[int, ...]) -> bytes:
    """The contents of an OBJECT IDENTIFIER.

    >>> _object_identifier((1, 1, 1, 999, 1)).hex()
    '2901876701'
    """
    octets = bytearray((40 * arcs[0] + arcs[1],))
    for arc in arcs[2:]:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(groups))
    return bytes(octets)
