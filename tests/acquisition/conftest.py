"""A gateway that looks often, in front of a field of our own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilots.acquisition import chores, gateway, state_writer
from pilots.acquisition.gateway import Gateway
from pilots.acquisition.ingest import Ingest
from pilots.catalogue.services import note_change
from pilots.models import Pilot
from tests.acquisition.field import Field, add_unit
from tests.acquisition.ground import Ground
from tests.builders import make_connection, make_pilot
from tests.simulators.peers import free_port

Start = Callable[[], Gateway]


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
def ground(transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Ground]:
    """Simulated devices of three protocols, commissioned."""
    monkeypatch.setenv("TZ", "UTC")
    settings.DATA_DIR, settings.OCPP_PORT = tmp_path, free_port()
    ground = Ground(tmp_path)
    yield ground
    ground.end()
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def start(door: Ingest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a gateway; all of them end with the test."""
    monkeypatch.setattr(gateway, "TEND_EVERY_S", 0.1)
    monkeypatch.setattr(state_writer, "FIGURES_EVERY_S", 0.1)
    monkeypatch.setattr(chores, "EVERY_S", 0.1)
    monkeypatch.setattr(chores, "OLD_DATA_EVERY_S", 0.1)
    gateways = []

    def begin() -> Gateway:
        one = Gateway()
        gateways.append(one)
        for pilot in Pilot.objects.all():  # the door was there before the rows
            note_change(pilot)
        door.directory.refresh(force=True)
        one.start()
        return one

    yield begin
    for one in gateways:
        one.stop()
