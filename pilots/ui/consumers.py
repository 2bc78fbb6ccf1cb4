"""Browser websockets: session, rights and Origin checked (`doorkeeper`), then a snapshot and numbered frames. [operation]

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
from pilots.live.frames import encode_beat, encode_snapshot, without_names
from pilots.live.hub import hub
from pilots.models import Pilot
from pilots.ui.doorkeeper import Look, doorkeeper, look, visitor_of
from pilots.ui.live_state import link_figure_rows, link_rows, point_rows, recent_setpoints

log = logging.getLogger(__name__)

#: Frames a browser may lag behind before it gets a snapshot instead: some seconds of them at their fastest.
MAX_LAG = 400
STALL_S = 10.0
RETRY_S = 2.0
NOT_LOGGED_IN, NO_RIGHT, GOING_AWAY, STALLED = 4401, 4403, 1001, 4408


class PilotConsumer(AsyncWebsocketConsumer):
    """One browser page of one pilot."""

    drawn: int | None = None  # revision of the configuration that the page knows
    for_kiosks = True
    is_kiosk = False

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
        self.heard_at = time.monotonic()
        self.behind = self.beat = self.unsure = False
        self.code, self.visitor = self.scope["url_route"]["kwargs"]["code"], visitor_of(self.scope)
        await self.accept()
        self.refusal = self._refusal(await database_sync_to_async(look)([self.visitor]))
        if self.refusal is not None:
            await self.close(self.refusal)
            return
        self.is_kiosk = self.scope["user"].is_kiosk
        self.pilot, self.loop = self.topic(self.code), asyncio.get_running_loop()
        self.sent = self.seen = self.hub.subscribe(self.pilot, self._take, self.loop)
        self.sender = asyncio.create_task(self._send_for_ever(), name=f"live {self.code}")
        doorkeeper().let_in(self)

    async def disconnect(self, code: int) -> None:
        doorkeeper().let_out(self)
        if self.pilot:
            self.hub.unsubscribe(self.pilot, self._take, self.loop)
        if self.sender is not None and self.sender is not asyncio.current_task():
            self.sender.cancel()
            with suppress(asyncio.CancelledError):
                await self.sender

    async def dispatch(self, message: dict[str, Any]) -> None:
        # What a page says touches no database: without the hop into a thread that Channels makes before each message.
        if message["type"] == "websocket.receive":
            await self.websocket_receive(message)
        else:
            await super().dispatch(message)

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

    def told(self, look: Look | None) -> None:
        """What the doorkeeper has seen; whoever looks at an open page sees what an engineer changed on the picture."""
        self.unsure, self.beat = look is None, look is not None
        if look is None:
            self.behind = True
        else:
            self.refusal = self._refusal(look)
            if self.drawn is not None and look.revisions.get(self.code) != self.drawn:
                self.behind, self.seen = True, self.sent
        self.news.set()

    def _refusal(self, look: Look) -> int | None:
        codes = look.codes.get(self.visitor)
        if codes is None:
            return NOT_LOGGED_IN
        return None if self.code in codes and (self.for_kiosks or not self.scope["user"].is_kiosk) else NO_RIGHT

    def _take(self, n: int, text: str, gap: bool) -> None:
        if gap or n - self.seen > MAX_LAG:
            self.behind = True
        if self.behind:
            self.frames.clear()
        else:
            self.frames.append((n, text))
        self.news.set()

    async def _send_for_ever(self) -> None:
        self.behind = True
        self.news.set()
        while True:
            await self.news.wait()
            self.news.clear()
            if (ending := self._ending()) is not None:
                await self.close(ending)
                return
            try:
                if self.behind and not self.unsure and self.seen >= self.sent:
                    await self._send_snapshot()
                await self._send_news()
            except DatabaseError as error:
                # The page notices the silence and covers itself; it is served again once the database is back.
                log.warning("live %s waits for the database: %s", self.pilot, error)
                self.behind = True
                await asyncio.sleep(RETRY_S)

    def _ending(self) -> int | None:
        """Why the page is closed, if it is."""
        if self.sent > self.seen and time.monotonic() - self.heard_at > STALL_S:
            return STALLED
        return self.refusal

    async def _send_news(self) -> None:
        """Everything new, or a beat when there was nothing new for a while."""
        if self.beat and not self.frames:
            await self.send(text_data=encode_beat(self.pilot, epoch=self.hub.epoch, n=self.sent, now=datetime.now(UTC)))
        self.beat = False
        while self.frames and not self.behind:
            n, text = self.frames.popleft()
            # What the snapshot held already comes once more from the publisher's thread.
            if n > self.sent:
                self.sent = n
                await self._show(text)

    async def _send_snapshot(self) -> None:
        # The number first: whatever is published while the rows are read comes as a frame after it.
        n = self.hub.number(self.pilot)
        self.frames.clear()
        self.behind = self.beat = False
        rows = await database_sync_to_async(self.snapshot_rows)(self.code)
        self.sent = self.seen = n
        await self._show(encode_snapshot(self.pilot, epoch=self.hub.epoch, n=n, now=datetime.now(UTC), **rows))

    async def _show(self, text: str) -> None:
        # Most of what an open page costs: straight to the server (asgi.py), without the methods that would hand it on.
        send = self.scope.get("server_send", self.base_send)
        await send({"type": "websocket.send", "text": without_names(text) if self.is_kiosk else text})


class LinkConsumer(PilotConsumer):
    """One page of a pilot's links: their figures, anew every two seconds."""

    for_kiosks = False

    def topic(self, code: str) -> str:
        return figures_topic(code)

    def snapshot_rows(self, code: str) -> dict[str, Any]:
        return {"points": [], "links": link_figure_rows(Pilot.objects.get(code=code)), "setpoints": []}
