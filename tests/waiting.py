"""Waiting for what another thread or process does."""

from __future__ import annotations

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


class Stalls:
    """Seconds in which the machine let nothing of this process run: what a limit of the product's own time is not about."""

    #: The watch wakes so often; being late by less is a busy day.
    EVERY_S, USUAL_S = 0.02, 0.05

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ended = threading.Event()

    def watch(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(self.EVERY_S):
            now = time.monotonic()
            late_s = now - before - self.EVERY_S
            self.seconds += late_s if late_s > self.USUAL_S else 0.0
            before = now

    def end(self) -> None:
        self._ended.set()


@contextmanager
def stalls() -> Iterator[Stalls]:
    """Counts while the block runs."""
    watched = Stalls()
    thread = threading.Thread(target=watched.watch, name="stalls", daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        watched.end()
        thread.join()
