"""Who is looked after: only those whom a look asked for are told what it found."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection

import pytest

from pilots.ui import doorkeeper
from pilots.ui.doorkeeper import Doorkeeper, Look, Visitor

# Where an answer is looked up in a thread, its connections are tended too.
pytestmark = pytest.mark.django_db(transaction=True)


class Page:
    """Remembers what it was told."""

    def __init__(self, user: int) -> None:
        self.visitor = Visitor("session", user)
        self.told_of: list[bool] = []

    def told(self, look: Look | None) -> None:
        self.told_of.append(look is not None and self.visitor in look.codes)


async def test_who_comes_in_during_a_look_is_not_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looking, go_on = threading.Event(), threading.Event()

    def slow(visitors: Collection[Visitor]) -> Look:
        looking.set()
        assert go_on.wait(10)
        return Look(dict.fromkeys(visitors, frozenset({"es"})), {})

    monkeypatch.setattr(doorkeeper, "look", slow)
    monkeypatch.setattr(doorkeeper, "LOOK_S", 0.01)
    keeper, before, stays, newcomer = Doorkeeper(), Page(1), Page(2), Page(3)
    keeper.let_in(before)
    keeper.let_in(stays)
    assert await asyncio.to_thread(looking.wait, 10)
    keeper.let_out(before)
    keeper.let_in(newcomer)
    go_on.set()
    async with asyncio.timeout(10):
        while not newcomer.told_of:
            await asyncio.sleep(0.01)
    keeper.let_out(stays)
    keeper.let_out(newcomer)
    assert before.told_of == []
    assert all(stays.told_of) and all(newcomer.told_of)
