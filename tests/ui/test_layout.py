"""The single-line diagram: same bytes, nothing overlaps, a new feeder moves nothing, everything is drawn."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilots.catalogue.loader import load_pilots, profiles_of
from pilots.domain.supply import Part, Section, sections_of
from pilots.domain.topology import DeviceKind, DeviceSpec
from pilots.ui.balance import balance_lines
from pilots.ui.comm_column import column_height, column_rows
from pilots.ui.layout import Box, Drawing, arrange
from pilots.ui.single_line import draw, fit
from pilots.ui.topology import Topology, infeed_references

K = DeviceKind
CODES = ["bg", "es", "nl", "no", "de"]


def built_in(code: str) -> Topology:
    spec = load_pilots()[code]
    profiles = profiles_of(spec)
    points = {
        device.id: {name: point.unit for name, point in profiles[device.profile].points.items()}
        for device in spec.devices
        if device.profile
    }
    return Topology(code, spec.devices, spec.links, points)


def arranged(topology: Topology) -> Drawing:
    return arrange(topology, column_height(column_rows(topology)))


def searched(topology: Topology) -> dict[str, Section]:
    parts = [Part(device.id, device.kind, device.parent, device.measured_by) for device in topology.devices]
    return sections_of(parts, topology.points)


def overlaps(drawing: Drawing) -> list[tuple[str, str]]:
    pairs = combinations(drawing.boxes(), 2)
    return [(a.owner, b.owner) for a, b in pairs if a.owner != b.owner and a.overlaps(b)]


@st.composite
def radial_nets(draw_: st.DrawFn) -> Topology:
    """An infeed, up to three transformers, and random trees of devices below them."""
    devices = [DeviceSpec(id="x-GRID", kind=K.GRID_INFEED, sgam="E.3.a")]
    heads = draw_(st.integers(1, 3))
    for number in range(heads):
        devices.append(DeviceSpec(id=f"x-TR{number}", kind=K.TRANSFORMER, sgam="E.3.a", parent="x-GRID", position=number))
    kinds = st.sampled_from([K.METER, K.SMART_METER, K.HOUSEHOLD, K.STORAGE_UNIT, K.CHARGE_POINT, K.INVERTER, K.SWITCH])
    feeder_kinds = st.sampled_from([K.METER, K.SMART_METER, K.HOUSEHOLD, K.STORAGE_UNIT, K.POWER_ELECTRONICS])
    for number in range(draw_(st.integers(1, 30))):
        grown = [device.id for device in devices if device.id.startswith("x-D")]
        parent = draw_(st.sampled_from([f"x-TR{head}" for head in range(heads)] + grown))
        kind = draw_(feeder_kinds if parent.startswith("x-TR") else kinds)
        position = draw_(st.integers(0, 50))
        devices.append(DeviceSpec(id=f"x-D{number:02}", kind=kind, sgam="E.4.a", parent=parent, position=position))
    return Topology("x", tuple(devices))


@pytest.mark.parametrize("code", CODES)
def test_every_device_and_every_link_letter_of_a_pilot_is_drawn(code: str) -> None:
    topology = built_in(code)
    svg = draw(topology)
    assert [device.id for device in topology.devices if f'data-device="{device.id}"' not in svg] == []
    assert [
        link for link in topology.links if f"{link.letter}|{link.ends[0]}|{link.ends[1]}".replace("'", "&#x27;") not in svg
    ] == []


@pytest.mark.parametrize("code", CODES)
def test_nothing_overlaps_in_a_pilot_and_it_fits_its_frame(code: str) -> None:
    drawing = arranged(built_in(code))
    assert overlaps(drawing) == []
    assert all(box.x >= 0 and box.x + box.width <= drawing.width for box in drawing.boxes())
    assert all(box.y >= 0 and box.y + box.height <= drawing.height for box in drawing.boxes())


@pytest.mark.parametrize("code", CODES)
def test_the_same_topology_gives_the_same_bytes_in_whatever_order_its_rows_come(code: str) -> None:
    topology = built_in(code)
    shuffled = replace(topology, devices=tuple(reversed(topology.devices)))
    assert draw(topology) == draw(built_in(code))
    placed = {place.device.id: (place.x, place.y) for place in arranged(topology).places}
    assert {place.device.id: (place.x, place.y) for place in arranged(shuffled).places} == placed


@given(radial_nets())
@settings(max_examples=40, deadline=None)
def test_random_radial_nets_are_drawn_whole_without_overlap(topology: Topology) -> None:
    drawing = arranged(topology)
    assert {place.device.id for place in drawing.places} == {device.id for device in topology.devices}
    assert overlaps(drawing) == []


@given(radial_nets(), st.data())
@settings(max_examples=40, deadline=None)
def test_a_feeder_added_at_the_end_moves_no_existing_element(topology: Topology, data: st.DataObject) -> None:
    bearing = [d.id for d in topology.devices if d.kind is K.TRANSFORMER and topology.children(d.id)]
    if not bearing:
        return
    head = data.draw(st.sampled_from(bearing))
    new = DeviceSpec(id="x-NEW", kind=K.METER, sgam="E.3.b", parent=head, position=99)
    before = {place.device.id: (place.x, place.y) for place in arranged(topology).places}
    after = {
        place.device.id: (place.x, place.y) for place in arranged(replace(topology, devices=(*topology.devices, new))).places
    }
    assert {key: after[key] for key in before} == before


def test_a_device_whose_infeed_is_missing_is_still_drawn() -> None:
    lonely = Topology("x", (DeviceSpec(id="x-STO01", kind=K.STORAGE_UNIT, sgam="E.4.a", parent="x-GONE"),))
    assert [place.device.id for place in arranged(lonely).places] == ["x-STO01"]


def test_names_are_escaped_and_cut_in_the_middle_but_values_never() -> None:
    nasty = Topology("x", (DeviceSpec(id="x-A", kind=K.METER, sgam="E.3.b", name='<script>"&'),))
    assert "<script>" not in draw(nasty)
    assert fit("a very long device name", 80) == "a ver… name"


def test_an_array_behind_an_inverter_shows_its_dc_power() -> None:
    svg = draw(built_in("de"))
    assert 'data-ref="de-PV01/dc_power"' in svg
    assert 'data-word="de-PV01/dc_power" data-role="generator"' in svg


@pytest.mark.parametrize("code", CODES)
def test_every_device_id_is_drawn_whole(code: str) -> None:
    topology = built_in(code)
    svg = draw(topology)
    assert [device.id for device in topology.devices if f">{device.id}</text>" not in svg] == []


@pytest.mark.parametrize("code", CODES)
def test_the_balance_counts_each_reading_once_and_ends_with_the_infeed(code: str) -> None:
    lines = balance_lines(built_in(code))
    references = [reference for line in lines for reference in line.references.split()]
    assert len(references) == len(set(references))
    assert lines[-1].references == f"{code}-GRID/active_power"


def test_a_device_without_a_reading_is_missing_in_the_balance() -> None:
    topology = Topology(
        "x",
        (
            DeviceSpec(id="x-GRID", kind=K.GRID_INFEED, sgam="E.3.a"),
            DeviceSpec(id="x-LOAD01", kind=K.HOTEL, sgam="E.5.a", parent="x-GRID"),
            DeviceSpec(id="x-LOAD02", kind=K.HOTEL, sgam="E.5.a", parent="x-GRID"),
            DeviceSpec(id="x-LOAD03", kind=K.BOILER, sgam="E.5.a", parent="x-LOAD02"),
        ),
        points={each: {"active_power": "W"} for each in ("x-GRID", "x-LOAD02", "x-LOAD03")},
    )
    hotels, grid = balance_lines(topology)
    assert (hotels.references, hotels.unmeasured) == ("x-LOAD02/active_power", 1)
    assert grid.references == "x-GRID/active_power"


@pytest.mark.parametrize("code", CODES)
def test_the_picture_and_the_search_part_the_network_alike(code: str) -> None:
    topology = built_in(code)
    drawn, found = set(re.findall(r'data-section="([^"]*)"', draw(topology))), set(searched(topology))
    assert drawn <= found
    # Beyond an open tie stands nothing that could be drawn.
    assert [key for key in found - drawn if topology.children(key.removesuffix("/"))] == []


@given(radial_nets())
@settings(max_examples=40, deadline=None)
def test_every_conductor_of_a_random_net_has_its_section_and_every_value_its_point(topology: Topology) -> None:
    sections = set(searched(topology))
    assert {line.section for line in arranged(topology).conductors if line.kind != "wire"} <= sections
    points = {device.id: {"active_power": "W", "soc": "%"} for device in topology.devices}
    svg = draw(replace(topology, points=points))
    assert [device.id for device in topology.devices if f'data-ref="{device.id}/active_power"' not in svg] == []
    assert svg == draw(replace(topology, points=points))


@given(radial_nets(), st.data(), st.integers(-40, 40), st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_a_nudge_moves_a_feeder_and_nothing_beside_it(topology: Topology, data: st.DataObject, right: int, down: int) -> None:
    feeders = [device for device in topology.devices if device.parent.startswith("x-TR")]
    chosen = data.draw(st.sampled_from(feeders)) if feeders else None
    if chosen is None:
        return
    nudged = replace(topology, devices=tuple(replace(d, nudge=(right, down)) if d is chosen else d for d in topology.devices))
    before = {place.device.id: (place.x, place.y) for place in arranged(topology).places}
    after = {place.device.id: (place.x, place.y) for place in arranged(nudged).places}
    assert after[chosen.id] == (before[chosen.id][0] + right, before[chosen.id][1] + down)
    beside = [d.id for d in topology.devices if d.kind in (K.TRANSFORMER, K.GRID_INFEED)]
    assert {key: after[key] for key in beside} == {key: before[key] for key in beside}


@pytest.mark.parametrize("code", CODES)
def test_the_power_at_the_infeed_is_measured_at_the_infeed(code: str) -> None:
    assert infeed_references(built_in(code)) == [f"{code}-GRID/active_power"]


@pytest.mark.parametrize("code", CODES)
def test_every_value_stands_in_its_own_devices_slot_and_beside_the_others(code: str) -> None:
    """The slots do not overlap; what is drawn must also be where its slot is, the box of an old value with it."""
    topology = built_in(code)
    slots = {place.device.id: place.text for place in arranged(topology).places}
    boxes: list[Box] = []
    for device in ET.fromstring(draw(topology)).iter("g"):
        if "device" not in (device.get("class") or "").split():
            continue
        own = next(part.get("data-device", "") for part in device.iter("g") if part.get("data-device"))
        for value in device.iter("g"):
            if "v" in (value.get("class") or "").split():
                boxes.append(old_box(value, own))
                assert within(boxes[-1], slots[own]), f"{value.get('data-ref')} at {boxes[-1]}, not in {slots[own]}"
    assert len(boxes) > 20
    assert [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)] == []


def old_box(value: ET.Element, owner: str) -> Box:
    place = re.fullmatch(r"translate\((\S+) (\S+)\)", value.get("transform", ""))
    rect = value.find("rect")
    assert place is not None and rect is not None
    x, y, width, height = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
    return Box(float(place[1]) + x, float(place[2]) + y, width, height, owner)


def within(box: Box, slot: Box) -> bool:
    """With the edge of its box a hand's breadth over at most: lines are drawn around the text."""
    over = 6
    across = slot.x - over <= box.x and box.x + box.width <= slot.x + slot.width + over
    return across and slot.y - over <= box.y and box.y + box.height <= slot.y + slot.height + over
