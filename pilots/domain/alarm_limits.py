"""Which alarm conditions a flush's values raise and end: all of them at once, a column each. [station]

A condition is there, gone or between (inside the deadband); it counts once it has been so for its delay. A value that is
missing, invalid or old says nothing: what was, stays, and no delay runs on.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from pilots.domain.alarm import AlarmKind
from pilots.domain.columns import NEVER, Bools, Floats, Ints, Measurements
from pilots.domain.quality import Flag, Validity

_KINDS = list(AlarmKind)
_HIGH = [_KINDS.index(AlarmKind.HIGH), _KINDS.index(AlarmKind.HIGH_HIGH)]
_LOW = [_KINDS.index(AlarmKind.LOW), _KINDS.index(AlarmKind.LOW_LOW)]
_RATE, _FROZEN = _KINDS.index(AlarmKind.RATE), _KINDS.index(AlarmKind.FROZEN)
_STATES = [_KINDS.index(AlarmKind.STATE), _KINDS.index(AlarmKind.NOT_STATE)]
_SILENT = (Flag.OLD | Flag.COMM_FAILURE | Flag.NOT_AVAILABLE) << 5


class LimitRules(NamedTuple):
    """Rules, a column each: `kind` as `kind_number`, `codes` as `codes_mask`, delays in microseconds."""

    kind: Ints
    limit: Floats
    deadband: Floats
    codes: Ints
    on_delay_us: Ints
    off_delay_us: Ints

    def take(self, rows: Ints) -> LimitRules:
        return LimitRules._make(column[rows] for column in self)


class Conditions(NamedTuple):
    """What is known of each rule: `since_us` is when its condition began to be the other one than `active` says."""

    active: Bools
    since_us: Ints
    last_value: Floats
    last_us: Ints

    @classmethod
    def none_yet(cls, size: int) -> Self:
        return cls(np.zeros(size, bool), np.full(size, NEVER), np.full(size, np.nan), np.full(size, NEVER))

    def take(self, rows: Ints) -> Conditions:
        return Conditions._make(column[rows] for column in self)

    def put(self, rows: Ints, others: Conditions) -> None:
        """These rows are now those."""
        for column, new in zip(self, others, strict=True):
            column[rows] = new


def kind_number(kind: AlarmKind) -> int:
    return _KINDS.index(kind)


def codes_mask(kind: AlarmKind, codes: list[int]) -> int:
    """The codes of a status that are its alarm, a bit each; beyond 62 all are one.

    >>> bin(codes_mask(AlarmKind.STATE, [1, 3]))
    '0b1010'
    >>> codes_mask(AlarmKind.NOT_STATE, [0])
    -2
    """
    mask = 0
    for code in codes:
        mask |= 1 << min(code, 62)
    return ~mask if kind is AlarmKind.NOT_STATE else mask


def judge(rules: LimitRules, before: Conditions, values: Measurements, limit: Floats) -> Conditions:
    """The conditions after these values; all of one length, a value for each rule, `limit` as it is now."""
    there, gone = _conditions(rules, before, values, limit)
    unknown = values.missing | (values.quality & 3 == Validity.INVALID) | (values.quality & _SILENT != 0)
    turning = np.where(before.active, gone, there) & ~unknown
    at = values.received_us
    since = np.where(turning, np.where(before.since_us == NEVER, at, before.since_us), NEVER)
    kept = unknown | (at <= before.last_us)
    return _turned(rules, before, since, at)._replace(
        last_value=np.where(kept, before.last_value, values.value), last_us=np.where(kept, before.last_us, at)
    )


def elapse(rules: LimitRules, before: Conditions, now_us: int) -> Conditions:
    """The conditions at this moment without any new value: delays that have run out count."""
    return _turned(rules, before, before.since_us, np.full(before.active.size, now_us))


def due_us(rules: LimitRules, conditions: Conditions) -> Ints:
    """When each condition turns if no value comes; NEVER for those that do not."""
    delay = np.where(conditions.active, rules.off_delay_us, rules.on_delay_us)
    return np.where(conditions.since_us == NEVER, NEVER, conditions.since_us + delay)


def _turned(rules: LimitRules, before: Conditions, since: Ints, at: Ints) -> Conditions:
    delay = np.where(before.active, rules.off_delay_us, rules.on_delay_us)
    turned = (since != NEVER) & (at - since >= delay)
    return before._replace(active=before.active ^ turned, since_us=np.where(turned, NEVER, since))


def _conditions(rules: LimitRules, before: Conditions, values: Measurements, limit: Floats) -> tuple[Bools, Bools]:
    """Whether each condition is there, and whether it is gone; inside the deadband neither."""
    kind, value = rules.kind, values.value
    measured = np.where(kind == _RATE, _rate(before, values), value)
    high, low = np.isin(kind, [*_HIGH, _RATE]), np.isin(kind, _LOW)
    there = (high & (measured > limit)) | (low & (measured < limit))
    gone = (high & (measured <= limit - rules.deadband)) | (low & (measured >= limit + rules.deadband))
    coded = np.isin(kind, _STATES)
    bit = np.clip(np.nan_to_num(value), 0, 62).astype(np.int64)
    listed = (rules.codes >> bit) & 1 == 1
    # What stands still at nothing does not run.
    still = (kind == _FROZEN) & (value == before.last_value) & (value != 0)
    moved = (kind == _FROZEN) & ~still
    return there | (coded & listed) | still, gone | (coded & ~listed) | moved


def _rate(before: Conditions, values: Measurements) -> Floats:
    """Change a second since the last value; NaN, which is neither, without one."""
    seconds = (values.received_us - before.last_us) / 1e6
    with np.errstate(divide="ignore", invalid="ignore"):
        rate: Floats = np.where(seconds > 0, np.abs(values.value - before.last_value) / seconds, np.nan)
    return rate
