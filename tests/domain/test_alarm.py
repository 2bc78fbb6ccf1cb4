"""The life of an alarm, and what columns of values make of conditions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.alarm import CHATTER_TIMES, AlarmEvent, AlarmKind, AlarmState, Chatter, next_alarm_state
from pilots.domain.alarm_limits import Conditions, LimitRules, codes_mask, due_us, elapse, judge, kind_number
from pilots.domain.columns import NEVER, Measurements
from pilots.domain.quality import GOOD, Flag, Quality, Validity

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
OLD = Quality(Validity.QUESTIONABLE, flags=Flag.OLD)
SECOND = 1_000_000
EVENTS = st.sampled_from(list(AlarmEvent))


def rule(
    kind: AlarmKind, limit: float = 0.0, *, deadband: float = 0.0, codes: Sequence[int] = (), on: int = 0, off: int = 0
) -> LimitRules:
    """One rule; delays in seconds."""
    ints = [kind_number(kind), codes_mask(kind, list(codes)), on * SECOND, off * SECOND]
    number, mask, on_us, off_us = (np.array([each]) for each in ints)
    return LimitRules(number, np.array([limit]), np.array([deadband]), mask, on_us, off_us)


def value(number: float, second: float, quality: Quality = GOOD) -> Measurements:
    at = np.array([int(second * SECOND)])
    return Measurements(np.array([number]), np.array([quality.pack()]), at, at, np.empty(1, dtype=object))


def activity(of: LimitRules, *values: Measurements) -> list[bool]:
    """Whether the condition is active after each of the values."""
    conditions, found = Conditions.none_yet(1), []
    for each in values:
        conditions = judge(of, conditions, each, of.limit)
        found.append(bool(conditions.active[0]))
    return found


def numbers(of: LimitRules, *readings: float) -> list[bool]:
    return activity(of, *(value(number, second) for second, number in enumerate(readings)))


# Its life


@given(st.lists(EVENTS, max_size=30), st.booleans(), st.booleans())
def test_an_alarm_asks_again_only_when_it_was_raised(events: list[AlarmEvent], latched: bool, hidden: bool) -> None:
    state = AlarmState.NORMAL
    for event in events:
        before, state = state, next_alarm_state(state, event, latched=latched, hidden=hidden)
        if state is AlarmState.UNACKNOWLEDGED and before is not state:
            assert event in (AlarmEvent.RAISE, AlarmEvent.REALARM)
        if state.is_active and not before.is_active:
            assert event is AlarmEvent.RAISE
        if before.wants_acknowledgement and event is AlarmEvent.ACKNOWLEDGE:
            assert not state.wants_acknowledgement
        assert not (hidden and state is AlarmState.RETURNED)
        assert latched or state is not AlarmState.LATCHED


@given(st.lists(EVENTS, max_size=30), st.booleans())
def test_gone_seen_and_reset_is_normal_whatever_was_before(events: list[AlarmEvent], latched: bool) -> None:
    state = AlarmState.NORMAL
    for event in [*events, AlarmEvent.RETURN, AlarmEvent.ACKNOWLEDGE, AlarmEvent.RESET]:
        state = next_alarm_state(state, event, latched=latched)
    assert state is AlarmState.NORMAL


def test_an_active_alarm_is_acknowledged_and_ends_when_it_returns() -> None:
    state = AlarmState.NORMAL
    for event in (AlarmEvent.RAISE, AlarmEvent.ACKNOWLEDGE):
        state = next_alarm_state(state, event)
    assert state is AlarmState.ACKNOWLEDGED
    assert next_alarm_state(state, AlarmEvent.RETURN) is AlarmState.NORMAL


def test_a_latched_alarm_waits_for_its_reset() -> None:
    state = next_alarm_state(AlarmState.ACKNOWLEDGED, AlarmEvent.RETURN, latched=True)
    assert state is AlarmState.LATCHED
    assert next_alarm_state(state, AlarmEvent.RESET, latched=True) is AlarmState.NORMAL


def test_what_comes_often_in_a_short_time_is_chatter() -> None:
    chatter = Chatter(1, NOW)
    for minute in range(1, CHATTER_TIMES):
        chatter = chatter.again(NOW + timedelta(minutes=minute))
    assert chatter.is_chatter
    assert chatter.again(NOW + timedelta(hours=1)).times == 1


# Its condition


def test_a_high_alarm_ends_only_beyond_the_deadband() -> None:
    assert numbers(rule(AlarmKind.HIGH, 80, deadband=5), 79, 81, 79, 76, 75, 79) == [False, True, True, True, False, False]


def test_a_low_alarm_is_the_other_way_round() -> None:
    assert numbers(rule(AlarmKind.LOW, 10, deadband=1), 10, 9.9, 10.9, 11) == [False, True, True, False]


def test_a_delay_forgives_what_is_short() -> None:
    assert numbers(rule(AlarmKind.HIGH, 80, on=2), 81, 81, 79, 81, 81, 81) == [False, False, False, False, False, True]
    assert numbers(rule(AlarmKind.HIGH, 80, off=2), 81, 79, 81, 79, 79, 79) == [True, True, True, True, True, False]


def test_a_rate_is_a_change_a_second_either_way() -> None:
    assert numbers(rule(AlarmKind.RATE, 3), 0, 2, 6, 6, 1) == [False, False, True, False, True]


def test_a_state_is_one_of_its_codes_and_a_not_state_none_of_them() -> None:
    assert numbers(rule(AlarmKind.STATE, codes=[2, 3]), 0, 2, 3, 1) == [False, True, True, False]
    assert numbers(rule(AlarmKind.NOT_STATE, codes=[0]), 0, 1, 4096, 0) == [False, True, True, False]


def test_a_frozen_value_is_renewed_and_never_another() -> None:
    assert numbers(rule(AlarmKind.FROZEN, on=3), 5, 5, 5, 5, 5, 6) == [False, False, False, False, True, False]


def test_what_is_unknown_neither_raises_nor_returns_and_begins_the_delay_anew() -> None:
    high = rule(AlarmKind.HIGH, 80)
    assert activity(high, value(81, 0), value(np.nan, 1), value(70, 2, OLD), value(70, 3)) == [True, True, True, False]
    slow = rule(AlarmKind.HIGH, 80, on=3)
    seen = [value(81, 0), value(81, 2, OLD), value(81, 3), value(81, 5), value(81, 6)]
    assert activity(slow, *seen) == [False, False, False, False, True]


def test_a_delay_runs_out_without_a_new_value() -> None:
    slow = rule(AlarmKind.HIGH, 80, on=10)
    conditions = judge(slow, Conditions.none_yet(1), value(81, 1), slow.limit)
    assert due_us(slow, conditions).tolist() == [11 * SECOND]
    assert not elapse(slow, conditions, 11 * SECOND - 1).active[0]
    raised = elapse(slow, conditions, 11 * SECOND)
    assert raised.active[0]
    assert due_us(slow, raised).tolist() == [NEVER]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.floats(20, 80), st.floats(0.1, 20))
def test_between_two_comings_the_value_left_the_deadband(readings: list[float], limit: float, deadband: float) -> None:
    active = numbers(rule(AlarmKind.HIGH, limit, deadband=deadband), *readings)
    comings = [i for i, now in enumerate(active) if now and (i == 0 or not active[i - 1])]
    for earlier, later in itertools.pairwise(comings):
        assert min(readings[earlier:later]) <= limit - deadband


@given(st.lists(st.floats(0, 100) | st.just(float("nan")), min_size=1, max_size=30), st.integers(0, 5), st.integers(0, 5))
def test_many_rules_at_once_are_each_as_alone(readings: list[float], on: int, off: int) -> None:
    alone = [rule(AlarmKind.HIGH, 50, deadband=5, on=on, off=off), rule(AlarmKind.LOW, 40, on=off), rule(AlarmKind.FROZEN, on=on)]
    together = LimitRules._make(np.concatenate(columns) for columns in zip(*alone, strict=True))
    conditions, found = Conditions.none_yet(len(alone)), []
    for second, reading in enumerate(readings):
        same = [value(reading, second)] * len(alone)
        columns = Measurements._make(np.concatenate(column) for column in zip(*same, strict=True))
        conditions = judge(together, conditions, columns, together.limit)
        found.append(conditions.active.tolist())
    assert found == [list(each) for each in zip(*(numbers(one, *readings) for one in alone), strict=True)]
