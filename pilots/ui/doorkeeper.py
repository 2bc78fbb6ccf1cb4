"""Whether each open page may stay open: asked for all websockets of a process together. [operation]

Sessions, accounts, rights and drawings of five hundred pages cost five statements a look, as those of one. Each look is the
pages' beat too: while the database does not answer they fall silent, and cover themselves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from django.contrib.sessions.models import Session
from django.db import Error
from django.utils import timezone

from pilots.models import Pilot, User
from pilots.models.access import visible_codes

log = logging.getLogger(__name__)
LOOK_S = 2.0


class Visitor(NamedTuple):
    """Who has a page open; without a key of a session it is not asked for, without a user nobody is logged in."""

    session: str | None
    user: int | None


class Look(NamedTuple):
    """What one look found: the pilots whom each visitor may see, absent when not logged in; each pilot's revision."""

    codes: Mapping[Visitor, frozenset[str]]
    revisions: Mapping[str, int]


class Page(Protocol):
    """An open websocket."""

    visitor: Visitor

    def told(self, look: Look | None) -> None:
        """The newest look; None: the database does not answer."""


def visitor_of(scope: Mapping[str, Any]) -> Visitor:
    """Whom the websocket's scope is of."""
    user, session = scope["user"], scope.get("session")
    return Visitor(None if session is None else session.session_key, user.pk)


def look(visitors: Collection[Visitor]) -> Look:
    """How it is now."""
    keys = {visitor.session for visitor in visitors if visitor.session}
    alive = (
        set(Session.objects.filter(pk__in=keys, expire_date__gt=timezone.now()).values_list("pk", flat=True)) if keys else set()
    )
    users = User.objects.filter(pk__in={visitor.user for visitor in visitors if visitor.user}, is_active=True)
    users = users.exclude(kiosk__ends_at__lte=timezone.now())
    revisions = dict(Pilot.objects.values_list("code", "revision"))
    codes = visible_codes(users, revisions)
    welcome = [each for each in visitors if each.user in codes and (not each.session or each.session in alive)]
    return Look({each: codes[each.user or 0] for each in welcome}, revisions)


class Doorkeeper:
    """Looks every two seconds while pages of its loop are open."""

    def __init__(self) -> None:
        self._pages: set[Page] = set()
        self._rounds: asyncio.Task[None] | None = None

    def let_in(self, page: Page) -> None:
        """The page is told of every look from now on."""
        self._pages.add(page)
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._go_round(), name="doorkeeper")

    def let_out(self, page: Page) -> None:
        """The page is told nothing any more."""
        self._pages.discard(page)

    async def _go_round(self) -> None:
        lasted_s = 0.0
        while self._pages:
            await asyncio.sleep(max(0.0, LOOK_S - lasted_s))
            began = time.monotonic()
            # Who comes in meanwhile was not asked for: to be absent would mean to be logged out.
            asked = tuple(self._pages)
            found = await self._look({page.visitor for page in asked})
            for page in asked:
                if page in self._pages:
                    page.told(found)
            lasted_s = time.monotonic() - began

    async def _look(self, visitors: Collection[Visitor]) -> Look | None:
        try:
            found: Look = await database_sync_to_async(look)(visitors)
        except Error as error:
            log.warning("open pages wait for the database: %s", error)
            return None
        except Exception:  # the outermost loop of all open pages: silent pages cover themselves, and are looked after again
            log.exception("doorkeeper")
            return None
        return found


_doorkeepers: WeakKeyDictionary[asyncio.AbstractEventLoop, Doorkeeper] = WeakKeyDictionary()


def doorkeeper() -> Doorkeeper:
    """That of the running loop."""
    return _doorkeepers.setdefault(asyncio.get_running_loop(), Doorkeeper())
