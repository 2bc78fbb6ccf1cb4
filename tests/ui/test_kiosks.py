"""Wall screens: made once, opened by a secret link, able to read their pages and nothing else, gone when revoked."""

from __future__ import annotations

import re
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import URLPattern, get_resolver, resolve
from django.utils import timezone

from pilots.control.guards import set_tag, switch_commands_off
from pilots.live.frames import Change, encode_frame, without_names
from pilots.models import AuditEvent, Dashboard, Kiosk, Pilot, Role, RoleGrant, TrendView, User
from pilots.ui.access import KIOSK_READS
from tests.builders import make_pilot
from tests.ui.conftest import Plant, client_of
from tests.ui.test_access import routes

PAGES = ("overview", "pilot/es", "table/es", "alarms")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SAMPLES = {"int": "1", "uuid": str(UUID(int=7)), "slug": "es", "path": "1", "str": "es-STO01"}


@pytest.fixture(autouse=True)
def nobody_guessed() -> None:
    cache.clear()


def made(client: Client, *pages: str, **form: Any) -> str:
    """The path of a new kiosk's link."""
    rows = {f"show_{n}": page for n, page in enumerate(pages or PAGES)} | {f"seconds_{n}": "20" for n in range(12)}
    last = timezone.localdate() + timedelta(days=30)
    answer = client.post("/kiosks/create", {"name": "Hall", "pilots": ["es"], "ends": last, "language": "en"} | rows | form)
    assert answer.status_code == 200, answer.content.decode()
    link = re.search(r"http://testserver(/kiosk/[^<]+/)", answer.content.decode())
    assert link is not None
    return link[1]


@pytest.fixture
def link(plant: Plant, engineer: Client) -> str:
    return made(engineer)


@pytest.fixture
def screen(link: str) -> Client:
    """A browser that opened the link."""
    client = Client(raise_request_exception=False)
    answer = client.get(link, follow=True)
    assert (answer.status_code, answer.redirect_chain) == (200, [("/kiosk/", 302)])
    return client


def deeds() -> list[str]:
    return list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))


