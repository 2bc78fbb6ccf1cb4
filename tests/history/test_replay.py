"""What a point showed at a moment of the past: its last kept sample, as old and as good as it was then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pilots.domain.quality import Flag, Quality, Validity
from pilots.history.replay import Held, values_at
from pilots.models import Pilot, Point
from tests.builders import make_device, make_pilot, make_point, new_sample, record_samples

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
GOOD, OLD = Quality(Validity.GOOD).pack(), Quality(Validity.QUESTIONABLE, flags=Flag.OLD).pack()
KEPT_EVERY_S = 60.0


@pytest.fixture
def pilot(db: None) -> Pilot:
    return make_pilot("es")


@pytest.fixture
def power(pilot: Pilot) -> Point:
    return make_point(make_device(pilot), max_interval_s=10)


def kept(point: Point, before_s: float, value: float | None, *, quality: int = GOOD, delay_s: float = 0.0) -> None:
    moment = AT - timedelta(seconds=before_s)
    received = moment + timedelta(seconds=delay_s)
    record_samples([new_sample(point.pk, source_time=moment, received_time=received, value=value, quality=quality)])


def at(pilot: Pilot, moment: datetime = AT) -> dict[str, Held]:
    return values_at(pilot, moment, kept_every_s=KEPT_EVERY_S)


def age_s(held: Held) -> float:
    return (AT - held.received_time).total_seconds()


def test_the_last_sample_at_or_before_the_moment_counts_and_none_after_it(pilot: Pilot, power: Point) -> None:
    for before_s, value in ((20, 1.0), (0, 2.0), (-1, 3.0)):
        kept(power, before_s, value)
    shown = at(pilot)["es-STO01/active_power"]
    assert (shown.value, shown.quality, age_s(shown)) == (2.0, GOOD, 0.0)
    assert shown.row() == ["es-STO01/active_power", 2.0, GOOD, shown_ms(AT), shown_ms(AT), None, 90.0]


def shown_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_a_point_without_a_value_then_is_not_shown(pilot: Pilot, power: Point) -> None:
    kept(power, -60, 5.0)
    assert at(pilot) == {}
    kept(power, 40 * 86_400, 5.0)
    assert at(pilot) == {}


def test_what_comes_on_change_only_is_found_days_later_while_the_pilot_is_watched(pilot: Pilot, power: Point) -> None:
    position = make_point(power.device, "position", kind="status")
    kept(position, 3 * 86_400, 2.0)
    kept(power, 5, 1.0)
    shown = at(pilot)["es-STO01/position"]
    assert (shown.value, shown.quality, shown.max_age_s) == (2.0, GOOD, None)


def test_where_nothing_was_renewed_what_comes_on_change_only_is_old_too(pilot: Pilot, power: Point) -> None:
    position = make_point(power.device, "position", kind="status")
    kept(position, 3600, 2.0)
    kept(power, 91, 1.0)
    assert at(pilot)["es-STO01/position"].quality & OLD == OLD
    kept(make_point(power.device, "comm_state", kind="status"), 100, 1.0)
    assert at(pilot)["es-STO01/position"].quality == GOOD


def test_an_old_value_is_as_old_as_its_own_sample_not_as_its_mark(pilot: Pilot, power: Point) -> None:
    kept(power, 45, 7.0)
    kept(power, 15, 7.0, quality=OLD)
    shown = at(pilot)["es-STO01/active_power"]
    assert (shown.value, shown.quality, age_s(shown)) == (7.0, OLD, 45.0)


def test_what_was_buffered_and_came_later_stands_at_its_own_time(pilot: Pilot, power: Point) -> None:
    kept(power, 8, 4.0, delay_s=3600)
    assert age_s(at(pilot)["es-STO01/active_power"]) == 8.0


def test_a_missing_value_stays_missing(pilot: Pilot, power: Point) -> None:
    kept(power, 20, 4.0)
    kept(power, 5, None, quality=Quality(Validity.INVALID, flags=Flag.NOT_AVAILABLE).pack())
    assert at(pilot)["es-STO01/active_power"].value is None
