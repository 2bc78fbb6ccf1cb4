"""One figure of the bench: our value, its limit measured in the same run, and whether its goal holds."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

#: How far noise may carry the best of three past a goal in absolute units.
SLACK = 1.3


@dataclass(frozen=True, slots=True)
class Goal:
    """`of` is "value" (in the figure's unit) or "ratio" (value / yardstick); `sign` is "<=" or ">="."""

    of: str
    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.of} {self.sign} {self.limit:g}"

    def holds(self, rounds: Sequence[tuple[float, float]]) -> bool:
        """Absolute goals: the best round within 1.3x. Ratios: the median.

        >>> Goal("value", "<=", 10).holds([(30, 1), (12, 1), (20, 1)]), Goal("ratio", "<=", 10).holds([(30, 1), (12, 1), (20, 1)])
        (True, False)
        """
        if self.of == "ratio":
            median = statistics.median(value / limit for value, limit in rounds)
            return median <= self.limit if self.sign == "<=" else median >= self.limit
        values = [value for value, _ in rounds]
        return min(values) <= self.limit * SLACK if self.sign == "<=" else max(values) >= self.limit / SLACK


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table and of the JSON file; `ratio` is value / yardstick_value, each the median of its rounds."""

    name: str
    value: float
    unit: str
    yardstick: str
    yardstick_value: float
    ratio: float
    goal: str | None
    holds: bool | None

    def line(self) -> str:
        verdict = "" if self.holds is None else "holds" if self.holds else "MISSED"
        ours = f"{self.name:<36}{_short(self.value):>9} {self.unit:<42}{_short(self.ratio):>7}x"
        limit = f"{_short(self.yardstick_value)} {self.yardstick}"
        return f"{ours}  {limit:<58}{self.goal or '-':<18}{verdict}"


def report(name: str, unit: str, yardstick: str, rounds: Sequence[tuple[float, float]], goal: Goal | None = None) -> None:
    """The figure of these (ours, yardstick) rounds goes to whoever started this part."""
    value, limit = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(ours / raw for ours, raw in rounds)
    holds = None if goal is None else goal.holds(rounds)
    figure = Figure(name, value, unit, yardstick, limit, ratio, None if goal is None else str(goal), holds)
    print(json.dumps(asdict(figure)), flush=True)


def note(words: str) -> None:
    """Progress for the person who waits."""
    print(words, file=sys.stderr, flush=True)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed.

    >>> quantile([3, 1, 2, 4], 0.5), quantile([1], 0.95)
    (2, 1)
    """
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
