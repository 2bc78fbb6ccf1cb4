"""The simulation's control endpoint: HTTP on the loopback, for who can read the token file. [zone: none, demo]

GET /faults, POST /faults, DELETE /faults (all) and /faults/<id>; GET /connections, PUT /connections/<name> {"media": true}.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pilots.simulators.control_client import CONTROL_FILE
from pilots.simulators.desk import Desk
from pilots.simulators.faults import FaultRefused
from pilots.simulators.small_http import Answer, HttpRequest, SmallHttpServer

HOST = "127.0.0.1"


class ControlEndpoint:
    """Serves `desk`; port and token stand in the data folder, readable by its owner only, while it runs."""

    def __init__(self, desk: Desk, data_dir: Path) -> None:
        self.desk = desk
        self._path = data_dir / CONTROL_FILE
        self._token = secrets.token_urlsafe(32)
        self._server = SmallHttpServer(self._answer)

    async def start(self) -> None:
        self._publish(await self._server.start(HOST, 0))

    def _publish(self, port: int) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"port": port, "token": self._token}, file)
        os.replace(draft, self._path)

    async def stop(self) -> None:
        """Nobody finds it any more; a file that another simulation has written since stays."""
        with contextlib.suppress(OSError, ValueError):
            if json.loads(self._path.read_text())["token"] == self._token:
                self._path.unlink()
        await self._server.stop()

    async def _answer(self, request: HttpRequest) -> Answer:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return 401, {"detail": "the token is missing or wrong"}
        _, head, *rest = request.path.split("?")[0].split("/", 2)
        name = unquote(rest[0]) if rest else ""
        try:
            return self._do(f"{request.method} {head}", name, _body(request))
        except FaultRefused as refusal:
            return 400, {"detail": str(refusal)}
        except KeyError:
            return 404, {"detail": f"there is no {name or request.path}"}

    def _do(self, what: str, name: str, form: dict[str, Any]) -> Answer:
        """Raises FaultRefused and KeyError."""
        desk = self.desk
        if what == "GET connections":
            return 200, {"connections": desk.connections()}
        if what == "PUT connections":
            desk.set_media(name, form.get("media") is True)
            return 200, {"connections": desk.connections()}
        if what == "GET faults":
            return 200, {"faults": desk.running()}
        if what == "POST faults":
            return 201, _start(desk, form)
        if what == "DELETE faults":
            return 200, {"faults": [desk.end(name)] if name else desk.end_all()}
        raise KeyError(name)


def _start(desk: Desk, form: dict[str, Any]) -> dict[str, Any]:
    lasts_s, options = form.get("lasts_s"), form.get("options") or {}
    numbers = [] if lasts_s is None else [lasts_s]
    if not isinstance(options, dict) or not all(_is_number(each) for each in (*numbers, *options.values())):
        raise FaultRefused("durations and options are numbers")
    words = {name: form.get(name) or "" for name in ("kind", "target", "point")}
    if not all(isinstance(word, str) for word in words.values()):
        raise FaultRefused("kind, target and point are words")
    return desk.start(words["kind"], words["target"], lasts_s=lasts_s, options=options, point=words["point"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _body(request: HttpRequest) -> dict[str, Any]:
    """The JSON object of a request, empty without one. Raises FaultRefused."""
    try:
        form = json.loads(request.body) if request.body else {}
    except ValueError:
        raise FaultRefused("the body is no JSON") from None
    if not isinstance(form, dict):
        raise FaultRefused("the body is no JSON object")
    return form
