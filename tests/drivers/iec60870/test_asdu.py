"""The codec alone: round trips of every type, known octets, random octets."""

from __future__ import annotations

import contextlib
import random
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.iec60870 import asdu, elements
from pilots.drivers.iec60870.asdu import Asdu, InformationObject, Sizes
from tests.drivers.iec60870.strategies import ALL_SIZES, ELEMENTS, RECEIVED, asdus


@given(st.data(), ALL_SIZES)
def test_every_asdu_survives_the_wire_in_every_field_size(data: st.DataObject, sizes: Sizes) -> None:
    unit = data.draw(asdus(sizes))

    assert asdu.decode(asdu.encode(unit, sizes), sizes, RECEIVED) == unit


def test_the_types_of_this_test_are_those_of_the_codec() -> None:
    assert set(ELEMENTS) == set(elements.KINDS)


@pytest.mark.parametrize("sizes", [{"cause": 3}, {"common_address": 0}, {"object_address": 4}])
def test_sizes_that_no_station_has_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Sizes(**sizes)


@given(st.sampled_from(sorted(ELEMENTS)), st.integers(0, 255), st.binary(max_size=249), ALL_SIZES)
def test_octets_behind_any_known_head_are_an_asdu_or_a_violation(type_id: int, structure: int, rest: bytes, sizes: Sizes) -> None:
    octets = bytes((type_id, structure)) + rest
    with contextlib.suppress(ProtocolViolation):
        unit = asdu.decode(octets, sizes)
        assert len(unit.objects) == structure & 0x7F


@given(st.sampled_from(sorted(ELEMENTS)), st.integers(1, 5), st.booleans(), st.data())
def test_any_octets_of_the_right_length_are_an_asdu(type_id: int, count: int, sequence: bool, data: st.DataObject) -> None:
    size = asdu.layout(type_id, 0 if sequence else 3).size
    body = data.draw(st.binary(min_size=count * size, max_size=count * size))
    first = b"\x01\x02\x03" if sequence else b""
    octets = bytes((type_id, count | (0x80 if sequence else 0), 3, 0, 1, 0)) + first + body

    assert len(asdu.decode(octets, received=RECEIVED).objects) == count


@given(st.binary(max_size=253))
def test_any_octets_are_an_asdu_or_a_violation(octets: bytes) -> None:
    with contextlib.suppress(ProtocolViolation):
        asdu.decode(octets)


def test_ten_thousand_random_octet_strings_raise_only_violations() -> None:
    source = random.Random(104)
    types = sorted(ELEMENTS)
    violations = 0
    for _ in range(10_000):
        octets = source.randbytes(source.randrange(0, 250))
        if octets and source.random() < 0.8:  # mostly types we know, else nearly all would be passed over
            octets = bytes((source.choice(types),)) + octets[1:]
        try:
            asdu.decode(octets)
        except ProtocolViolation:
            violations += 1
    assert violations > 5_000


def test_a_time_tagged_float_of_a_known_recording_is_read() -> None:
    # M_ME_TF_1, spontaneous, CA 1, IOA 701, 50.0, NT, 2026-07-01 03:04:01.500 Wednesday
    octets = bytes.fromhex("24 01 03 00 01 00 bd0200 00004842 40 dc05 04 03 61 07 1a".replace(" ", ""))

    unit = asdu.decode(octets)

    assert (unit.type_id, unit.cause, unit.common_address) == (36, 3, 1)
    assert unit.objects == (InformationObject(701, 50.0, 0x40, datetime(2026, 7, 1, 3, 4, 1, 500_000, UTC)),)


def test_negative_and_test_bits_and_originator_are_read() -> None:
    unit = asdu.decode(bytes.fromhex("2d01c7050100010000 01".replace(" ", "")))

    assert (unit.cause, unit.negative, unit.test, unit.originator) == (7, True, True, 5)


def test_an_unknown_type_is_passed_over_not_refused() -> None:
    unit = asdu.decode(bytes.fromhex("2901030001000a0000 0102030405060708090a".replace(" ", "")))

    assert (unit.type_id, unit.objects) == (41, ())


@pytest.mark.parametrize(
    "octets",
    [
        "0d0103000100",
        "0d01030001000a000000008040",
        "0d01030001000a00000000804000ff",
        "0d0203",
        "",
        "0d8203000100ffffff0000803f00000080bf00",
    ],
)
def test_an_asdu_of_wrong_length_is_a_violation(octets: str) -> None:
    with pytest.raises(ProtocolViolation):
        asdu.decode(bytes.fromhex(octets))


@pytest.mark.parametrize(
    ("type_id", "value"),
    [(45, 2), (46, 4), (48, 1.0), (49, 40_000), (51, -1), (50, 1e300), (49, float("nan")), (120, 0)],
)
def test_a_value_its_type_cannot_carry_is_refused_before_it_leaves(type_id: int, value: float) -> None:
    with pytest.raises(ValueError):
        asdu.encode(Asdu(type_id, 6, 1, (InformationObject(1, value),)))


def test_a_float_goes_out_little_endian() -> None:
    octets = asdu.encode(Asdu(50, 6, 1, (InformationObject(711, 12.5, asdu.SELECT),)))

    assert octets == bytes.fromhex("320106000100c70200") + struct.pack("<f", 12.5) + b"\x80"
