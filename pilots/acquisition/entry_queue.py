"""What waits for the writer, oldest first. [station]"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import islice

from pilots.acquisition.batch import Entry


class EntryQueue:
    """Entries of every sender; whoever calls holds the lock of the queue's owner."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._looked_at = 0
        #: Values, not entries.
        self.size = 0
        #: Whether something of it waits for no window.
        self.urgent = False

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self.size += entry.size
        self.urgent |= entry.urgent

    def unseen(self) -> list[Entry]:
        """What was added since the last call and is still there."""
        found = list(islice(self._entries, self._looked_at, None))
        self._looked_at = len(self._entries)
        return found

    def hurry(self, devices: Collection[str]) -> None:
        """What these devices told waits no longer."""
        for entry in self._entries:
            entry.urgent |= entry.device in devices
        self.urgent = any(entry.urgent for entry in self._entries)

    def take(self, bound: int) -> list[Entry]:
        """The oldest, about so many values."""
        taken, size = [], 0
        while self._entries and size < bound:
            taken.append(self._entries.popleft())
            size += taken[-1].size
        self._gone(len(taken), size)
        return taken

    def take_urgent(self) -> list[Entry]:
        """All of the devices of which something is urgent, in its order: no value overtakes another of its device."""
        devices = {entry.device for entry in self._entries if entry.urgent}
        taken, left, seen = [], deque[Entry](), 0
        for place, entry in enumerate(self._entries):
            if entry.device in devices:
                taken.append(entry)
                seen += place < self._looked_at
            else:
                left.append(entry)
        self._entries = left
        self._gone(seen, sum(entry.size for entry in taken))
        return taken

    def _gone(self, seen: int, size: int) -> None:
        self.size -= size
        self._looked_at = max(0, self._looked_at - seen)
        self.urgent = any(entry.urgent for entry in self._entries)
