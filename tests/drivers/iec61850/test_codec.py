"""BER, values, types and messages: against hat-drivers' own encoder, and against what is broken."""

from __future__ import annotations

import importlib.resources
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hat import asn1, json
from hypothesis import given, settings
from hypothesis import strategies as st

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.iec61850 import mms
from pilots.drivers.iec61850.ber import elements, first, tlv, whole_number
from pilots.drivers.iec61850.data import (
    Bits,
    DataFailure,
    EntryTime,
    Kind,
    Type,
    UtcTime,
    Value,
    decode_type,
    decode_utc_time,
    decode_value,
    encode_utc_time,
    encode_value,
)
from pilots.drivers.iec61850.mms import Name
from pilots.simulators.iec61850.library import mms as hat

hat_encoder = hat.connection.encoder
_REPOSITORY = (importlib.resources.files("hat.drivers.mms") / "asn1_repo.json").read_text()
_BER = asn1.ber.BerEncoder(asn1.repository_from_json(json.decode(_REPOSITORY)))
_PDU = asn1.TypeRef("ISO-9506-MMS-1", "MMSpdu")
NOW = datetime(2026, 11, 23, 3, 4, 5, 678_000, UTC)
SOMEWHERE = Name("ES1LD0", "MMXU1$MX$TotW")


def from_hat(pdu: Any) -> bytes:
    return bytes(_BER.encode(_PDU, pdu))


def hat_response(response: Any, number: int = 7) -> bytes:
    return from_hat(("confirmed-ResponsePDU", {"invokeID": number, "service": hat_encoder.encode_response(response)}))


def answer_of(octets: bytes) -> mms.Answer:
    message = mms.decode(octets)
    assert isinstance(message, mms.Answer)
    return message


def hat_request(octets: bytes) -> Any:
    (name, pdu), rest = _BER.decode(_PDU, octets)
    assert not rest
    assert name == "confirmed-RequestPDU"
    return hat_encoder.decode_request(pdu["service"])


def domain(name: Name) -> Any:
    return hat.DomainSpecificObjectName(name.domain, name.item)


# ---------------------------------------------------------------- values and types

DATA: list[tuple[Any, Value]] = [
    (hat.BooleanData(True), True),
    (hat.IntegerData(-129), -129),
    (hat.UnsignedData(0xFFFFFFFF), 0xFFFFFFFF),
    (hat.FloatingPointData(50.5), 50.5),
    (
        hat.BitStringData([True, False, False, True, False, False, False, False, True, False, False, False, True]),
        Bits(13, 0x1211),
    ),
    (hat.OctetStringData(b"\x00\x01"), b"\x00\x01"),
    (hat.VisibleStringData("LD0"), "LD0"),
    (hat.MmsStringData("größer"), "größer"),
    (hat.UtcTimeData(NOW, True, False, True, 10), UtcTime(NOW, True, False, True, 10)),
    (hat.StructureData([hat.FloatingPointData(1.0), hat.ArrayData([hat.IntegerData(1)])]), (1.0, (1,))),
    (hat.DataAccessError.OBJECT_ACCESS_DENIED, DataFailure(3)),
]


@pytest.mark.parametrize(("theirs", "ours"), DATA)
def test_values_are_read_as_another_encoder_means_them(theirs: Any, ours: Value) -> None:
    assert mms.values_in(answer_of(hat_response(hat.ReadResponse([theirs])))) == [ours]


TYPES: list[tuple[Any, Type]] = [
    (hat.BooleanTypeDescription(), Type(Kind.BOOLEAN)),
    (hat.IntegerTypeDescription(8), Type(Kind.INTEGER, 8)),
    (hat.UnsignedTypeDescription(32), Type(Kind.UNSIGNED, 32)),
    (hat.FloatingPointTypeDescription(32, 8), Type(Kind.FLOAT, 32)),
    (hat.BitStringTypeDescription(-13), Type(Kind.BIT_STRING, 13)),
    (hat.OctetStringTypeDescription(-64), Type(Kind.OCTET_STRING, 64)),
    (hat.UtcTimeTypeDescription(), Type(Kind.UTC_TIME)),
    (hat.BinaryTimeTypeDescription(True), Type(Kind.ENTRY_TIME, 1)),
    (
        hat.StructureTypeDescription([("mag", hat.StructureTypeDescription([("f", hat.FloatingPointTypeDescription(32, 8))]))]),
        Type(Kind.STRUCTURE, parts={"mag": Type(Kind.STRUCTURE, parts={"f": Type(Kind.FLOAT, 32)})}),
    ),
    (hat.ArrayTypeDescription(3, hat.BooleanTypeDescription()), Type(Kind.ARRAY, 3, element=Type(Kind.BOOLEAN))),
]


