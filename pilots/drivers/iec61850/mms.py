"""The MMS messages a client of IEC 61850 needs: requests to octets, octets to answers and reports. [zone: field]

ISO 9506-2 (MMS protocol), profile of IEC 61850-8-1: status, identify, name lists, types, data sets, read, write and the
information report. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.iec61850.ber import Element, chosen, elements, first, inside, number, tlv, whole_number
from pilots.drivers.iec61850.data import Bits, DataFailure, Type, Value, decode_type, decode_value

LARGEST_MESSAGE = 65000
MOST_OUTSTANDING = 5
#: str1, str2, vnam, valt, vlis of the parameter conformance building blocks (ISO 9506-2, 7.5).
_BLOCKS = Bits.of(11, 0, 1, 2, 3, 7)
_SERVICES = Bits.of(85, 0, 1, 2, 4, 5, 6, 11, 12, 13, 79, 83)
_VISIBLE = 0x1A


class Service(IntEnum):
    """Confirmed services by their number, in requests and answers alike."""

    STATUS = 0
    GET_NAME_LIST = 1
    IDENTIFY = 2
    READ = 4
    WRITE = 5
    GET_VARIABLE_ACCESS_ATTRIBUTES = 6
    GET_NAMED_VARIABLE_LIST_ATTRIBUTES = 12

    @property
    def word(self) -> str:
        return self.name.lower().replace("_", "-")


class Name(NamedTuple):
    """An MMS object: an item of a domain (logical device), or of the whole device where `domain` is empty."""

    domain: str
    item: str

    def __str__(self) -> str:
        return f"{self.domain}/{self.item}" if self.domain else self.item


class Initiated(NamedTuple):
    """What the association agreed on."""

    largest: int
    outstanding: int


class Answer(NamedTuple):
    """A confirmed response, not yet looked into: most of the work is done for those who asked."""

    invoke_id: int
    octets: bytes
    service: Element


class Refusal(NamedTuple):
    """A confirmed error or a reject, in words; `invoke_id` None when the peer does not say what it rejects."""

    invoke_id: int | None
    words: str


class Report(NamedTuple):
    """An information report: the name of its list ("RPT") or the names of its variables, and their values."""

    listed: str
    names: tuple[Name, ...]
    values: tuple[Value | DataFailure, ...]


class Concluded(NamedTuple):
    """The peer wants to end the association (`asked`), or agrees to."""

    asked: bool


Message = Answer | Refusal | Report | Concluded


# ---------------------------------------------------------------- association


def initiate_request() -> bytes:
    detail = tlv(0xA4, tlv(0x80, b"\x01"), tlv(0x81, _bits(_BLOCKS)), tlv(0x82, _bits(_SERVICES)))
    most = whole_number(MOST_OUTSTANDING)
    return tlv(0xA8, tlv(0x80, whole_number(LARGEST_MESSAGE)), tlv(0x81, most), tlv(0x82, most), tlv(0x83, b"\x0a"), detail)


def initiated(octets: bytes) -> Initiated:
    """What the peer agreed to. Raises ProtocolViolation when it did not."""
    answer = first(octets)
    if answer.tag != 0xA9:
        raise ProtocolViolation(f"MMS: message {answer.tag:02x} came instead of an initiate response")
    largest = chosen(octets, 0x80, answer.start, answer.stop)
    outstanding = number(octets, inside(octets, answer, 0x81))
    return Initiated(number(octets, largest) if largest else LARGEST_MESSAGE, max(1, outstanding))


def conclude_request() -> bytes:
    return tlv(0x8B)


def conclude_response() -> bytes:
    return tlv(0x8C)


# ---------------------------------------------------------------- requests


def confirmed_request(invoke_id: int, service: bytes) -> bytes:
    return tlv(0xA0, tlv(0x02, whole_number(invoke_id)), service)


def identify() -> bytes:
    return tlv(0x80 | Service.IDENTIFY)


def list_domains(after: str = "") -> bytes:
    return _name_list(9, tlv(0x80), after)


def list_names(domain: str, *, lists: bool = False, after: str = "") -> bytes:
    """Asks for a domain's variables, or its named variable lists (data sets), that come after that one."""
    return _name_list(2 if lists else 0, tlv(0x81, domain.encode()), after)


def read(names: Iterable[Name]) -> bytes:
    return tlv(0xA0 | Service.READ, tlv(0xA1, tlv(0xA0, *(_variable(name) for name in names))))


def write(names: Iterable[Name], data: Iterable[bytes]) -> bytes:
    """Writes to each variable its Data element."""
    return tlv(0xA0 | Service.WRITE, tlv(0xA0, *(_variable(name) for name in names)), tlv(0xA0, *data))


