"""A browser page's websocket: who may open it, what it gets, and what happens when it is slow."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from pilots.catalogue.services import note_change
from pilots.control.guards import switch_commands_off
from pilots.live.frames import Change
from pilots.live.hub import hub
from pilots.models import Kiosk, Pilot, RoleGrant, User
from pilots.ui import consumers, doorkeeper
from pilots.ui.kiosks import make_kiosk, revoke_kiosk
from tests.builders import make_device, make_latest, make_pilot, make_point, make_user
from tests.live.conftest import opened

pytestmark = pytest.mark.django_db(transaction=True)


def page(user: Any, code: str = "es", session: Any = None) -> AbstractAsyncContextManager[WebsocketCommunicator]:
    """An open page of a pilot."""
    return opened(f"/ws/pilots/{code}/", user, session)


async def received(socket: WebsocketCommunicator) -> dict[str, Any]:
    return dict(orjson.loads(await socket.receive_from(timeout=10)))


async def closed_with(socket: WebsocketCommunicator) -> int:
    async with asyncio.timeout(20):  # beats keep a page that is not closed talking for ever
        while (event := await socket.receive_output(timeout=10))["type"] != "websocket.close":
            pass
    return int(event["code"])


def publish(value: float) -> None:
    hub(settings.REDIS_URL).publish([Change("es", points=[["es-STO01/active_power", value, 0, 0, 0]])])


async def test_a_page_gets_a_snapshot_and_then_frames_in_order(pilot: Pilot, ana: User) -> None:
    await sync_to_async(lambda: make_latest(make_point(make_device(pilot), max_interval_s=10), 4500.0))()
    async with page(ana) as socket:
        snapshot = await received(socket)
        assert (snapshot["type"], snapshot["n"]) == ("snapshot", 0)
        assert snapshot["points"][0][:2] == ["es-STO01/active_power", 4500.0]
        assert snapshot["points"][0][-1] == 30.0
        publish(1.0)
        publish(2.0)
        frames = [await received(socket), await received(socket)]
        assert [(frame["type"], frame["n"], frame["epoch"]) for frame in frames] == [
            ("frame", 1, snapshot["epoch"]),
            ("frame", 2, snapshot["epoch"]),
        ]


async def test_a_quiet_page_hears_beats(pilot: Pilot, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorkeeper, "LOOK_S", 0.05)
    async with page(ana) as socket:
        await received(socket)
        beat = await received(socket)
        assert (beat["type"], beat["n"]) == ("beat", 0)


async def test_a_page_that_missed_something_gets_a_new_snapshot(pilot: Pilot, ana: User) -> None:
    async with page(ana) as socket:
        await received(socket)
        publish(1.0)
        await received(socket)
        await socket.send_to(text_data='{"type": "resync"}')
        again = await received(socket)
        assert (again["type"], again["n"]) == ("snapshot", 1)
        publish(2.0)
        assert (await received(socket))["n"] == 2


async def test_a_page_learns_that_an_engineer_changed_the_picture(
    pilot: Pilot, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorkeeper, "LOOK_S", 0.05)
    async with page(ana) as socket:
        first = await received(socket)
        assert (first["drawing"], first["supply"]) == (pilot.revision, {})
        await sync_to_async(note_change)(pilot)
        while (heard := await received(socket))["type"] != "snapshot":
            pass
        assert heard["drawing"] == pilot.revision + 1


async def test_nonsense_from_a_browser_does_no_harm(pilot: Pilot, ana: User) -> None:
    async with page(ana) as socket:
        await received(socket)
        for words in ("no JSON", "[]", '{"type": "seen", "n": "x"}', '{"type": "seen", "n": 99999999}'):
            await socket.send_to(text_data=words)
        publish(1.0)
        assert (await received(socket))["n"] == 1


async def test_nobody_logged_in_is_turned_away(pilot: Pilot) -> None:
    async with page(AnonymousUser()) as socket:
        assert await closed_with(socket) == 4401


async def test_a_person_without_a_right_at_the_pilot_is_turned_away(pilot: Pilot) -> None:
    stranger = await sync_to_async(make_user)("eva", role=None)
    async with page(stranger) as socket:
        assert await closed_with(socket) == 4403


async def test_a_pilot_that_does_not_exist_is_no_right(ana: User) -> None:
    async with page(ana, "atlantis") as socket:
        assert await closed_with(socket) == 4403


async def test_a_right_that_is_withdrawn_closes_the_page(pilot: Pilot, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorkeeper, "LOOK_S", 0.05)
    async with page(ana) as socket:
        await received(socket)
        await RoleGrant.objects.all().adelete()
        assert await closed_with(socket) == 4403


async def test_a_deleted_person_is_logged_out(pilot: Pilot, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorkeeper, "LOOK_S", 0.05)
    async with page(ana) as socket:
        await received(socket)
        await User.objects.all().adelete()
        assert await closed_with(socket) == 4401


async def kiosk_of(pilot: Pilot, ana: User) -> Kiosk:
    """A wall screen of the pilot."""
    form: dict[str, Any] = {"name": "Hall", "pilots": [pilot], "pages": [], "look": {}, "by": ana}
    now = timezone.now()
    kiosk, _token = await sync_to_async(make_kiosk)(**form, ends_at=now + timedelta(days=1), now=now)
    return kiosk


async def test_a_kiosk_hears_values_and_no_names_and_opens_no_links(pilot: Pilot, ana: User) -> None:
    kiosk = await kiosk_of(pilot, ana)
    await sync_to_async(switch_commands_off)(pilot, by="olaf", reason="at work", now=timezone.now())
    async with page(kiosk.user) as socket:
        snapshot = await received(socket)
        assert [row["owner"] for row in snapshot["guards"]["off"]] == ["–"]
        publish(1.0)
        assert (await received(socket))["points"][0][1] == 1.0
    async with page(kiosk.user, "es/links") as socket:
        assert await closed_with(socket) == 4403


@pytest.mark.parametrize("how", ["revoked", "ended"])
async def test_a_kiosk_that_is_over_goes_dark(pilot: Pilot, ana: User, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(doorkeeper, "LOOK_S", 0.05)
    kiosk = await kiosk_of(pilot, ana)
    async with page(kiosk.user) as socket:
        await received(socket)
        if how == "revoked":
            await sync_to_async(revoke_kiosk)(kiosk, by="ana", now=timezone.now())
        else:
            await Kiosk.objects.aupdate(ends_at=timezone.now())
        assert await closed_with(socket) == 4401


@pytest.mark.parametrize("how", ["ended", "over"])
async def test_an_ended_session_is_logged_out(how: str, pilot: Pilot, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorkeeper, "LOOK_S", 0.05)
    session = SessionStore()
    await session.acreate()
    async with page(ana, session=session) as socket:
        await received(socket)
        assert (await received(socket))["type"] == "beat"
        if how == "ended":
            await session.aflush()
        else:
            await Session.objects.aupdate(expire_date=timezone.now())
        assert await closed_with(socket) == 4401


@pytest.mark.parametrize("fault", [OperationalError, InterfaceError, ZeroDivisionError])
async def test_while_the_database_does_not_answer_a_page_hears_nothing(
    fault: type[Exception], pilot: Pilot, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorkeeper, "LOOK_S", 0.05)
    answering = doorkeeper.look

    def silent(visitors: Any) -> doorkeeper.Look:
        raise fault("no answer")

    async with page(ana) as socket:
        await received(socket)
        assert (await received(socket))["type"] == "beat"
        monkeypatch.setattr(doorkeeper, "look", silent)
        while not await socket.receive_nothing(timeout=0.3):
            await received(socket)
        publish(1.0)
        assert await socket.receive_nothing(timeout=0.3)
        monkeypatch.setattr(doorkeeper, "look", answering)
        assert (await received(socket))["type"] == "snapshot"


@pytest.mark.parametrize("pages", [1, 40])
def test_a_look_costs_the_same_for_one_page_and_for_many(pages: int, django_assert_num_queries: Any) -> None:
    pilots = [make_pilot(code) for code in ("es", "bg")]
    users = [make_user(f"u{number}", pilot=pilots[number % 2]) for number in range(pages)]
    visitors = [doorkeeper.Visitor(None, user.pk) for user in users]
    with django_assert_num_queries(3):
        seen = doorkeeper.look(visitors)
    assert seen.codes[visitors[-1]] == {pilots[(pages - 1) % 2].code}
    assert seen.revisions == {pilot.code: pilot.revision for pilot in pilots}


def test_many_are_seen_as_each_alone() -> None:
    pilots = [make_pilot(code) for code in ("es", "bg", "de")]
    nobody, root = make_user("b", role=None), make_user("c", role=None)
    gone, both = make_user("d", pilot=pilots[0]), make_user("e", pilot=pilots[0])
    make_user("everywhere")
    RoleGrant.objects.create(user=both, pilot=pilots[1], role="engineer")
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    visitors = {user: doorkeeper.Visitor(None, user.pk) for user in User.objects.all()}
    codes = doorkeeper.look(list(visitors.values())).codes
    for user, visitor in visitors.items():
        alone = frozenset(user.visible_pilots().values_list("code", flat=True)) if user.is_active else None
        assert codes.get(visitor) == alone, user
    assert [codes.get(visitors[user]) for user in (nobody, gone)] == [frozenset(), None]


async def test_a_slow_page_gets_one_snapshot_instead_of_a_backlog(pilot: Pilot, ana: User) -> None:
    async with page(ana) as socket:
        await received(socket)
        for number in range(10):
            publish(float(number))
        assert [(await received(socket))["n"] for _ in range(10)] == list(range(1, 11))
        for number in range(consumers.MAX_LAG + 200):
            publish(float(number))
        assert await socket.receive_nothing(timeout=0.3)
        await socket.send_to(text_data='{"type": "seen", "n": 10}')
        caught_up = await received(socket)
        assert (caught_up["type"], caught_up["n"]) == ("snapshot", consumers.MAX_LAG + 210)


async def test_a_page_that_says_nothing_any_more_is_closed(pilot: Pilot, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "STALL_S", 0.1)
    monkeypatch.setattr(doorkeeper, "LOOK_S", 0.05)
    async with page(ana) as socket:
        await received(socket)
        publish(1.0)
        assert await closed_with(socket) == consumers.STALLED
