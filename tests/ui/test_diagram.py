"""The pilot page's picture beside its SVG: the table, what travels, who may see it."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from django.test import Client
from django.utils.translation import override

from pilots.catalogue.services import note_change
from pilots.models import Pilot, Role
from pilots.ui.single_line import draw, drawing_of
from pilots.ui.topology import Topology, topology_of
from tests.builders import make_device, make_point
from tests.ui.conftest import Plant, client_of
from tests.ui.test_layout import built_in

ROOT = Path(__file__).parents[2]
#: Over the wire, without Plotly.
BUDGET = 150_000


def test_the_table_tells_what_the_picture_tells(viewer: Client, plant: Plant) -> None:
    switch = make_device(plant.pilot, "es-SW01", kind="switch", parent=plant.storage.parent)
    make_point(switch, "position", kind="status", unit="", labels={"1": "open", "2": "closed"})
    make_device(plant.pilot, "es-PV01", kind="generating_unit", parent=switch, nameplate={"rated_power_w": 5000})
    html = viewer.get("/pilots/es/table/").content.decode()
    rows = dict(re.findall(r'data-open="([^"]+)">(.*?)</tr>', html, re.DOTALL))
    assert list(rows) == ["es-GRID", "es-STO01", "es-SW01", "es-PV01", "es-SCADA"]
    assert 'data-supply="es-GRID"' in rows["es-SW01"] and 'data-ref="es-SW01/position"' in rows["es-SW01"]
    assert 'data-supply="es-SW01/"' in rows["es-PV01"] and "5 kW" in rows["es-PV01"]
    assert 'data-word="es-STO01/active_power" data-role="storage"' in rows["es-STO01"]
    assert "data-supply" not in rows["es-SCADA"]
    assert 'data-link-state="a|es-SCADA|es-STO01"' in html


def test_a_picture_is_drawn_once_a_configuration_and_language(plant: Plant) -> None:
    topology = topology_of(plant.pilot)
    assert topology_of(Pilot.objects.get(pk=plant.pilot.pk)) is topology
    picture = drawing_of(topology)
    assert drawing_of(topology) is picture
    with override("de"):
        german = drawing_of(topology)
    assert german != picture
    assert drawing_of(topology) is picture
    make_device(plant.pilot, "es-NEW01", kind="meter")
    note_change(plant.pilot)
    changed = topology_of(Pilot.objects.get(pk=plant.pilot.pk))
    assert "es-NEW01" not in picture
    assert "es-NEW01" in drawing_of(changed)


def test_a_pilot_of_nothing_has_no_picture(plant: Plant) -> None:
    assert drawing_of(Topology("zz", ())) == ""


def test_it_is_shown_to_who_may_see_the_pilot(plant: Plant) -> None:
    assert client_of(None, "nobody").get("/pilots/es/table/").status_code == 404
    assert client_of(Role.VIEWER, "vic", pilot=plant.pilot).get("/pilots/es/table/").status_code == 200


@pytest.mark.parametrize("path", ["/pilots/es/", "/pilots/es/table/"])
def test_what_a_page_is_made_of_travels_compressed(viewer: Client, plant: Plant, path: str) -> None:
    answer = viewer.get(path, headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.content)


def test_the_largest_picture_with_every_style_and_script_keeps_the_budget() -> None:
    files = [path.read_bytes() for folder in ("css", "js") for path in (ROOT / "static" / folder).glob("*")]
    pictures = [draw(built_in(code)).encode() for code in ("no", "de")]
    assert sum(len(gzip.compress(file)) for file in files) + max(len(gzip.compress(svg)) for svg in pictures) < BUDGET