def type_of(name: Name) -> bytes:
    return tlv(0xA0 | Service.GET_VARIABLE_ACCESS_ATTRIBUTES, tlv(0xA0, _object_name(name)))


def members_of(data_set: Name) -> bytes:
    return tlv(0xA0 | Service.GET_NAMED_VARIABLE_LIST_ATTRIBUTES, _object_name(data_set))


def _name_list(object_class: int, scope: bytes, after: str) -> bytes:
    parts = [tlv(0xA0, tlv(0x80, bytes((object_class,)))), tlv(0xA1, scope)]
    return tlv(0xA0 | Service.GET_NAME_LIST, *parts, *([tlv(0x82, after.encode())] if after else []))


def _variable(name: Name) -> bytes:
    return tlv(0x30, tlv(0xA0, _object_name(name)))


def _object_name(name: Name) -> bytes:
    if not name.domain:
        return tlv(0x80, name.item.encode())
    return tlv(0xA1, tlv(_VISIBLE, name.domain.encode()), tlv(_VISIBLE, name.item.encode()))


def _bits(bits: Bits) -> bytes:
    unused = -bits.length % 8
    return bytes((unused,)) + (bits.value << unused).to_bytes((bits.length + 7) // 8, "big")


# ---------------------------------------------------------------- what comes


def decode(octets: bytes) -> Message:
    """The message. Raises ProtocolViolation for anything a server does not send after the association stands."""
    outer = first(octets)
    if outer.tag == 0xA1:
        invoke_id, service = _two(octets, outer)
        return Answer(number(octets, invoke_id), octets, service)
    if outer.tag == 0xA2:
        return _decode_error(octets, outer)
    if outer.tag == 0xA3:
        return _decode_unconfirmed(octets, first(octets, outer.start, outer.stop))
    if outer.tag == 0xA4:
        return _decode_reject(octets, outer)
    if outer.tag in (0x8B, 0x8C):
        return Concluded(asked=outer.tag == 0x8B)
    raise ProtocolViolation(f"MMS: message {outer.tag:02x} is none a server sends")


def names_in(answer: Answer) -> tuple[list[str], bool]:
    """The identifiers of a name list, and whether more follow."""
    octets, service = answer.octets, _expected(answer, Service.GET_NAME_LIST)
    listed, more = inside(octets, service, 0xA0), chosen(octets, 0x81, service.start, service.stop)
    names = [_text(octets, each) for each in elements(octets, listed.start, listed.stop)]
    return names, more is None or any(octets[more.start : more.stop])


def values_in(answer: Answer) -> list[Value | DataFailure]:
    """What was read, in the order asked."""
    octets, service = answer.octets, _expected(answer, Service.READ)
    return [_access_result(octets, each) for each in _side_by_side(octets, inside(octets, service, 0xA1))]


def written_in(answer: Answer) -> list[DataFailure | None]:
    """For each variable None (it was written) or why it was not."""
    octets, service = answer.octets, _expected(answer, Service.WRITE)
    parts = elements(octets, service.start, service.stop)
    return [DataFailure(number(octets, each)) if each.tag == 0x80 else None for each in parts]


def type_in(answer: Answer) -> Type:
    octets, service = answer.octets, _expected(answer, Service.GET_VARIABLE_ACCESS_ATTRIBUTES)
    described = inside(octets, service, 0xA2)
    return decode_type(octets, first(octets, described.start, described.stop))


def members_in(answer: Answer) -> list[Name]:
    """The variables of a data set, in order."""
    octets, service = answer.octets, _expected(answer, Service.GET_NAMED_VARIABLE_LIST_ATTRIBUTES)
    return [_named(octets, each) for each in _side_by_side(octets, inside(octets, service, 0xA1))]


def identity_in(answer: Answer) -> tuple[str, str, str]:
    """Vendor, model and revision, as the device calls itself."""
    octets, service = answer.octets, _expected(answer, Service.IDENTIFY)
    vendor, model, revision = (_text(octets, inside(octets, service, tag)) for tag in (0x80, 0x81, 0x82))
    return vendor, model, revision


def _expected(answer: Answer, service: Service) -> Element:
    if answer.service.tag & 0x1F != service:
        raise ProtocolViolation(f"MMS: service {answer.service.tag & 0x1F} answers a {service.word}")
    return answer.service


def _two(octets: bytes, outer: Element) -> tuple[Element, Element]:
    """The invoke id and what follows it."""
    parts = elements(octets, outer.start, outer.stop)
    invoke_id, service = next(parts, None), next(parts, None)
    if invoke_id is None or invoke_id.tag != 0x02 or service is None:
        raise ProtocolViolation("MMS: a response without invoke id or service")
    return invoke_id, service


def _side_by_side(octets: bytes, outer: Element) -> Iterable[Element]:
    return elements(octets, outer.start, outer.stop)


def _text(octets: bytes, element: Element) -> str:
    return octets[element.start : element.stop].decode("utf-8", "replace")


def _access_result(octets: bytes, element: Element) -> Value | DataFailure:
    return DataFailure(number(octets, element)) if element.tag == 0x80 else decode_value(octets, element)


def _named(octets: bytes, variable: Element) -> Name:
    """The name in a list entry; entries by address or of a part of an array (alternate access) have none we could use."""
    chosen_name = inside(octets, variable, 0xA0)
    return _decode_name(octets, first(octets, chosen_name.start, chosen_name.stop))


def _decode_name(octets: bytes, element: Element) -> Name:
    if element.tag != 0xA1:
        return Name("", _text(octets, element))
    parts = elements(octets, element.start, element.stop)
    domain, item = next(parts, None), next(parts, None)
    if domain is None or item is None:
        raise ProtocolViolation("MMS: a name without domain or item")
    return Name(_text(octets, domain), _text(octets, item))


def _decode_unconfirmed(octets: bytes, service: Element) -> Report:
    if service.tag != 0xA0:
        raise ProtocolViolation(f"MMS: unconfirmed service {service.tag & 0x1F} is not the information report")
    parts = list(elements(octets, service.start, service.stop))
    if len(parts) < 2 or parts[1].tag != 0xA0:
        raise ProtocolViolation("MMS: an information report without values")
    values = tuple(_access_result(octets, each) for each in _side_by_side(octets, parts[1]))
    if parts[0].tag == 0xA1:
        return Report(_decode_name(octets, first(octets, parts[0].start, parts[0].stop)).item, (), values)
    return Report("", tuple(_named(octets, each) for each in _side_by_side(octets, parts[0])), values)


def _decode_error(octets: bytes, outer: Element) -> Refusal:
    invoke_id, reason = inside(octets, outer, 0x80), inside(octets, outer, 0xA2, 0xA0)
    found = first(octets, reason.start, reason.stop)
    return Refusal(number(octets, invoke_id), error_words(found.tag & 0x1F, number(octets, found)))


def _decode_reject(octets: bytes, outer: Element) -> Refusal:
    invoke_id = chosen(octets, 0x80, outer.start, outer.stop)
    reasons: Sequence[Element] = [each for each in elements(octets, outer.start, outer.stop) if each.tag != 0x80]
    words = f"rejected ({reasons[0].tag & 0x1F}.{number(octets, reasons[0])})" if reasons else "rejected"
    return Refusal(None if invoke_id is None else number(octets, invoke_id), words)


_ERRORS = {
    0: ("vmd-state", ("other", "vmd-state-conflict", "vmd-operational-problem", "domain-transfer-problem")),
    1: ("application-reference", ("other", "application-unreachable", "connection-lost", "application-reference-invalid")),
    2: ("definition", (
        "other", "object-undefined", "invalid-address", "type-unsupported", "type-inconsistent", "object-exists",
        "object-attribute-inconsistent",
    )),
    3: ("resource", (
        "other", "memory-unavailable", "processor-resource-unavailable", "mass-storage-unavailable", "capability-unavailable",
        "capability-unknown",
    )),
    4: ("service", (
        "other", "primitives-out-of-sequence", "object-state-conflict", "pdu-size", "continuation-invalid",
        "object-constraint-conflict",
    )),
    5: ("service-preempt", ("other", "timeout", "deadlock", "cancel")),
    7: ("access", ("other", "object-access-unsupported", "object-non-existent", "object-access-denied", "object-invalidated")),
}  # fmt: skip
DATA_ACCESS_ERRORS = (
    "object-invalidated", "hardware-fault", "temporarily-unavailable", "object-access-denied", "object-undefined",
    "invalid-address", "type-unsupported", "type-inconsistent", "object-attribute-inconsistent", "object-access-unsupported",
    "object-non-existent", "object-value-invalid",
)  # fmt: skip


def error_words(error_class: int, code: int) -> str:
    """A service error as ISO 9506-2, 7.4.5 spells it.

    >>> error_words(7, 2), error_words(11, 9)
    ('access: object-non-existent', 'error class 11: 9')
    """
    word, codes = _ERRORS.get(error_class, (f"error class {error_class}", ()))
    return f"{word}: {codes[code] if 0 <= code < len(codes) else code}"


def failure_words(failure: DataFailure) -> str:
    """A DataAccessError as ISO 9506-2, 14.4.1 spells it.

    >>> failure_words(DataFailure(3)), failure_words(DataFailure(77))
    ('object-access-denied', 'data access error 77')
    """
    known = 0 <= failure.code < len(DATA_ACCESS_ERRORS)
    return DATA_ACCESS_ERRORS[failure.code] if known else f"data access error {failure.code}"
