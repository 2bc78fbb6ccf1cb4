"""One set-point's page: its story, its chart, who holds the point, and giving it up."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pilots.control.guards import hold_point
from pilots.control.transitions import move
from pilots.domain.moments import microseconds
from pilots.domain.setpoint import SetpointState
from pilots.models import OperatorHold, Setpoint
from tests.builders import NewSample, make_pilot, record_samples
from tests.ui.conftest import Plant, client_of

S = SetpointState


def ask(client: Client, value: float = -20_000) -> Setpoint:
    """An operator's wish from the page."""
    form = {"device": "es-STO01", "point": "p_set", "value": value, "unit": "W", "valid_for_s": 900, "reason": "feeder 2 test"}
    answer = client.post("/pilots/es/setpoints/", json.dumps(form), content_type="application/json")
    return Setpoint.objects.get(pk=(answer.json().get("record") or answer.json())["id"])


def dispatch(setpoint: Setpoint) -> datetime:
    """The device has said yes; returns when."""
    now = timezone.now()
    changes = {"claimed_at": now, "dispatched_at": now}
    assert move(setpoint, [S.VALIDATED], S.DISPATCHED, now=now, actor="gateway-1", raw="06 9d 4a", changes=changes)
    return now


def page(client: Client, setpoint: Setpoint) -> str:
    answer = client.get(f"/setpoints/{setpoint.pk}/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_the_timeline_tells_every_transition_with_who_why_and_the_devices_words(operator: Client, plant: Plant) -> None:
    setpoint = ask(operator)
    dispatch(setpoint)
    html = page(operator, setpoint)
    for event in ("received", "validated", "dispatched"):
        assert f'data-event="{event}"' in html
    for words in (
        "feeder 2 test",
        "gateway-1",
        "<details data-fold",
        "06 9d 4a",
        "dispatched, not proved yet",
        "20.0 kW → <b>−20.0 kW",
    ):
        assert words in html


def test_a_refused_one_says_so_at_the_top_with_code_and_sentence(operator: Client, plant: Plant) -> None:
    html = page(operator, ask(operator, 120_000))
    assert 'class="sphead is-stopped"' in html
    assert "<code>out_of_range</code>" in html
    assert "data-cancel" not in html


def test_it_links_to_device_trend_point_and_audit_rows(operator: Client, viewer: Client, plant: Plant) -> None:
    setpoint = ask(operator)
    html = page(operator, setpoint)
    for address in (
        "/pilots/es/?device=es-STO01",
        "points=es-STO01%2Factive_power",
        "/setpoints/?device=es-STO01&amp;point=p_set",
    ):
        assert address in html
    assert f"/audit/?text={setpoint.pk}" in html
    assert "/audit/?text=" not in page(viewer, setpoint)
    rows = operator.get(f"/audit/?text={setpoint.pk}").context["rows"]
    assert {row.action for row in rows} == {"request set-point", "set-point validated"}


def test_what_is_on_its_way_is_cancelled_and_what_is_in_force_given_up_by_operators_only(
    operator: Client, viewer: Client, plant: Plant
) -> None:
    setpoint = ask(operator)
    for state, offered in ((S.VALIDATED, "data-cancel"), (S.EXECUTED, "data-automatic")):
        Setpoint.objects.filter(pk=setpoint.pk).update(state=state)
        html = page(operator, setpoint)
        assert [words for words in ("data-cancel", "data-automatic") if words in html] == [offered]
        assert offered not in page(viewer, setpoint)


def test_one_of_another_pilot_does_not_exist(operator: Client, plant: Plant) -> None:
    setpoint = ask(operator)
    stranger = client_of(None, "stranger")
    make_pilot("nl")
    for path in ("", "told", "chart"):
        assert stranger.get(f"/setpoints/{setpoint.pk}/{path}").status_code == 404
        assert operator.get(f"/setpoints/{uuid4()}/{path}").status_code == 404


def test_times_are_the_pilots(operator: Client, plant: Plant) -> None:
    setpoint = ask(operator)
    local = setpoint.received_at + timedelta(hours=1 if setpoint.received_at.month in (11, 12, 1, 2) else 2)
    assert f"{local:%Y-%m-%d %H:%M}" in page(operator, setpoint)


def test_the_page_costs_few_queries_whatever_its_story(operator: Client, plant: Plant) -> None:
    setpoint = ask(operator)
    dispatch(setpoint)
    for path, most in (("", 30), ("told", 20), ("chart", 12)):
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(f"/setpoints/{setpoint.pk}/{path}").status_code == 200
        assert len(queries) <= most, path


def chart(client: Client, setpoint: Setpoint) -> dict[str, Any]:
    return dict(client.get(f"/setpoints/{setpoint.pk}/chart").json())


@pytest.mark.django_db(transaction=True)
def test_the_chart_draws_wish_and_measurement_with_limits_and_window(plant: Plant) -> None:
    operator = client_of(None, "root", is_superuser=True)
    setpoint = ask(operator)
    claimed = dispatch(setpoint)
    us = microseconds(claimed)
    record_samples([NewSample(plant.power.pk, us - 1_000_000 * n, 0, -1000.0 * n, 0) for n in range(5)])
    body = chart(operator, setpoint)
    assert body["count"] >= 5
    measured, solid, ahead, marks = body["data"]
    assert measured["name"] == "es-STO01 active power"
    assert (solid["y"], solid["line"]["dash"], ahead["line"]["dash"]) == ([-20.0, -20.0], "solid", "dot")
    assert solid["x"][0] <= ahead["x"][0] < ahead["x"][1]
    assert [text.split(",")[0] for text in marks["text"]] == ["received", "validated", "dispatched"]
    assert sorted(shape["y0"] for shape in body["layout"]["shapes"] if shape["name"] == "p3") == [-100.0, 100.0]
    low, high = body["layout"]["yaxis"]["range"]
    assert low < -100 < 100 < high


def test_the_chart_of_a_refused_one_shows_what_was_wished_dotted(operator: Client, plant: Plant) -> None:
    traces = chart(operator, ask(operator, 120_000))["data"]
    assert [trace["line"]["dash"] for trace in traces if trace["name"].startswith("wished")] == ["dot"]


def automatic(client: Client, point: str = "p_set") -> Any:
    return client.post("/pilots/es/automatic/", {"device": "es-STO01", "point": point}, headers={"Accept": "application/json"})


def test_back_to_automatic_says_what_comes_and_does_it_in_one_click(operator: Client, plant: Plant) -> None:
    setpoint = ask(operator)
    dispatch(setpoint)
    assert "Then 0.0 kW is written" in page(operator, setpoint)
    hold_point(plant.p_set, owner="olaf", reason="test", until=timezone.now() + timedelta(hours=1), now=timezone.now())
    assert "0.0 kW is written to es-STO01 now." in page(operator, setpoint)
    assert automatic(operator).status_code == 204
    setpoint.refresh_from_db()
    assert (setpoint.state, OperatorHold.objects.filter(removed_at=None).exists()) == ("cancelled", False)
    assert Setpoint.objects.filter(issuer="fallback", value=0.0).exists()
    refused = automatic(operator)
    assert (refused.status_code, refused.json()["reason"]) == (409, "No operator holds this point any more.")


def test_back_to_automatic_is_for_operators_and_points_of_the_pilot(viewer: Client, operator: Client, plant: Plant) -> None:
    assert automatic(viewer).status_code == 403
    assert automatic(operator, "p_sett").status_code == 404
