"""Just enough HTTP/1.1 for a simulated web service: one coroutine answers each request. [zone: none, demo]"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

LARGEST_BODY = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request with header names in lower case and its body unpacked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = tuple[int, Mapping[str, Any]]


class SmallHttpServer:
    """Serves JSON answers of `answer` on one port; connections are kept open."""

    def __init__(self, answer: Callable[[HttpRequest], Awaitable[Answer]]) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, host: str, port: int) -> int:
        """The port it listens on (the asked one unless that was 0)."""
        self._server = await asyncio.start_server(self._serve, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while (request := await _read(reader)) is not None:
                status, content = await self._answer(request)
                writer.write(_response(status, content))
                await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._writers.discard(writer)
            with suppress(OSError):
                writer.close()


async def _read(reader: asyncio.StreamReader) -> HttpRequest | None:
    """The next request; None at the end. Raises ValueError or OSError for what is no request."""
    line = await reader.readline()
    if not line:
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := await reader.readline()) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", 0))
    if not 0 <= length <= LARGEST_BODY:
        raise ValueError("body too large")
    body = await reader.readexactly(length) if length else b""
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return HttpRequest(method, path, headers, body)


def _response(status: int, content: Mapping[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    kind = "application/json" if status < 400 else "application/problem+json"
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
