"""The diagram as a ladder: the picture's devices, sections and links, row by row."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from pilots.catalogue.services import note_change
from pilots.models import Device, Role
from pilots.ui.ladder import END, NONE, PASS, TEE, rungs, ways
from pilots.ui.layout import arrange
from tests.builders import make_device, make_point
from tests.journeys.installation import CODES
from tests.ui.conftest import Plant, client_of
from tests.ui.test_layout import built_in


@pytest.mark.parametrize("code", CODES)
def test_every_device_of_the_picture_has_one_row_in_its_section(code: str) -> None:
    topology = built_in(code)
    places = {place.device.id: place for place in arrange(topology, 0).places}
    climbed = rungs(topology)
    assert {rung.device.id: rung.section for rung in climbed} == {
        device: place.section for device, place in places.items() if place.role != "guest"
    }
    told = [rung.device.id for rung in climbed] + [way.device.id for way in ways(topology) if way.device]
    assert sorted(told) == sorted(topology.by_id)


@pytest.mark.parametrize("code", CODES)
def test_what_hangs_on_a_row_is_drawn_in_the_section_it_stands_in(code: str) -> None:
    """Behind an open switch that is another one."""
    topology = built_in(code)
    climbed = {rung.device.id: rung for rung in rungs(topology)}
    for device, rung in climbed.items():
        behind = {climbed[child.id].section for child in topology.children(device)}
        assert behind == ({rung.beyond} if rung.beyond else set()), device
        rails = {climbed[child.id].rails[-1].section for child in topology.children(device)[1:]}
        assert rails <= behind, device


@pytest.mark.parametrize("code", CODES)
def test_a_rail_goes_on_until_its_last_row(code: str) -> None:
    above: tuple[str, ...] = ()
    for rung in rungs(built_in(code)):
        shapes = tuple(rail.shape for rail in rung.rails)
        for before, now in zip(above, shapes, strict=False):
            assert (before in (TEE, PASS)) == (now in (TEE, PASS, END)) or now is TEE, rung.device.id
        assert all(shape in (PASS, NONE) for shape in shapes[:-1]), rung.device.id
        above = shapes
    assert not {TEE, PASS} & set(above)


def test_a_row_is_a_button_of_what_the_picture_shows(viewer: Client, plant: Plant) -> None:
    switch = make_device(plant.pilot, "es-SW01", kind="switch", parent=plant.storage.parent)
    make_point(switch, "position", kind="status", unit="", labels={"1": "open", "2": "closed"})
    make_device(plant.pilot, "es-PV01", kind="generating_unit", parent=switch, name="A roof with a very long name <b>")
    html = viewer.get("/pilots/es/ladder/").content.decode()
    rows = re.findall(r'<li class="rung" aria-level="(\d)">(.*?)</li>', html, re.DOTALL)
    found = {re.findall(r'data-device="([^"]+)"', row)[0]: (level, row) for level, row in rows if "<button" in row}
    assert {device: level for device, (level, _row) in found.items()} == {
        "es-GRID": "1", "es-STO01": "2", "es-SW01": "2", "es-PV01": "3", "es-SCADA": "1",
    }  # fmt: skip
    battery, pv, sw = (found[device][1] for device in ("es-STO01", "es-PV01", "es-SW01"))
    assert 'data-ref="es-STO01/active_power"' in battery and 'data-ref="es-STO01/soc"' in battery
    assert 'data-word="es-STO01/active_power" data-role="storage"' in battery and 'data-flow="es-STO01/active_power"' in battery
    assert 'data-links="a|es-SCADA|es-STO01"' in battery
    assert 'data-position="es-SW01/position"' in sw and 'data-section="es-GRID"' in sw and "blade open" in sw
    assert 'data-section="es-SW01/"' in pv and "very long name &lt;b&gt;" in pv


def test_a_row_has_the_bar_of_the_picture_where_a_limit_is_declared(viewer: Client, plant: Plant) -> None:
    Device.objects.filter(pk=plant.storage.pk).update(nameplate={"rated_power_w": 100_000})
    note_change(plant.pilot)
    (bar,) = re.findall(r'<svg class="limit".*?</svg>', viewer.get("/pilots/es/ladder/").content.decode(), re.DOTALL)
    assert 'data-bar="es-STO01/active_power" data-limit="100000" data-both="1"' in bar


def test_it_is_shown_to_who_may_see_the_pilot(plant: Plant) -> None:
    assert client_of(None, "nobody").get("/pilots/es/ladder/").status_code == 404
    assert client_of(Role.VIEWER, "vic", pilot=plant.pilot).get("/pilots/es/ladder/").status_code == 200
