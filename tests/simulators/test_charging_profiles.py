"""Which of several charging profiles holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.simulators.charging_profiles import DEFAULT, MAX, TX, ProfileRejected, ProfileStore, parse_profile

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def install(
    store: ProfileStore, number: int, purpose: str, limit: float, *, connector: int = 1, level: int = 0, **more: Any
) -> None:
    schedule = {"charging_rate_unit": "W", "charging_schedule_period": [{"start_period": 0, "limit": limit}]}
    schedule |= more.pop("schedule", {})
    raw = {
        "charging_profile_id": number, "stack_level": level, "charging_profile_purpose": purpose,
        "charging_profile_kind": "Absolute", "charging_schedule": schedule, **more,
    }  # fmt: skip
    store.install(parse_profile(connector, raw, now=NOW, phases=3))


def test_without_profiles_there_is_no_limit() -> None:
    assert ProfileStore().limit_w(1, NOW, charging=True) is None


def test_the_highest_valid_level_wins() -> None:
    store = ProfileStore()
    install(store, 1, DEFAULT, 9000, level=0)
    install(store, 2, DEFAULT, 5000, level=2, valid_to="2026-11-23T12:10:00Z")
    assert store.limit_w(1, NOW, charging=False) == 5000
    assert store.limit_w(1, NOW + timedelta(minutes=11), charging=False) == 9000


def test_a_transaction_profile_overrules_the_default_only_while_charging() -> None:
    store = ProfileStore()
    install(store, 1, DEFAULT, 5000)
    install(store, 2, TX, 8000)
    assert (store.limit_w(1, NOW, charging=True), store.limit_w(1, NOW, charging=False)) == (8000, 5000)
    store.end_transaction()
    assert store.limit_w(1, NOW, charging=True) == 5000


def test_the_station_maximum_caps_everything() -> None:
    store = ProfileStore()
    install(store, 1, TX, 8000)
    install(store, 2, MAX, 6000, connector=0)
    assert store.limit_w(1, NOW, charging=True) == 6000


def test_a_duration_ends_a_limit() -> None:
    store = ProfileStore()
    install(store, 1, DEFAULT, 5000, schedule={"start_schedule": "2026-11-23T11:59:00Z", "duration": 120})
    assert store.limit_w(1, NOW, charging=False) == 5000
    assert store.limit_w(1, NOW + timedelta(seconds=61), charging=False) is None


def test_amperes_count_per_phase_and_later_periods_take_over() -> None:
    store = ProfileStore()
    periods = [{"start_period": 0, "limit": 10}, {"start_period": 60, "limit": 6, "number_phases": 1}]
    schedule = {"charging_rate_unit": "A", "charging_schedule_period": periods, "start_schedule": "2026-11-23T12:00:00Z"}
    install(store, 1, DEFAULT, 0, schedule=schedule)
    assert store.limit_w(1, NOW, charging=False) == 6900
    assert store.limit_w(1, NOW + timedelta(seconds=60), charging=False) == 1380


def test_the_same_number_or_place_replaces() -> None:
    store = ProfileStore()
    install(store, 1, DEFAULT, 5000)
    install(store, 2, DEFAULT, 4000)
    install(store, 2, DEFAULT, 3000, level=1)
    assert [profile.id for profile in store.installed] == [2]


def test_a_schedule_that_does_not_begin_at_once_is_rejected() -> None:
    with pytest.raises(ProfileRejected):
        install(ProfileStore(), 1, DEFAULT, 0, schedule={"charging_schedule_period": [{"start_period": 5, "limit": 1}]})
