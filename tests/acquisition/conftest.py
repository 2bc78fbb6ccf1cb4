"""A gateway that looks often, in front of a field of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pilots.acquisition.ingest import Ingest
from pilots.models import Pilot
from tests.acquisition.field import Field, Start, add_unit, quick_gateways
from tests.acquisition.ground import Ground, proving_ground
from tests.builders import make_connection, make_pilot


@pytest.fixture
def field() -> Iterator[Field]:
    """A Modbus TCP server that is on."""
    field = Field()
    field.switch_on()
    yield field
    field.end()


@pytest.fixture
def pilot(transactional_db: None, field: Field) -> Pilot:
    """Two units behind one connection to the field, asked every 0.2 s."""
    pilot = make_pilot("bg")
    line = make_connection(pilot, "bg-rtu01", protocol="modbus_tcp", port=field.port, state="unknown", options={"timeout_s": 0.3})
    for unit in (1, 2):
        add_unit(pilot, line, unit)
    return pilot


@pytest.fixture
def ground(transactional_db: None, tmp_path: Path) -> Iterator[Ground]:
    """Simulated devices of three protocols, commissioned."""
    with proving_ground(tmp_path) as ground:
        yield ground


@pytest.fixture
def start(door: Ingest) -> Iterator[Start]:
    """Starts a gateway; all of them end with the test."""
    with quick_gateways(door) as start:
        yield start
