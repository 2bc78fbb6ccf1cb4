"""How fast the audit trail grows: rows of set-points, five a transaction, by one writer. [bench]"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from pilots.audit.services import record_event
from tests.bench.figures import Goal, note, report

ROUNDS, TRANSACTIONS, ROWS = 3, 200, 5
PLAIN = """CREATE TABLE bench_plain (id bigserial PRIMARY KEY, at timestamptz, actor text, action text, pilot text, subject text,
reason text, details jsonb, hash text)"""
INSERT = """INSERT INTO bench_plain (at, actor, action, pilot, subject, reason, details, hash)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"""


def main() -> None:
    with connection.cursor() as cursor:
        cursor.execute(PLAIN)
    rounds = []
    for turn in range(ROUNDS):
        note(f"audit: round {turn + 1}")
        rounds.append((_per_second(_ours), _per_second(_plain)))
    unit = f"rows/s, one writer, {ROWS} a commit"
    report("control.audit_rows_per_s", unit, "the same rows without chain or triggers", rounds, Goal("value", ">=", 500))


def _per_second(write: Any) -> float:
    began = time.monotonic()
    for number in range(TRANSACTIONS):
        with transaction.atomic():
            for row in range(ROWS):
                write(f"set-point {row}", number)
    return TRANSACTIONS * ROWS / (time.monotonic() - began)


def _ours(action: str, number: int) -> None:
    details = {"id": f"{number:036d}", "value": 1000.0 + number, "unit": "W", "limits": [-100_000.0, 100_000.0]}
    place = {"pilot": "es", "subject": "es-STO01/p_set"}
    record_event(at=datetime.now(UTC), actor="bench", action=action, reason="bench", details=details, **place)


def _plain(action: str, number: int) -> None:
    details = f'{{"id": "{number:036d}", "value": {1000.0 + number}, "unit": "W", "limits": [-100000, 100000]}}'
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [datetime.now(UTC), "bench", action, "es", "es-STO01/p_set", "bench", details, "0" * 64])
