"""The journal's page and file, and the replay's page, frame and faceplate."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from pilots.alarms.occurrences import Coming, turn
from pilots.audit.services import record_event
from pilots.control.substitutions import substitute, withdraw
from pilots.domain.quality import Quality, Source
from pilots.models import AuditEvent, JournalEntry
from tests.alarms.builders import make_rule
from tests.builders import make_device, make_pilot, make_point, new_sample, record_samples
from tests.ui.conftest import Plant

NOW = datetime.now(UTC).replace(microsecond=250_000) - timedelta(minutes=5)


@pytest.fixture
def alarmed(plant: Plant) -> Plant:
    """20 kW, then 91.5 kW, which is an alarm."""
    for shift, value in ((-30, 20_000.0), (0, 91_500.0)):
        moment = NOW + timedelta(seconds=shift)
        record_samples([new_sample(plant.power.pk, source_time=moment, received_time=moment, value=value, quality=0)])
    rule = make_rule(plant.power, limit=80_000.0, what="Battery temperature: trip limit", priority=1)
    turn([Coming(rule.pk, NOW, 91_500.0, 80_000.0)], [], now=NOW)
    return plant


def text_of(client: Client, query: str = "") -> str:
    answer = client.get(f"/journal/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def frame(client: Client, at: datetime) -> dict[str, Any]:
    answer = client.get("/pilots/es/replay/frame", {"at": at.isoformat()})
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def test_a_line_says_what_where_how_much_and_leads_to_diagram_and_trend(alarmed: Plant, viewer: Client) -> None:
    text = text_of(viewer, "?pilot=es")
    for words in ("Battery temperature: trip limit: came", "es-STO01", "91.5 kW, limit 80 kW", "Times of Madrid, now UTC+"):
        assert words in text, words
    at = (NOW + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")[:23].replace(":", "%3A")
    assert f"/replay/?pilot=es&amp;at={at}Z&amp;device=es-STO01" in text
    assert "/pilots/es/trends/?points=es-STO01%2Factive_power&amp;from=" in text


def test_a_page_that_has_all_there_is_is_told_so_and_gets_the_rows_when_there_are_more(alarmed: Plant, viewer: Client) -> None:
    seen = text_of(viewer).partition('data-seen="')[2].partition('"')[0]
    assert viewer.get("/journal/rows", {"seen": seen}).status_code == 204
    record_event(at=NOW, actor="olaf", action="operate", pilot="es", subject="es-STO01/p_set")
    fresh = viewer.get("/journal/rows", {"seen": seen})
    assert fresh.status_code == 200
    assert "Operated" in fresh.content.decode()


@pytest.mark.parametrize("query", ["from=yesterday", "before=1-2", "kind=gossip", "from=2026-01-02T00:00&to=2026-01-01T00:00"])
def test_a_filter_that_cannot_be_meant_is_refused_in_a_sentence(plant: Plant, viewer: Client, query: str) -> None:
    answer = viewer.get(f"/journal/?{query}")
    assert answer.status_code == 400
    assert "effect refused" in answer.content.decode()


def test_the_file_has_every_entry_and_exporting_stands_in_the_trail(alarmed: Plant, viewer: Client) -> None:
    JournalEntry.objects.bulk_create(
        JournalEntry(at=NOW - timedelta(seconds=number), pilot="es", kind="link", event="down", subject="=evil", state="down")
        for number in range(1, 1201)
    )
    rows = exported(viewer, {"pilot": "es"})
    assert len(rows) == 1201
    assert (rows[0]["event"], rows[0]["value"], rows[0]["unit"]) == ("raised", "91500.0", "W")
    assert rows[0]["local_time"].endswith(("+01:00", "+02:00"))
    assert rows[1]["subject"] == "'=evil"
    assert AuditEvent.objects.filter(action="export journal", actor="vera").exists()


def exported(client: Client, query: dict[str, str]) -> list[dict[str, str]]:
    async def whole(chunks: AsyncIterator[bytes]) -> str:
        return b"".join([chunk async for chunk in chunks]).decode()

    answer: Any = client.get("/journal/export.csv", query)
    return list(csv.DictReader(io.StringIO(async_to_sync(whole)(answer.streaming_content))))


def test_the_frame_holds_the_values_alarms_and_events_of_its_moment(alarmed: Plant, viewer: Client) -> None:
    before, after = frame(viewer, NOW - timedelta(seconds=10)), frame(viewer, NOW + timedelta(milliseconds=1))
    shown = [{row[0]: row[1] for row in body["points"]}["es-STO01/active_power"] for body in (before, after)]
    assert shown == [20_000.0, 91_500.0]
    assert (before["marks"], after["marks"]) == ({}, {"es-STO01": [1, "unacknowledged"]})
    assert "No alarm asked for attention" in before["past"]
    assert "Battery temperature: trip limit" in after["past"]
    assert before["links"] == [["a", "es-SCADA", "es-STO01", "unknown", None, "ours"]]


def test_stepping_from_event_to_event_arrives_and_does_not_stay(alarmed: Plant, viewer: Client) -> None:
    record_event(at=NOW - timedelta(seconds=5), actor="olaf", action="operate", pilot="es", subject="es-STO01/p_set")
    first = frame(viewer, NOW - timedelta(seconds=20))["next_ms"]
    second = frame(viewer, moment(first))["next_ms"]
    last = frame(viewer, moment(second))
    assert [moment(ms) - timedelta(milliseconds=1) for ms in (first, second)] == [NOW - timedelta(seconds=5), NOW]
    assert (last["next_ms"], last["previous_ms"]) == (None, first)
    assert frame(viewer, moment(first))["previous_ms"] is None


def test_the_frame_shows_the_value_by_hand_of_then_and_what_was_energised(plant: Plant, viewer: Client) -> None:
    now = datetime.now(UTC)
    switch = make_device(plant.pilot, "es-SW01", kind="switch", parent=plant.storage.parent)
    position = make_point(switch, "position", kind="status", unit="", labels={"1": "open", "2": "closed"})
    made = substitute(position, 1.0, owner="ana", reason="seen", until=now + timedelta(minutes=5), now=now - timedelta(minutes=5))
    withdraw(made, by="ana", reason="", now=now - timedelta(minutes=1))
    then = frame(viewer, now - timedelta(minutes=2))
    (row,) = [row for row in then["points"] if row[0] == "es-SW01/position"]
    assert (row[1], row[2]) == (1.0, Quality(source=Source.SUBSTITUTED).pack())
    assert then["supply"]["es-SW01/"] == ["dead", "es-SW01/position"]
    assert frame(viewer, now - timedelta(seconds=30))["supply"]["es-SW01/"] == ["unknown"]


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


@pytest.mark.parametrize("at", ["", "noon", "2999-01-01T00:00Z"])
def test_a_moment_that_has_not_been_is_refused_in_a_sentence(plant: Plant, viewer: Client, at: str) -> None:
    answer = viewer.get("/pilots/es/replay/frame", {"at": at})
    assert answer.status_code == 400
    assert answer.json()["field"] == "at"


def test_nothing_can_be_commanded_from_a_replay(alarmed: Plant, operator: Client) -> None:
    page = operator.get("/replay/?pilot=es").content.decode().partition("<main")[2]
    plate = operator.get("/pilots/es/replay/faceplate/es-STO01/").content.decode()
    assert "REPLAY, not live" in page
    assert 'data-ref="es-STO01/active_power"' in plate
    for text in (page, plate):
        assert "<form" not in text.replace('<form class="windowbar replaybar" data-replay-bar>', "")
        for control in ('method="post"', "data-setpoint", "data-select", "data-acknowledge", "data-guard", "p_set", "/commands/"):
            assert control not in text, control


def test_the_replay_is_of_pilots_that_may_be_seen(alarmed: Plant, viewer: Client) -> None:
    make_pilot("nl")
    paths = ("/replay/?pilot=nl", f"/pilots/nl/replay/frame?at={NOW:%Y-%m-%dT%H:%MZ}", "/pilots/nl/replay/faceplate/x/")
    assert [viewer.get(path).status_code for path in paths] == [404, 404, 404]
    assert viewer.get("/replay/").status_code == 200