@pytest.mark.parametrize(("theirs", "ours"), TYPES)
def test_types_are_read_as_another_encoder_means_them(theirs: Any, ours: Type) -> None:
    found = mms.type_in(answer_of(hat_response(hat.GetVariableAccessAttributesResponse(False, theirs))))
    assert (found.kind, found.size if ours.kind is not Kind.BOOLEAN else 0, found.parts, found.element) == (
        ours.kind, ours.size, ours.parts, ours.element,
    )  # fmt: skip


def test_doubles_and_entry_times_are_read_too() -> None:
    """hat-drivers drops the connection over the first and misreads the second, so this stands on the standard's octets."""
    assert decode_value(*_one(tlv(0x87, b"\x0b\x40\x49\x40\x00\x00\x00\x00\x00"))) == 50.5
    entered = decode_value(*_one(tlv(0x8C, bytes.fromhex("00a88f3c3d21"))))
    assert isinstance(entered, EntryTime)
    assert entered.moment == datetime(1984, 1, 1, tzinfo=UTC) + timedelta(days=0x3D21, milliseconds=0x00A88F3C)


def _one(octets: bytes) -> Any:
    return octets, first(octets)


def values_of(kind: Type) -> st.SearchStrategy[Any]:
    by_kind: dict[Kind, st.SearchStrategy[Any]] = {
        Kind.BOOLEAN: st.booleans(),
        Kind.INTEGER: st.integers(-(1 << 31), (1 << 31) - 1),
        Kind.UNSIGNED: st.integers(0, (1 << 32) - 1),
        Kind.FLOAT: st.floats(width=32, allow_nan=False, allow_infinity=False),
        Kind.BIT_STRING: st.integers(0, (1 << 13) - 1).map(lambda value: Bits(13, value)),
        Kind.OCTET_STRING: st.binary(max_size=64),
        Kind.VISIBLE_STRING: st.text(max_size=20).filter(lambda text: text.isprintable()),
    }
    if kind.kind is Kind.STRUCTURE:
        return st.tuples(*(values_of(part) for part in kind.parts.values()))
    return by_kind[kind.kind]


SIMPLE = st.sampled_from(
    [Type(Kind.BOOLEAN), Type(Kind.INTEGER, 32), Type(Kind.UNSIGNED, 32), Type(Kind.FLOAT, 32), Type(Kind.BIT_STRING, 13)]
)
STRUCTURES = st.recursive(
    SIMPLE,
    lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3).map(
        lambda parts: Type(Kind.STRUCTURE, parts=parts)
    ),
)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_what_is_written_reads_the_same(data: st.DataObject) -> None:
    kind = data.draw(STRUCTURES)
    value = data.draw(values_of(kind))
    assert decode_value(*_one(encode_value(kind, value))) == value


@given(st.datetimes(datetime(1970, 1, 1), datetime(2105, 1, 1)))
def test_stamps_keep_their_microseconds(moment: datetime) -> None:
    assert decode_utc_time(encode_utc_time(moment.replace(tzinfo=UTC))).moment == moment.replace(tzinfo=UTC)


@given(st.integers(-(1 << 70), 1 << 70))
def test_whole_numbers_take_as_few_octets_as_possible(value: int) -> None:
    octets = whole_number(value)
    assert int.from_bytes(octets, "big", signed=True) == value
    assert len(octets) == 1 or octets[0] not in (0, 255) or (octets[0] == 255) != (octets[1] >= 128)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Type(Kind.INTEGER, 8), 128),
        (Type(Kind.UNSIGNED, 8), -1),
        (Type(Kind.FLOAT, 32), math.nan),
        (Type(Kind.FLOAT, 32), 1e39),
        (Type(Kind.BOOLEAN), "yes"),
        (Type(Kind.BIT_STRING, 2), Bits(2, 4)),
        (Type(Kind.STRUCTURE, parts={"f": Type(Kind.FLOAT, 32)}), 1.0),
    ],
)
def test_a_value_its_type_cannot_carry_is_refused_before_it_leaves(kind: Type, value: Any) -> None:
    with pytest.raises(ValueError):
        encode_value(kind, value)


# ---------------------------------------------------------------- requests and answers

IN_LD0 = hat.DomainSpecificObjectScope("ES1LD0")
REQUESTS: list[tuple[bytes, Any]] = [
    (mms.identify(), hat.IdentifyRequest()),
    (mms.list_domains(), hat.GetNameListRequest(hat.ObjectClass.DOMAIN, hat.VmdSpecificObjectScope(), None)),
    (mms.list_names("ES1LD0", after="LLN0"), hat.GetNameListRequest(hat.ObjectClass.NAMED_VARIABLE, IN_LD0, "LLN0")),
    (mms.list_names("ES1LD0", lists=True), hat.GetNameListRequest(hat.ObjectClass.NAMED_VARIABLE_LIST, IN_LD0, None)),
    (mms.type_of(SOMEWHERE), hat.GetVariableAccessAttributesRequest(domain(SOMEWHERE))),
    (mms.members_of(Name("ES1LD0", "LLN0$ds")), hat.GetNamedVariableListAttributesRequest(domain(Name("ES1LD0", "LLN0$ds")))),
    (mms.read([SOMEWHERE, SOMEWHERE]), hat.ReadRequest([hat.NameVariableSpecification(domain(SOMEWHERE))] * 2)),
    (
        mms.write([SOMEWHERE], [encode_value(Type(Kind.BOOLEAN), True)]),
        hat.WriteRequest([hat.NameVariableSpecification(domain(SOMEWHERE))], [hat.BooleanData(True)]),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), REQUESTS)
