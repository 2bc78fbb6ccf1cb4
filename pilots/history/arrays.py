"""Columns of numbers to PostgreSQL and back in binary: nothing is written out as text to be read again. [operation]

They go as arrays and come as one value a column. Layout of `array_send` (PostgreSQL source, utils/adt/arrayfuncs.c):
dimensions, whether there are NULLs (never here: NaN stands for what is missing), type, length, lower bound; then each element
behind its size.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from django.db import connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

#: Microseconds between 1970 and PostgreSQL's epoch, 2000-01-01.
PG_EPOCH_US = 946_684_800_000_000
#: By the kind of a column that is read: what packs it, and what numpy then sees. Moments are µs, a missing number is NaN.
_SENT = {
    "moment": ("timestamptz_send({})", ">i8"),
    "number": ("float8send(coalesce({}, 'NaN'))", ">f8"),
    "int": ("int4send({})", ">i4"),
    "small": ("int2send({})", ">i2"),
}
#: By the dtype of the column: of an element and of the array (pg_type.dat).
_OIDS = {"i8": (20, 1016), "f8": (701, 1022)}


@dataclass(frozen=True, slots=True)
class _Packed:
    octets: bytes


class Bigints(_Packed):
    """A `bigint[]`."""


class Doubles(_Packed):
    """A `float8[]`."""


class _Bigints(Dumper):
    format, oid = Format.BINARY, _OIDS["i8"][1]

    def dump(self, obj: Any) -> bytes:
        return bytes(obj.octets)


class _Doubles(_Bigints):
    oid = _OIDS["f8"][1]


def packed(column: np.ndarray[Any, Any]) -> Bigints | Doubles:
    """A parameter for `execute`: integers as `bigint[]`, anything else as `float8[]`.

    >>> packed(np.array([1, -1])).octets.hex(" ", 4)
    '00000001 00000000 00000014 00000002 00000001 00000008 00000000 00000001 00000008 ffffffff ffffffff'
    """
    kind = "i8" if column.dtype.kind in "iu" else "f8"
    elements = np.empty(len(column), dtype=[("size", ">i4"), ("value", f">{kind}")])
    elements["size"], elements["value"] = 8, column
    octets = struct.pack(">5i", 1, 0, _OIDS[kind][0], len(column), 1) + elements.tobytes()
    return (Bigints if kind == "i8" else Doubles)(octets)


def execute(sql: str, parameters: Sequence[object]) -> None:
    """On Django's connection and in its transaction, but with parameters beside the statement instead of inside."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.adapters.register_dumper(Bigints, _Bigints)
        cursor.adapters.register_dumper(Doubles, _Doubles)
        cursor.execute(sql.encode(), parameters)


def read_columns(rows: str, parameters: Sequence[object], kinds: Mapping[str, str]) -> dict[str, np.ndarray[Any, Any]]:
    """The columns of `rows` (what follows SELECT's list) by name; moments in µs since 1970 UTC, whole numbers as int64.

    One pass packs all columns, so they have their rows in the same order, whatever it is. A day of seconds takes PostgreSQL a
    tenth of what it does row by row. Whoever wants an order sorts: for numpy that is less work than for the server, which would
    sort rows before it packs them.
    """
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            found = cursor.execute(f"SELECT {', '.join(kinds)} {rows}", tuple(parameters)).fetchall()  # type: ignore[arg-type]
        told = zip(*found, strict=True) if found else ((),) * len(kinds)
        return {name: np.array(cells, dtype=_read_type(kinds[name])) for name, cells in zip(kinds, told, strict=True)}
    columns = {}
    for name, octets in zip(kinds, _packed_columns(rows, parameters, kinds), strict=True):
        columns[name] = np.frombuffer(octets or b"", dtype=_SENT[kinds[name]][1]).astype(_read_type(kinds[name]))
        if kinds[name] == "moment":
            columns[name] += PG_EPOCH_US
    return columns


def _packed_columns(rows: str, parameters: Sequence[object], kinds: Mapping[str, str]) -> Sequence[bytes | None]:
    sent = ", ".join(f"string_agg({_SENT[kind][0].format(name)}, NULL)" for name, kind in kinds.items())
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        # An aggregate has a row of nothing too.
        found: list[Sequence[bytes | None]] = cursor.execute(f"SELECT {sent} {rows}".encode(), parameters, binary=True).fetchall()
    return found[0]


def _read_type(kind: str) -> str:
    return "f8" if kind == "number" else "i8"
