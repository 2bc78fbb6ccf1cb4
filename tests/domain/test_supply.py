"""What is energised: proof, closed switches, and nothing assumed beyond them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.supply import LOOSE, Part, Section, Supply, references_of, sections_of, supply
from pilots.domain.topology import DeviceKind

K = DeviceKind
#: Infeed, switch, transformer with its meter, and behind a second switch a battery with its own voltage.
PARTS = [
    Part("GRID", K.GRID_INFEED),
    Part("SW1", K.SWITCH, "GRID"),
    Part("TR", K.TRANSFORMER, "SW1", measured_by="MET"),
    Part("SW2", K.SWITCH, "TR"),
    Part("STO", K.STORAGE_UNIT, "SW2"),
    Part("RTU", K.RTU),
]
POINTS = {
    "GRID": {"active_power"},
    "SW1": {"position"},
    "MET": {"voltage"},
    "SW2": {"position"},
    "STO": {"voltage", "active_power"},
    "RTU": {"active_power"},
}
NET = sections_of(PARTS, POINTS)
LIVE, DEAD, UNKNOWN = Supply.LIVE, Supply.DEAD, Supply.UNKNOWN


def states(**good: float) -> list[Supply]:
    found = supply(NET, {name.replace("__", "/"): value for name, value in good.items()})
    return [found[key].state for key in ("GRID", "SW1/", "SW2/")]


def test_sections_part_at_switches_and_know_their_evidence() -> None:
    assert {
        "GRID": Section("GRID", "", "", ["GRID/active_power"]),
        "SW1/": Section("SW1/", "GRID", "SW1/position", ["MET/voltage"]),
        "SW2/": Section("SW2/", "SW1/", "SW2/position", ["STO/voltage", "STO/active_power"]),
    } == NET
    assert references_of(NET) == {
        "GRID/active_power",
        "SW1/position",
        "MET/voltage",
        "SW2/position",
        "STO/voltage",
        "STO/active_power",
    }


@pytest.mark.parametrize(
    ("good", "shown"),
    [
        ({}, [UNKNOWN, UNKNOWN, UNKNOWN]),
        ({"GRID__active_power": 5e3}, [LIVE, UNKNOWN, UNKNOWN]),
        ({"GRID__active_power": 5e3, "SW1__position": 2}, [LIVE, LIVE, UNKNOWN]),
        ({"GRID__active_power": 5e3, "SW1__position": 2, "SW2__position": 2}, [LIVE, LIVE, LIVE]),
        ({"GRID__active_power": 5e3, "SW1__position": 1, "SW2__position": 2}, [LIVE, DEAD, DEAD]),
        # In between and the bad position are no position.
        ({"GRID__active_power": 5e3, "SW1__position": 0}, [LIVE, UNKNOWN, UNKNOWN]),
        ({"GRID__active_power": 5e3, "SW1__position": 3}, [LIVE, UNKNOWN, UNKNOWN]),
        # A voltage is proof beyond an open switch (an island) and against a closed one (the grid is gone).
        ({"SW1__position": 1, "SW2__position": 1, "STO__voltage": 230}, [UNKNOWN, DEAD, LIVE]),
        ({"SW1__position": 2, "MET__voltage": 0}, [DEAD, DEAD, UNKNOWN]),
        # No power proves nothing.
        ({"GRID__active_power": 0, "SW1__position": 2}, [UNKNOWN, UNKNOWN, UNKNOWN]),
        ({"SW1__position": 2, "MET__voltage": 231, "SW2__position": 1, "STO__active_power": 0}, [LIVE, LIVE, DEAD]),
    ],
)
def test_the_verdict(good: dict[str, float], shown: list[Supply]) -> None:
    assert states(**good) == shown


def test_a_verdict_names_the_readings_it_rests_on() -> None:
    found = supply(NET, {"MET/voltage": 230, "SW1/position": 2, "SW2/position": 2})
    assert found["GRID"].basis == ("MET/voltage", "SW1/position")
    assert set(found["SW2/"].basis) == {"MET/voltage", "SW1/position", "SW2/position"}
    assert supply(NET, {"SW2/position": 1})["SW2/"].basis == ("SW2/position",)


def test_what_no_infeed_reaches_is_a_section_of_its_own_and_a_switch_without_position_parts_for_ever() -> None:
    net = sections_of([Part("PV", K.GENERATING_UNIT), Part("SW", K.SWITCH, "PV"), Part("LOAD", K.HOTEL, "SW")], {})
    assert {key: section.parent for key, section in net.items()} == {LOOSE: "", "SW/": LOOSE}
    assert [verdict.state for verdict in supply(net, {}).values()] == [UNKNOWN, UNKNOWN]


@given(st.dictionaries(st.sampled_from(sorted(references_of(NET))), st.sampled_from([0.0, 1.0, 2.0, 3.0, 230.0])))
def test_losing_a_reading_a_verdict_rests_on_never_leaves_it_standing_on_that(good: dict[str, float]) -> None:
    for key, verdict in supply(NET, good).items():
        assert (verdict.state is UNKNOWN) == (not verdict.basis)
        for lost in verdict.basis:
            rest = {name: value for name, value in good.items() if name != lost}
            assert lost not in supply(NET, rest)[key].basis