def test_the_link_becomes_a_session_and_stands_nowhere(link: str, screen: Client) -> None:
    token = link.split("/")[2]
    kiosk = Kiosk.objects.get()
    assert (kiosk.sha256, len(token)) == (sha256(token.encode()).hexdigest(), 43)
    cookie = screen.cookies["sessionid"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
    assert 29 * 86400 < int(cookie["max-age"]) <= 31 * 86400
    answer = Client().get(link)
    assert (answer["Referrer-Policy"], "no-store" in answer["Cache-Control"]) == ("no-referrer", True)
    assert token not in screen.get("/kiosk/").content.decode()
    assert not any(token in str(row) for row in AuditEvent.objects.values_list("subject", "reason", "details"))


def test_making_first_use_and_revoking_are_audited_and_the_list_says_who_was_seen(screen: Client, engineer: Client) -> None:
    screen.get("/kiosk/told")
    assert "127.0.0.1" in engineer.get("/kiosks/").content.decode()
    assert engineer.post(f"/kiosks/{Kiosk.objects.get().pk}/revoke").status_code == 302
    assert deeds() == ["create kiosk", "use kiosk for the first time", "revoke kiosk"]
    assert "revoked" in engineer.get("/kiosks/").content.decode()


def test_a_screen_shows_its_pages_in_frames_of_its_own(screen: Client) -> None:
    answer = screen.get("/kiosk/")
    text = answer.content.decode()
    assert re.findall(r'data-show="([^"]+)" data-seconds="20"', text) == list(PAGES)
    assert "frame-src 'self'" in answer["Content-Security-Policy"]
    for path in ("/", "/pilots/es/", "/pilots/es/?view=table", "/alarms/"):
        page = screen.get(path)
        assert page.status_code == 200, path
        assert "frame-ancestors 'self'" in page["Content-Security-Policy"] and page["X-Frame-Options"] == "SAMEORIGIN"
        assert 'class="kiosk"' in page.content.decode() and "mainnav" not in page.content.decode()
        assert "Log out" not in page.content.decode()


def test_people_may_frame_nothing(viewer: Client) -> None:
    page = viewer.get("/")
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"] and page["X-Frame-Options"] == "DENY"


def paths() -> list[tuple[str, str]]:
    """An address of every route of the project, with the route's name."""
    found = []
    for route, _view, _names in routes(get_resolver()):
        path = re.sub(r"\(\?P<\w+>([a-z_]+)[|a-z_]*\)|\(\?P<url>\.\*\)|\.\*", r"\1", route).replace(r"(?P<number>\d{1,9})", "1")
        path = "/" + path.replace("^", "").replace("$", "").replace("\\", "")
        path = re.sub(r"<(?:(\w+):)?\w+>", lambda hit: SAMPLES[hit[1] or "str"], path)
        found.append((path, resolve(path).view_name))
    return found


def test_of_every_address_a_screen_reads_only_its_pages_and_writes_none(screen: Client) -> None:
    walked = paths()
    assert len({name for _path, name in walked}) > 150
    assert sum(1 for each in get_resolver().url_patterns if isinstance(each, URLPattern)) == 0
    before = AuditEvent.objects.count()
    opened = {}
    for path, name in walked:
        for method in METHODS:
            answer = screen.generic(method, path, HTTP_ACCEPT="application/json")
            if answer.status_code != 403:
                opened[method, name] = answer.status_code
    assert {method for method, _name in opened} == {"GET"}
    assert {name for _method, name in opened} == KIOSK_READS
    assert set(opened.values()) <= {200, 302, 400, 404, 503}, opened
    assert (AuditEvent.objects.count(), RoleGrant.objects.filter(user__is_kiosk=True).count()) == (before, 1)


def test_no_grant_gives_a_screen_more(screen: Client, plant: Plant) -> None:
    account = Kiosk.objects.get().user
    RoleGrant.objects.create(user=account, pilot=None, role=Role.OPERATOR)
    User.objects.filter(pk=account.pk).update(is_superuser=True, is_staff=True)
    account.refresh_from_db()
    assert not account.has_role(Role.OPERATOR, plant.pilot)
    assert screen.get("/admin/").status_code == 403
    assert screen.post("/alarms/acknowledge", {"alarm": str(UUID(int=7))}).status_code == 403
    assert screen.post("/accounts/login/", {"login": "x", "password": "y"}).status_code == 403


def test_other_pilots_and_other_dashboards_are_not_there(plant: Plant, engineer: Client) -> None:
    make_pilot("nl", name="Arnhem")
    owner = User.objects.get(username="enza")
    boards = [
        Dashboard.objects.create(owner=owner, name=name, shared=True, changed_at=timezone.now()) for name in ("Ours", "Else")
    ]
    view = TrendView.objects.create(owner=owner, pilot=plant.pilot, name="Day", query="points=x", changed_at=timezone.now())
    screen = Client(raise_request_exception=False)
    screen.get(made(engineer, f"dashboard/{boards[0].pk}", f"trends/{view.pk}"))
    assert "/pilots/es/trends/?points=x" in screen.get("/kiosk/").content.decode()
    assert [screen.get(f"/dashboards/{board.pk}/").status_code for board in boards] == [200, 404]
    assert screen.get("/pilots/nl/").status_code == 404
    assert "Arnhem" not in screen.get("/").content.decode()
    text = screen.get("/pilots/es/trends/").content.decode()
    assert "enza" not in text
    view.delete()
    assert "/trends/" not in screen.get("/kiosk/").content.decode()


def test_what_a_screen_shows_names_nobody(screen: Client, plant: Plant) -> None:
    now = timezone.now()
    set_tag(plant.storage, owner="olaf", reason="olaf is at the cells", now=now)
    switch_commands_off(plant.pilot, by="olaf", reason="olaf works", now=now)
    for path in ("/", "/pilots/es/", "/pilots/es/table/", "/alarms/"):
        assert "olaf" not in screen.get(path).content.decode(), path
    assert "Commands are off" in screen.get("/pilots/es/").content.decode()
    setpoint = {"id": "1", "requested_by": "olaf", "events": ["olaf"], "value": 1.0}
    guards = {"tags": [{"device": "x", "owner": "olaf", "reason": "olaf"}]}
    frame = encode_frame(Change("es", setpoints=[setpoint], guards=guards), epoch="e", n=1, now=now)
    assert "olaf" not in without_names(frame) and '"value":1.0' in without_names(frame)
    values = encode_frame(Change("es", points=[["a/b", 1.0, 0, 0, 0]]), epoch="e", n=1, now=now)
    assert without_names(values) is values


def test_revoked_it_is_over_at_once_and_the_link_opens_nothing(screen: Client, link: str, engineer: Client) -> None:
    assert screen.get("/kiosk/told").status_code == 200
    engineer.post(f"/kiosks/{Kiosk.objects.get().pk}/revoke")
    told = screen.get("/kiosk/told")
    assert (told.status_code, told.json()["code"]) == (403, "closed")
    assert screen.get("/pilots/es/").status_code == 302
    closed = screen.get("/kiosk/")
    assert (closed.status_code, closed["Refresh"]) == (403, "10")
    assert Client().get(link).status_code == 404


def test_after_its_last_day_it_is_over(screen: Client, link: str) -> None:
    Kiosk.objects.update(ends_at=timezone.now())
    assert [screen.get(path).status_code for path in ("/", "/pilots/es/", "/kiosk/told", "/kiosk/")] == [403] * 4
    assert Client().get(link).status_code == 404


def test_guessing_is_slowed_down(link: str) -> None:
    stranger = Client()
    found = [stranger.get(f"/kiosk/{n:043}/").status_code for n in range(12)]
    assert found == [404] * 10 + [429] * 2
    assert stranger.get(link).status_code == 429


def test_who_is_logged_in_stays_so(link: str, engineer: Client) -> None:
    assert engineer.get(link).status_code == 409
    assert engineer.get("/kiosks/").status_code == 200


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.SECADM])
def test_only_engineers_make_one(plant: Plant, role: Role) -> None:
    client = client_of(role, "rosa")
    assert client.post("/kiosks/create", {"name": "Hall", "pilots": ["es"]}).status_code == 403
    assert not Kiosk.objects.exists()


