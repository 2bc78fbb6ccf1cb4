"""The keys and tokens of the simulated peers, written by whoever set the demo up. [zone: none, demo]"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SECRETS_FILE = "simulator_secrets.json"


class PeerSecrets:
    """`simulator_secrets.json`, read again whenever it changes: peers may be running before it exists."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / SECRETS_FILE
        self._read_at: tuple[int, int] | None = None
        self._content: dict[str, Any] = {}

    def token(self, pusher: str) -> str | None:
        """The bearer token of a pusher."""
        return self._named("tokens", pusher)

    def charge_point_key(self, identity: str) -> str | None:
        return self._named("charge_points", identity)

    def platform(self, use: str) -> str | None:
        """`push`: the bearer the platform expects; `control`: the one it uses at our API."""
        value = self._load().get(f"platform_{use}")
        return str(value) if value else None

    def _named(self, section: str, name: str) -> str | None:
        value = self._load().get(section, {}).get(name)
        return str(value) if value else None

    def _load(self) -> dict[str, Any]:
        try:
            status = self._path.stat()
            if self._read_at != (status.st_mtime_ns, status.st_size):
                self._content = json.loads(self._path.read_text())
                self._read_at = (status.st_mtime_ns, status.st_size)
        except (FileNotFoundError, ValueError):
            # Not there yet, or being written just now: what was known stays.
            pass
        return self._content
