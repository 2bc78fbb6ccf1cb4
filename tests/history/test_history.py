"""The history: what goes in comes out, and what is drawn or averaged is true."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pilots.domain.moments import microseconds
from pilots.domain.quality import GOOD, INVALID, Flag, Quality, Validity
from pilots.history.selectors import aggregate, read_samples, series, stream_samples
from pilots.history.services import ensure_partitions, forget_samples
from pilots.history.trends import read_trend
from pilots.models import Point
from tests.builders import NewSample, make_device, make_pilot, make_point, new_sample, record_samples

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
OLD = Quality(Validity.QUESTIONABLE, flags=Flag.OLD)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def point(db: None) -> Point:
    return make_point(make_device(make_pilot()))


def sample(point: Point, seconds: float, value: float | None, quality: Quality = GOOD) -> NewSample:
    moment = at(seconds)
    return new_sample(point.pk, source_time=moment, received_time=moment, value=value, quality=quality.pack())


def keep(point: Point, *values: tuple[float, float | None]) -> None:
    record_samples([sample(point, seconds, value, GOOD if value is not None else INVALID) for seconds, value in values])


def test_a_sample_is_read_back_to_the_microsecond(point: Point) -> None:
    source = datetime(2026, 3, 29, 1, 2, 3, 456_789, tzinfo=UTC)
    received = source + timedelta(milliseconds=1234)
    record_samples([new_sample(point.pk, source_time=source, received_time=received, value=0.1 + 0.2, quality=OLD.pack())])
    (row,) = read_samples([point], START, at(86_400), limit=10)
    assert row == (point.pk, source, received, 0.1 + 0.2, OLD)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_microseconds_are_exact(moment: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds(moment)) == moment


def test_an_absurd_receive_offset_is_kept_at_its_columns_edge(point: Point) -> None:
    source = datetime(1970, 1, 2, tzinfo=UTC)
    record_samples([new_sample(point.pk, source_time=source, received_time=START, value=1.0, quality=0)])
    (row,) = read_samples([point], source, START, limit=10)
    assert row.source_time == source


def test_a_sample_of_the_same_instant_replaces_the_first(point: Point) -> None:
    keep(point, (0, 1.0), (1, 2.0))
    keep(point, (0, 5.0), (2, 3.0))
    assert [row.value for row in read_samples([point], START, at(10), limit=10)] == [5.0, 2.0, 3.0]


def test_of_two_samples_of_one_instant_in_one_batch_the_last_stands(point: Point) -> None:
    keep(point, (1, 2.0), (0, 1.0), (1, 3.0))
    assert [row.value for row in read_samples([point], START, at(10), limit=10)] == [1.0, 3.0]


def test_missing_values_stay_missing_beside_present_ones(point: Point) -> None:
    keep(point, (0, None), (1, 2.0), (2, None))
    assert [row.value for row in read_samples([point], START, at(10), limit=10)] == [None, 2.0, None]


def test_pages_follow_one_another_without_loss_or_repetition(point: Point) -> None:
    other = make_point(point.device, "reactive_power")
    for p in (point, other):
        keep(p, *((n, float(n)) for n in range(10)))
    found, after = [], None
    while rows := read_samples([point, other], START, at(100), limit=3, after=after):
        found += rows
        after = (rows[-1].source_time, rows[-1].point_id)
    assert [(row.source_time, row.point_id) for row in found] == [(at(n), p.pk) for n in range(10) for p in (point, other)]


@pytest.mark.parametrize("page", [1, 3, 7, 1000])
def test_streamed_pages_are_the_history_in_order_and_no_larger_than_asked_for(point: Point, page: int) -> None:
    other = make_point(point.device, "reactive_power")
    for p in (point, other):
        keep(p, *((n, float(n)) for n in range(10)), (5000, None))
    pages = list(stream_samples([point, other], START, at(6000), page=page))
    rows = [row for columns in pages for row in columns[["time", "point", "value"]].tolist()]
    expected = [(microseconds(at(n)), p.pk, float(n)) for n in range(10) for p in (point, other)]
    assert rows[:-2] == expected
    assert [(row[:2], np.isnan(row[2])) for row in rows[-2:]] == [((microseconds(at(5000)), p.pk), True) for p in (point, other)]
    assert max(map(len, pages)) <= max(page, 2)  # an instant is never cut


def test_the_end_of_a_window_belongs_to_the_next_one(point: Point) -> None:
    keep(point, (0, 1.0), (10, 2.0))
    assert [row.value for row in read_samples([point], START, at(10), limit=10)] == [1.0]


def test_no_points_no_samples() -> None:
    assert read_samples([], START, at(10), limit=10) == []


def test_means_are_weighted_by_time(point: Point) -> None:
    keep(point, (0, 100.0), (45, 500.0), (60, 0.0))
    first, second = aggregate(point, START, at(120), 60)
    assert first.mean == pytest.approx((45 * 100 + 15 * 500) / 60)
    assert (first.min, first.max, first.last, first.count, first.good_share) == (100.0, 500.0, 500.0, 2, 1.0)
    assert (second.mean, second.count) == (0.0, 1)


def test_the_sample_before_an_interval_still_holds_in_it(point: Point) -> None:
    keep(point, (-30, 42.0))
    (interval,) = aggregate(point, START, at(60), 60)
    assert (interval.mean, interval.count, interval.good_share) == (42.0, 0, 1.0)


def test_what_is_missing_or_old_does_not_count(point: Point) -> None:
    record_samples([sample(point, 0, 100.0), sample(point, 30, 100.0, OLD), sample(point, 50, None, INVALID)])
    (interval,) = aggregate(point, START, at(60), 60)
    assert (interval.mean, interval.good_share) == (100.0, 0.5)


def test_an_interval_without_anything_is_empty(point: Point) -> None:
    (interval,) = aggregate(point, START, at(60), 60)
    assert (interval.mean, interval.min, interval.last, interval.count, interval.good_share) == (None, None, None, 0, 0.0)


Events = st.lists(
    st.tuples(st.integers(0, 299), st.one_of(st.none(), st.integers(-1000, 1000))), unique_by=lambda event: event[0], max_size=25
)


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=40
)
@given(events=Events, resolution=st.sampled_from([7, 30, 100, 300]))
def test_intervals_agree_with_counting_every_second(point: Point, events: list[tuple[int, int | None]], resolution: int) -> None:
    forget_samples(at(10_000))
    keep(point, *((second, None if value is None else float(value)) for second, value in sorted(events)))
    held: list[float | None] = [None] * 300
    for second, value in sorted(events):
        held[second:] = [value] * (300 - second)
    for index, interval in enumerate(aggregate(point, START, at(300), resolution)):
        seconds = held[index * resolution : (index + 1) * resolution]
        good = [value for value in seconds if value is not None]
        assert interval.good_share == pytest.approx(len(good) / len(seconds), abs=1e-6)
        assert interval.mean == (pytest.approx(sum(good) / len(good)) if good else None)
        assert (interval.min, interval.max) == ((min(good), max(good)) if good else (None, None))


def test_a_short_curve_is_drawn_as_it_is_with_its_gaps(point: Point) -> None:
    keep(point, (0, 1.0), (10, None), (20, 3.0))
    curve = series(point, START, at(60))
    assert (curve.times, curve.values) == ([at(0), at(10), at(20)], [1.0, None, 3.0])


def test_a_thinned_curve_keeps_its_peaks_and_its_gaps(point: Point) -> None:
    values: list[tuple[float, float | None]] = [(float(n), float(n % 7)) for n in range(5000)]
    values[2500] = (2500.0, None)
    values[1234] = (1234.0, 999.0)
    keep(point, *values)
    curve = series(point, START, at(5000), max_points=100)
    assert len(curve.times) == 100
    assert max(value for value in curve.maximum if value is not None) == 999.0
    assert curve.values.count(None) == 1


def test_forgotten_samples_are_gone_and_younger_ones_stay(point: Point) -> None:
    days = [datetime(2026, 3, day, 12, tzinfo=UTC) for day in (1, 2, 3)]
    record_samples([new_sample(point.pk, source_time=day, received_time=day, value=1.0, quality=0) for day in days])
    forget_samples(datetime(2026, 3, 2, tzinfo=UTC))
    rows = read_samples([point], days[0] - timedelta(days=1), days[-1] + timedelta(days=1), limit=10)
    assert [row.source_time for row in rows] == days[1:]


@pytest.mark.parametrize("received_s", [(1, 9), (9, 1)])
def test_of_samples_of_one_instant_the_last_received_counts_whatever_order_they_stand_in(
    point: Point, received_s: tuple[int, int]
) -> None:
    """PostgreSQL keeps both where nobody looked for the first; SQLite has room for one, the last that was written."""
    keep(point, (-60, 1.0), (120, 3.0))
    for came_s in received_s:
        came = at(60 + came_s)
        again = new_sample(point.pk, source_time=at(60), received_time=came, value=float(came_s), quality=0)
        record_samples([again], may_repeat=False)
    kept = read_samples([point], at(0), at(100), limit=10)
    last = 9.0 if connection.vendor == "postgresql" else float(received_s[1])
    assert len(kept) == (2 if connection.vendor == "postgresql" else 1)
    assert series(point, at(0), at(100)).values == [last]
    assert read_trend(point, at(0), at(100), step_s=0).values.tolist() == [1.0, last]


def test_days_have_partitions_that_go_as_a_whole(point: Point) -> None:
    today = datetime(2031, 5, 1, 10, tzinfo=UTC)
    ensure_partitions(today)
    ensure_partitions(today)
    moments = [today + timedelta(days=day) for day in range(3)]
    record_samples([new_sample(point.pk, source_time=m, received_time=m, value=1.0, quality=0) for m in moments])
    if connection.vendor == "postgresql":
        assert _partitions()[-8:] == [f"sample_203105{day:02}" for day in range(1, 9)]
    forget_samples(moments[2] - timedelta(hours=1))
    rows = read_samples([point], today, today + timedelta(days=9), limit=10)
    # PostgreSQL drops whole days: the day that the limit falls into stays until it is over.
    assert rows[-1].source_time == moments[2]
    assert moments[0] not in {row.source_time for row in rows}


def test_a_day_whose_samples_came_before_its_partition_stays_in_the_default_one(point: Point) -> None:
    today = datetime(2032, 5, 1, 10, tzinfo=UTC)
    record_samples([new_sample(point.pk, source_time=today, received_time=today, value=1.0, quality=0)])
    ensure_partitions(today)
    assert len(read_samples([point], today, today + timedelta(seconds=1), limit=10)) == 1


def test_five_thousand_samples_are_one_write(point: Point) -> None:
    numbers = list(range(5000))
    random.Random(1).shuffle(numbers)
    keep(point, *((float(n), float(n)) for n in numbers))
    rows = read_samples([point], START, at(5000), limit=10_000)
    assert _rising([row.source_time for row in rows])
    assert len(rows) == 5000


def _rising(moments: Sequence[datetime]) -> bool:
    return all(a < b for a, b in pairwise(moments))


def _partitions() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'sample'::regclass ORDER BY 1")
        return [name for (name,) in cursor.fetchall() if name != "sample_default"]
