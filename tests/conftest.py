"""What tests of every part share: the process's own objects, fresh for each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.db.backends.base.operations import BaseDatabaseOperations
from pytest_django import DjangoDbBlocker

import pilots.acquisition.ingest as ingest_module
import pilots.live.hub as hub_module
import pilots.ui.topology as topology_module
from pilots.acquisition.ingest import Ingest
from pilots.control.heartbeat import NOTES
from pilots.models import Connection, Device, Pilot, Point
from tests.builders import make_connection, make_device, make_pilot, make_point
from tests.tampering import unprotected


@dataclass
class Battery:
    """One pilot with one storage unit: measured every 10 s, commanded by p_set."""

    pilot: Pilot
    connection: Connection
    device: Device
    power: Point
    p_set: Point


@pytest.fixture(autouse=True)
def _fresh_hub() -> Iterator[None]:
    hub_module._hub = None
    NOTES.forget()
    topology_module._topology_at.cache_clear()
    yield
    if hub_module._hub is not None:
        hub_module._hub.close()
        hub_module._hub = None


@pytest.fixture(autouse=True)
def _nobody_asks_too_often(settings: Any) -> None:
    """Tests ask at one moment of their own clock; those of the limit set it."""
    settings.SETPOINT_BURST = 100_000


@pytest.fixture(scope="session", autouse=True)
def _flushes_empty_the_audit_trail() -> Iterator[None]:
    """After a test with transactions every table is emptied, by its owner and for that moment without the trail's triggers."""
    flush = BaseDatabaseOperations.execute_sql_flush

    def flush_unprotected(operations: BaseDatabaseOperations, sql_list: list[str]) -> None:
        with unprotected():
            flush(operations, sql_list)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", flush_unprotected)
        yield


@pytest.fixture
def battery(db: None) -> Battery:
    pilot = make_pilot()
    line = make_connection(pilot, "es-rtu01", protocol="iec104")
    device = make_device(pilot, connection=line)
    power = make_point(device, max_interval_s=10, deadband=50, low=-200_000, high=200_000)
    return Battery(pilot, line, device, power, make_point(device, "p_set"))


@pytest.fixture
def door(transactional_db: None) -> Iterator[Ingest]:
    """This process's ingest with its writer running; what it wrote is gone afterwards."""
    ingest_module._ingest = None
    yield ingest_module.ingest()
    if ingest_module._ingest is not None:
        ingest_module._ingest.stop()
        ingest_module._ingest = None
    with connection.cursor() as cursor:
        for table in ("sample", "rollup", "rollup_due", "rollup_state"):
            cursor.execute(f"DELETE FROM {table}")


#: No tests: they run by themselves and set up the process as they need it.
collect_ignore_glob = ["bench/*", "pictures.py", "with_servers.py"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The test database, and at the end nobody left in it: threads of a test may outlive it with their connection."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            cursor.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
