"""Nothing leaves this process on the authority of a lease that has run out while it slept. [station]

A stopped process (SIGSTOP, a suspended machine) wakes with its sockets open and its timers due; another worker has its
connections by then. The first thing its loop does is ask the selector what happened: that is where it is caught.
"""

from __future__ import annotations

import os
import selectors
import socket
import stat
import time
from collections.abc import Callable


class LapsingSelector(selectors.DefaultSelector):
    """Shuts every network socket of the loop when `lapses_at` (monotonic seconds) has passed, before anything can be sent.

    The loop's connections end as if the network had cut them; `on_lapse` is called once for each lapse.
    """

    def __init__(self, on_lapse: Callable[[], object]) -> None:
        super().__init__()
        self.lapses_at = float("inf")
        self._on_lapse = on_lapse

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(timeout)
        if time.monotonic() >= self.lapses_at:
            self.lapses_at = float("inf")
            for key in list(self.get_map().values()):
                shut(key.fd)
            self._on_lapse()
        return events


def shut(descriptor: int) -> None:
    """What stands on this descriptor, if it is a network socket, sends and receives nothing any more."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return
    with socket.socket(fileno=os.dup(descriptor)) as alias:
        if alias.family in (socket.AF_INET, socket.AF_INET6):
            try:
                alias.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # not connected: it has nothing to say
