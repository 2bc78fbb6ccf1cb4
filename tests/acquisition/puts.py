"""How the tests of the one door put values and look for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from pilots.acquisition.ingest import Ingest
from pilots.catalogue.services import note_change
from pilots.domain.measurement import RawReading
from pilots.history.selectors import SampleRow, read_samples
from pilots.models import LatestValue, Point
from tests.conftest import Battery

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def put(door: Ingest, device: str, *readings: RawReading, received: datetime | None = None) -> None:
    """Stored."""
    door.put(device, readings, received or datetime.now(UTC)).result(10)


def power(door: Ingest, value: Any, seconds: float, **fields: Any) -> None:
    put(door, "es-STO01", RawReading("active_power", value, source_time=at(seconds), **fields), received=at(seconds))


def announce(door: Ingest, battery: Battery) -> None:
    """The writer knows the configuration as it is now."""
    note_change(battery.pilot)
    door.directory.refresh(force=True)


def samples(*points: Point) -> list[SampleRow]:
    return read_samples(points, START - timedelta(days=1), datetime.now(UTC) + timedelta(days=1), limit=1000)


def latest(point: Point) -> LatestValue:
    return LatestValue.objects.get(point=point)


@contextmanager
def locked_database(table: str = "pilots_latestvalue") -> Iterator[None]:
    """No other connection can write (PostgreSQL: into this table) while the block runs."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield


def end_waiting(cursor: Any) -> int:
    """How many PostgreSQL sessions were waiting for a lock, and are cut off now."""
    cursor.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return int(cursor.rowcount)
