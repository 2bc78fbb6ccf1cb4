"""Limits and states of points against every flush's values: arrays in, the few conditions that turned out. [station]

Belongs to the process that ingests; only its writer calls it. What is active is read from the table, so a restart or another
worker's turn with a connection changes nothing; memory keeps how long a condition has been on its way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from pilots.alarms.occurrences import Coming, Going, turn
from pilots.domain.alarm import OF_VALUES, AlarmKind
from pilots.domain.alarm_limits import Conditions, LimitRules, codes_mask, due_us, elapse, judge, kind_number
from pilots.domain.columns import NEVER, Floats, Ints, Measurements
from pilots.domain.moments import microseconds, moment_of
from pilots.models import Alarm, AlarmRule

#: What another process raised or ended is known here after so long.
SYNC_EVERY_S = 2.0
_NONE = np.zeros(0, dtype=np.int64)
_COLUMNS = ("pk", "point_id", "kind", "limit", "limit_point_id", "codes", "deadband", "on_delay_s", "off_delay_s")


@dataclass(slots=True)
class Judged:
    """What a flush makes of the conditions of some rules: taken over once it is committed."""

    rows: Ints = field(default_factory=lambda: _NONE)
    conditions: Conditions = field(default_factory=lambda: Conditions.none_yet(0))


class LimitWatch:
    """The rules of values by the slots of their points, and how each stands."""

    def __init__(self) -> None:
        self._ids: Ints | None = None
        self._keys = _NONE
        self._rules = _columns_of([])
        self._limit_slots = _NONE
        self._starts = self._counts = _NONE
        self._conditions = Conditions.none_yet(0)
        self._synced_s = -np.inf
        self._due_us = NEVER

    @property
    def due_us(self) -> int:
        """When the next delay runs out; NEVER when none runs."""
        return self._due_us

    def follow(self, ids: Ints) -> None:
        """The rules are those of these points (`ids` ascending, a slot each); what is active is what the table says."""
        if ids is not self._ids:
            self._load(ids)
        if self._keys.size and time.monotonic() - self._synced_s >= SYNC_EVERY_S:
            self.sync()

    def sync(self) -> None:
        """Active is what the table holds as active, whoever wrote it."""
        active = Alarm.objects.filter(closed_at=None, returned_at=None, kind__in=OF_VALUES, rule__isnull=False)
        held = np.isin(self._keys, list(active.values_list("rule_id", flat=True)))
        self._conditions.since_us[held != self._conditions.active] = NEVER
        self._conditions.active[:] = held
        self._synced_s = time.monotonic()
        self._note_due()

    def evaluate(self, slots: Ints, values: Measurements, latest: Floats, *, now: datetime) -> Judged:
        """Alarms that these values raise or end are in the table; `latest` are all points' newest values before them."""
        rows, which, limit = self._looked_up(slots, latest)
        if not rows.size:
            return Judged()
        mine = values.take(which)
        after = judge(self._rules.take(rows), self._conditions.take(rows), mine, limit)
        turned = np.flatnonzero(after.active != self._conditions.active[rows])
        if turned.size:
            at = mine.received_us
            self._turn(rows[turned], after.active[turned], at[turned], mine.value[turned], limit[turned], now)
        return Judged(rows, after)

    def turning(self, ids: Ints, slots: Ints, values: Measurements, latest: Floats) -> Ints:
        """The slots of the points that are followed whose values raise or end an alarm; nothing is noted."""
        if ids is not self._ids:
            return _NONE
        rows, which, limit = self._looked_up(slots, latest)
        if not rows.size:
            return _NONE
        after = judge(self._rules.take(rows), self._conditions.take(rows), values.take(which), limit)
        turned: Ints = slots[which[after.active != self._conditions.active[rows]]]
        return turned

    def _looked_up(self, slots: Ints, latest: Floats) -> tuple[Ints, Ints, Floats]:
        """The rules of these points; for each the place of its point among them, and its limit."""
        if not self._keys.size:
            return _NONE, _NONE, latest[_NONE]
        counts, starts = self._counts[slots], self._starts[slots]
        which, ends = np.repeat(np.arange(slots.size), counts), np.cumsum(counts)
        rows = np.repeat(starts, counts) + np.arange(which.size) - np.repeat(ends - counts, counts)
        return rows, which, self._limits(rows, latest)

    def elapse(self, latest: Floats, *, now: datetime) -> Judged:
        """Alarms whose delay has run out by now are in the table."""
        due = due_us(self._rules, self._conditions)
        rows = np.flatnonzero((due != NEVER) & (due <= microseconds(now)))
        before = self._conditions.take(rows)
        after = elapse(self._rules.take(rows), before, microseconds(now))
        self._turn(rows, after.active, due[rows], before.last_value, self._limits(rows, latest), now)
        return Judged(rows, after)

    def keep(self, judged: Judged) -> None:
        """It is committed: memory follows."""
        if judged.rows.size:
            self._conditions.put(judged.rows, judged.conditions)
            self._note_due()

    def _note_due(self) -> None:
        due = due_us(self._rules, self._conditions)
        self._due_us = int(due[due != NEVER].min(initial=2**62)) if (due != NEVER).any() else NEVER

    def _turn(self, rows: Ints, active: np.ndarray, at: Ints, value: Floats, limit: Floats, now: datetime) -> None:
        told = zip(*(column.tolist() for column in (self._keys[rows], active, at, value, limit)), strict=True)
        comings, goings = [], []
        for key, is_active, at_us, number, bound in told:
            moment = moment_of(at_us)
            if is_active:
                comings.append(Coming(key, moment, _known(number), _known(bound)))
            else:
                goings.append(Going(key, moment))
        turn(comings, goings, now=now)

    def _limits(self, rows: Ints, latest: Floats) -> Floats:
        """As declared, or as the point says that it is taken from, once that has a value."""
        declared, slots = self._rules.limit[rows], self._limit_slots[rows]
        if not (slots >= 0).any():
            return declared
        taken = latest[slots]
        limits: Floats = np.where((slots >= 0) & ~np.isnan(taken), taken, declared)
        return limits

    def _load(self, ids: Ints) -> None:
        slots = {key: slot for slot, key in enumerate(ids.tolist())}
        rules = AlarmRule.objects.filter(enabled=True, kind__in=OF_VALUES, point__isnull=False).values(*_COLUMNS)
        known = sorted((slots[rule["point_id"]], rule["pk"], rule) for rule in rules if rule["point_id"] in slots)
        before = {key: row for row, key in enumerate(self._keys.tolist())}
        keys = np.array([key for _, key, _ in known], dtype=np.int64)
        conditions = Conditions.none_yet(keys.size)
        stay = [(row, before[key]) for row, key in enumerate(keys.tolist()) if key in before]
        if stay:
            new, old = np.array(stay, dtype=np.int64).T
            conditions.put(new, self._conditions.take(old))
        self._ids, self._keys, self._conditions = ids, keys, conditions
        self._rules = _columns_of([rule for _, _, rule in known])
        self._limit_slots = np.array([slots.get(rule["limit_point_id"], -1) for _, _, rule in known], dtype=np.int64)
        own = np.array([slot for slot, _, _ in known], dtype=np.int64)
        self._counts = np.bincount(own, minlength=ids.size)
        self._starts = np.cumsum(self._counts) - self._counts
        self.sync()


def _known(number: float) -> float | None:
    return None if np.isnan(number) else number


def _columns_of(rules: list[dict[str, object]]) -> LimitRules:
    rows = [_row(rule) for rule in rules]
    kind, limit, deadband, codes, on_us, off_us = zip(*rows, strict=True) if rows else ((),) * 6
    floats = np.array(limit, dtype=float), np.array(deadband, dtype=float)
    return LimitRules(_ints(kind), *floats, _ints(codes), _ints(on_us), _ints(off_us))


def _row(rule: Mapping[str, object]) -> tuple[object, ...]:
    kind, limit, codes = AlarmKind(str(rule["kind"])), rule["limit"], rule["codes"]
    delays = (int(float(str(rule[name])) * 1e6) for name in ("on_delay_s", "off_delay_s"))
    mask = codes_mask(kind, codes if isinstance(codes, list) else [])
    return kind_number(kind), np.nan if limit is None else limit, rule["deadband"], mask, *delays


def _ints(column: tuple[object, ...]) -> Ints:
    return np.array(column, dtype=np.int64)
