"""Dashboards: made, filled, put in order, shared, and of what their reader may see only."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from pilots.models import AuditEvent, Dashboard, Role, User
from tests.builders import make_device, make_pilot, make_point
from tests.ui.conftest import Plant, client_of

POWER, SOC = "es-STO01/active_power", "es-STO01/soc"


def board_of(client: Client, *references: str) -> str:
    """A new dashboard with these values; its address."""
    page = str(client.post("/dashboards/new", {"name": "Room"})["Location"])
    for reference in references:
        assert change(client, page, deed="add", point=reference, kind="trend").status_code == 302
    return page


def change(client: Client, page: str, **form: Any) -> Any:
    return client.post(f"{page}change", form)


def order() -> list[str]:
    return [tile["point"] for tile in Dashboard.objects.get().tiles]


def test_tiles_are_added_moved_and_taken_away(plant: Plant, viewer: Client) -> None:
    page = board_of(viewer, POWER, SOC)
    text = viewer.get(page).content.decode()
    assert f'data-ref="{POWER}"' in text and f'data-mini="{SOC}"' in text and 'data-feeds="es"' in text
    assert change(viewer, page, deed="earlier", tile=1)["Location"] == f"{page}#tile-1"
    assert order() == [SOC, POWER]
    change(viewer, page, deed="later", tile=1)
    assert order() == [SOC, POWER]
    change(viewer, page, deed="remove", tile=0)
    assert order() == [POWER]
    change(viewer, page, deed="delete")
    assert not Dashboard.objects.exists()
    assert list(AuditEvent.objects.order_by("pk").values_list("action", flat=True)) == ["create dashboard", "delete dashboard"]


@pytest.mark.parametrize(
    "form",
    [
        {"deed": "add", "point": "nl-STO01/active_power", "kind": "value"},
        {"deed": "add", "point": "nonsense", "kind": "value"},
        {"deed": "add", "point": POWER, "kind": "gauge"},
        {"deed": "remove", "tile": "7"},
        {"deed": "remove", "tile": "x"},
        {"deed": "dance"},
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence_and_changes_nothing(
    plant: Plant, viewer: Client, form: dict[str, str]
) -> None:
    make_point(make_device(make_pilot("nl"), "nl-STO01"))
    page = board_of(viewer, POWER)
    answer = change(viewer, page, **form)
    assert answer.status_code == 400
    assert "effect refused" in answer.content.decode()
    assert order() == [POWER]


@pytest.mark.parametrize("name", ["", "x" * 81, "Room"])
def test_a_name_is_short_and_ones_own_only_once(plant: Plant, viewer: Client, name: str) -> None:
    board_of(viewer)
    assert viewer.post("/dashboards/new", {"name": name}).status_code == 400
    assert Dashboard.objects.count() == 1


def test_a_shared_one_is_looked_at_by_all_and_changed_by_its_owner(plant: Plant, viewer: Client) -> None:
    page = board_of(viewer, POWER)
    elsewhere = client_of(Role.VIEWER, "elsa", pilot=make_pilot("nl"))
    assert elsewhere.get(page).status_code == 404
    change(viewer, page, deed="share")
    text = elsewhere.get(page).content.decode()
    assert "you may not see it" in text and "data-ref" not in text and "Stop sharing" not in text
    assert change(elsewhere, page, deed="delete").status_code == 404
    assert "of vera" in elsewhere.get("/dashboards/").content.decode()
    assert User.objects.get(username="vera").dashboards.get().shared
