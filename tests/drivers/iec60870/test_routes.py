"""Which point an information object belongs to, and where a command goes."""

from __future__ import annotations

from typing import Any

import pytest

from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget
from pilots.drivers.iec60870.asdu import IEC104_SIZES, Sizes
from pilots.drivers.iec60870.routes import Route, RouteTable


def make_table(
    *addresses: dict[str, Any], kind: PointKind = PointKind.MEASUREMENT, sizes: Sizes = IEC104_SIZES, **device: Any
) -> RouteTable:
    """One device `d` with points p0, p1, ... at the given addresses."""
    points = {f"p{number}": PointSpec(name=f"p{number}", kind=kind, address=address) for number, address in enumerate(addresses)}
    return RouteTable([DeviceTarget(id="d", address=device or {"ca": 1, "ioa": 100}, points=points)], 3, sizes)


def place(address: dict[str, Any], kind: PointKind = PointKind.MEASUREMENT) -> Route:
    """Where a point that is not configured would stand."""
    return make_table().route("d", PointSpec(name="new", kind=kind, address=address))


def test_a_declared_type_stands_for_its_time_tagged_sisters_too() -> None:
    for declared in (13, 14, 36):
        assert make_table({"ioa": 1, "type": declared}).takers(1, 13, 101) == (("d", "p0", None),)


def test_an_only_point_takes_every_type_at_its_address() -> None:
    assert make_table({"ioa": 1, "type": 36}).takers(1, 11, 101) == (("d", "p0", None),)


def test_two_points_at_one_address_are_told_apart_by_type() -> None:
    table = make_table({"ioa": 1, "type": 30}, {"ioa": 1, "type": 36})

    assert table.takers(1, 1, 101) == (("d", "p0", None),)
    assert table.takers(1, 13, 101) == (("d", "p1", None),)
    assert table.takers(1, 11, 101) == ()


def test_points_that_stand_for_bits_share_an_address_with_a_number() -> None:
    table = make_table({"ioa": 1, "bit": 0}, {"ioa": 1, "bit": 15}, {"ioa": 1, "type": 13})

    assert table.takers(1, 20, 101) == (("d", "p0", 0), ("d", "p1", 15))
    assert table.takers(1, 7, 101) == (("d", "p0", 0), ("d", "p1", 15))
    assert table.takers(1, 13, 101) == (("d", "p2", None),)


def test_a_bit_is_never_taken_from_a_number() -> None:
    assert make_table({"ioa": 1, "bit": 0}).takers(1, 13, 101) == ()


def test_a_command_leaves_the_values_at_its_address_to_the_monitored_point() -> None:
    table = make_table({"ioa": 1, "command_type": 46}, {"ioa": 1})

    assert table.takers(1, 3, 101) == (("d", "p1", None),)


def test_the_common_address_of_the_connection_is_the_default() -> None:
    table = make_table({"ioa": 1}, ioa=0)

    assert table.common_addresses == [3]
    assert table.takers(3, 13, 1) == (("d", "p0", None),)


def test_a_point_may_name_a_common_address_of_its_own() -> None:
    table = make_table({"ioa": 1}, {"ioa": 1, "ca": 7})

    assert table.common_addresses == [1, 7]
    assert table.takers(7, 13, 101) == (("d", "p1", None),)
    assert table.knows(7) and not table.knows(3)


def test_counters_are_asked_for_only_where_there_are_any() -> None:
    assert make_table({"ioa": 1, "type": [37, 15]}).wants_counters
    assert not make_table({"ioa": 1, "type": 36}).wants_counters


def test_set_points_and_commands_have_a_default_type() -> None:
    assert place({"ioa": 1}, PointKind.SETPOINT).command_type == 50
    assert place({"ioa": 1}, PointKind.COMMAND).command_type == 45
    assert place({"ioa": 1}).command_type is None


@pytest.mark.parametrize(
    ("address", "qualifier"),
    [
        ({"command_type": 45}, 0),
        ({"command_type": 45, "qualifier": "short"}, 0x04),
        ({"command_type": 59, "qualifier": "long"}, 0x08),
        ({"command_type": 47, "qualifier": "persistent"}, 0x0C),
        ({"command_type": 46, "qualifier": 31}, 0x7C),
        ({"command_type": 50, "qualifier": 127}, 127),
        ({"command_type": 51, "qualifier": "none"}, 0),
    ],
)
def test_the_qualifier_of_a_command_stands_where_its_type_has_it(address: dict[str, Any], qualifier: int) -> None:
    assert place({"ioa": 1, **address}).qualifier == qualifier


@pytest.mark.parametrize(
    "address",
    [
        {"ioa": -200},
        {"ioa": "x"},
        {"ioa": 1, "type": 45},
        {"ioa": 1, "command_type": 13},
        {"ioa": 2**24},
        {"ioa": 1, "ca": 65535},
        {"ioa": 1, "bit": 32},
        {"ioa": 1, "bit": 16},
        {"ioa": 1, "bit": 0, "type": 13},
        {"ioa": 1, "command_type": 51, "select": True},
        {"ioa": 1, "command_type": 51, "qualifier": 1},
        {"ioa": 1, "command_type": 45, "qualifier": 32},
        {"ioa": 1, "command_type": 50, "qualifier": "loud"},
    ],
)
def test_a_wrong_address_is_a_catalogue_error_that_names_the_point(address: dict[str, Any]) -> None:
    with pytest.raises(CatalogueError, match="d/p0"):
        make_table(address)


def test_shorter_addresses_have_lower_limits() -> None:
    short = Sizes(cause=1, common_address=1, object_address=1)
    make_table({"ioa": 255}, sizes=short, ca=254)
    with pytest.raises(CatalogueError, match=r"1\.\.254, 1\.\.255"):
        make_table({"ioa": 256}, sizes=short, ca=254)
    with pytest.raises(CatalogueError):
        make_table({"ioa": 1}, sizes=short, ca=255)
