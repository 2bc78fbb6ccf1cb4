"""Browser websockets: session, rights and Origin checked, then a snapshot and numbered frames. [operation]

A slow browser gets newest-value-wins: once it lags it hears only beats until it has caught up, then one fresh snapshot;
after ten silent seconds it is closed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError

from pilots.acquisition.link_states import figures_topic
from pilots.acquisition.supply import supply_rows
from pilots.control.guards import guard_state
from pilots.live.frames import encode_beat, encode_snapshot
from pilots.live.hub import hub
from pilots.models import Pilot, User
from pilots.ui.live_state import link_figure_rows, link_rows, point_rows, recent_setpoints

log = logging.getLogger(__name__)

BEAT_S = 2.0
#: Frames a browser may lag behind before it gets a snapshot instead: some seconds of them at their fastest.
MAX_LAG = 400
STALL_S = 10.0
RECHECK_S = 10.0
NOT_LOGGED_IN, NO_RIGHT, GOING_AWAY, STALLED = 4401, 4403, 1001, 4408


class PilotConsumer(AsyncWebsocketConsumer):
    """One browser page of one pilot."""

    drawn: int | None = None  # revision of the configuration that the page knows

    def topic(self, code: str) -> str:
        """The hub's channel of this page."""
        return code

    def snapshot_rows(self, code: str) -> dict[str, Any]:
        """What a page needs to start, as `encode_snapshot` wants it."""
        pilot, now = Pilot.objects.get(code=code), datetime.now(UTC)
        rows: dict[str, Any] = {"points": point_rows(pilot), "links": link_rows(pilot), "setpoints": recent_setpoints(pilot, now)}
        self.drawn = pilot.revision
        return rows | {"guards": guard_state(pilot, now), "supply": supply_rows(code, now), "drawing": pilot.revision}

    async def connect(self) -> None:
        self.hub = hub(settings.REDIS_URL)
        self.pilot = ""
        self.sender: asyncio.Task[None] | None = None
        self.frames: deque[tuple[int, str]] = deque()
        self.news = asyncio.Event()
        self.sent = self.seen = 0
        self.heard_at = self.checked_at = time.monotonic()
        self.behind = False
        await self.accept()
        code = self.scope["url_route"]["kwargs"]["code"]
        refusal = await database_sync_to_async(self._refusal)(code)
        if refusal is not None:
            await self.close(refusal)
            return
        self.code, self.pilot = code, self.topic(code)
        self.loop = asyncio.get_running_loop()
        self.sent = self.seen = self.hub.subscribe(self.pilot, self._take)
        self.sender = asyncio.create_task(self._send_for_ever(), name=f"live {code}")

    async def disconnect(self, code: int) -> None:
        if self.pilot:
            self.hub.unsubscribe(self.pilot, self._take)
        if self.sender is not None and self.sender is not asyncio.current_task():
            self.sender.cancel()
            with suppress(asyncio.CancelledError):
                await self.sender

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            message = orjson.loads(text_data or "")
        except orjson.JSONDecodeError:
            return
        if not isinstance(message, dict):
            return
        self.heard_at = time.monotonic()
        if message.get("type") == "seen" and isinstance(message.get("n"), int):
            self.seen = min(message["n"], self.sent)
        elif message.get("type") == "resync":
            # It has read everything up to here, or it could not have asked.
            self.behind, self.seen = True, self.sent
        self.news.set()

    def _refusal(self, code: str) -> int | None:
        user = self.scope["user"]
        if not user.is_authenticated or not self._session_lives():
            return NOT_LOGGED_IN
        try:
            user.refresh_from_db()
        except User.DoesNotExist:
            return NOT_LOGGED_IN
        if not user.is_active:
            return NOT_LOGGED_IN
        return None if user.visible_pilots().filter(code=code).exists() else NO_RIGHT

    def _session_lives(self) -> bool:
        session = self.scope.get("session")
        key = None if session is None else session.session_key
        return key is None or session.exists(key)

    def _take(self, n: int, text: str, gap: bool) -> None:
        # Called from the publisher's thread, so the frame hops to this consumer's loop.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._queue, n, text, gap)

    def _queue(self, n: int, text: str, gap: bool) -> None:
        if gap or n - self.seen > MAX_LAG:
            self.behind = True
        if self.behind:
            self.frames.clear()
        else:
            self.frames.append((n, text))
        self.news.set()

    async def _send_for_ever(self) -> None:
        self.behind = True
        while True:
            try:
                if not await self._still_welcome():
                    return
                await self._send_news()
            except DatabaseError as error:
                # The page notices the silence and covers itself; it is served again once the database is back.
                log.warning("live %s waits for the database: %s", self.pilot, error)
                self.behind = True
                await asyncio.sleep(BEAT_S)

    async def _send_news(self) -> None:
        """Everything new, or a beat when there is nothing new for a while."""
        if self.behind and self.seen >= self.sent:
            await self._send_snapshot()
        try:
            async with asyncio.timeout(BEAT_S):
                await self.news.wait()
        except TimeoutError:
            await self.send(text_data=encode_beat(self.pilot, epoch=self.hub.epoch, n=self.sent, now=datetime.now(UTC)))
        self.news.clear()
        while self.frames and not self.behind:
            n, text = self.frames.popleft()
            # What the snapshot held already comes once more from the publisher's thread.
            if n > self.sent:
                self.sent = n
                await self.send(text_data=text)

    async def _send_snapshot(self) -> None:
        # The number first: whatever is published while the rows are read comes as a frame after it.
        n = self.hub.number(self.pilot)
        self.frames.clear()
        self.behind = False
        rows = await database_sync_to_async(self.snapshot_rows)(self.code)
        self.sent = self.seen = n
        await self.send(text_data=encode_snapshot(self.pilot, epoch=self.hub.epoch, n=n, now=datetime.now(UTC), **rows))

    async def _still_welcome(self) -> bool:
        now = time.monotonic()
        if self.sent > self.seen and now - self.heard_at > STALL_S:
            await self.close(STALLED)
            return False
        if now - self.checked_at > RECHECK_S:
            refusal = await database_sync_to_async(self._refusal)(self.code)
            self.checked_at = now
            if refusal is not None:
                await self.close(refusal)
                return False
            # Whoever looks at an open page sees what an engineer changed: points, links and the picture.
            if self.drawn is not None and await database_sync_to_async(_revision)(self.code) != self.drawn:
                self.behind, self.seen = True, self.sent
        return True


def _revision(code: str) -> int | None:
    """Of the pilot's configuration; None when it is gone."""
    return Pilot.objects.filter(code=code).values_list("revision", flat=True).first()


class LinkConsumer(PilotConsumer):
    """One page of a pilot's links: their figures, anew every two seconds."""

    def topic(self, code: str) -> str:
        return figures_topic(code)

    def snapshot_rows(self, code: str) -> dict[str, Any]:
        return {"points": [], "links": link_figure_rows(Pilot.objects.get(code=code)), "setpoints": []}
