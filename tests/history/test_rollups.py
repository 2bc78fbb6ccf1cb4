"""Roll-ups say what the samples say, whenever these came."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.db import DatabaseError
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import pilots.history.rollups as rollups_module
from pilots.domain.moments import microseconds
from pilots.domain.quality import GOOD, INVALID, Flag, Quality, Validity
from pilots.domain.rollup import HOUR, LEVELS, MINUTE, QUARTER, SIX_HOURS, Rows
from pilots.history.rollups import forget_rollups, roll_up, rolled_until
from pilots.history.stored import read_rollups
from pilots.history.trends import chosen_level
from pilots.models import Point
from tests.builders import make_device, make_pilot, make_point, new_sample, record_samples

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 28, 18, 0, tzinfo=UTC)
OLD = Quality(Validity.QUESTIONABLE, flags=Flag.OLD)
SPAN_S = 8 * 3600


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def point(db: None) -> Point:
    return make_point(make_device(make_pilot()))


def keep(point: Point, *samples: tuple[int, float | None]) -> None:
    qualities = [GOOD if value is not None else INVALID for _second, value in samples]
    record_samples(
        [
            new_sample(point.pk, source_time=at(s), received_time=at(s), value=v, quality=q.pack())
            for (s, v), q in zip(samples, qualities, strict=True)
        ]
    )


def roll(seconds: float = SPAN_S + 600) -> int:
    return roll_up(now=at(seconds), kept_since=at(-86_400))


def rows_of(point: Point, level: int) -> Rows:
    return read_rollups([point.pk], level, microseconds(START) - 86_400_000_000, microseconds(at(SPAN_S)))


def every_second(samples: dict[int, float | None], hold_s: float) -> np.ndarray:
    """What stood each second of the span, NaN where nothing did: counted, not computed."""
    stood, value, since = np.full(SPAN_S, np.nan), math.nan, -math.inf
    for second in range(SPAN_S):
        if second in samples:
            found = samples[second]
            value, since = math.nan if found is None else found, second
        stood[second] = value if second - since < hold_s else math.nan
    return stood


Samples = st.dictionaries(st.integers(0, SPAN_S - 1), st.one_of(st.none(), st.integers(-1000, 1000).map(float)), max_size=40)


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=12
)
@given(early=Samples, late=Samples, age=st.sampled_from([None, 10.0, 1200.0]))
def test_every_level_agrees_with_counting_seconds_late_samples_included(
    point: Point, early: dict[int, float | None], late: dict[int, float | None], age: float | None
) -> None:
    for table in ("sample", "rollup", "rollup_due", "rollup_state"):
        with rollups_module.connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table}")
    Point.objects.filter(pk=point.pk).update(max_interval_s=None if age is None else age / 3)
    keep(point, (-1, None), *sorted(early.items()))
    roll()
    if late:
        keep(point, *sorted(late.items()))
    roll()
    stood = every_second(early | late, math.inf if age is None else 60 + age)
    for level in LEVELS:
        found = {(int(row["start"]) - microseconds(START)) // 1_000_000: row for row in rows_of(point, level)}
        for first in range(0, SPAN_S, level):
            _agrees(found.get(first), stood[first : first + level], first + level <= SPAN_S)


def _agrees(row: np.void | None, stood: np.ndarray, whole: bool) -> None:
    good = stood[~np.isnan(stood)]
    if not whole or not good.size:
        assert row is None or not whole or math.isnan(row["mean"])
        return
    assert row is not None
    assert (row["low"], row["high"], row["good_s"]) == (good.min(), good.max(), good.size)
    assert (row["first"], row["last"]) == (good[0], good[-1])
    assert row["mean"] == pytest.approx(good.mean(), abs=1e-9)


def test_a_sample_that_comes_late_changes_its_hour_and_those_it_held_in(point: Point) -> None:
    keep(point, (0, 1.0), (3 * 3600, 4.0))
    assert roll() == 8
    keep(point, (1800, 2.0))
    assert roll() == 3, "its hour and the two in which nothing else came"
    assert rows_of(point, HOUR)["last"].tolist()[:4] == [2.0, 2.0, 2.0, 4.0]
    assert rows_of(point, QUARTER)["mean"].tolist()[1:3] == [1.0, 2.0]
    assert roll() == 0


def test_what_a_crash_left_undone_is_done_again_without_a_second_row(point: Point, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(point, *((second, float(second)) for second in range(0, 7200, 600)))

    def fails(until: int) -> None:
        raise DatabaseError("the machine went off")

    with monkeypatch.context() as broken:
        broken.setattr(rollups_module, "_set_until", fails)
        with pytest.raises(DatabaseError):
            roll()
    assert rolled_until() is None
    once = rows_of(point, MINUTE)
    roll()
    assert rows_of(point, MINUTE)[:60].tobytes() == once.tobytes()


def test_a_late_hour_whose_samples_are_gone_stays_as_it_was(point: Point) -> None:
    keep(point, (0, 1.0))
    roll()
    keep(point, (60, 9.0))
    roll_up(now=at(SPAN_S + 600), kept_since=at(1))
    assert rows_of(point, HOUR)["high"][0] == 1.0


def test_an_hour_waits_until_its_samples_had_time_to_come(point: Point) -> None:
    keep(point, (0, 1.0))
    assert [roll(3600 + 599), roll(3600 + 600)] == [0, 1]


def test_quality_keeps_the_worst_and_every_flag(point: Point) -> None:
    qualities = [GOOD, OLD, Quality(Validity.INVALID, flags=Flag.FAILURE), GOOD]
    record_samples(
        [
            new_sample(point.pk, source_time=at(n * 10), received_time=at(n * 10), value=1.0, quality=quality.pack())
            for n, quality in enumerate(qualities)
        ]
    )
    roll()
    first = rows_of(point, MINUTE)[0]
    assert Quality.unpack(int(first["quality"])) == Quality(Validity.INVALID, flags=Flag.OLD | Flag.FAILURE)
    assert (first["good_s"], first["samples"]) == (40.0, 4)


def test_minutes_go_with_the_samples_and_longer_intervals_later(point: Point) -> None:
    keep(point, (0, 1.0))
    roll()
    forget_rollups(samples_before=at(3600), rollups_before=START)
    assert (rows_of(point, MINUTE)["start"].min(), rows_of(point, HOUR)["start"].min()) == (
        microseconds(at(3600)),
        microseconds(START),
    )
    forget_rollups(samples_before=at(3600), rollups_before=at(SPAN_S))
    assert [len(rows_of(point, level)) for level in (QUARTER, HOUR, SIX_HOURS)] == [0, 0, 0]


def test_who_comes_while_another_rolls_up_does_nothing(point: Point, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(point, (0, 1.0))

    @contextmanager
    def taken() -> Iterator[bool]:
        yield False

    with monkeypatch.context() as busy:
        busy.setattr(rollups_module, "_alone", taken)
        assert roll() == 0
    assert roll() == 8


def test_nothing_kept_is_nothing_to_do(point: Point) -> None:
    assert (roll(), rolled_until(), len(rows_of(point, HOUR))) == (0, None, 0)


def test_a_window_whose_samples_are_gone_is_drawn_from_what_is_kept_longer(point: Point) -> None:
    keep(point, (0, 1.0), (1800, 2.0))
    roll()
    hour, days = (at(600), at(4200)), (at(-200_000), at(3600))  # the hour begins inside its six hours
    for window, kept in ((hour, 0), (days, MINUTE)):
        assert chosen_level([point], *window, kept_since=window[0]) == kept
        assert chosen_level([point], *window, kept_since=at(86_400)) == QUARTER
    assert chosen_level([point], at(-7200), at(-3600), kept_since=at(86_400)) == 0  # nothing old was rolled up
