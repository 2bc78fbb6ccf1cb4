"""Columns of numbers as PostgreSQL's binary arrays: nothing is written out as text to be read again. [operation]

Layout of `array_send` (PostgreSQL source, utils/adt/arrayfuncs.c): dimensions, whether there are NULLs (never here: NaN
stands for what is missing), type, length, lower bound; then each element behind its size.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from django.db import connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

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
