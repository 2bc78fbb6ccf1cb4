"""The overview's map: each pilot at its place, its state by shape and in words, and no label upon another."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations, pairwise

import pytest
from django.test import Client

from pilots.alarms.occurrences import Coming, turn
from pilots.models import Link, Pilot
from pilots.ui.pilot_map import LABEL_HEIGHT, WIDTH, Place, map_of
from tests.alarms.builders import make_rule
from tests.builders import make_pilot
from tests.ui.conftest import Plant

FIVE = {"bg": (43.36, 28.08), "es": (41.61, 2.29), "nl": (51.98, 5.91), "no": (58.97, 5.73), "de": (47.99, 7.85)}


def placed(pilots: list[Pilot]) -> dict[str, Place]:
    drawn = map_of(pilots)
    assert drawn is not None
    for place in drawn.places:
        assert 0 <= place.x <= drawn.width == WIDTH
        assert 0 <= place.y <= place.label_y <= drawn.height - LABEL_HEIGHT / 2
        assert place.label[0] >= 0 and place.label[1] <= drawn.width
    return {place.pilot.code: place for place in drawn.places}


@pytest.mark.django_db
@pytest.mark.parametrize("codes", ["bg es nl no de", "es", "de nl"])
def test_north_is_up_east_is_right_and_labels_give_way(codes: str) -> None:
    found = placed([make_pilot(code, latitude=FIVE[code][0], longitude=FIVE[code][1]) for code in codes.split()])
    for one, other in combinations(found.values(), 2):
        assert (one.pilot.latitude > other.pilot.latitude) == (one.y < other.y)
        assert (one.pilot.longitude > other.pilot.longitude) == (one.x > other.x)
        beside = one.label[1] <= other.label[0] or other.label[1] <= one.label[0]
        assert beside or abs(one.label_y - other.label_y) >= LABEL_HEIGHT, (one.pilot, other.pilot)


@pytest.mark.django_db
def test_pilots_of_one_place_are_all_readable() -> None:
    found = placed([make_pilot(f"p{number}") for number in range(4)])
    heights = sorted(place.label_y for place in found.values())
    assert all(after - before >= LABEL_HEIGHT for before, after in pairwise(heights))


def test_a_pilots_state_stands_there_as_shape_and_in_words(plant: Plant, viewer: Client) -> None:
    calm = viewer.get("/overview/map").content.decode()
    assert 'data-words="no alarm"' in calm and 'class="calm"' in calm
    rule = make_rule(plant.power, priority=1, limit=80.0)
    turn([Coming(rule.pk, datetime.now(UTC), 90.0, 80.0)], [], now=datetime.now(UTC))
    Link.objects.update(state="down")
    told = viewer.get("/overview/map").content.decode()
    assert 'data-words="1 critical, 1 link down"' in told
    assert "al-1 al-unack" in told and 'class="calm"' not in told


def test_only_pilots_that_may_be_seen_stand_on_the_map(plant: Plant, viewer: Client) -> None:
    make_pilot("nl", name="Arnhem", latitude=52, longitude=6)
    for path in ("/", "/overview/map"):
        page = viewer.get(path).content.decode()
        assert 'data-place="es"' in page and "Arnhem" not in page
