"""The websocket of the alarm strip: says that alarms of the reader's pilots changed, never which; the page asks anew. [operation]

At most four times a second, whatever flood there is; a beat when nothing changed, so that a page knows it is heard.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime

import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from pilots.alarms.occurrences import alarms_topic
from pilots.live.frames import milliseconds
from pilots.live.hub import hub
from pilots.ui.consumers import NOT_LOGGED_IN
from pilots.ui.doorkeeper import Look, doorkeeper, look, visitor_of

#: So many news go out as they come, the next when the first of them is a second old.
A_SECOND = 4


class AlarmConsumer(AsyncWebsocketConsumer):
    """One browser page, whatever it shows."""

    async def connect(self) -> None:
        self.hub = hub(settings.REDIS_URL)
        self.codes: frozenset[str] = frozenset()
        self.sender: asyncio.Task[None] | None = None
        self.news, self.changed, self.refused = asyncio.Event(), True, False
        self.loop, self.visitor = asyncio.get_running_loop(), visitor_of(self.scope)
        await self.accept()
        codes = (await database_sync_to_async(look)([self.visitor])).codes.get(self.visitor)
        if codes is None:
            await self.close(NOT_LOGGED_IN)
            return
        self._subscribe(codes)
        self.sender = asyncio.create_task(self._send_for_ever(), name="alarm strip")
        doorkeeper().let_in(self)

    async def disconnect(self, code: int) -> None:
        doorkeeper().let_out(self)
        self._subscribe(frozenset())
        if self.sender is not None and self.sender is not asyncio.current_task():
            self.sender.cancel()
            with suppress(asyncio.CancelledError):
                await self.sender

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Pages have nothing to say here."""

    def told(self, look: Look | None) -> None:
        """Followed are the pilots that this person may see now; a silent page covers itself."""
        if look is None:
            return
        codes = look.codes.get(self.visitor)
        self.refused = codes is None
        self._subscribe(codes or frozenset())
        self.news.set()

    def _subscribe(self, codes: frozenset[str]) -> None:
        for code in self.codes - codes:
            self.hub.unsubscribe(alarms_topic(code), self._take, self.loop)
        for code in codes - self.codes:
            self.hub.subscribe(alarms_topic(code), self._take, self.loop)
        self.codes = codes

    def _take(self, n: int, text: str, gap: bool) -> None:
        self.changed = True
        self.news.set()

    async def _send_for_ever(self) -> None:
        told: deque[float] = deque([0.0] * A_SECOND, maxlen=A_SECOND)
        while not self.refused:
            changed, self.changed = self.changed, False
            await self._say("news" if changed else "beat")
            if changed:
                told.append(time.monotonic())
                await asyncio.sleep(told[0] + 1.0 - time.monotonic())
            await self.news.wait()
            self.news.clear()
        await self.close(NOT_LOGGED_IN)

    async def _say(self, what: str) -> None:
        body = {"type": what, "now_ms": milliseconds(datetime.now(UTC))}
        await self.send(text_data=orjson.dumps(body).decode())
