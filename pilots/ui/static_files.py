"""Our own style sheets and scripts, straight from memory: a page loads thirty of them before it is of use. [operation]

WhiteNoise serves the rest (the admin's, Plotly), a turn of a thread and of the whole chain of middleware each.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.http import parse_etags
from whitenoise.media_types import MediaTypes

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
#: The same on every system, where those of Python follow the machine's own list.
_TYPES = MediaTypes()


@dataclass(frozen=True, slots=True)
class _File:
    headers: Headers
    etag: str
    plain: bytes
    compressed: bytes


class StaticFiles:
    """Answers for files below `folders` at `STATIC_URL`; whatever else is asked for goes to `app`."""

    def __init__(self, app: App, folders: list[Path]) -> None:
        self.app = app
        self.files = {f"{settings.STATIC_URL}{name}": file for folder in folders for name, file in _read(folder)}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        file = self.files.get(scope["path"]) if scope.get("method") in ("GET", "HEAD") else None
        if file is None:
            await self.app(scope, receive, send)
            return
        asked = dict(scope["headers"])
        if file.etag in parse_etags(asked.get(b"if-none-match", b"").decode("latin-1")):
            await send({"type": "http.response.start", "status": 304, "headers": file.headers})
            await send({"type": "http.response.body"})
            return
        zipped = b"gzip" in asked.get(b"accept-encoding", b"") and len(file.compressed) < len(file.plain)
        body = file.compressed if zipped else file.plain
        headers = [*file.headers, (b"content-length", str(len(body)).encode()), *([(b"content-encoding", b"gzip")] * zipped)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _read(folder: Path) -> Iterator[tuple[str, _File]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), _file(path)


def _file(path: Path) -> _File:
    """Nothing secret stands in them, so that compression gives nothing away (BREACH)."""
    body = path.read_bytes()
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:20]}"'  # of the same file, compressed or not
    kind = _TYPES.get_type(path.name)
    headers = {
        "content-type": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
        "cache-control": f"max-age={settings.WHITENOISE_MAX_AGE}, public",
        "vary": "Accept-Encoding",
        "x-content-type-options": "nosniff",
        "access-control-allow-origin": "*",
        "etag": etag,
    }
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    return _File(told, etag, body, gzip.compress(body, 9, mtime=0))
