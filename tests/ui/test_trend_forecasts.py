"""Forecasts on the trends page and the faceplate: against the measurement, ahead of now, under words of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from pilots.domain.forecast import ForecastKind, Run
from pilots.domain.moments import microseconds
from pilots.history.forecasts import put_forecast
from pilots.models import Point, Schedule
from tests.ui.conftest import Plant
from tests.ui.test_trends import POWER, curves, figure, keep

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def foresee(point: Point, *values: float | None, issued_h: float = 0.0, kind: str = "load", **band: Any) -> None:
    """A run of whole hours, issued and beginning so many hours before this hour."""
    issued = NOW - timedelta(hours=issued_h)
    run = Run(kind=ForecastKind(kind), unit="W", start=issued, resolution_s=3600, values=values, **band)
    told = {"issued_at": issued, "source": "forecaster", "issuer": "", "now": datetime.now(UTC)}
    put_forecast(pilot=point.device.pilot, point=point, run=run, **told)


def ends(form: dict[str, Any], trace: dict[str, Any]) -> list[float]:
    """The first and the last moment of a trace in hours from this hour."""
    found = [datetime.fromisoformat(f"{trace['x'][place]}+00:00").timestamp() * 1000 - form["offset_ms"] for place in (0, -1)]
    return [(at - microseconds(NOW) // 1000) / 3_600_000 for at in found]


def test_the_newest_run_is_drawn_against_the_measurement_and_on_ahead_of_now(viewer: Client, plant: Plant) -> None:
    keep(plant.power, (NOW - timedelta(minutes=30), 1000.0))
    foresee(plant.power, 9000.0, 9000.0, issued_h=3)
    foresee(plant.power, 2000.0, None, 4000.0, issued_h=1, low=(1000.0, None, 3000.0))
    form = figure(viewer, hours=2, ahead=6)
    (trace,) = curves(form, "forecast")
    at = (NOW - timedelta(hours=1)).astimezone(ZoneInfo(plant.pilot.time_zone))
    assert trace["name"] == f"es-STO01 active power, forecast, issued {at.day} {at:%b %H:%M}"
    assert (trace["y"], trace["line"]["dash"]) == ([2.0, 2.0, None, None, 4.0, 4.0], "dash")
    assert (trace["meta"]["low"], trace["meta"]["high"]) == ([1.0, 1.0, None, None, 3.0, 3.0], trace["y"])
    assert ends(form, trace) == [-1, 2], "beyond now"
    assert form["to"] - form["now"] == 6 * 3_600_000
    low, high = form["layout"]["yaxis"]["range"]
    assert low < 1.0 and high > 4.0, "the lane has room for it"
    assert form["layout"]["showlegend"] and not curves(form)[0]["showlegend"]


def test_a_run_is_shown_as_it_was_known_before(viewer: Client, plant: Plant) -> None:
    for issued_h in (30, 1):
        foresee(plant.power, *([1000.0 * issued_h] * 48), issued_h=issued_h)
    assert {trace["y"][0] for trace in curves(figure(viewer, hours=24), "forecast")} == {1.0}
    (before,) = curves(figure(viewer, hours=24, known=24), "forecast")
    assert before["y"][0] == 30.0
    assert curves(figure(viewer, hours=24, known=72), "forecast") == []
    past = {"from": (NOW - timedelta(hours=40)).isoformat(), "to": (NOW - timedelta(hours=20)).isoformat()}
    (then,) = curves(figure(viewer, **past), "forecast")
    assert then["y"][0] == 30.0, "a window of the past shows what was known at its end"


def test_a_capacity_is_a_limit_beside_what_its_set_point_is_measured_by(viewer: Client, plant: Plant) -> None:
    Point.objects.filter(pk=plant.p_set.pk).update(feedback="active_power")
    foresee(plant.p_set, 30_000.0, 20_000.0, kind="capacity", issued_h=1)
    (trace,) = curves(figure(viewer, hours=2, ahead=6), "forecast")
    assert trace["name"].startswith("es-STO01 capacity forecast, issued ")
    assert (trace["y"], trace["line"]["dash"], trace["meta"]["tone"]) == ([30.0, 30.0, 20.0, 20.0], "longdash", "ink-2")
    assert curves(figure(viewer, hours=2, ahead=6, hide="forecasts"), "forecast") == []


def test_a_price_has_a_lane_of_its_own_when_it_is_wanted(viewer: Client, plant: Plant) -> None:
    assert 'data-choice="price"' not in viewer.get("/pilots/es/trends/").content.decode()
    run = Run(kind=ForecastKind.PRICE, unit="EUR/MWh", start=NOW, resolution_s=3600, values=(-5.0, 80.0))
    told = {"issued_at": NOW, "source": "market", "issuer": "", "now": datetime.now(UTC)}
    put_forecast(pilot=plant.pilot, point=None, run=run, **told)
    assert 'data-choice="price"' in viewer.get("/pilots/es/trends/").content.decode()
    assert curves(figure(viewer, hours=1, ahead=6), "forecast") == []
    form = figure(viewer, hours=1, ahead=6, price=1)
    (trace,) = curves(form, "forecast")
    assert (trace["y"], trace["yaxis"], trace["meta"]["unit"]) == ([-5.0, -5.0, 80.0, 80.0], "y2", "EUR/MWh")
    assert form["layout"]["yaxis2"]["title"]["text"] == "EUR/MWh"
    assert trace["name"].startswith("price forecast, issued ")


def test_schedules_have_room_in_the_lane_and_words_too(viewer: Client, plant: Plant) -> None:
    Point.objects.filter(pk=plant.p_set.pk).update(feedback="active_power")
    wish = {"point": plant.p_set, "unit": "W", "issuer": "platform", "requested_by": "p", "received_at": NOW, "issued_at": NOW}
    start = NOW + timedelta(hours=2)
    Schedule.objects.create(**wish, start=start, end=start + timedelta(minutes=15), values=[90_000.0], state="accepted")
    form = figure(viewer, hours=1, ahead=6)
    assert [trace["name"] for trace in curves(form, "schedule")] == ["es-STO01 schedule"]
    assert form["layout"]["yaxis"]["range"][1] > 90 and form["layout"]["showlegend"]
    assert curves(figure(viewer, hours=1), "schedule") == []


@pytest.mark.parametrize("asked", [{"ahead": "169"}, {"known": "x"}, {"price": "2"}, {"hide": "forecast"}])
def test_what_cannot_be_shown_is_refused(viewer: Client, plant: Plant, asked: dict[str, str]) -> None:
    answer = viewer.get("/pilots/es/trends/data", {"points": POWER, "hours": "1"} | asked)
    assert (answer.status_code, answer.json()["field"]) == (400, next(iter(asked)))


def test_a_saved_view_keeps_how_far_ahead_and_as_known_when(viewer: Client, plant: Plant) -> None:
    query = f"points={POWER}&hours=24&ahead=48&known=24"
    answer = viewer.post("/pilots/es/trends/views", {"name": "Day ahead", "query": query})
    assert "hours=24&amp;ahead=48&amp;known=24" in answer.content.decode()


def test_a_faceplate_tells_the_next_value_as_a_forecast(viewer: Client, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    # The suite may have begun in another hour.
    monkeypatch.setattr("pilots.ui.views.timezone.now", lambda: NOW + timedelta(minutes=20))
    path = "/pilots/es/faceplate/es-STO01/"
    assert "foreseen" not in viewer.get(path).content.decode().partition('data-part="foreseen"')[2]
    foresee(plant.power, 7000.0, 8000.0, 9000.0, issued_h=1)
    foresee(plant.p_set, *([30_000.0] * 3), kind="capacity", issued_h=1)
    foresee(plant.power, 1.0, issued_h=50)
    page = " ".join(viewer.get(path).content.decode().split())
    zone = ZoneInfo(plant.pilot.time_zone)
    issued, following = (f"{(NOW + timedelta(hours=hours)).astimezone(zone):%H:%M}" for hours in (-1, 1))
    assert "Active power, forecast: 9.0 kW from " in page and f"{following}</b>" in page
    assert f"{issued}, forecaster</span>" in page
    assert "Power, capacity forecast: 30.0 kW from " in page
    assert page.count('<span class="mark" aria-hidden="true">F</span>') == 2
    assert "/pilots/es/trends/?points=es-STO01/active_power&amp;hours=8&amp;ahead=24" in page
