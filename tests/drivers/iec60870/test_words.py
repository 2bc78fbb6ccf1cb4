"""ASDUs in words: what an engineer reads in the frame log."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu, InformationObject, Sizes
from pilots.drivers.iec60870.words import asdu_words, cause_name, describe_asdu
from tests.drivers.iec60870.strategies import ALL_SIZES, asdus

TIME = datetime(2026, 7, 1, 3, 4, 1, 500_000, UTC)


@pytest.mark.parametrize(
    ("type_id", "item", "words"),
    [
        (36, InformationObject(701, 50.5, 0xC0, TIME), "IOA 701 = 50.5 NT IV 2026-07-01 03:04:01.500"),
        (13, InformationObject(1, 1e10, 0x31), "IOA 1 = 1e+10 OV BL SB"),
        (14, InformationObject(1, 0.0, 0, TIME), "IOA 1 = 0 xx:04:01.500"),
        (30, InformationObject(2, 1), "IOA 2 = 1 (on) without valid time"),
        (3, InformationObject(2, 0), "IOA 2 = 0 (intermediate)"),
        (5, InformationObject(3, -7, 0x100), "IOA 3 = -7 moving"),
        (7, InformationObject(3, 0xDEADBEEF), "IOA 3 = 3735928559"),
        (15, InformationObject(4, 12, 0x25), "IOA 4 = 12 SQ 5 CY"),
        (20, InformationObject(5, 3, 0x0100), "IOA 5 = 3 changed 0x0001"),
        (38, InformationObject(6, 2, 0x6408, TIME), "IOA 6 = 2 (on) 100 ms EI 2026-07-01 03:04:01.500"),
        (45, InformationObject(7, 1, asdu.SELECT | 0x04), "IOA 7 = 1 (on) select short pulse"),
        (47, InformationObject(7, 2, 0x0C), "IOA 7 = 2 (higher) execute persistent"),
        (60, InformationObject(7, 2, 0x24, TIME), "IOA 7 = 2 (higher) execute qualifier 9 2026-07-01 03:04:01.500"),
        (50, InformationObject(8, 1.5, 3), "IOA 8 = 1.5 execute QL 3"),
        (51, InformationObject(8, 255), "IOA 8 = 255"),
        (70, InformationObject(0, 0x82), "remote reset after a change of parameters"),
        (70, InformationObject(0, 9), "COI 9"),
        (100, InformationObject(0, 20), "station"),
        (100, InformationObject(0, 23), "group 3"),
        (100, InformationObject(0, 99), "QOI 99"),
        (101, InformationObject(0, 5), "all counters, read"),
        (101, InformationObject(0, 0x82), "counter group 2, freeze and reset"),
        (102, InformationObject(9), "IOA 9"),
        (103, InformationObject(0, time=TIME), "IOA 0 2026-07-01 03:04:01.500"),
    ],
)
def test_an_object_is_told_in_words(type_id: int, item: InformationObject, words: str) -> None:
    told = describe_asdu(asdu.encode(Asdu(type_id, 3, 1, (item,))))

    assert told.partition(": ")[2] == words


def test_the_head_tells_cause_sign_test_and_originator() -> None:
    octets = asdu.encode(Asdu(45, 7, 12, (InformationObject(7, 1),), negative=True, test=True, originator=4))

    assert describe_asdu(octets).startswith("C_SC_NA_1 (45) activation confirmation negative TEST from 4, CA 12: ")


@pytest.mark.parametrize(
    ("cause", "words"),
    [(1, "periodic"), (12, "return information of a local command"), (36, "interrogated by group 16"), (41, "counter group 4")],
)
def test_every_cause_has_words(cause: int, words: str) -> None:
    assert words in cause_name(cause)
    assert all(not cause_name(known).startswith("cause") for known in (*range(1, 14), *range(20, 42), *range(44, 48)))


def test_many_objects_are_cut() -> None:
    unit = Asdu(1, 20, 1, tuple(InformationObject(ioa, 0) for ioa in range(1, 101)), sequence=True)

    assert describe_asdu(asdu.encode(unit)).endswith("; and 84 more")


def test_foreign_types_are_named_and_shown_raw() -> None:
    parameter = bytes.fromhex("6e010600010001000003aabb")

    assert describe_asdu(parameter) == "P_ME_NA_1 (110) activation, CA 1: 01 00 00 03 aa bb"
    assert describe_asdu(bytes.fromhex("c80106000100aa")).startswith("type 200 activation, CA 1: aa")


def test_what_is_none_is_said_or_raised() -> None:
    assert describe_asdu(b"\x0d\x01").startswith("bad ASDU: ")
    with pytest.raises(ProtocolViolation):
        asdu_words(b"\x0d\x01")


@given(st.data(), ALL_SIZES)
def test_every_asdu_has_words(data: st.DataObject, sizes: Sizes) -> None:
    assert asdu_words(asdu.encode(data.draw(asdus(sizes)), sizes), sizes)


@given(st.binary(max_size=255), ALL_SIZES)
def test_no_octets_make_the_describer_fail(octets: bytes, sizes: Sizes) -> None:
    assert describe_asdu(octets, sizes)
