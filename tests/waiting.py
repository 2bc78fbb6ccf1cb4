"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(look: Callable[[], Found], *, within_s: float = 15.0) -> Found:
    """The first true answer of `look`. Raises AssertionError when none comes in time."""
    end = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"nothing within {within_s} s"
        time.sleep(0.02)
