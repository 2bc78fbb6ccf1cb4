"""The alarm page, the strip and the faceplate: what is shown to whom, and who may answer."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from pilots.alarms.occurrences import Coming, Going, turn
from pilots.models import Alarm, AlarmRule, AuditEvent, Role
from tests.alarms.builders import make_rule
from tests.builders import make_device, make_pilot, make_point
from tests.ui.conftest import Plant, client_of


@pytest.fixture
def alarm(plant: Plant) -> Alarm:
    return raised(make_rule(plant.power, limit=80.0, what="Battery temperature: trip limit", priority=1))


def raised(rule: AlarmRule) -> Alarm:
    now = datetime.now(UTC)
    turn([Coming(rule.pk, now, 91_500.0, 80_000.0)], [], now=now)
    return Alarm.objects.get(rule=rule, closed_at=None)


def page(client: Client, query: str = "") -> str:
    answer = client.get(f"/alarms/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_list_says_state_device_what_value_and_limit(alarm: Alarm, operator: Client) -> None:
    text = page(operator)
    for words in ("es-STO01", "Battery temperature: trip limit", "91.5 kW", "&gt; 80 kW", "priority critical, new"):
        assert words in text


def test_why_and_what_to_do_stand_beside_the_list(alarm: Alarm, operator: Client) -> None:
    text = page(operator, f"?alarm={alarm.pk}")
    assert "Much is used." in text
    assert "Use less." in text
    assert operator.get(f"/alarms/{alarm.pk}/").status_code == 200


def test_without_alarms_the_strip_says_when_the_last_one_returned(alarm: Alarm, viewer: Client) -> None:
    at = datetime(2026, 3, 29, 10, 20, tzinfo=UTC)
    Alarm.objects.update(state="normal", acknowledged_at=at, returned_at=at, closed_at=at)
    assert "No alarms. Last one returned to normal 29 Mar 10:20." in " ".join(viewer.get("/").content.decode().split())
    Alarm.objects.all().delete()
    assert "Last one returned" not in viewer.get("/").content.decode()


def test_the_strip_stands_on_every_page_and_sounds_for_who_may_answer(alarm: Alarm, operator: Client, viewer: Client) -> None:
    for path in ("/", "/setpoints/", "/pilots/es/", "/pilots/es/trends/"):
        text = operator.get(path).content.decode()
        assert 'data-sounds="1"' in text, path
        assert "Battery temperature: trip limit" in text, path
    seen = viewer.get("/").content.decode()
    assert 'data-sounds=""' in seen
    assert "data-acknowledge=" not in seen


def test_the_strip_says_returned_and_shows_what_is_still_there_first(plant: Plant, alarm: Alarm, operator: Client) -> None:
    gone = raised(make_rule(plant.power, kind="low", limit=80.0, what="Battery temperature: low", priority=1))
    now = datetime.now(UTC)
    turn([], [Going(gone.rule_id or 0, now)], now=now)
    strip = operator.get("/alarms/strip").content.decode()
    assert "Battery temperature: trip limit" in strip
    assert "returned, new" not in strip
    turn([], [Going(alarm.rule_id or 0, now)], now=now)
    assert "returned, new" in operator.get("/alarms/strip").content.decode()


def test_without_alarms_the_strip_is_calm(plant: Plant, operator: Client) -> None:
    text = page(operator)
    assert "No alarms." in text
    assert "al-1" not in text


def test_an_operator_acknowledges_with_a_comment(alarm: Alarm, operator: Client) -> None:
    assert operator.post("/alarms/acknowledge", {"alarm": str(alarm.pk), "comment": "on my way"}).status_code == 204
    alarm.refresh_from_db()
    assert (alarm.state, alarm.acknowledged_by, alarm.comment) == ("acknowledged", "olaf", "on my way")
    again = operator.post("/alarms/acknowledge", {"alarm": str(alarm.pk)})
    assert (again.status_code, again.json()["reason"]) == (409, "None of these waits for an acknowledgement any more.")
    assert 'data-sounds=""' in page(operator)


def test_who_may_only_look_answers_nothing(alarm: Alarm, viewer: Client) -> None:
    number = alarm.rule_id
    assert viewer.post("/alarms/acknowledge", {"alarm": str(alarm.pk)}).status_code == 403
    for deed in ("shelve", "return", "suppress", "out-of-service"):
        assert viewer.post(f"/alarms/rules/{number}/{deed}", {"minutes": "30", "reason": "x"}).status_code == 403, deed
    assert not AuditEvent.objects.exists()


def test_an_operator_shelves_and_returns_and_only_an_engineer_takes_out_of_service(
    alarm: Alarm, operator: Client, engineer: Client
) -> None:
    number = alarm.rule_id
    assert operator.post(f"/alarms/rules/{number}/out-of-service", {"reason": "x"}).status_code == 403
    assert operator.post(f"/alarms/rules/{number}/shelve", {"minutes": "30", "reason": "being repaired"}).status_code == 204
    assert "shelved to" in page(operator, "?show=shelved")
    assert operator.post(f"/alarms/rules/{number}/return").status_code == 204
    assert engineer.post(f"/alarms/rules/{number}/out-of-service", {"reason": "replaced"}).status_code == 204
    assert operator.post(f"/alarms/rules/{number}/return").status_code == 403
    assert engineer.post(f"/alarms/rules/{number}/return").status_code == 204


def test_a_shelf_without_a_reason_is_refused_in_words(alarm: Alarm, operator: Client) -> None:
    refused = operator.post(f"/alarms/rules/{alarm.rule_id}/shelve", {"minutes": "30", "reason": " "})
    assert (refused.status_code, refused.json()["reason"]) == (409, "Say why it may be silent: others will read it.")


def test_alarms_of_another_pilot_do_not_exist(alarm: Alarm, db: None) -> None:
    stranger = client_of(Role.OPERATOR, "stan", pilot=make_pilot("nl"))
    assert "es-STO01" not in page(stranger)
    assert stranger.get(f"/alarms/{alarm.pk}/").status_code == 404
    assert stranger.post("/alarms/acknowledge", {"alarm": str(alarm.pk)}).status_code == 403
    assert stranger.post(f"/alarms/rules/{alarm.rule_id}/shelve", {"minutes": "30", "reason": "x"}).status_code == 404


def test_a_flood_is_one_row_with_its_members_inside(plant: Plant, operator: Client) -> None:
    cause = raised(make_rule(plant.power, what="Link down"))
    now = datetime.now(UTC)
    rules = [make_rule(make_point(make_device(plant.pilot, f"es-M{number:02}"))) for number in range(10)]
    turn([Coming(rule.pk, now, cause=cause.pk) for rule in rules], [], now=now)
    text = page(operator)
    assert text.count("<tr data-alarm=") == 1
    assert "10 follow from one cause." in text
    assert "7 more" in text
    assert page(operator, "?show=suppressed").count("<tr data-alarm=") == 10


def test_filters_that_cannot_be_meant_are_told(plant: Plant, operator: Client) -> None:
    answer = operator.get("/alarms/?show=nonsense")
    assert answer.status_code == 400
    assert "nonsense is no list of alarms." in answer.content.decode()


def test_filters_find_by_word_pilot_and_priority(alarm: Alarm, operator: Client) -> None:
    for query in ("?text=temperature", "?pilot=es", "?priority=critical", "?show=new", "?show=active"):
        assert "<tr data-alarm=" in page(operator, query), query
    for query in ("?text=voltage", "?priority=low", "?show=returned", "?show=ended"):
        assert "<tr data-alarm=" not in page(operator, query), query


async def gathered(parts: AsyncIterator[bytes]) -> list[bytes]:
    return [part async for part in parts]


@pytest.mark.django_db(transaction=True)
def test_the_export_is_what_the_filters_find_and_stands_in_the_audit_trail(alarm: Alarm, operator: Client) -> None:
    Alarm.objects.update(detail="=cmd()")
    answer: Any = operator.get("/alarms/export.csv?show=new&priority=critical")
    text = b"".join(async_to_sync(gathered)(answer.streaming_content)).decode()
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["device"], row["priority"], row["value"], row["state"]) == ("es-STO01", "critical", "91500.0", "unacknowledged")
    assert not row["detail"].startswith("=")
    assert AuditEvent.objects.get(action="export alarms").actor == "olaf"
    assert operator.get("/alarms/export.csv?priority=loud").status_code == 400


def test_a_faceplate_and_the_diagram_show_the_devices_alarms(alarm: Alarm, operator: Client) -> None:
    assert "Battery temperature: trip limit" in operator.get("/pilots/es/faceplate/es-STO01/").content.decode()
    assert operator.get("/pilots/es/alarms/marks").json() == {"es-STO01": [1, "unacknowledged"]}


def test_five_thousand_alarms_are_a_bounded_page(
    plant: Plant, operator: Client, django_assert_max_num_queries: object, capsys: pytest.CaptureFixture[str]
) -> None:
    form = {"pilot": plant.pilot, "kind": "high", "priority": 3, "what": "Flood", "state": "unacknowledged"}
    now = datetime.now(UTC)
    Alarm.objects.bulk_create(
        Alarm(subject=f"es-M{n}/p", raised_at=now - timedelta(milliseconds=2 * n), recent_since=now, changed_at=now, **form)
        for n in range(5000)
    )
    with django_assert_max_num_queries(60):  # type: ignore[operator]
        began = time.perf_counter()
        text = page(operator)
        took_s = time.perf_counter() - began
    with capsys.disabled():
        print(f"\n5,000 alarms: page in {took_s * 1000:.0f} ms, {len(text) // 1024} KiB")
    assert text.count("<tr data-alarm=") == 100
    assert "4900 more" in text
