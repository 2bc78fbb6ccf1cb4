"""Whole columns follow the rules of single measurements."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.columns import Measurements, Rules, WireValues, normalise_all
from pilots.domain.measurement import RawReading, normalise
from pilots.domain.moments import microseconds, moment_of
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.quality import Flag, Quality, Source, Validity

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
Specs = st.builds(
    PointSpec,
    name=st.just("p"),
    kind=st.just(PointKind.MEASUREMENT),
    scale=st.sampled_from([1.0, 0.1, 1000.0]),
    offset=st.sampled_from([0.0, -40.0]),
    sign=st.sampled_from([1, -1]),
    low=st.none() | st.floats(-1e6, 0),
    high=st.none() | st.floats(0, 1e6),
)
Qualities = st.builds(Quality, st.sampled_from(Validity), st.sampled_from(Source), st.integers(0, 511).map(Flag))
Times = (
    st.none()
    | st.integers(-200, 200).map(lambda seconds: NOW + timedelta(seconds=seconds, microseconds=7))
    | st.integers(364, 368).map(lambda days: NOW - timedelta(days=days))
)
Values = st.none() | st.floats() | st.integers(-(2**63), 2**63) | st.booleans() | st.text(st.characters(), max_size=5)
Readings = st.builds(RawReading, st.just("p"), Values, Qualities, Times)


@given(st.lists(st.tuples(Readings, Specs, st.booleans()), max_size=20))
def test_columns_are_normalised_as_single_readings_are(rows: list[tuple[RawReading, PointSpec, bool]]) -> None:
    readings = [reading for reading, _, _ in rows]
    columns = normalise_all(
        WireValues.of([reading.value for reading in readings]),
        np.array([reading.quality.pack() for reading in readings], dtype=np.int64),
        np.array([microseconds(reading.source_time or NOW) for reading in readings], dtype=np.int64),
        np.full(len(rows), microseconds(NOW)),
        Rules.of([spec for _, spec, _ in rows], simulated=[simulated for _, _, simulated in rows]),
    )
    singly = [normalise(reading, spec, received=NOW, simulated=simulated) for reading, spec, simulated in rows]
    assert [columns.at(row) for row in range(columns.size)] == singly


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_moments_are_exact_to_the_microsecond(moment: datetime) -> None:
    assert moment_of(microseconds(moment)) == moment


def test_columns_of_measurements_give_them_back() -> None:
    singly = [
        normalise(RawReading("p", value), PointSpec(name="p", kind=PointKind.TEXT), received=NOW, simulated=True)
        for value in ("a", None, 2.5)
    ]
    columns = Measurements.of(singly)
    assert [columns.at(row) for row in range(3)] == singly
    assert columns.take(slice(0, 1)).joined(columns.take(slice(1, 3))).text.tolist() == ["a", None, None]
