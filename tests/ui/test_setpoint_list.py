"""The list of all set-points: who sees which, found how, paged, exported."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pilots.control.search import Wanted, search
from pilots.models import AuditEvent, Point, Role, Setpoint
from pilots.ui.setpoint_list_views import COLUMNS, ROWS_A_PAGE, csv_lines
from tests.builders import make_device, make_pilot, make_point
from tests.ui.conftest import Plant, client_of

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def kept(point: Point, value: float = 1000.0, **fields: Any) -> Setpoint:
    """A row with the story of an executed one."""
    form: dict[str, Any] = {"point": point, "unit": "W", "state": "executed", "issuer": "operator", "priority": 3}
    form |= {"requested_by": "olaf", "received_at": NOW, "valid_from": NOW, "valid_until": NOW + timedelta(minutes=5)}
    form |= {"dispatched_at": NOW, "finished_at": NOW + timedelta(seconds=2.4), "released_at": NOW + timedelta(minutes=5)}
    setpoint = Setpoint.objects.create(value=value, **(form | fields))
    for state in ("received", "validated", "dispatched", "executed"):
        setpoint.events.create(state=state, at=setpoint.received_at, actor="olaf")
    return setpoint


def shown(client: Client, **query: Any) -> list[float]:
    answer = client.get("/setpoints/", query)
    assert answer.status_code == 200
    return [row["setpoint"].value for row in answer.context["rows"]]


@pytest.fixture
def elsewhere(plant: Plant) -> Setpoint:
    """One at a pilot that the plant's people do not see."""
    pilot = make_pilot("nl", name="Arnhem", time_zone="Europe/Amsterdam")
    return kept(make_point(make_device(pilot, "nl-STO01"), "p_set"), 7.0)


def test_everybody_sees_those_of_his_pilots(plant: Plant, viewer: Client, elsewhere: Setpoint) -> None:
    kept(plant.p_set, 5.0)
    assert shown(viewer) == [5.0]
    assert sorted(shown(client_of(Role.VIEWER, "all"))) == [5.0, 7.0]
    assert shown(viewer, pilot="nl") == []


def test_without_a_session_or_a_pilot_nothing_is_seen(plant: Plant, elsewhere: Setpoint) -> None:
    assert Client().get("/setpoints/").status_code == 302
    assert shown(client_of(None, "nobody")) == []


def test_a_row_tells_what_became_of_it(viewer: Client, plant: Plant) -> None:
    kept(plant.p_set, -20_000.0, before=0.0, reason="feeder 2 test")
    html = viewer.get("/setpoints/").content.decode()
    for words in ("es-STO01", "−20.0 kW", "0.0 kW", "executed in 2.4 s, ended", "olaf", "feeder 2 test"):
        assert words in html
    assert html.count('<circle cx="') == html.count('class="on"') - 3 == 4


def test_a_refused_one_is_told_by_word_and_cross(viewer: Client, plant: Plant) -> None:
    setpoint = kept(plant.p_set, state="rejected", code="out_of_range", explanation="120 kW is outside.", released_at=None)
    setpoint.events.exclude(state="received").delete()
    html = viewer.get("/setpoints/").content.decode()
    assert 'data-state="rejected"' in html
    assert "refused" in html
    assert "120 kW is outside." in html
    assert re.search(r'<path d="M\d+ 3L', html)


def test_pages_follow_each_other_by_key(viewer: Client, plant: Plant) -> None:
    for n in range(ROWS_A_PAGE + 1):
        kept(plant.p_set, float(n), received_at=NOW + timedelta(seconds=n))
    first = viewer.get("/setpoints/?who=olaf")
    assert first.context["rows"][0]["setpoint"].value == ROWS_A_PAGE
    older = first.context["older"]
    assert f"?who=olaf&amp;before={older}" in first.content.decode()
    last = viewer.get("/setpoints/", {"who": "olaf", "before": older})
    assert [row["setpoint"].value for row in last.context["rows"]] == [0.0]
    assert "No older set-points" in last.content.decode()


@pytest.mark.parametrize(
    "query",
    [{"before": "seven"}, {"before": "9" * 40 + "-x"}, {"state": "done"}, {"issuer": "me"}, {"from": "noon"}, {"text": "\0"}],
)
def test_a_filter_that_cannot_be_meant_is_refused_in_a_sentence(viewer: Client, query: dict[str, str]) -> None:
    for path in ("/setpoints/", "/setpoints/rows"):
        answer = viewer.get(path, query)
        assert answer.status_code == 400
        assert "refused" in answer.content.decode()


def test_the_export_refuses_the_same(viewer: Client) -> None:
    assert viewer.get("/setpoints/export.csv?state=done").content.decode() == "done is no state of a set-point."


def test_an_empty_list_says_where_set_points_come_from(viewer: Client) -> None:
    assert "No set-points yet" in viewer.get("/setpoints/").content.decode()
    assert "Take a filter away" in viewer.get("/setpoints/?who=nobody").content.decode()


def test_the_list_costs_the_same_queries_for_one_row_and_for_fifty(viewer: Client, plant: Plant) -> None:
    counts = []
    for rows in (1, 49):
        for n in range(rows):
            kept(plant.p_set, received_at=NOW + timedelta(seconds=n), state="dispatched", released_at=None)
        with CaptureQueriesContext(connection) as queries:
            assert viewer.get("/setpoints/").status_code == 200
        counts.append(len(queries))
        with CaptureQueriesContext(connection) as queries:
            assert viewer.get("/setpoints/rows").status_code == 200
        counts.append(len(queries))
    assert counts[:2] == counts[2:]
    assert counts[0] <= 20
    assert counts[1] <= 8


def test_the_export_holds_what_is_filtered_and_stands_in_the_audit_trail(
    viewer: Client, plant: Plant, elsewhere: Setpoint
) -> None:
    kept(plant.p_set, 1.0, reason="=1+1")
    kept(plant.p_set, 2.0, requested_by="bob")
    answer = viewer.get("/setpoints/export.csv?who=olaf")
    text = b"".join(async_to_sync(gathered)(answer.streaming_content)).decode()
    head, *rows = list(csv.reader(io.StringIO(text)))
    assert head == COLUMNS
    assert [(row[head.index("value")], row[head.index("device")]) for row in rows] == [("1.0", "es-STO01")]
    assert rows[0][head.index("reason")] == "'=1+1"
    assert rows[0][head.index("received_at")] == "2026-11-24T08:00:00.000Z"
    event = AuditEvent.objects.get(action="export set-points")
    assert (event.actor, event.details["filter"]) == ("vera", {"who": "olaf"})


async def gathered(chunks: Any) -> list[bytes]:
    return [chunk async for chunk in chunks]


def test_the_export_comes_in_chunks(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.ui.setpoint_list_views.ROWS_A_CHUNK", 2)
    for n in range(4):
        kept(plant.p_set, float(n))
    chunks = list(csv_lines(search(Setpoint.objects.all(), Wanted())))
    assert [chunk.count("\r\n") for chunk in chunks] == [2, 2, 1]
