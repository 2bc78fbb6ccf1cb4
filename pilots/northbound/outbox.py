"""The transactional outbox: what was stored will be delivered, in order, at least once. [towards enterprise]

Written in the flush's own transaction, a row for so many values of a pilot as the contract allows a message;
`sequence` is gapless within the pilot's `epoch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache

import numpy as np
from django.db import connection

from pilots.domain.columns import Ints, Measurements
from pilots.northbound.messages import PointName, pack_values

VALUES_A_MESSAGE = 5_000
#: The row lock of this statement makes the numbers gapless and their order the order of commits.
_NUMBER = """INSERT INTO pilots_outboxstate AS state
(pilot_id, epoch, next_sequence, accepted_sequence, last_error, attempts, statistics)
VALUES (%s, 1, 1 + %s, 0, '', 0, '{}') ON CONFLICT (pilot_id) DO UPDATE SET next_sequence = state.next_sequence + %s
RETURNING epoch, next_sequence"""
_COLUMNS = "pilot_id, epoch, sequence, created_at, values_json, refusal"


def enqueue_measurements(
    pilots: Ints, points: Ints, measurements: Measurements, *, names: Sequence[PointName], now: datetime
) -> None:
    """Messages of these values wait once the caller's transaction commits.

    `pilots` has the key of each one's pilot, `points` the place of its point in `names`.
    """
    _compress_quickly()
    for pilot in np.unique(pilots).tolist():
        rows = np.flatnonzero(pilots == pilot)
        spans = [rows[first : first + VALUES_A_MESSAGE] for first in range(0, rows.size, VALUES_A_MESSAGE)]
        _enqueue(pilot, [pack_values(names, points[span], measurements.take(span)) for span in spans], now)


def _enqueue(pilot: int, bodies: list[str], now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_NUMBER, [pilot, len(bodies), len(bodies)])
        epoch, following = cursor.fetchone()
        created = connection.ops.adapt_datetimefield_value(now)
        rows = [(pilot, epoch, sequence, created, body, "") for sequence, body in enumerate(bodies, following - len(bodies))]
        if connection.vendor == "postgresql":
            # An INSERT would quote the bodies here and read them word by word there, which costs more than making them.
            with cursor.copy(f"COPY pilots_outboxmessage ({_COLUMNS}) FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["int8", "int4", "int8", "timestamptz", "text", "varchar"])
                for row in rows:
                    copy.write_row(row)
        else:
            cursor.executemany(f"INSERT INTO pilots_outboxmessage ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s)", rows)


def _compress_quickly() -> None:
    """PostgreSQL compresses what this transaction writes by lz4 where it can: its own pglz costs more than all samples do."""
    if connection.vendor == "postgresql" and _knows_lz4():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL default_toast_compression = 'lz4'")


@cache
def _knows_lz4() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'")
        row = cursor.fetchone()
    return row is not None and bool(row[0])
