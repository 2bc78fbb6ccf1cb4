"""User data that wait for their turn on a line: each leaves once, or never. [zone: field]"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from pilots.domain.errors import FieldError, LinkDown, NotSent


class Outgoing:
    """One ASDU under way; `taken` is set while it may be on the line."""

    def __init__(self, asdu: bytes) -> None:
        self.asdu = asdu
        self.taken = False
        self.confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def confirm(self) -> None:
        """The station's link layer has it."""
        if not self.confirmed.done():
            self.confirmed.set_result(None)

    def fail(self, error: FieldError) -> None:
        if not self.confirmed.done():
            self.confirmed.set_exception(error)


class Queue:
    """What waits for one station, oldest first."""

    def __init__(self, station: str, patience_s: float) -> None:
        self._station, self._patience_s = station, patience_s
        self._waiting: deque[Outgoing] = deque()

    def __bool__(self) -> bool:
        while self._waiting and self._waiting[0].confirmed.done():  # given up by who asked
            self._waiting.popleft()
        return bool(self._waiting)

    async def pass_on(self, asdu: bytes, before: float | None, wake: Callable[[], None]) -> None:
        """The station's link layer confirmed it; `wake` is called once it waits. Cancelled while it waits, it never leaves.

        Raises NotSent or LinkDown (never left), AnswerTimeout (outcome unknown), DeviceRefused.
        """
        loop = asyncio.get_running_loop()
        if before is not None and before <= loop.time():
            raise NotSent
        item = Outgoing(asdu)
        self._waiting.append(item)
        limits = [loop.call_later(self._patience_s, self._expire, item, LinkDown(f"{self._station} takes no data just now"))]
        if before is not None:
            limits.append(loop.call_at(before, self._expire, item, NotSent()))
        wake()
        try:
            await item.confirmed
        finally:
            for limit in limits:
                limit.cancel()

    def take(self) -> Outgoing:
        """The oldest, about to leave."""
        item = self._waiting.popleft()
        item.taken = True
        return item

    def put_back(self, item: Outgoing) -> None:
        """It was refused by the link layer: the station does not have it."""
        item.taken = False
        self._waiting.appendleft(item)

    def fail(self, error: FieldError) -> None:
        """Nothing of it will leave."""
        while self._waiting:
            self._waiting.popleft().fail(error)

    @staticmethod
    def _expire(item: Outgoing, error: FieldError) -> None:
        if not item.taken:
            item.fail(error)
