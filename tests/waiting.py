"""Waiting for what another thread or process does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Found = TypeVar("Found")


def until(look: Callable[[], Found], *, within_s: float = 30.0) -> Found:
    """The first true answer of `look`. Raises AssertionError when none comes in time."""
    end = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"nothing within {within_s} s"
        time.sleep(0.02)


async def turns() -> None:
    """The loop has seen what was closed just now, and who was accepted just now has his task."""
    for _ in range(10):
        await asyncio.sleep(0)


async def close_server(server: asyncio.Server) -> None:
    """Nobody is accepted any more, and whoever was has his transport before the server closes.

    asyncio's own `close` leaves behind the socket of one that was accepted in the same turn of the loop.
    """
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening)
    await turns()
    server.close()
    await turns()


class Stalls:
    """When the machine let nothing of this process run: what a limit of the product's own time is not about."""

    #: The watch wakes so often; being late by less is a busy day.
    EVERY_S, USUAL_S = 0.02, 0.05

    def __init__(self) -> None:
        #: From and to, by the monotonic clock.
        self.spans: list[tuple[float, float]] = []
        self._ended = threading.Event()

    @property
    def seconds(self) -> float:
        """All of them together."""
        return sum(end - begin for begin, end in self.spans)

    def between(self, begin: float, end: float) -> bool:
        """Whether it stood still for a while in this time (monotonic clock)."""
        return any(stood < end and went_on > begin for stood, went_on in self.spans)

    def watch(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(self.EVERY_S):
            now = time.monotonic()
            if now - before > self.EVERY_S + self.USUAL_S:
                self.spans.append((before + self.EVERY_S, now))
            before = now

    def end(self) -> None:
        self._ended.set()


@contextmanager
def stalls() -> Iterator[Stalls]:
    """Watches while the block runs."""
    watched = Stalls()
    thread = threading.Thread(target=watched.watch, name="stalls", daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        watched.end()
        thread.join()


class Took:
    """How long a block took, by the wall (`seconds`) and without what the machine stood still (`own_s`)."""

    seconds = own_s = 0.0


@contextmanager
def timed() -> Iterator[Took]:
    """Filled in when the block ends."""
    took, began = Took(), time.monotonic()
    with stalls() as machine:
        yield took
    took.seconds = time.monotonic() - began
    took.own_s = took.seconds - machine.seconds
