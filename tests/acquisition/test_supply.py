"""What is energised travels in the frame of the reading that changed it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.conf import settings

from pilots.acquisition import supply
from pilots.acquisition.ingest import Ingest
from pilots.acquisition.old_data import mark_devices_old
from pilots.acquisition.supply import supply_rows
from pilots.catalogue.services import note_change
from pilots.domain.measurement import RawReading
from pilots.live.hub import hub
from tests.builders import make_device, make_pilot, make_point
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)
Measure = Callable[..., dict[str, Any]]


@pytest.fixture
def measure(door: Ingest) -> Measure:
    """Puts readings of a feeder behind a switch; returns the frame they came in."""
    pilot = make_pilot()
    grid = make_device(pilot, "es-GRID", kind="grid_infeed")
    switch = make_device(pilot, "es-SW01", kind="switch", parent=grid)
    make_point(grid, "voltage", unit="V", max_interval_s=10)
    make_point(switch, "position", kind="status", unit="", max_interval_s=10)
    make_point(make_device(pilot, "es-STO01", parent=switch))
    note_change(pilot)
    door.directory.refresh(force=True)
    frames: list[dict[str, Any]] = []
    hub(settings.REDIS_URL).subscribe("es", lambda n, text, gap: frames.append(orjson.loads(text)))

    def put(device: str = "", point: str = "", value: float = 0.0) -> dict[str, Any]:
        seen = len(frames)
        if device:
            door.put(device, [RawReading(point, value)], datetime.now(UTC)).result(10)
        else:
            mark_devices_old(door, ["es-SW01"])
        until(lambda: len(frames) > seen)
        return frames[seen]

    return put


def test_the_frame_that_brings_a_position_brings_what_it_means(measure: Measure) -> None:
    measure("es-GRID", "voltage", 231.0)
    assert measure("es-SW01", "position", 2.0)["supply"] == {
        "es-GRID": ["live", "es-GRID/voltage"],
        "es-SW01/": ["live", "es-GRID/voltage", "es-SW01/position"],
    }
    assert "supply" not in measure("es-GRID", "voltage", 229.0)
    assert measure("es-SW01", "position", 1.0)["supply"]["es-SW01/"] == ["dead", "es-SW01/position"]


def test_what_is_first_heard_is_searched_together_and_within_the_rest(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a start every reading is the first of its point: a search for each would hold up their storing."""
    monkeypatch.setattr(supply, "FIRST_S", 3600.0)
    assert measure("es-SW01", "position", 2.0)["supply"]["es-SW01/"] == ["unknown"]
    assert "supply" not in measure("es-GRID", "voltage", 231.0)
    monkeypatch.setattr(supply, "FIRST_S", 0.0)
    assert measure("es-GRID", "voltage", 232.0)["supply"]["es-GRID"] == ["live", "es-GRID/voltage"]


def test_a_position_that_grew_old_leaves_what_is_behind_unknown(measure: Measure) -> None:
    measure("es-GRID", "voltage", 231.0)
    measure("es-SW01", "position", 2.0)
    assert measure()["supply"] == {"es-GRID": ["live", "es-GRID/voltage"], "es-SW01/": ["unknown"]}


def test_a_page_that_opens_ages_what_nobody_marked(measure: Measure) -> None:
    measure("es-GRID", "voltage", 231.0)
    measure("es-SW01", "position", 1.0)
    assert supply_rows("es", datetime.now(UTC))["es-SW01/"] == ["dead", "es-SW01/position"]
    assert supply_rows("es", datetime.now(UTC) + timedelta(seconds=31)) == {"es-GRID": ["unknown"], "es-SW01/": ["unknown"]}
