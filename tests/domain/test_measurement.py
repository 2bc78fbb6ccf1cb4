"""From wire values to measurements, and what deserves a sample."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.columns import Measurements, is_significant
from pilots.domain.measurement import Measurement, RawReading, normalise
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.quality import GOOD, Flag, Quality, Source, Validity, aged, from_qds

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
SPEC = PointSpec(name="active_power", kind=PointKind.MEASUREMENT, unit="W")
Qualities = st.builds(Quality, st.sampled_from(Validity), st.sampled_from(Source), st.integers(0, 511).map(Flag))


@given(Qualities)
def test_a_quality_is_the_same_after_packing(quality: Quality) -> None:
    assert Quality.unpack(quality.pack()) == quality
    assert 0 <= quality.pack() < 2**15


@given(Qualities)
def test_a_quality_is_the_same_after_its_words(quality: Quality) -> None:
    assert Quality.from_dict(quality.as_dict()) == quality


@given(st.integers(0, 255))
def test_every_quality_descriptor_has_a_meaning(qds: int) -> None:
    quality = from_qds(qds)
    assert (quality.validity is Validity.INVALID) is bool(qds & 0x80)
    assert (Flag.OLD in quality.flags) is bool(qds & 0x40)


@given(
    wire=st.floats(-1e9, 1e9),
    scale=st.floats(0.001, 1000),
    offset=st.floats(-1000, 1000),
    sign=st.sampled_from([1, -1]),
)
def test_writing_inverts_reading(wire: float, scale: float, offset: float, sign: int) -> None:
    spec = PointSpec(name="p", kind=PointKind.SETPOINT, scale=scale, offset=offset, sign=sign)
    assert spec.to_wire(spec.from_wire(wire)) == pytest.approx(wire, abs=1e-6 + abs(offset) / scale * 1e-9)


@given(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)))
def test_a_measurement_never_carries_what_is_no_number(wire: float | None) -> None:
    value = normalise(RawReading("active_power", wire), SPEC, received=NOW, simulated=False).value
    assert value is None or math.isfinite(value)


def test_a_simulated_value_says_so_but_keeps_a_stronger_word() -> None:
    plain = normalise(RawReading("active_power", 1.0), SPEC, received=NOW, simulated=True)
    estimated = normalise(RawReading("active_power", 1.0, Quality(source=Source.ESTIMATED)), SPEC, received=NOW, simulated=True)
    assert (plain.quality.source, estimated.quality.source) == (Source.SIMULATED, Source.ESTIMATED)


def test_a_device_without_a_clock_is_stamped_on_receipt() -> None:
    assert normalise(RawReading("active_power", 1.0), SPEC, received=NOW, simulated=False).source_time == NOW


def test_a_minute_ahead_is_tolerated_and_more_is_not() -> None:
    minute = normalise(RawReading("a", 1.0, source_time=NOW + timedelta(seconds=60)), SPEC, received=NOW, simulated=False)
    more = normalise(RawReading("a", 1.0, source_time=NOW + timedelta(seconds=61)), SPEC, received=NOW, simulated=False)
    assert (minute.source_time, minute.quality) == (NOW + timedelta(seconds=60), GOOD)
    assert (more.source_time, more.quality.flags) == (NOW, Flag.CLOCK_UNSYNCED)


def test_a_clock_that_was_never_set_is_replaced_and_a_years_old_event_is_kept() -> None:
    event, unset = (
        normalise(RawReading("a", 1.0, source_time=NOW - timedelta(days=days)), SPEC, received=NOW, simulated=False)
        for days in (366, 367)
    )
    assert (event.source_time, event.quality) == (NOW - timedelta(days=366), GOOD)
    assert (unset.source_time, unset.quality.flags) == (NOW, Flag.CLOCK_UNSYNCED)


@pytest.mark.parametrize(("seconds", "old"), [(30, False), (31, True)])
def test_a_reader_ages_what_was_not_renewed(seconds: float, old: bool) -> None:
    shown = aged(GOOD, received=NOW, max_age_s=30, now=NOW + timedelta(seconds=seconds))
    assert (Flag.OLD in shown.flags) is old


def test_what_never_promised_to_come_never_grows_old() -> None:
    assert aged(GOOD, received=NOW, max_age_s=None, now=NOW + timedelta(days=365)) == GOOD


@pytest.mark.parametrize(
    ("value", "seconds", "significant"),
    [(149.0, 1, False), (151.0, 1, True), (100.0, 59, False), (100.0, 60, True), (None, 1, True)],
)
def test_deadband_and_the_longest_interval_decide(value: float | None, seconds: float, significant: bool) -> None:
    kept = Measurement(100.0, GOOD, NOW, NOW)
    new = Measurement(value, GOOD, NOW + timedelta(seconds=seconds), NOW)
    (whole,) = is_significant(Measurements.of([new]), Measurements.of([kept]), deadband=50, min_interval_s=60)
    (row,), (last,) = Measurements.of([new]).rows(), Measurements.of([kept]).rows()
    assert (whole, is_significant(row, last, deadband=50, min_interval_s=60)) == (significant, significant)
