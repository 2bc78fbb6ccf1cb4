"""Reads rows of samples and roll-ups as columns, and says how PostgreSQL and SQLite keep a moment. [operation]"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from django.db import connection

from pilots.domain.columns import Bools
from pilots.domain.moments import moment_of
from pilots.domain.rollup import HELD, ROLLUP, VALUES, Rows
from pilots.history.arrays import read_columns

Columns = dict[str, np.ndarray[Any, Any]]
_SAMPLE = {"source_time": "moment", "received_ms": "int", "value": "number", "quality": "small"}
_NEWEST = f"""SELECT point, {", ".join(_SAMPLE)} FROM sample WHERE point = {{}} AND source_time < {{}}
ORDER BY source_time DESC, received_ms DESC LIMIT 1"""
_ROLLUP = {"point": "int", "start": "moment"} | dict.fromkeys((*VALUES, "good_s"), "number")
_ROLLUP |= {"samples": "int", "quality": "small"}


def marks(points: Sequence[object]) -> str:
    """Placeholders for an IN list."""
    return ", ".join(["%s"] * len(points))


def stored(us: int) -> datetime | int:
    """A moment (µs since 1970 UTC) as a parameter."""
    return moment_of(us) if connection.vendor == "postgresql" else us


def sample_columns(points: Sequence[int], start: int, end: int, *, received: bool = True, most: int = 0) -> Columns:
    """Samples of [start, end) in no order, named as the table's columns; with `most`, any so many of them."""
    rows = f"FROM sample WHERE point IN ({marks(points)}) AND source_time >= %s AND source_time < %s"
    kinds = {name: kind for name, kind in _SAMPLE.items() if received or name != "received_ms"}
    if len(points) > 1:
        kinds["point"] = "int"
    if most:
        rows = f"FROM (SELECT {', '.join(kinds)} {rows} LIMIT {most}) AS found"
    columns = read_columns(rows, [*points, stored(start), stored(end)], kinds)
    return columns if "point" in columns else columns | {"point": np.full(len(columns["value"]), points[0])}


def samples_of(points: Sequence[int], start: int, end: int) -> Rows:
    """Samples of [start, end) and of each point the one before, in order of (point, time), the last received of an instant.

    `points` are in order.
    """
    before, within = _in_order(_newest(points, start)), _in_order(sample_columns(points, start, end, received=False))
    if _repeated(within).any():  # seldom, and only then it matters when each was received
        within = _in_order(sample_columns(points, start, end))
        within = within[~np.append(_repeated(within), False)]
    found: Rows = np.insert(within, np.searchsorted(within["point"], before["point"]), before)
    return found


def _repeated(samples: Rows) -> Bools:
    """Of each but the last, whether the next one is of its point and instant."""
    repeated: Bools = (np.diff(samples["time"]) == 0) & (np.diff(samples["point"]) == 0)
    return repeated


def _newest(points: Sequence[int], before: int) -> Columns:
    """Of each point, where there is one."""
    kinds = _SAMPLE | {"point": "int"}
    if connection.vendor == "postgresql":
        lateral = f"FROM unnest(%s::int[]) AS p CROSS JOIN LATERAL ({_NEWEST.format('p', '%s')}) AS found"
        return read_columns(lateral, [list(points), stored(before)], kinds)
    every = " UNION ALL ".join(f"SELECT * FROM ({_NEWEST.format(point, before)})" for point in points)
    return read_columns(f"FROM ({every})", [], kinds)


def _in_order(columns: Columns) -> Rows:
    """By point and time, and where it is known when each was received the last of an instant last."""
    order = np.lexsort([columns[name] for name in ("received_ms", "source_time", "point") if name in columns])
    samples = np.empty(len(order), dtype=HELD)
    for name, column in zip(HELD.names or (), ("point", "source_time", "value", "quality"), strict=True):
        samples[name] = columns[column][order]
    return samples


def read_rollups(points: Sequence[int], level: int, start: int, end: int) -> Rows:
    """The kept roll-ups of a level that begin in [start, end), in order of (point, start)."""
    where = f"FROM rollup WHERE level = %s AND point IN ({marks(points)}) AND start >= %s AND start < %s"
    columns = read_columns(where, [level, *points, stored(start), stored(end)], _ROLLUP)
    order = np.lexsort((columns["start"], columns["point"]))
    rows = np.empty(len(order), dtype=ROLLUP)
    for name, column in columns.items():
        rows[name] = column[order]
    return rows
