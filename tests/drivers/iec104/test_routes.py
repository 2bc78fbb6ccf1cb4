"""Which point an information object belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget
from pilots.drivers.iec104.routes import RouteTable


def make_table(*addresses: dict[str, Any], kind: PointKind = PointKind.MEASUREMENT, **device: Any) -> RouteTable:
    """One device `d` with points p0, p1, ... at the given addresses."""
    points = {f"p{number}": PointSpec(name=f"p{number}", kind=kind, address=address) for number, address in enumerate(addresses)}
    return RouteTable([DeviceTarget(id="d", address=device or {"ca": 1, "ioa": 100}, points=points)], 3)


def test_a_declared_type_stands_for_its_time_tagged_sister_too() -> None:
    table = make_table({"ioa": 1, "type": 36})

    assert table.takers(1, 13) == {101: (("d", "p0"),)}


def test_an_only_point_takes_every_type_at_its_address() -> None:
    table = make_table({"ioa": 1, "type": 36})

    assert table.takers(1, 11) == {101: (("d", "p0"),)}


def test_two_points_at_one_address_are_told_apart_by_type() -> None:
    table = make_table({"ioa": 1, "type": 30}, {"ioa": 1, "type": 36})

    assert table.takers(1, 1) == {101: (("d", "p0"),)}
    assert table.takers(1, 13) == {101: (("d", "p1"),)}
    assert table.takers(1, 11) == {}


def test_a_command_leaves_the_values_at_its_address_to_the_monitored_point() -> None:
    table = make_table({"ioa": 1, "command_type": 46}, {"ioa": 1})

    assert table.takers(1, 3) == {101: (("d", "p1"),)}


def test_the_common_address_of_the_connection_is_the_default() -> None:
    table = make_table({"ioa": 1}, ioa=0)

    assert table.common_addresses == [3]
    assert table.takers(3, 13) == {1: (("d", "p0"),)}


def test_counters_are_asked_for_only_where_there_are_any() -> None:
    assert make_table({"ioa": 1, "type": [37, 15]}).wants_counters
    assert not make_table({"ioa": 1, "type": 36}).wants_counters


def test_set_points_and_commands_have_a_default_type() -> None:
    set_point = make_table({"ioa": 1}, kind=PointKind.SETPOINT).command("d", "p0")
    command = make_table({"ioa": 1}, kind=PointKind.COMMAND).command("d", "p0")

    assert set_point is not None and set_point.command_type == 50
    assert command is not None and command.command_type == 45
    assert make_table({"ioa": 1}).command("d", "p0") is None


@pytest.mark.parametrize(
    "address", [{"ioa": -200}, {"ioa": "x"}, {"ioa": 1, "type": 45}, {"ioa": 1, "command_type": 13}, {"ioa": 2**24}]
)
def test_a_wrong_address_is_a_catalogue_error_that_names_the_point(address: dict[str, Any]) -> None:
    with pytest.raises(CatalogueError, match="d/p0"):
        make_table(address)
