"""JSON lines that a simulator leaves behind: what it obeyed, what it accepted. [zone: none, demo and tests]"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

WRITES = "writes.jsonl"
PLATFORM = "platform.jsonl"
PLATFORM_EVENTS = "platform_events.jsonl"


class Ledger:
    """One file of one JSON object a line, each on the disk before `write` returns. `path` None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **entry: Any) -> None:
        """The entry with its time `t` is safe against kill -9."""
        if self.path is None:
            return
        line = json.dumps({"t": stamp(datetime.now(UTC)), **entry}, separators=(",", ":")) + "\n"
        # One write call per line: several processes and threads may append to one file.
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())
            os.fsync(file)
        finally:
            os.close(file)

    def entries(self) -> list[dict[str, Any]]:
        """Everything written so far, oldest first; a line cut off by a crash is left out."""
        if self.path is None or not self.path.exists():
            return []
        found = []
        for line in self.path.read_bytes().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found


def stamp(moment: datetime) -> str:
    """RFC 3339 UTC with milliseconds and Z.

    >>> stamp(datetime(2024, 5, 1, 10, 0, 3, 120000, tzinfo=UTC))
    '2024-05-01T10:00:03.120Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
