"""The codec alone: round trips of every type, known octets, random octets."""

from __future__ import annotations

import contextlib
import random
import struct
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.iec104 import asdu
from pilots.drivers.iec104.asdu import Asdu, InformationObject, Sizes

_SINGLE = st.tuples(st.integers(0, 1), st.integers(0, 15).map(lambda n: n << 4))
_DOUBLE = st.tuples(st.integers(0, 3), st.integers(0, 15).map(lambda n: n << 4))
_OCTET = st.integers(0, 255)
_SHORT = st.integers(-32768, 32767)
_FLOAT = st.floats(width=32, allow_nan=False)
_NONE = st.just(0)
ELEMENTS = {
    **dict.fromkeys((1, 30, 45, 58), _SINGLE),
    **dict.fromkeys((3, 31, 46, 47, 59, 60), _DOUBLE),
    **dict.fromkeys((5, 32), st.tuples(st.integers(-64, 63), _OCTET)),
    **dict.fromkeys((7, 33), st.tuples(st.integers(0, 2**32 - 1), _OCTET)),
    **dict.fromkeys((9, 34, 48, 61), st.tuples(_SHORT.map(lambda n: n / 32768), _OCTET)),
    **dict.fromkeys((11, 35, 49, 62), st.tuples(_SHORT, _OCTET)),
    **dict.fromkeys((13, 36, 50, 63), st.tuples(_FLOAT, _OCTET)),
    **dict.fromkeys((15, 37), st.tuples(st.integers(-(2**31), 2**31 - 1), _OCTET)),
    **dict.fromkeys((51, 64), st.tuples(st.integers(0, 2**32 - 1), _NONE)),
    **dict.fromkeys((70, 100, 101), st.tuples(_OCTET, _NONE)),
    **dict.fromkeys((102, 103), st.tuples(_NONE, _NONE)),
}
TIMED = {*range(30, 38), *range(58, 65), 103}
TIMES = st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 31)).map(
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000, tzinfo=UTC)
)
ALL_SIZES = st.builds(
    Sizes, cause=st.sampled_from((1, 2)), common_address=st.sampled_from((1, 2)), object_address=st.sampled_from((1, 2, 3))
)


@st.composite
def asdus(draw: st.DrawFn, sizes: Sizes) -> Asdu:
    type_id = draw(st.sampled_from(sorted(ELEMENTS)))
    count = draw(st.integers(0, 10))
    highest = 256**sizes.object_address - 1
    sequence = draw(st.booleans())
    first = draw(st.integers(0, highest - count))
    objects = tuple(
        InformationObject(
            first + position if sequence else draw(st.integers(0, highest)),
            *draw(ELEMENTS[type_id]),
            draw(st.one_of(st.none(), TIMES)) if type_id in TIMED else None,
        )
        for position in range(count)
    )
    return Asdu(
        type_id,
        draw(st.integers(0, 63)),
        draw(st.integers(0, 256**sizes.common_address - 1)),
        objects,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(_OCTET) if sizes.cause == 2 else 0,
        sequence,
    )


@given(st.data(), ALL_SIZES)
def test_every_asdu_survives_the_wire_in_every_field_size(data: st.DataObject, sizes: Sizes) -> None:
    unit = data.draw(asdus(sizes))

    assert asdu.decode(asdu.encode(unit, sizes), sizes) == unit


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


def test_an_invalid_time_tag_is_no_time() -> None:
    assert asdu.decode_time(0, 0x80 | 4, 3, 1, 7, 26) is None


@pytest.mark.parametrize(
    "tag", [(60_000, 0, 0, 1, 1, 26), (0, 60, 0, 1, 1, 26), (0, 0, 24, 1, 1, 26), (0, 0, 0, 31, 2, 26), (0, 0, 0, 1, 0, 26)]
)
def test_a_time_tag_that_is_no_date_is_no_time(tag: tuple[int, int, int, int, int, int]) -> None:
    assert asdu.decode_time(*tag) is None


def test_summer_time_is_an_hour_ahead_of_standard_time() -> None:
    winter = asdu.decode_time(0, 0, 3, 1, 7, 26)
    summer = asdu.decode_time(0, 0, 0x80 | 3, 1, 7, 26)

    assert winter is not None and summer is not None
    assert winter - summer == timedelta(hours=1)


def test_an_unknown_type_is_passed_over_not_refused() -> None:
    unit = asdu.decode(bytes.fromhex("2601030001000a0000 0102030405060708090a".replace(" ", "")))

    assert (unit.type_id, unit.objects) == (38, ())


@pytest.mark.parametrize("octets", ["0d0103000100", "0d01030001000a000000008040", "0d01030001000a00000000804000ff", "0d0203", ""])
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
