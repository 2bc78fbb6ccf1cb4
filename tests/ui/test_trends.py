"""The trends page's figure, its address and its saved views."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation

from pilots.domain.moments import microseconds
from pilots.history.rollups import roll_up
from pilots.models import Alarm, AuditEvent, Point, Role, Schedule, Setpoint, TrendView
from pilots.ui.trend_axis import TrendAxis
from tests.builders import NewSample, make_pilot, make_point, record_samples
from tests.ui.conftest import Plant, client_of

POWER = "es-STO01/active_power"
DATA = "/pilots/es/trends/data"
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def keep(point: Point, *values: tuple[datetime, float | None]) -> None:
    record_samples([NewSample(point.pk, microseconds(at), 0, value, 0 if value is not None else 2) for at, value in values])


def figure(client: Client, **asked: Any) -> dict[str, Any]:
    answer = client.get(DATA, {"points": POWER} | asked)
    assert answer.status_code == 200, answer.content
    form: dict[str, Any] = answer.json()
    return form


def between(start: datetime, end: datetime) -> dict[str, str]:
    return {"from": start.isoformat(), "to": end.isoformat()}


def curves(form: dict[str, Any], kind: str = "curve") -> list[dict[str, Any]]:
    return [trace for trace in form["data"] if trace["meta"]["kind"] == kind]


def test_a_long_window_comes_from_roll_ups_and_zooming_in_brings_the_samples(viewer: Client, plant: Plant) -> None:
    start = NOW - timedelta(days=10)
    keep(plant.power, *((start + timedelta(minutes=n), float(1000 * (n % 7))) for n in range(7 * 60)))
    roll_up(now=start + timedelta(hours=8), kept_since=start - timedelta(days=1))
    whole = figure(viewer, **between(start - timedelta(days=10), start + timedelta(days=10)))
    (coarse,) = curves(whole)
    assert (whole["step_s"], len(coarse["x"])) == (900, whole["count"] + 1)
    assert (max(coarse["meta"]["high"][:-1]), min(coarse["meta"]["low"][:-1])) == (6.0, 0.0)
    raw = figure(viewer, **between(start, start + timedelta(minutes=10)))
    assert raw["step_s"] == 0
    assert curves(raw)[0]["y"] == [float(n % 7) for n in range(10)]
    assert "low" not in curves(raw)[0]["meta"]


def test_a_sample_before_the_window_holds_into_it_and_no_longer_than_it_may_be_believed(viewer: Client, plant: Plant) -> None:
    Point.objects.filter(pk=plant.power.pk).update(max_interval_s=20)
    start = NOW - timedelta(hours=5)
    keep(plant.power, (start - timedelta(seconds=30), 1000.0), (start + timedelta(minutes=10), 2000.0))
    form = figure(viewer, **between(start, start + timedelta(minutes=15)))
    (trace,) = curves(form)
    assert trace["y"] == [1.0, None, 2.0, None], "120 s after each sample nothing is known"
    first, second = form["quality"]
    assert (first["from"], first["to"]) == tuple(microseconds(start + timedelta(seconds=s)) // 1000 for s in (90, 600))
    assert first["words"] == "no good value" and second["curve"] == "es-STO01 active power"
    assert any("fillpattern" in trace for trace in form["strips"]), "told by a pattern, not by colour alone"


def test_units_get_a_lane_each_or_an_axis_each(viewer: Client, plant: Plant) -> None:
    for name, unit in (("u", "V"), ("f", "Hz"), ("q", "var"), ("t", "degC")):
        make_point(plant.storage, name, unit=unit)
    chosen = [POWER, "es-STO01/soc", "es-STO01/u", "es-STO01/f"]
    lanes = figure(viewer, points=chosen, hours=1)["layout"]
    domains = [lanes[name]["domain"] for name in ("yaxis", "yaxis2", "yaxis3", "yaxis4")]
    assert all(above[0] > below[1] for above, below in pairwise(domains))
    together = figure(viewer, points=chosen, hours=1, axes="one")["layout"]
    assert [together[f"yaxis{n}"].get("overlaying") for n in (2, 3, 4)] == ["y", "y", "y"]
    assert together["yaxis"]["domain"] == together["yaxis4"].get("domain")
    five = figure(viewer, points=[*chosen, "es-STO01/t"], hours=1, axes="one")["layout"]
    assert "overlaying" not in five["yaxis5"], "more than four units have lanes whatever was asked"


@pytest.mark.parametrize(("day", "hours", "change"), [("2026-03-29", 23, "03:00 UTC+2"), ("2026-10-25", 25, "02:00 UTC+1")])
def test_a_day_on_which_clocks_change_is_as_long_as_it_was_and_says_so(day: str, hours: int, change: str) -> None:
    zone = ZoneInfo("Europe/Madrid")
    start = datetime.fromisoformat(day).replace(tzinfo=zone)
    end = (start + timedelta(days=1)).astimezone(UTC)
    axis = TrendAxis(zone, start.astimezone(UTC), end)
    first, last = (datetime.fromisoformat(text) for text in axis.layout()["range"])
    assert (last - first) / timedelta(hours=1) == hours
    with translation.override("en"):
        assert [axis.change_words(moment) for moment in axis.changes] == [f"clocks change: {change}"]
    layout = axis.layout()
    shown = dict(zip(layout["ticktext"], layout["tickvals"], strict=True))
    assert datetime.fromisoformat(shown["12:00"]) - first == timedelta(hours=hours - 12)
    before, after = ("UTC+1", "UTC+2") if hours == 23 else ("UTC+2", "UTC+1")
    assert layout["title"]["text"] == f"Madrid, {before} → {after}"


def test_yesterday_is_shifted_by_the_clock_on_the_wall(viewer: Client, plant: Plant) -> None:
    # The night of 29 March 2026 is an hour short in Madrid: 12:00 CEST and 12:00 CET the day before are 23 h apart.
    noon = datetime(2026, 3, 29, 10, 0, tzinfo=UTC)
    keep(plant.power, (noon - timedelta(hours=23), 1000.0), (noon, 2000.0))
    form = figure(viewer, compare="day", **between(noon, noon + timedelta(hours=1)))
    (now,), (before,) = curves(form), curves(form, "compare")
    assert (now["y"], before["y"], now["x"], before["meta"]["of"]) == ([2.0], [1.0], before["x"], now["name"])
    assert (before["name"], before["line"]["dash"]) == ("es-STO01 active power, yesterday", "dot")


def test_alarms_set_points_and_schedules_are_marked_with_their_words(viewer: Client, plant: Plant) -> None:
    at = NOW - timedelta(hours=2)
    alarm = Alarm.objects.create(
        pilot=plant.pilot, device=plant.storage, subject=POWER, kind="high", priority=2, what="High", state="normal",
        raised_at=at, recent_since=at, changed_at=at,
    )  # fmt: skip
    Point.objects.filter(pk=plant.p_set.pk).update(feedback="active_power")
    common = {"point": plant.p_set, "unit": "W", "issuer": "operator", "requested_by": "olaf", "received_at": at}
    setpoint = Setpoint.objects.create(
        value=5000.0, state="executed", priority=5, valid_from=at, valid_until=at + timedelta(hours=1), **common
    )
    Schedule.objects.create(
        start=at,
        resolution_s=900,
        values=[1000.0, None, 3000.0],
        end=at + timedelta(minutes=45),
        state="completed",
        issued_at=at,
        **common,
    )
    window = between(at - timedelta(hours=1), at + timedelta(hours=1))
    form = figure(viewer, **window)
    assert [str(alarm.pk) in form["marks"][0]["href"], str(setpoint.pk) in form["marks"][1]["href"]] == [True, True]
    assert "set-point 5 kW, olaf, executed" in form["marks"][1]["words"]
    symbols = [trace["marker"]["symbol"] for trace in form["strips"] if trace["meta"]["kind"] == "mark"]
    assert symbols == [["triangle-up"], ["diamond"]]
    (steps,) = curves(form, "schedule")
    assert (steps["y"], steps["line"]["shape"]) == ([1.0, None, 3.0, 3.0], "hv")
    hidden = figure(viewer, hide="alarms,setpoints,quality,band", **window)
    assert (hidden["marks"], hidden["strips"], curves(hidden, "schedule")) == ([], [], [])


def test_nothing_is_drawn_into_the_future_but_what_is_wanted(viewer: Client, plant: Plant) -> None:
    keep(plant.power, (datetime.now(UTC) - timedelta(minutes=5), 1000.0))
    form = figure(viewer, **between(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=3)))
    edge = microseconds(datetime.now(UTC)) // 1000
    assert all(datetime.fromisoformat(f"{x}+00:00").timestamp() * 1000 - form["offset_ms"] <= edge for x in curves(form)[0]["x"])
    assert any(shape["name"] == "ink-2" for shape in form["layout"]["shapes"]), "where now is"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"points": [POWER] * 1 + [f"es-STO01/x{n}" for n in range(20)], "hours": "1"}, "points"),
        ({"hours": "43921"}, "hours"),
        ({"hours": "١"}, "hours"),
        ({"seconds": "0"}, "seconds"),
        ({"from": "0001-01-01T00:00", "to": "0001-01-02T00:00"}, "from"),
        ({"hours": "1", "compare": "year"}, "compare"),
        ({"hours": "1", "axes": "three"}, "axes"),
        ({"hours": "1", "hide": "band,x"}, "hide"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_its_field(viewer: Client, plant: Plant, asked: dict[str, Any], field: str) -> None:
    answer = viewer.get(DATA, {"points": POWER} | asked)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert answer.json()["reason"]


def test_years_are_shown_and_the_export_of_samples_keeps_to_a_month(viewer: Client, plant: Plant) -> None:
    assert figure(viewer, hours=8784 * 4)["step_s"] == 21_600
    export = viewer.get("/pilots/es/trends/export.csv", {"points": POWER, "hours": "745"})
    assert (export.status_code, settings.HISTORY_DAYS) == (400, 30)


def save(client: Client, name: str, **form: str) -> Any:
    return client.post("/pilots/es/trends/views", {"name": name, "query": f"points={POWER}&hours=24"} | form)


def test_a_saved_view_is_its_owners_until_it_is_shared(viewer: Client, operator: Client, plant: Plant) -> None:
    assert save(viewer, "Battery").status_code == 200
    mine, theirs = (client.get("/pilots/es/trends/").content.decode() for client in (viewer, operator))
    assert "points=es-STO01%2Factive_power&amp;hours=24" in mine
    assert "Battery" not in theirs
    assert save(viewer, "Battery", shared="on").status_code == 200
    view = TrendView.objects.get()
    assert view.shared
    assert "Battery" in operator.get("/pilots/es/trends/").content.decode()
    assert operator.post(f"/pilots/es/trends/views/{view.pk}/delete").status_code == 404
    assert viewer.post(f"/pilots/es/trends/views/{view.pk}/delete").status_code == 200
    assert not TrendView.objects.exists()
    actions = AuditEvent.objects.order_by("id").values_list("action", "subject")
    assert list(actions) == [("save trend view", "Battery")] * 2 + [("delete trend view", "Battery")]


def test_who_does_not_see_the_pilot_sees_none_of_its_views(viewer: Client, plant: Plant) -> None:
    save(viewer, "Battery", shared="on")
    stranger = client_of(Role.VIEWER, "nora", pilot=make_pilot("nl"))
    assert save(stranger, "Other").status_code == 404
    assert stranger.post(f"/pilots/nl/trends/views/{TrendView.objects.get().pk}/delete").status_code == 404


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "a" * 81}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"query": "points=es-STO01/nothing&hours=1"}, "points"),
        ({"query": f"points={POWER}&hours=x"}, "hours"),
    ],
)
def test_a_view_that_cannot_be_is_refused(viewer: Client, plant: Plant, form: dict[str, str], field: str) -> None:
    answer = save(viewer, **({"name": "A"} | form))
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert not TrendView.objects.exists()
