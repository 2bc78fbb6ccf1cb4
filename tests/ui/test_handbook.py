"""The handbook holds what the product has: a topic for every page, every key, every state; and the tour is offered once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.test import Client

from pilots.domain.alarm import AlarmState, Hidden
from pilots.domain.setpoint import SetpointState
from pilots.domain.topology import DeviceKind
from pilots.models import Role, User
from pilots.ui.handbook import TOPICS, topic_of
from pilots.ui.handbook.glossary import alarm_meanings, role_words, setpoint_meanings
from pilots.ui.handbook.keys import KEYS, WHERE
from pilots.ui.handbook.legend import FIGURES
from pilots.ui.handbook.tour import STEPS
from tests.ui.conftest import Plant, client_of
from tests.ui.test_kiosks import paths

ROOT = Path(__file__).parents[2]
#: Routes that answer an address of the test with a whole page and are none of the product's pages, with the reason.
NO_PAGES = {
    "account_login": "before the session",
    "account_inactive": "before the session",
    "account_logout": "asks only whether",
    "kiosk": "a wall screen",
    "open_kiosk": "a wall screen",
    "api-docs": "the API's, for programmers",
    "help_topic": "the topic itself; this one is not there",
    **dict.fromkeys(
        ("setpoint_told", "setpoint_chart", "group_told", "schedule_data", "alarm", "selection", "replay_faceplate"),
        "a part of a page",
    ),
    **dict.fromkeys(
        ("export_point_test", "download_export", "export_manifest", "frames", "frames_text", "frames_capture"), "a file"
    ),
}


@pytest.fixture
def boss(plant: Plant) -> Client:
    return client_of(None, "boss", is_superuser=True, is_staff=True)


def test_every_page_has_its_topic(boss: Client) -> None:
    pages, without = 0, []
    for path, name in paths():
        if path.startswith(("/admin/", "/api/")) or name in NO_PAGES:
            continue
        answer = boss.get(path)
        if answer.get("Content-Type", "").startswith("text/html") and b"<html" in answer.content:
            pages += 1
            without += [] if topic_of(name) else [f"{name}: {path} says {answer.status_code}"]
    assert without == [], "\n".join(without)
    assert pages > 25


def test_every_topic_of_a_page_belongs_to_a_route_and_opens(boss: Client) -> None:
    routes = {name for _path, name in paths()}
    assert {route for topic in TOPICS.values() for route in topic.routes} <= routes
    for key in TOPICS:
        answer = boss.get(f"/help/{key}/")
        assert answer.status_code == 200
        assert b"<html" not in answer.content and str(TOPICS[key].title).encode() in answer.content
    assert boss.get("/help/cheese/").status_code == 404


def test_the_configuration_leads_to_its_topic(boss: Client) -> None:
    answer = boss.get("/admin/")
    assert answer.status_code == 200
    assert 'href="/help/#configuration"' in answer.content.decode()


def listened(script: str) -> set[str]:
    """The keys that a script asks for."""
    code = (ROOT / "static" / "js" / f"{script}.js").read_text()
    if "event.key" not in code:
        return set()
    found = set(re.findall(r'\bkey [!=]== "([^"]+)"', code))
    if 'key.startsWith("Arrow")' in code:
        found |= {"ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"}
    tables = re.findall(r"\{([^{}]*)\}\[event\.key\]", code) + (
        re.findall(r"KEYS = \{([^{}]*)\}", code) if "event.key in KEYS" in code else []
    )
    found |= {key for table in tables for key in re.findall(r"(\w+):", table)}
    return found | {key for letters in re.findall(r"/\^\[(\w+)\]\$/i\.test\(event\.key\)", code) for key in letters}


def test_every_key_that_a_script_listens_to_is_in_the_handbook_and_no_other() -> None:
    scripts = {path.stem for path in (ROOT / "static" / "js").glob("*.js") if listened(path.stem)}
    assert scripts == set(KEYS) == set(WHERE)
    for script in scripts:
        told = {key for each in KEYS[script] for key in each.keys if not each.native}
        assert told == listened(script), script


def test_every_state_kind_and_role_is_explained() -> None:
    assert set(alarm_meanings()) == {*AlarmState, *Hidden} - {AlarmState.NORMAL}
    assert set(setpoint_meanings()) == set(SetpointState)
    assert set(role_words()) == set(Role)
    assert {topic.figure for topic in TOPICS.values()} - {"", "keys"} == set(FIGURES)


def test_the_handbook_draws_what_the_pages_draw(viewer: Client) -> None:
    html = viewer.get("/help/").content.decode()
    styles = "".join((ROOT / "static" / "css" / f"{name}.css").read_text() for name in ("app", "diagram", "alarms"))
    for shown in ("is-old", "is-invalid", "con dead", "con unknown", "chip down", "switch bad", "al-2 al-unack", "al-2 al-out"):
        assert re.search(rf'class="[^"]*{shown}"', html), shown
        assert f".{shown.replace(' ', '.')}" in styles or all(f".{part}" in styles for part in shown.split()), shown
    assert html.count('class="sym"') == len(DeviceKind) + 1 + 5
    assert all(f'id="{key}"' in html for key in TOPICS)


def test_it_says_what_the_reader_may_do(viewer: Client, operator: Client) -> None:
    assert "You have none of them." in viewer.get("/help/send-setpoint/").content.decode()
    assert "You have one of them." in operator.get("/help/send-setpoint/").content.decode()
    assert "For the roles" not in viewer.get("/help/not-live/").content.decode()


@pytest.mark.parametrize("path", ["/", "/pilots/es/", "/alarms/", "/accounts/preferences/"])
def test_every_page_asks_for_its_own_topic_only_when_needed(viewer: Client, path: str) -> None:
    html = viewer.get(path).content.decode()
    key = re.search(r'data-help="/help/([a-z-]+)/"', html)
    assert key is not None and key[1] in TOPICS
    assert str(TOPICS[key[1]].body[0])[:40] not in html


def test_the_tour_is_offered_until_it_was_walked_or_declined_and_begins_again_from_the_handbook(viewer: Client) -> None:
    assert 'href="/pilots/es/?tour"' in viewer.get("/").content.decode()
    assert "data-tour" not in viewer.get("/alarms/").content.decode()
    assert viewer.get("/help/tour/end").status_code == 405
    assert viewer.post("/help/tour/end").status_code == 302
    assert User.objects.get(username="vera").tour_ended_at is not None
    assert [b"data-tour" in viewer.get(path).content for path in ("/", "/pilots/es/", "/pilots/es/?tour")] == [False, False, True]
    assert 'href="/pilots/es/?tour"' in viewer.get("/help/").content.decode()


def test_the_tour_points_only_at_what_the_page_has(operator: Client, plant: Plant) -> None:
    told = operator.get("/help/tour").json()
    assert [step["title"] for step in told["steps"]] == [str(step.title) for step in STEPS]
    html = operator.get("/pilots/es/").content.decode() + operator.get("/pilots/es/faceplate/es-STO01/").content.decode()
    for step in STEPS:
        marks = re.findall(r"\.([\w-]+)|\[([\w-]+)\]", step.at)
        assert all(re.search(rf'class="[^"]*\b{name}\b' if name else rf"\b{attribute}\b", html) for name, attribute in marks), (
            step.at
        )


def test_without_a_pilot_there_is_nothing_to_tour(plant: Plant) -> None:
    stranger = client_of(None, "nobody")
    assert b"data-tour" not in stranger.get("/").content
    assert b"?tour" not in stranger.get("/help/").content


def test_a_wall_screen_has_neither_help_nor_tour(plant: Plant) -> None:
    screen = client_of(Role.VIEWER, "kiosk", is_kiosk=True)
    assert [screen.get(path).status_code for path in ("/help/", "/help/overview/", "/help/tour")] == [403] * 3
    assert screen.post("/help/tour/end").status_code == 403
