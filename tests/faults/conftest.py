"""The far side of the field and a gateway on ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pilots.acquisition import gateway, state_writer
from pilots.acquisition.gateway import Gateway
from pilots.acquisition.ingest import Ingest
from pilots.catalogue.services import note_change
from pilots.models import Pilot
from tests.faults.far_side import FarSide


@pytest.fixture
def far() -> Iterator[FarSide]:
    side = FarSide()
    yield side
    side.end()


@pytest.fixture
def start(door: Ingest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Gateway]]:
    """Starts a gateway that looks at its leases and rows five times as often; it ends with the test."""
    monkeypatch.setattr(gateway, "TEND_EVERY_S", 0.2)
    monkeypatch.setattr(state_writer, "FIGURES_EVERY_S", 0.5)
    gateways = []

    def begin() -> Gateway:
        for pilot in Pilot.objects.all():
            note_change(pilot)
        door.directory.refresh(force=True)
        gateways.append(Gateway())
        gateways[-1].start()
        return gateways[-1]

    yield begin
    for each in gateways:
        each.stop()
