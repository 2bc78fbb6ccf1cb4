"""The INVADE platform, simulated: takes our measurements and sends set-points. [zone: enterprise, simulated] [D7.1 2.1, 2.3]

At least once in, exactly once kept: a key that was answered is remembered in the ledger, which is on the disk before the
answer leaves, so that even kill -9 loses nothing that was acknowledged.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilots.simulators.ledger import PLATFORM, PLATFORM_EVENTS, Ledger
from pilots.simulators.small_http import Answer, HttpRequest, SmallHttpServer

KEPT_KEYS = 500_000
LEDGER_LIMIT = 256 * 1024 * 1024
KNOWN_GAPS = 10_000


@dataclass(slots=True)
class Sequence:
    """What has arrived of one pilot's epoch: the newest number and those skipped on the way to it."""

    last: int | None = None
    missing: set[int] = field(default_factory=set)

    def note(self, number: int) -> None:
        if self.last is not None and number > self.last + 1:
            self.missing.update(range(self.last + 1, min(number, self.last + 1 + KNOWN_GAPS)))
        self.missing.discard(number)
        self.last = number if self.last is None else max(self.last, number)


class Platform:
    """The platform's receiving side. `token()` is the bearer it expects, None as long as nobody told it."""

    def __init__(self, ledger_folder: Path, *, token: Callable[[], str | None]) -> None:
        self.token = token
        self._ledger, self._events = Ledger(ledger_folder / PLATFORM), Ledger(ledger_folder / PLATFORM_EVENTS)
        self._answered: OrderedDict[str, tuple[str, int]] = OrderedDict()  # key -> digest of the body, count of values
        self._sequences: dict[tuple[str, int], Sequence] = {}
        self.counts: Counter[str] = Counter()
        self._server = SmallHttpServer(self._route)
        for entry in self._ledger.entries():
            count = len(entry["values"])
            self._remember(entry["key"], entry["digest"], entry["pilot"], entry["epoch"], entry["sequence"], count)
        for entry in self._events.entries():
            self._note_event(entry["key"], entry["digest"], entry["event"]["state"])

    async def start(self, host: str, port: int) -> int:
        """The port it listens on."""
        return await self._server.start(host, port)

    async def stop(self) -> None:
        await self._server.stop()

    async def _route(self, request: HttpRequest) -> Answer:
        path = request.path.partition("?")[0].rstrip("/")
        if request.method == "GET" and path.endswith("/state"):
            return 200, self.state()
        if request.method == "POST" and path.endswith("/measurements"):
            return self._take(request)
        if request.method == "POST" and path.endswith("/setpoint-events"):
            return self._learn(request)
        return _problem(404, "not_found", f"no {request.method} {path}")

    def _take(self, request: HttpRequest) -> Answer:
        """The answer to one measurement message; everything accepted is on the disk."""
        key, digest = request.headers.get("idempotency-key", ""), hashlib.sha256(request.body).hexdigest()
        known = self._known(request, key, digest)
        if known is not None:
            return known
        try:
            message = json.loads(request.body)
            pilot, epoch, sequence = str(message["pilot"]), int(message["epoch"]), int(message["sequence"])
            values = list(message["values"])
        except (ValueError, KeyError, TypeError) as error:
            self.counts["malformed"] += 1
            return _problem(422, "malformed", f"no measurement message: {error}")
        self._turn_over()
        self._ledger.write(key=key, pilot=pilot, epoch=epoch, sequence=sequence, digest=digest, values=values)
        self._remember(key, digest, pilot, epoch, sequence, len(values))
        return 200, {"accepted": len(values)}

    def _learn(self, request: HttpRequest) -> Answer:
        """The answer to one transition of a set-point; it is on the disk too."""
        key, digest = request.headers.get("idempotency-key", ""), hashlib.sha256(request.body).hexdigest()
        known = self._known(request, key, digest)
        if known is not None:
            return known
        try:
            event = dict(json.loads(request.body))
            state = str(event["state"])
        except (ValueError, KeyError, TypeError) as error:
            self.counts["malformed"] += 1
            return _problem(422, "malformed", f"no set-point event: {error}")
        self._turn_over()
        self._events.write(key=key, digest=digest, event=event)
        self._note_event(key, digest, state)
        return 200, {"accepted": 1}

    def _known(self, request: HttpRequest, key: str, digest: str) -> Answer | None:
        """The answer that needs no look into the body: a wrong token, no key, a key that was answered."""
        expected = self.token()
        if expected is None or request.headers.get("authorization") != f"Bearer {expected}":
            self.counts["unauthorised"] += 1
            return _problem(401, "not_authorised", "wrong bearer token")
        if not key:
            return _problem(400, "idempotency_key_missing", "Idempotency-Key is mandatory")
        return self._again(key, digest) if key in self._answered else None

    def _again(self, key: str, digest: str) -> Answer:
        known, count = self._answered[key]
        # `sent_at` may be renewed by a sender that tries again, but then it is another body and says so.
        if known != digest:
            self.counts["conflicts"] += 1
            return _problem(409, "idempotency_conflict", "the same key came with another body")
        self.counts["repeated"] += 1
        return 200, {"accepted": count}

    def _remember(self, key: str, digest: str, pilot: str, epoch: int, sequence: int, count: int) -> None:
        self._note_answer(key, digest, count)
        self._sequences.setdefault((pilot, epoch), Sequence()).note(sequence)
        self.counts["messages"] += 1
        self.counts["values"] += count
        self.counts[f"values_{pilot}"] += count

    def _note_event(self, key: str, digest: str, state: str) -> None:
        self._note_answer(key, digest, 1)
        self.counts["setpoint_events"] += 1
        self.counts[f"setpoint_{state}"] += 1

    def _note_answer(self, key: str, digest: str, count: int) -> None:
        self._answered[key] = (digest, count)
        while len(self._answered) > KEPT_KEYS:
            self._answered.popitem(last=False)

    def _turn_over(self) -> None:
        """A demo left running for weeks must not fill the disk: one old ledger of each kind is kept."""
        for path in (self._ledger.path, self._events.path):
            if path is not None and path.exists() and path.stat().st_size > LEDGER_LIMIT:
                os.replace(path, path.with_suffix(".old.jsonl"))

    def state(self) -> Mapping[str, Any]:
        """Counts for people and tests."""
        pilots = [
            {"pilot": pilot, "epoch": epoch, "last_sequence": sequence.last, "missing": len(sequence.missing)}
            for (pilot, epoch), sequence in sorted(self._sequences.items())
        ]
        return {"counts": dict(self.counts), "sequences": pilots}


def _problem(status: int, code: str, detail: str) -> Answer:
    return status, {"type": "about:blank", "status": status, "code": code, "title": code, "detail": detail}
