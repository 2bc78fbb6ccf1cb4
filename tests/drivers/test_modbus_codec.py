"""Register codec and read plan: pure, so by properties and small examples."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilots.domain.measurement import RawReading
from pilots.domain.quality import GOOD
from pilots.drivers.modbus.codec import (
    MODULO,
    NUMBERS,
    SUNSPEC_MISSING,
    SUNSPEC_TYPES,
    RegisterCodec,
    codec_of,
    scaled,
    unscaled,
)
from pilots.drivers.modbus.plan import MAX_REGISTERS, compile_plan
from tests.drivers.builders import make_point

ORDERS = st.sampled_from(["big", "little"])


def numbers_of(kind: str) -> st.SearchStrategy[float]:
    if kind in MODULO:
        most = 10 ** (4 * MODULO[kind]) - 1
        return st.integers(-most, most)
    letter, registers = NUMBERS[kind]
    if kind.startswith("bcd"):
        return st.integers(0, 10 ** (4 * registers) - 1)
    if letter == "f":
        return st.floats(width=32, allow_nan=False, allow_infinity=False)
    if letter == "d":
        return st.floats(allow_nan=False, allow_infinity=False)
    bits = 16 * registers
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if kind.startswith("int") else (0, 2**bits - 1)
    return st.integers(low, high)


@given(data=st.data(), kind=st.sampled_from([*NUMBERS, *MODULO]), word_order=ORDERS, byte_order=ORDERS)
def test_decoding_undoes_encoding_for_every_type_and_order(
    data: st.DataObject, kind: str, word_order: str, byte_order: str
) -> None:
    codec = codec_of({"type": kind}, {"word_order": word_order, "byte_order": byte_order})
    value = data.draw(numbers_of(kind))
    assert codec.decode(b"\xff\xff" + codec.encode(value), 2) == value


@given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20), byte_order=ORDERS)
def test_strings_survive_too(text: str, byte_order: str) -> None:
    codec = RegisterCodec("string", 10, byte_order=byte_order)
    assert codec.decode(codec.encode(text), 0) == text


@given(exponent=st.integers(-10, 10), value=st.integers(-32767, 32767))
def test_a_scale_factor_is_undone_to_the_register_number(exponent: int, value: int) -> None:
    engineering = scaled(value, exponent)
    assert engineering is not None
    number = unscaled(engineering, exponent)
    assert number is not None and round(number) == value


def test_the_four_byte_orders_are_the_usual_ones() -> None:
    value, natural = 123456.0, struct.pack(">f", 123456.0)
    a, b, c, d = natural
    orders = {("big", "big"): [a, b, c, d], ("little", "big"): [c, d, a, b]}
    orders |= {("big", "little"): [b, a, d, c], ("little", "little"): [d, c, b, a]}
    for (word_order, byte_order), raw in orders.items():
        assert RegisterCodec("float32", 2, word_order, byte_order).decode(bytes(raw), 0) == value


@pytest.mark.parametrize("kind", sorted(SUNSPEC_MISSING))
def test_a_sunspec_not_implemented_value_is_no_value(kind: str) -> None:
    missing = SUNSPEC_MISSING[kind]
    plain, sunspec = codec_of({"type": kind}, {}), codec_of({"type": kind}, {"sunspec": True})
    assert sunspec.decode(plain.encode(missing), 0) is None
    assert plain.decode(plain.encode(missing), 0) == missing


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_no_values(value: float) -> None:
    assert RegisterCodec("float32", 2).decode(struct.pack(">f", value), 0) is None


@pytest.mark.parametrize(("kind", "value"), [("int16", 40000), ("uint16", -1), ("uint32", 2**32), ("int16", float("nan"))])
def test_a_value_that_does_not_fit_is_not_encoded(kind: str, value: float) -> None:
    with pytest.raises(ValueError):
        codec_of({"type": kind}, {}).encode(value)


def test_a_missing_or_absurd_scale_factor_gives_no_value() -> None:
    assert scaled(1, None) is None
    assert scaled(1, 11) is None
    assert unscaled(1, -11) is None


def test_gaps_are_read_along_up_to_the_longest_request() -> None:
    specs = [make_point(f"p{at}", register=at, type="float32") for at in (2999, 3059, 3109, 3203)]
    spans = compile_plan(specs, {}).spans
    assert [(span.start, span.count) for span in spans] == [(2999, 112), (3203, 2)]
    assert all(span.count <= MAX_REGISTERS for span in spans)


def test_no_hole_is_crossed_where_the_meter_forbids_it() -> None:
    specs = [make_point(f"p{at}", register=at, type="float32") for at in (0, 2, 6)]
    assert [(s.start, s.count) for s in compile_plan(specs, {"holes": "forbidden"}).spans] == [(0, 4), (6, 2)]


def test_bits_of_one_register_and_tables_apart_share_what_they_can() -> None:
    specs = [
        make_point("open", register=5, bit=0),
        make_point("closed", register=5, bit=1),
        make_point("relay", register=5, table="coil"),
        make_point("limit", register=5, table="input"),
    ]
    assert {(s.table, s.start, s.count) for s in compile_plan(specs, {}).spans} == {
        ("holding", 5, 1),
        ("coil", 5, 1),
        ("input", 5, 1),
    }


def test_a_near_scale_factor_is_read_along_and_a_far_one_once() -> None:
    near = compile_plan([make_point("p", register=100, type="int16", scale_register=110)], {})
    assert [(s.start, s.count) for s in near.spans] == [(100, 11)] and not near.scales
    far = compile_plan([make_point("p", register=100, type="int16", scale_register=900)], {})
    assert [(s.start, s.count) for s in far.spans] == [(100, 1)]
    assert [place.start for place in far.scales] == [900]


@pytest.mark.parametrize("address", [{}, {"register": 1, "type": "uint24"}, {"register": 1, "table": "files"}])
def test_an_address_nobody_can_read_is_refused_when_the_plan_is_made(address: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        compile_plan([make_point("p", **address)], {})


ADDRESSES = st.fixed_dictionaries(
    {
        "register": st.integers(0, 300),
        "type": st.sampled_from([*NUMBERS, *MODULO, *SUNSPEC_TYPES, "bit"]),
        "table": st.sampled_from(["holding", "holding", "holding", "input"]),
    },
    optional={
        "word_order": ORDERS,
        "byte_order": ORDERS,
        "scale_register": st.integers(0, 300),
        "not_implemented": st.integers(0, 3),
    },
)


@settings(max_examples=300, deadline=None)
@given(
    addresses=st.lists(ADDRESSES, min_size=1, max_size=12),
    memory=st.binary(min_size=620, max_size=620),
    holes=st.sampled_from(["allowed", "forbidden"]),
    sunspec=st.booleans(),
)
def test_a_plan_reads_what_each_point_alone_would(
    addresses: list[dict[str, Any]], memory: bytes, holes: str, sunspec: bool
) -> None:
    """Every layout of fields, overlapping or apart, in any order and with any scale factor, against the plain decoder."""
    options = {"holes": holes, "sunspec": sunspec}
    specs = [make_point(f"p{at}", **address) for at, address in enumerate(addresses)]
    plan = compile_plan(specs, options)
    blocks = [memory[2 * span.start : 2 * (span.start + span.count)] for span in plan.spans]
    kept = {place: place.codec.decode(memory, 2 * place.start) for place in plan.scales if place.codec is not None}
    readings = {reading.point: reading for reading in plan.readings(blocks, kept)}
    assert sorted(readings) == sorted(spec.name for spec in specs)
    for spec in specs:
        wanted = codec_of(spec.address, options).decode(memory, 2 * spec.address["register"])
        if "scale_register" in spec.address and wanted is not None:
            factor = RegisterCodec("int16", 1, missing=-0x8000).decode(memory, 2 * spec.address["scale_register"])
            wanted = scaled(float(wanted), factor)
        assert readings[spec.name].value == wanted
        assert (readings[spec.name].quality == GOOD) is (wanted is not None)
        assert type(readings[spec.name]) is RawReading


def test_devices_of_one_profile_share_their_plans_parts() -> None:
    first, second = ([make_point(f"p{at}", register=at) for at in range(3)] for _ in range(2))
    assert compile_plan(first, {}).parts[0] is compile_plan(second, {}).parts[0]
    assert compile_plan(first, {"byte_order": "little"}).parts[0] is not compile_plan(second, {}).parts[0]


@pytest.mark.parametrize(
    ("address", "raw", "value"),
    [
        ({"type": "bcd32"}, "1234 5678", 12_345_678),
        ({"type": "bcd32", "word_order": "little"}, "5678 1234", 12_345_678),
        ({"type": "bcd16"}, "12a4", None),
        ({"type": "mod10_32"}, "04d2 162e", 12_345_678),
        ({"type": "mod10_32"}, "fb2e e9d2", -12_345_678),
        ({"type": "mod10_48", "word_order": "little"}, "0007 0002 0001", 100_020_007),
        ({"type": "mod10_64"}, "0001 0002 2710 0004", None),
        ({"type": "acc32"}, "0000 0000", None),
        ({"type": "enum16"}, "ffff", None),
        ({"type": "bitfield32", "bits": [16, 19]}, "abcd 0000", 0xD),
        ({"type": "bitfield32", "bit": 31}, "ffff ffff", None),
        ({"type": "bit", "bit": 15}, "8000", 1),
        ({"bits": [0, 15], "byte_order": "little"}, "1234", 0x3412),
        ({"type": "sunssf"}, "8000", None),
        ({"type": "float64"}, "3ff8 0000 0000 0000", 1.5),
    ],
)
def test_types_read_as_the_makers_write_them(address: dict[str, Any], raw: str, value: float | None) -> None:
    assert codec_of(address, {}).decode(bytes.fromhex(raw), 0) == value


@pytest.mark.parametrize(("kind", "value"), [("bcd16", 10_000), ("bcd16", -1), ("mod10_32", 10**8), ("mod10_32", -(10**8))])
def test_digits_that_do_not_fit_are_not_encoded(kind: str, value: float) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        codec_of({"type": kind}, {}).encode(value)