def test_requests_are_understood_by_another_decoder(ours: bytes, theirs: Any) -> None:
    assert hat_request(mms.confirmed_request(300, ours)) == theirs


def test_directories_writes_and_identities_are_read() -> None:
    assert mms.names_in(answer_of(hat_response(hat.GetNameListResponse(["a", "b"], True)))) == (["a", "b"], True)
    assert mms.names_in(answer_of(hat_response(hat.GetNameListResponse(["a"], False)))) == (["a"], False)
    written = hat.WriteResponse([None, hat.DataAccessError.TEMPORARILY_UNAVAILABLE])
    assert mms.written_in(answer_of(hat_response(written))) == [None, DataFailure(2)]
    assert mms.identity_in(answer_of(hat_response(hat.IdentifyResponse("v", "m", "1", None)))) == ("v", "m", "1")
    members = [hat.NameVariableSpecification(domain(SOMEWHERE))]
    assert mms.members_in(answer_of(hat_response(hat.GetNamedVariableListAttributesResponse(False, members)))) == [SOMEWHERE]


def test_an_answer_to_something_else_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation, match="answers a read"):
        mms.values_in(answer_of(hat_response(hat.StatusResponse(0, 0))))


def test_service_errors_and_rejects_come_in_words() -> None:
    error = {"invokeID": 7, "serviceError": hat_encoder.encode_error(hat.AccessError.OBJECT_NON_EXISTENT)}
    assert mms.decode(from_hat(("confirmed-ErrorPDU", error))) == mms.Refusal(7, "access: object-non-existent")
    assert mms.decode(tlv(0xA4, tlv(0x80, b"\x07"), tlv(0x81, b"\x01"))) == mms.Refusal(7, "rejected (1.1)")
    assert mms.decode(tlv(0xA4, tlv(0x85, b"\x00"))) == mms.Refusal(None, "rejected (5.0)")


def test_reports_and_lists_of_variables_are_told_apart() -> None:
    report = hat.InformationReportUnconfirmed(
        hat.VmdSpecificObjectName("RPT"), [hat.VisibleStringData("id"), hat.DataAccessError.HARDWARE_FAULT]
    )
    pdu = ("unconfirmed-PDU", {"service": hat_encoder.encode_unconfirmed(report)})
    assert mms.decode(from_hat(pdu)) == mms.Report("RPT", (), ("id", DataFailure(1)))
    names = [
        hat.NameVariableSpecification(hat.VmdSpecificObjectName("LastApplError")),
        hat.NameVariableSpecification(domain(SOMEWHERE)),
    ]
    report = hat.InformationReportUnconfirmed(names, [hat.BooleanData(False), hat.BooleanData(True)])
    pdu = ("unconfirmed-PDU", {"service": hat_encoder.encode_unconfirmed(report)})
    assert mms.decode(from_hat(pdu)) == mms.Report("", (Name("", "LastApplError"), SOMEWHERE), (False, True))


# ---------------------------------------------------------------- what is broken


def test_indefinite_lengths_are_read_to_their_end() -> None:
    octets = bytes.fromhex("3080 020101 3080 020102 0000 0000 020103")
    outer, after = list(elements(octets))
    assert [each.tag for each in elements(octets, outer.start, outer.stop)] == [0x02, 0x30]
    assert after.tag == 0x02


@pytest.mark.parametrize(
    "octets",
    ["", "30", "3005020101", "308002", "30840100", "1f", "30" + "80" * 60],
)
def test_elements_that_do_not_fit_are_violations(octets: str) -> None:
    with pytest.raises(ProtocolViolation):
        first(bytes.fromhex(octets))


@pytest.mark.parametrize("octets", ["8701", "870800", "8402090f", "9101ff", "8f01", "a2" + "82ffff"])
def test_values_that_are_none_are_violations(octets: str) -> None:
    raw = bytes.fromhex(octets)
    with pytest.raises(ProtocolViolation):
        decode_value(raw, first(raw))


def test_data_and_types_nested_without_end_are_violations() -> None:
    octets, described = b"", b""
    for _ in range(60):
        octets = tlv(0xA2, octets)
        described = tlv(0xA2, tlv(0xA1, tlv(0x30, tlv(0xA1, described or tlv(0x83)))))
    for decode, raw in ((decode_value, octets), (decode_type, described)):
        with pytest.raises(ProtocolViolation, match="deep"):
            decode(raw, first(raw))
