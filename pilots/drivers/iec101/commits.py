"""Received ASDUs on their way into the sink: committed in order, one commit at a time. [zone: field]

What a link acknowledges depends on it: IEC 60870-5-2:1992, 4.2: a secondary keeps a frame until the FCB of the next
request has changed, so a request whose data are not committed must not be followed by another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from pilots.domain.errors import LinkDown

logger = logging.getLogger(__name__)
Item = TypeVar("Item")

CLOSE_PATIENCE_S = 1.0


class Commits(Generic[Item]):
    """Hands items to `commit`, all that came during a commit together next; `on_failed` ends the link, once."""

    def __init__(self, commit: Callable[[list[Item]], Awaitable[None]], on_failed: Callable[[LinkDown], None]) -> None:
        self._commit, self._on_failed = commit, on_failed
        self._waiting: list[tuple[Item, Callable[[], None]]] = []
        self._arrived = asyncio.Event()
        self._ended = False
        self._task = asyncio.get_running_loop().create_task(self._run(), name="iec101 commits")

    def put(self, item: Item, committed: Callable[[], None]) -> None:
        """`committed()` is called once the item is stored."""
        self._waiting.append((item, committed))
        self._arrived.set()

    async def end(self) -> None:
        """What came in is stored, or given up after a moment. Never raises; twice is once."""
        self._ended = True
        self._arrived.set()
        await asyncio.wait((self._task,), timeout=CLOSE_PATIENCE_S)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=CLOSE_PATIENCE_S)

    async def _run(self) -> None:
        """Outermost loop of the receiving side."""
        while not (self._ended and not self._waiting):
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            if not batch:
                continue
            try:
                await self._commit([item for item, _ in batch])
            except asyncio.CancelledError:
                self._on_failed(LinkDown("storing the received values was given up"))
                raise
            except Exception as error:
                logger.exception("received ASDUs could not be stored, the link is closed without acknowledging them")
                self._on_failed(LinkDown(f"received values could not be stored: {error}"))
                return
            for _, committed in batch:
                committed()
