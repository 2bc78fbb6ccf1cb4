"""Every end that a set-point can have, over real sockets: Modbus, IEC 104 direct and with select, OCPP 1.6; asked by the API."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.control import dispatch
from tests.acquisition.ends import WIRES, Platform, Scene, side_by_side, wanted
from tests.acquisition.field import Start
from tests.acquisition.ground import Ground

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]


@pytest.fixture
def running(ground: Ground, start: Start, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """A gateway in front of the ground, with a device's patience of a few seconds."""
    monkeypatch.setattr(dispatch, "UNKNOWN_PATIENCE", timedelta(seconds=2))
    gateway = start()
    ground.gateway = gateway
    return gateway


def test_s16_every_end_state_is_reached(ground: Ground, running: Gateway) -> None:
    platform = Platform(ground)
    told = side_by_side({name: Scene(ground, wire, platform) for name, wire in WIRES.items()})
    assert told == {name: wanted(wire) for name, wire in WIRES.items()}
