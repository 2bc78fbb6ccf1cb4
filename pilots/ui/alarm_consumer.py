"""The websocket of the alarm strip: says that alarms of the reader's pilots changed, never which; the page asks anew. [operation]

At most four times a second, whatever flood there is; a beat when nothing changed, so that a page knows it is heard.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from pilots.alarms.occurrences import alarms_topic
from pilots.live.frames import milliseconds
from pilots.live.hub import hub
from pilots.models import User
from pilots.ui.consumers import BEAT_S, NOT_LOGGED_IN, RECHECK_S

REST_S = 0.25


class AlarmConsumer(AsyncWebsocketConsumer):
    """One browser page, whatever it shows."""

    async def connect(self) -> None:
        self.hub = hub(settings.REDIS_URL)
        self.codes: frozenset[str] = frozenset()
        self.sender: asyncio.Task[None] | None = None
        self.news = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        await self.accept()
        if not await self._follow():
            await self.close(NOT_LOGGED_IN)
            return
        self.sender = asyncio.create_task(self._send_for_ever(), name="alarm strip")

    async def disconnect(self, code: int) -> None:
        self._subscribe(frozenset())
        if self.sender is not None and self.sender is not asyncio.current_task():
            self.sender.cancel()
            with suppress(asyncio.CancelledError):
                await self.sender

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Pages have nothing to say here."""

    async def _follow(self) -> bool:
        """Subscribed to the pilots that this person may see now; False when the session is over."""
        codes = await database_sync_to_async(self._visible)()
        if codes is None:
            return False
        self._subscribe(codes)
        return True

    def _visible(self) -> frozenset[str] | None:
        user, session = self.scope["user"], self.scope.get("session")
        if not user.is_authenticated or (session is not None and session.session_key and not session.exists(session.session_key)):
            return None
        known = User.objects.filter(pk=user.pk, is_active=True).first()
        return None if known is None else frozenset(known.visible_pilots().values_list("code", flat=True))

    def _subscribe(self, codes: frozenset[str]) -> None:
        for code in self.codes - codes:
            self.hub.unsubscribe(alarms_topic(code), self._take)
        for code in codes - self.codes:
            self.hub.subscribe(alarms_topic(code), self._take)
        self.codes = codes

    def _take(self, n: int, text: str, gap: bool) -> None:
        # Called from the publisher's thread, so the news hops to this consumer's loop.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.news.set)

    async def _send_for_ever(self) -> None:
        await self._say("news")
        checked = self.loop.time()
        while True:
            try:
                async with asyncio.timeout(BEAT_S):
                    await self.news.wait()
                self.news.clear()
                await self._say("news")
                await asyncio.sleep(REST_S)
            except TimeoutError:
                await self._say("beat")
            if self.loop.time() - checked > RECHECK_S:
                checked = self.loop.time()
                if not await self._follow():
                    await self.close(NOT_LOGGED_IN)
                    return

    async def _say(self, what: str) -> None:
        body = {"type": what, "now_ms": milliseconds(datetime.now(UTC))}
        await self.send(text_data=orjson.dumps(body).decode())
