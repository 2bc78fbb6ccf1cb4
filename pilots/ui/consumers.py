"""Browser websockets: session, rights and Origin checked, then a snapshot and numbered frames. [operation]

A slow browser gets newest-value-wins (a fresh snapshot instead of a backlog) and is closed after ten silent seconds.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from pilots.live.frames import encode_beat, encode_snapshot
from pilots.live.hub import hub
from pilots.models import Pilot
from pilots.ui.live_state import link_rows, point_rows, recent_setpoints

BEAT_S = 2.0
#: Frames a browser may lag behind before it gets a snapshot instead.
MAX_LAG = 50
STALL_S = 10.0
RECHECK_S = 10.0
NOT_LOGGED_IN, NO_RIGHT, GOING_AWAY, STALLED = 4401, 4403, 1001, 4408


class PilotConsumer(AsyncWebsocketConsumer):
    """One browser page of one pilot."""

    async def connect(self) -> None:
        self.hub = hub(settings.REDIS_URL)
        self.pilot = ""
        self.sender: asyncio.Task[None] | None = None
        self.frames: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self.sent = self.seen = 0
        self.heard_at = self.checked_at = time.monotonic()
        self.behind = False
        await self.accept()
        code = self.scope["url_route"]["kwargs"]["code"]
        refusal = await database_sync_to_async(self._refusal)(code)
        if refusal is not None:
            await self.close(refusal)
            return
        self.pilot = code
        self.loop = asyncio.get_running_loop()
        self.sent = self.seen = self.hub.subscribe(code, self._take)
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
            self.seen = message["n"]
        elif message.get("type") == "resync":
            self.behind = True

    def _refusal(self, code: str) -> int | None:
        user = self.scope["user"]
        if not user.is_authenticated:
            return NOT_LOGGED_IN
        user.refresh_from_db()
        return None if user.visible_pilots().filter(code=code).exists() else NO_RIGHT

    def _take(self, n: int, text: str, gap: bool) -> None:
        # Called from the publisher's thread, so the frame hops to this consumer's loop.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._queue, n, text, gap)

    def _queue(self, n: int, text: str, gap: bool) -> None:
        if gap or n - self.seen > MAX_LAG:
            self.behind = True
        if not self.behind:
            self.frames.put_nowait((n, text))

    async def _send_for_ever(self) -> None:
        self.behind = True
        while True:
            if self.behind:
                await self._send_snapshot()
            try:
                async with asyncio.timeout(BEAT_S):
                    n, text = await self.frames.get()
            except TimeoutError:
                text = encode_beat(self.pilot, epoch=self.hub.epoch, n=self.sent, now=datetime.now(UTC))
                n = self.sent
            if n >= self.sent:
                await self.send(text_data=text)
                self.sent = n
            if not await self._still_welcome():
                return

    async def _send_snapshot(self) -> None:
        # The number first: whatever is published while the rows are read comes as a frame after it.
        n = self.hub.number(self.pilot)
        while not self.frames.empty():
            self.frames.get_nowait()
        self.behind = False
        rows = await database_sync_to_async(_snapshot_rows)(self.pilot)
        self.sent = self.seen = n
        await self.send(text_data=encode_snapshot(self.pilot, epoch=self.hub.epoch, n=n, now=datetime.now(UTC), **rows))

    async def _still_welcome(self) -> bool:
        now = time.monotonic()
        if self.sent > self.seen and now - self.heard_at > STALL_S:
            await self.close(STALLED)
            return False
        if now - self.checked_at > RECHECK_S:
            self.checked_at = now
            refusal = await database_sync_to_async(self._refusal)(self.pilot)
            if refusal is not None:
                await self.close(refusal)
                return False
        return True


def _snapshot_rows(code: str) -> dict[str, list[Any]]:
    pilot = Pilot.objects.get(code=code)
    return {"points": point_rows(pilot), "links": link_rows(pilot), "setpoints": recent_setpoints(pilot)}
