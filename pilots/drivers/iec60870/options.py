"""The options of a connection, read into frozen dataclasses with an error that names the wrong one. [zone: field]"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from pilots.domain.errors import CatalogueError

_Options = TypeVar("_Options")

#: FRZ of the qualifier of a counter interrogation (IEC 60870-5-101, 7.2.6.23).
FREEZES = {"read": 0, "freeze": 1, "freeze_reset": 2, "reset": 3}
EXECUTED_ON = ("act_con", "act_term")
GROUPS, COUNTER_GROUPS = 16, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class StationOptions:
    """What Target.options may say beside the link's parameters; seconds, periods of 0: only at the start and after a restart.

    `groups` and `counter_groups` give the period of each group that is interrogated on its own.
    """

    ca: int = 1
    originator: int = 0
    gi_period_s: float = 900.0
    gi_timeout_s: float = 60.0  # without news of an interrogation that was confirmed
    groups: Mapping[int, float] = field(default_factory=dict)
    counter_period_s: float = 900.0
    counter_groups: Mapping[int, float] = field(default_factory=dict)
    counter_freeze: str = "read"
    clock_sync: bool = True
    clock_period_s: float = 900.0
    test_period_s: float = 0.0  # 0: never
    command_timeout_s: float = 10.0  # until ACT_CON
    command_time: bool = False
    executed_on: str = "act_con"
    execution_timeout_s: float = 60.0  # until ACT_TERM

    def __post_init__(self) -> None:
        within("ca", self.ca, 1, 0xFFFE)
        within("originator", self.originator, 0, 0xFF)
        for name in ("gi_period_s", "counter_period_s", "clock_period_s", "test_period_s"):
            within(name, getattr(self, name), 0, math.inf)
        for name in ("gi_timeout_s", "command_timeout_s", "execution_timeout_s"):
            within(name, getattr(self, name), 0.001, math.inf)
        _one_of("executed_on", self.executed_on, EXECUTED_ON)
        _one_of("counter_freeze", self.counter_freeze, FREEZES)
        object.__setattr__(self, "groups", _periods("groups", self.groups, GROUPS))
        object.__setattr__(self, "counter_groups", _periods("counter_groups", self.counter_groups, COUNTER_GROUPS))


def from_options(kind: type[_Options], options: Mapping[str, Any]) -> _Options:
    """The dataclass `kind` filled with those options that are its own; each takes the type of its default.

    Raises CatalogueError naming the wrong one; a `__post_init__` does so too, or raises ValueError where no single option
    is guilty.
    """
    values: dict[str, Any] = {}
    for option in fields(kind):  # type: ignore[arg-type]
        if option.name in options:
            default = option.default_factory() if option.default_factory is not MISSING else option.default
            values[option.name] = _converted(options[option.name], default, option.name)
    try:
        return kind(**values)
    except ValueError as error:
        raise CatalogueError(str(error), field="options") from error


def _converted(value: Any, default: Any, name: str) -> Any:
    """The value as the type of its default. Raises CatalogueError."""
    if isinstance(default, (bool, dict, str)):
        if not isinstance(value, type(default)):
            wanted = {bool: "true or false", dict: "a mapping", str: "a word"}[type(default)]
            raise CatalogueError(f"{value!r} is not {wanted}", field=f"options.{name}")
        return value
    return _number(value, type(default), name)


def _number(value: Any, kind: type[int] | type[float], name: str) -> float:
    try:
        number = kind(value)
        if number != float(value):
            raise ValueError("not whole")
    except (TypeError, ValueError, OverflowError):
        words = "no whole number" if kind is int else "no number"
        raise CatalogueError(f"{value!r} is {words}", field=f"options.{name}") from None
    return number


def within(name: str, value: float, low: float, high: float) -> None:
    """Raises CatalogueError naming the option when it is outside, or no finite number."""
    if not low <= value <= high or value == math.inf:
        raise CatalogueError(f"{value:g} is outside {low:g}..{high:g}", field=f"options.{name}")


def _one_of(name: str, value: str, words: Mapping[str, int] | tuple[str, ...]) -> None:
    if value not in words:
        raise CatalogueError(f"{value!r} is none of {', '.join(words)}", field=f"options.{name}")


def _periods(name: str, declared: Mapping[Any, Any], highest: int) -> dict[int, float]:
    """JSON has made the groups' numbers words. Raises CatalogueError."""
    periods: dict[int, float] = {}
    for group, period_s in declared.items():
        number = int(_number(group, int, name))
        within(name, number, 1, highest)
        periods[number] = _number(period_s, float, f"{name}.{number}")
        within(f"{name}.{number}", periods[number], 0.001, math.inf)
    return periods
