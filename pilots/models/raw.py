"""Small parts of statements that are written by hand: what differs between the two databases. [all zones]"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import connection


def places(values: Collection[object]) -> str:
    """The placeholders of a list of values.

    >>> places([7, 8])
    '%s, %s'
    """
    return ", ".join(["%s"] * len(values))


def adapted(moment: datetime) -> Any:
    """The moment as this database takes it."""
    return connection.ops.adapt_datetimefield_value(moment)
