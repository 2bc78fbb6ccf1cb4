"""Register codec and read plan: pure, so by properties and small examples."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.drivers.modbus.codec import (
    MODULO,
    NUMBERS,
    SUNSPEC_MISSING,
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
