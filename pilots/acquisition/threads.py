"""Threads in which the gateway's loop lets blocking database calls run. [station]

A pool of their own: the loop's default one also looks up host names, and a dead name server must not keep leases from being
renewed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from channels.db import database_sync_to_async

Found = TypeVar("Found")
THREADS = 6


class DatabaseThreads:
    """Runs blocking work beside the loop; each call gives a broken or aged database connection back."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway-db")

    async def run(self, work: Callable[..., Found], *arguments: Any, **named: Any) -> Found:
        """What `work` returns or raises."""
        found: Found = await database_sync_to_async(work, thread_sensitive=False, executor=self._executor)(*arguments, **named)
        return found

    def close(self) -> None:
        """No more work is taken; what runs has ended."""
        self._executor.shutdown()
