"""Tags, lengths and whole numbers of the Basic Encoding Rules, as far as MMS and its lower layers use them. [zone: field]

ISO/IEC 8825-1, 8.1. We write definite lengths; lengths of either form are read, because some stacks write the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pilots.domain.errors import ProtocolViolation

#: Elements inside elements: no MMS message needs half of it, and a hostile one must not exhaust the stack.
DEEPEST = 40


class Element(NamedTuple):
    """One element of `octets`: its tag (a high-tag-number form counts its octets in), and where its contents stand."""

    tag: int
    start: int
    stop: int


def tlv(tag: int, *contents: bytes) -> bytes:
    """An element.

    >>> tlv(0x30, b"abc", b"d").hex()
    '300461626364'
    """
    body = b"".join(contents)
    head = bytes((tag,)) if tag <= 0xFF else tag.to_bytes(2, "big")
    return head + _length(len(body)) + body


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def whole_number(value: int) -> bytes:
    """The contents of an INTEGER, two's complement in as few octets as possible.

    >>> [whole_number(value).hex() for value in (0, 127, 128, -128, -129)]
    ['00', '7f', '0080', '80', 'ff7f']
    """
    return value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True)


def elements(octets: bytes, start: int = 0, stop: int | None = None, depth: int = 0) -> Iterator[Element]:
    """The elements that stand side by side in octets[start:stop]. Raises ProtocolViolation when they do not fit in."""
    end = len(octets) if stop is None else stop
    while start < end:
        found, start = _next(octets, start, end, depth)
        yield found


def first(octets: bytes, start: int = 0, stop: int | None = None) -> Element:
    """The first of them. Raises ProtocolViolation when there is none."""
    for found in elements(octets, start, stop):
        return found
    raise ProtocolViolation("BER: an element is missing")


def chosen(octets: bytes, tag: int, start: int = 0, stop: int | None = None) -> Element | None:
    """The first element of that tag among those side by side, if there is one."""
    return next((found for found in elements(octets, start, stop) if found.tag == tag), None)


def inside(octets: bytes, outer: Element, *tags: int) -> Element:
    """The element reached from `outer` by these tags, each inside the one before. Raises ProtocolViolation."""
    for tag in tags:
        found = chosen(octets, tag, outer.start, outer.stop)
        if found is None:
            raise ProtocolViolation(f"BER: element {tag:02x} is missing")
        outer = found
    return outer


def number(octets: bytes, element: Element) -> int:
    """An INTEGER's value. Raises ProtocolViolation for one of more than INT128: it would fit no float and no screen."""
    if element.stop - element.start > 16:
        raise ProtocolViolation(f"BER: a whole number of {element.stop - element.start} octets")
    return int.from_bytes(octets[element.start : element.stop], "big", signed=True)


def _next(octets: bytes, start: int, end: int, depth: int) -> tuple[Element, int]:
    """The element at `start` and where the one after it begins."""
    tag, at = octets[start], start + 1
    if tag & 0x1F == 0x1F and at < end:
        tag, at = tag << 8 | octets[at], at + 1
    if at >= end:
        raise ProtocolViolation("BER: an element ends before its length")
    length, at = octets[at], at + 1
    if length == 0x80:
        stop = _end_of_contents(octets, at, end, depth + 1)
        return Element(tag, at, stop), stop + 2
    if length > 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(octets[at : at + size], "big"), at + size
    if length > end - at:
        raise ProtocolViolation("BER: an element is longer than what holds it")
    return Element(tag, at, at + length), at + length


def _end_of_contents(octets: bytes, start: int, end: int, depth: int) -> int:
    """Where the two zero octets stand that end an element of indefinite length."""
    if depth > DEEPEST:
        raise ProtocolViolation("BER: nested too deeply")
    while start < end:
        found, following = _next(octets, start, end, depth)
        if found.tag == 0:
            return start
        start = following
    raise ProtocolViolation("BER: an element of indefinite length never ends")
