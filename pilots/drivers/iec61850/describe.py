"""A logged packet in one line of words. [zone: field]"""

from __future__ import annotations

from collections.abc import Iterator

from pilots.domain.errors import FieldError, ProtocolViolation
from pilots.drivers.iec61850 import mms, osi
from pilots.drivers.iec61850.ber import Element, elements, first, number
from pilots.drivers.iec61850.data import DataFailure
from pilots.drivers.iec61850.mms import Service
from pilots.drivers.iec61850.reports import Entry, decode_report
from pilots.drivers.iec61850.values import words_of

_UNITS = {
    0xE0: "COTP connection request", 0xD0: "COTP connection confirm", 0x80: "COTP disconnect request", 0x70: "COTP error",
}  # fmt: skip
_SESSIONS = {
    13: "association request", 14: "association accepted", 12: "association refused", 25: "abort", 9: "finish", 10: "disconnect",
}  # fmt: skip
#: Names shown of a request that has many.
MOST_NAMES = 3
_VISIBLE = 0x1A


def describe(frame: bytes) -> str:
    """Never raises: what cannot be read is said to be so. A frame that the log cut is read as far as it goes."""
    try:
        return _packet(frame)
    except (FieldError, IndexError) as error:
        return f"not understood: {error} ({frame[:16].hex(' ')})"


def _packet(frame: bytes) -> str:
    length = int.from_bytes(frame[2:4], "big")
    if frame[:1] != b"\x03" or length < 7 or len(frame) < 7:
        raise ProtocolViolation("no TPKT")
    whole = frame + bytes(max(0, length - len(frame)))
    kind = whole[5] & 0xF0
    if kind != 0xF0:
        return _UNITS.get(kind, f"COTP unit {kind:02x}")
    unit = osi.data_unit(whole)
    if unit.data[:4] != b"\x01\x00\x01\x00":
        kind = unit.data[0] if unit.data else -1
        return _SESSIONS.get(kind, f"session unit {kind}" if unit.last else "part of a message")
    if not unit.last:
        return f"first part of a message, {len(unit.data)} octets"
    carried = osi.carried(unit.data)
    if carried is None:
        return "of no MMS context"
    return _message(carried) if len(frame) >= length else f"{_head(carried)}, {length} octets, cut in the log"


def _head(octets: bytes) -> str:
    """What the first octets tell of a message whose end is missing."""
    outer = first(octets)
    kind = {0xA0: "confirmed-request", 0xA1: "confirmed-response", 0xA3: "information-report"}.get(
        outer.tag, f"message {outer.tag:02x}"
    )
    parts = elements(octets, outer.start, outer.stop)
    invoke_id, service = (next(parts, None), next(parts, None)) if outer.tag in (0xA0, 0xA1) else (None, None)
    return kind if invoke_id is None or service is None else f"{kind} {number(octets, invoke_id)} {_service(service.tag)}"


def _message(octets: bytes) -> str:
    outer = first(octets)
    if outer.tag == 0xA0:
        return _request(octets, outer)
    if outer.tag in (0xA8, 0xA9):
        return "initiate-request" if outer.tag == 0xA8 else "initiate-response"
    message = mms.decode(octets)
    if isinstance(message, mms.Answer):
        return f"confirmed-response {message.invoke_id} {_service(message.service.tag)}{_results(message)}"
    if isinstance(message, mms.Refusal):
        return f"confirmed-error {message.invoke_id}: {message.words}"
    if isinstance(message, mms.Report):
        return _report(message)
    return "conclude-request" if message.asked else "conclude-response"


def _request(octets: bytes, outer: Element) -> str:
    parts = list(elements(octets, outer.start, outer.stop))
    if len(parts) < 2:
        raise ProtocolViolation("a request without service")
    names = list(_names(octets, parts[1]))
    shown = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
    return f"confirmed-request {number(octets, parts[0])} {_service(parts[1].tag)} {shown}".rstrip()


def _names(octets: bytes, element: Element, depth: int = 0) -> Iterator[str]:
    """The object names anywhere in a request."""
    if not element.tag & 0x20 or depth > 8:
        return
    inner = list(elements(octets, element.start, element.stop))
    texts = [octets[each.start : each.stop].decode("utf-8", "replace") for each in inner if each.tag == _VISIBLE]
    if len(texts) == 2:
        yield "/".join(texts)
        return
    for each in inner:
        yield from _names(octets, each, depth + 1)


def _service(tag: int) -> str:
    try:
        return Service(tag & 0x1F).word
    except ValueError:
        return f"service {tag & 0x1F}"


def _results(answer: mms.Answer) -> str:
    service = answer.service.tag & 0x1F
    if service == Service.READ:
        values = mms.values_in(answer)
        return ": " + ", ".join(words_of(value) for value in values[:MOST_NAMES]) + (" ..." if len(values) > MOST_NAMES else "")
    if service == Service.WRITE:
        return ": " + ", ".join("written" if each is None else mms.failure_words(each) for each in mms.written_in(answer))
    if service == Service.GET_NAME_LIST:
        return f": {len(mms.names_in(answer)[0])} names"
    return ""


def _report(report: mms.Report) -> str:
    if not report.listed:
        names = [f"{name} {words_of(value)}" for name, value in zip(report.names, report.values, strict=False)]
        return "information-report " + ", ".join(names)
    entry = decode_report(report.values)
    return f"information-report {report.listed} {_entry(entry)}"


def _entry(entry: Entry) -> str:
    parts = [entry.report_id]
    if entry.number is not None:
        parts.append(f"number {entry.number}")
    if entry.entry_id:
        parts.append(f"entry {entry.entry_id.hex()}")
    values = [f"{member}: {words_of(value)}" for member, value in entry.values.items() if not isinstance(value, DataFailure)]
    return " ".join(parts) + " " + ", ".join(values[:MOST_NAMES]) + (" ..." if len(values) > MOST_NAMES else "")
