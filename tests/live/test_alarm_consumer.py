"""The alarm strip's websocket: whom it tells, of what, how often, and that nothing is left untold."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from pilots.alarms.occurrences import tell
from pilots.models import Pilot, RoleGrant, User
from pilots.ui import doorkeeper
from pilots.ui.consumers import NOT_LOGGED_IN
from tests.builders import make_pilot
from tests.live.conftest import opened

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """They too would tell what changed."""
    monkeypatch.setattr(doorkeeper, "LOOK_S", 60.0)


def strip(user: Any) -> AbstractAsyncContextManager[WebsocketCommunicator]:
    """An open page, whatever it shows."""
    return opened("/ws/alarms/", user)


async def heard(socket: WebsocketCommunicator) -> str:
    return str(orjson.loads(await socket.receive_from(timeout=10))["type"])


async def change(*codes: str) -> None:
    """An alarm of these pilots came or went, and is committed."""

    def commit() -> None:
        with transaction.atomic():
            tell(codes)

    await sync_to_async(commit)()


async def test_a_page_hears_of_its_own_pilots_alone(ana: User) -> None:
    await sync_to_async(make_pilot)("nl")
    async with strip(ana) as socket:
        assert await heard(socket) == "news"  # it asks once at the beginning
        await change("es")
        assert await heard(socket) == "news"
        await change("nl")
        assert await socket.receive_nothing(timeout=0.5)


async def test_a_flood_is_told_four_times_a_second_and_its_end_too(ana: User) -> None:
    moments: list[float] = []
    async with strip(ana) as socket:
        for _ in range(40):
            await change("es")
            await asyncio.sleep(0.04)
            while not socket.output_queue.empty():
                assert await heard(socket) == "news"
                moments.append(time.monotonic())
        ended = len(moments)
        assert await heard(socket) == "news"
        assert await socket.receive_nothing(timeout=1.2)
    assert ended >= 4
    # Read up to 40 ms after they were sent.
    assert all(later - earlier > 0.9 for earlier, later in zip(moments, moments[4:], strict=False))


async def test_who_is_not_logged_in_hears_nothing(pilot: Pilot) -> None:
    async with strip(AnonymousUser()) as socket:
        event = await socket.receive_output(timeout=10)
        assert (event["type"], event["code"]) == ("websocket.close", NOT_LOGGED_IN)


async def test_who_may_no_longer_see_a_pilot_hears_beats_alone(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorkeeper, "LOOK_S", 0.05)
    async with strip(ana) as socket:
        assert await heard(socket) == "news"
        await sync_to_async(RoleGrant.objects.all().delete)()
        await asyncio.sleep(0.5)
        while not socket.output_queue.empty():
            await heard(socket)
        await change("es")
        assert {await heard(socket) for _ in range(5)} == {"beat"}