def test_an_engineer_of_another_pilot_neither_sees_nor_revokes_it(link: str) -> None:
    other = client_of(Role.ENGINEER, "nora", pilot=make_pilot("nl"))
    number = Kiosk.objects.get().pk
    assert "Hall" not in other.get("/kiosks/").content.decode()
    assert other.post(f"/kiosks/{number}/revoke").status_code == 404
    assert client_of(Role.SECADM, "sam").post(f"/kiosks/{number}/revoke").status_code == 302


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"show_0": "pilot/nl"}, "Page 1 is none that you may put on a screen."),
        ({"show_0": "pilot/es", "seconds_0": "4"}, "Page 1: give it 5 to 3600 seconds."),
        ({"show_0": "pilot/es", "pilots": []}, "Page 1 shows a pilot that is not ticked above."),
        ({}, "Choose at least one page."),
        ({"show_0": "overview", "ends": "2020-01-01"}, "The last day is today or later, and within five years."),
        ({"show_0": "overview", "pilots": ["nl"]}, "Select a valid choice."),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_made(plant: Plant, engineer: Client, wrong: dict[str, Any], said: str) -> None:
    Pilot.objects.create(code="nl", name="Arnhem", country="NL", time_zone="UTC", latitude=1, longitude=2)
    form = {"name": "Hall", "pilots": ["es"], "ends": timezone.localdate(), "language": "en", "seconds_0": "20"}
    answer = engineer.post("/kiosks/create", form | wrong)
    assert (answer.status_code, Kiosk.objects.count()) == (400, 0)
    assert said in answer.content.decode()


def test_the_configuration_knows_people_only(link: str) -> None:
    admin = client_of(None, "root", is_superuser=True, is_staff=True)
    account = Kiosk.objects.get().user
    for path in ("/admin/pilots/user/", "/admin/pilots/rolegrant/", "/admin/pilots/rolegrant/add/"):
        assert account.username not in admin.get(path).content.decode(), path
    assert admin.get(f"/admin/pilots/user/{account.pk}/change/").status_code == 302
