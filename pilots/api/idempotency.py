"""The same key and the same body get the same first answer, however often and however fast they come (docs/api.md).

Two ways, because a transaction must not wait for another thread's transaction: `answer_in_transaction` keeps key, work and
answer in one, so that a crash leaves all or nothing and a concurrent repeat waits on the database; `answer_around` keeps the
key afterwards, for work that commits elsewhere and may be done again without harm (measurements).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from django.db import IntegrityError, transaction
from django.http import HttpResponseBase
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pilots.api.authentication import client_of
from pilots.api.errors import Problem, problem_answer
from pilots.audit.services import audited
from pilots.models import IdempotencyKey

KEPT_FOR = timedelta(hours=48)
LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a keyed POST was answered: kept, and given again to its repeats."""

    status: int
    body: dict[str, Any]
    location: str = ""

    def response(self, *, again: bool = False) -> HttpResponseBase:
        """The HTTP answer, a problem document for a refusal; `again`: marked as the repeat of the first one."""
        answer = self._refusal() if self.status >= 400 else self._success()
        if again:
            answer.headers["Idempotency-Replayed"] = "true"
        return answer

    def _refusal(self) -> HttpResponseBase:
        return problem_answer(Problem(self.status, self.body["code"], self.body["detail"], field=self.body.get("field", "")))

    def _success(self) -> HttpResponseBase:
        headers = {"Location": self.location} if self.location else None
        # PostgreSQL keeps JSON in an order of its own: sorted, the first answer and its repeats are the same bytes.
        body = orjson.loads(orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS))
        return Response(body, status=self.status, headers=headers)


def key_of(request: Request, *, mandatory: bool) -> str:
    """The request's Idempotency-Key, "" when it has none and needs none. Raises Problem 400."""
    key = str(request.headers.get("Idempotency-Key", ""))
    if not key and mandatory:
        raise Problem(400, "idempotency_key_missing", "The header Idempotency-Key is missing.", field="Idempotency-Key")
    if len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise Problem(
            400, "invalid_field", f"Idempotency-Key is up to {LONGEST_KEY} printable ASCII characters.", field="Idempotency-Key"
        )
    return key


def answer_in_transaction(request: Request, key: str, work: Callable[[], Answer]) -> HttpResponseBase:
    """The first answer of this key. `work` runs at most once, in the transaction that keeps its answer.

    Raises Problem 409 when the key was used for another body. A Problem raised by `work` is an answer too, and kept.
    """
    if not key:
        return _answer_of(work).response()
    body_sha256 = _body_digest(request)
    with audited():
        row = _claim(request, key, body_sha256)
        if row is not None:
            answer = _answer_of(work)
            _keep(row, answer)
            return answer.response()
    return _repeat(_existing(request, key), body_sha256).response(again=True)


def answer_around(request: Request, key: str, work: Callable[[], Answer]) -> HttpResponseBase:
    """The first answer of this key. `work` commits by itself and may be done again without harm: two repeats at the same
    instant both work, and both get the answer that was kept first.

    Raises Problem 409 when the key was used for another body.
    """
    if not key:
        return _answer_of(work).response()
    body_sha256 = _body_digest(request)
    known = IdempotencyKey.objects.filter(source=_source(request), key=key).first()
    if known is None or known.created_at < timezone.now() - KEPT_FOR:
        answer = _answer_of(work)
        # One commit a message: the key goes in together with its answer.
        with transaction.atomic():
            row = _claim(request, key, body_sha256)
            if row is not None:
                _keep(row, answer)
                return answer.response()
        known = _existing(request, key)
    return _repeat(known, body_sha256).response(again=True)


def forget_old_keys() -> int:
    """Keys older than 48 h are deleted; how many there were."""
    return IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()[0]


def _answer_of(work: Callable[[], Answer]) -> Answer:
    try:
        return work()
    except Problem as problem:
        if problem.status_code >= 500 or problem.wait_s is not None:
            raise
        return Answer(problem.status_code, problem.body())


def _claim(request: Request, key: str, body_sha256: str) -> IdempotencyKey | None:
    now = timezone.now()
    source = _source(request)
    IdempotencyKey.objects.filter(source=source, key=key, created_at__lt=now - KEPT_FOR).delete()
    try:
        with transaction.atomic():
            return IdempotencyKey.objects.create(source=source, key=key, body_sha256=body_sha256, created_at=now)
    except IntegrityError:
        # On PostgreSQL the INSERT waited for the other transaction, on SQLite the write lock did: it has ended.
        return None


def _existing(request: Request, key: str) -> IdempotencyKey:
    found = IdempotencyKey.objects.filter(source=_source(request), key=key).first()
    if found is None:
        raise _in_progress()  # its first request failed this moment
    return found


def _repeat(row: IdempotencyKey, body_sha256: str) -> Answer:
    if row.body_sha256 != body_sha256:
        raise Problem(409, "idempotency_conflict", "This Idempotency-Key was used for another request.", field="Idempotency-Key")
    if row.status is None:
        raise _in_progress()
    return Answer(row.status, dict(row.answer or {}), row.location)


def _keep(row: IdempotencyKey, answer: Answer) -> None:
    row.status, row.answer, row.location = answer.status, answer.body, answer.location
    row.save(update_fields=["status", "answer", "location"])


def _in_progress() -> Problem:
    return Problem(409, "idempotency_in_progress", "The first request with this key has not ended yet.", wait_s=1)


def _source(request: Request) -> str:
    return f"token:{client_of(request).name}"


def _body_digest(request: Request) -> str:
    canonical = json.dumps(request.data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{request.path}\n{canonical}".encode()).hexdigest()
