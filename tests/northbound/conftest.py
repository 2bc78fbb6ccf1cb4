"""A platform that answers as a test tells it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Scripted:
    """A platform that answers as told: `answer` gets the decoded message; `taken` are those it said 200 to."""

    answer: Callable[[dict[str, Any]], int] = lambda message: 200
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def platform(settings: Any) -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            script.asked.append((self.headers["Idempotency-Key"], body))
            message = json.loads(body)
            status = script.answer(message)
            if status == 200:
                script.taken.append(message)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    script.url = settings.PLATFORM_URL = f"http://127.0.0.1:{server.server_address[1]}/invade"
    settings.PLATFORM_TOKEN = "secret"
    yield script
    server.shutdown()
    server.server_close()
    thread.join()
