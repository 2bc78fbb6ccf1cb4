"""Options of a connection: defaults, what JSON makes of them, errors that name the option."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pilots.domain.errors import CatalogueError
from pilots.drivers.iec104.parameters import LinkParameters
from pilots.drivers.iec60870.options import StationOptions, from_options


def test_nothing_said_is_the_default() -> None:
    options = from_options(StationOptions, {"t1": 5, "host": "x"})

    assert options == StationOptions()
    assert (options.gi_period_s, options.groups, options.executed_on) == (900.0, {}, "act_con")


def test_groups_may_come_from_json_whose_keys_are_words() -> None:
    assert from_options(StationOptions, {"groups": {"3": 60, 16: 5.5}}).groups == {3: 60.0, 16: 5.5}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ca", 0),
        ("ca", 65535),
        ("ca", 1.5),
        ("ca", "one"),
        ("originator", 256),
        ("gi_period_s", -1),
        ("gi_period_s", math.inf),
        ("gi_period_s", math.nan),
        ("gi_timeout_s", 0),
        ("command_timeout_s", 0),
        ("execution_timeout_s", None),
        ("clock_sync", "no"),
        ("command_time", 1),
        ("executed_on", "act"),
        ("executed_on", 1),
        ("counter_freeze", "thaw"),
        ("groups", [3]),
        ("groups", {"17": 60}),
        ("groups", {"x": 60}),
        ("groups", {"3": 0}),
        ("groups", {"3": "often"}),
        ("counter_groups", {"5": 60}),
    ],
)
def test_a_wrong_option_is_named(option: str, value: Any) -> None:
    with pytest.raises(CatalogueError) as caught:
        from_options(StationOptions, {option: value})

    assert caught.value.field.startswith(f"options.{option}")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"t0": 0}, "options.t0"),
        ({"t1": -1}, "options.t1"),
        ({"t3": "soon"}, "options.t3"),
        ({"k": 0}, "options.k"),
        ({"w": 40_000}, "options.w"),
        ({"w": 2.5}, "options.w"),
        ({"t1": 5, "t2": 5}, "options.t2"),
        ({"t2": 0}, "options.t2"),
    ],
)
def test_a_wrong_link_parameter_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        from_options(LinkParameters, options)

    assert caught.value.field == named
