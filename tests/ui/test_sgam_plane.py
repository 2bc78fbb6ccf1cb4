"""The SGAM plane: every link is drawn once, no line runs on another or through a device."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

import pytest

from pilots.catalogue.loader import load_pilots
from pilots.domain.topology import DeviceSpec
from pilots.ui.sgam_drawing import draw_plane
from pilots.ui.sgam_plane import BOX_H, BOX_W, Plane, arrange_plane
from pilots.ui.topology import Topology

DOMAINS, ZONES = "12345", "fedcba"
Piece = tuple[float, float, float, float]


def plan(code: str) -> tuple[Topology, dict[tuple[str, str], list[DeviceSpec]]]:
    pilot = load_pilots()[code]
    places: dict[tuple[str, str], list[DeviceSpec]] = {}
    for device in pilot.devices:
        places.setdefault((device.sgam[2], device.sgam[4]), []).append(device)
    return Topology(code, tuple(pilot.devices), tuple(pilot.links)), places


def pieces(plane: Plane) -> list[tuple[int, Piece]]:
    """Straight pieces of the lines: least x, least y, most x, most y."""
    return [
        (number, (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))
        for number, line in enumerate(plane.lines)
        for (x1, y1), (x2, y2) in pairwise(line.path)
    ]


def run_on_each_other(one: Piece, other: Piece) -> bool:
    for fixed, along in ((0, 1), (1, 0)):
        both = one[fixed] == one[fixed + 2] == other[fixed] == other[fixed + 2]
        if both and max(one[along], other[along]) < min(one[along + 2], other[along + 2]):
            return True
    return False


@pytest.mark.parametrize("code", ["bg", "es", "nl", "no", "de"])
def test_lines_are_orthogonal_and_run_on_no_other_and_through_no_device(code: str) -> None:
    topology, places = plan(code)
    plane = arrange_plane(places, topology.links, (DOMAINS, ZONES), lambda line: 120)
    assert sorted(id(link) for line in plane.lines for link in line.links) == sorted(map(id, topology.links))
    drawn = pieces(plane)
    assert all(x1 == x2 or y1 == y2 for _line, (x1, y1, x2, y2) in drawn)
    assert not [(one, other) for (a, one), (b, other) in combinations(drawn, 2) if a != b and run_on_each_other(one, other)]
    for node in plane.nodes:
        left, right, top, bottom = node.x - BOX_W / 2, node.x + BOX_W / 2, node.y - BOX_H / 2, node.y + BOX_H / 2
        assert not [
            piece for _line, piece in drawn if piece[0] < right and piece[2] > left and piece[1] < bottom and piece[3] > top
        ]


@pytest.mark.parametrize("width", [120, 220])
@pytest.mark.parametrize("code", ["bg", "es", "nl", "no", "de"])
def test_labels_stand_clear_of_each_other_and_of_the_names_of_empty_domains(code: str, width: int) -> None:
    topology, places = plan(code)
    plane = arrange_plane(places, topology.links, (DOMAINS, ZONES), lambda line: width)
    spots = [line.label for line in plane.lines]
    assert all(abs(x1 - x2) >= width or abs(y1 - y2) >= 20 for (x1, y1), (x2, y2) in combinations(spots, 2))
    first = next(band.start for band in plane.domains if not band.vacant)
    assert all(x - width / 2 >= first for x, _y in spots)


def test_a_line_tells_how_many_links_it_stands_for_and_leads_to_one() -> None:
    topology, places = plan("es")
    names = {key: key for key in DOMAINS + ZONES}
    svg = draw_plane(topology, places, {key: names[key] for key in DOMAINS}, {key: names[key] for key in ZONES}, "communication")
    label = re.search(r'<a class="label"[^>]*data-line="b\|es-RTU01\|es-PV01 [^>]*>.*?</a>', svg)
    assert label is not None
    assert "Modbus RTU × 10" in label[0]
    assert 'href="/pilots/es/links/?link=b%7Ces-RTU01%7Ces-PV01"' in label[0]
    assert "10 links b, RTU to PV, Modbus RTU, RS-485" in label[0]
