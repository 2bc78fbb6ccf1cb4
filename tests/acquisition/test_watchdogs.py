"""S18: pull the plug on us, and the device is back at its default by its own watchdog."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.acquisition.watchdogs import LET_GO
from pilots.models import Setpoint
from pilots.simulators.faults import FaultKind
from tests.acquisition.ends import WIRES, Platform, alone, ready
from tests.acquisition.field import Start
from tests.acquisition.ground import Ground, rule
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]

REVERSION_S = 4.0
MODBUS, OCPP = WIRES["modbus"], WIRES["ocpp16"]


@pytest.fixture
def running(ground: Ground, start: Start) -> Gateway:
    """A gateway, and a battery whose reversion time it takes to be short."""
    rule(MODBUS.device, MODBUS.point, watchdog_s=REVERSION_S)
    ground.gateway = start()
    return ground.gateway


def at_default(ground: Ground, device: str, point: str, default: float) -> Callable[[], bool]:
    return lambda: ground.plant.read(device, point) == pytest.approx(default)


def lasted(ground: Ground, look: Callable[[], bool], since: datetime) -> float:
    """Seconds by the device's own clock until `look` came true."""
    until(look)
    return (ground.plant.now - since).total_seconds()


@pytest.mark.parametrize("plug", ["cable", "process"])
def test_s18_a_device_with_a_reversion_timer_comes_back_without_us(ground: Ground, running: Gateway, plug: str) -> None:
    alone(ready(ground, MODBUS))
    number = Platform(ground).ask(MODBUS, -10_000.0)
    ground.ended(number, "executed")
    held = datetime.now(UTC) + timedelta(seconds=2 * REVERSION_S)
    until(lambda: ground.plant.now > held)
    assert ground.plant.read(MODBUS.device, MODBUS.point) == pytest.approx(-10_000.0), "it is wound up while it is in force"
    assert len(ground.writes(MODBUS.device)) == 1, "winding up is no second write"
    pulled = ground.plant.now
    if plug == "cable":
        ground.start(FaultKind.REFUSE, MODBUS.connection)
    else:
        running.stop()
    assert lasted(ground, at_default(ground, MODBUS.device, MODBUS.point, 0.0), pulled) <= REVERSION_S + 2.0


def test_s18_what_the_device_let_go_of_is_not_armed_again(ground: Ground, running: Gateway) -> None:
    alone(ready(ground, MODBUS))
    number = Platform(ground).ask(MODBUS, -10_000.0)
    ground.ended(number, "executed")
    ground.start(FaultKind.REFUSE, MODBUS.connection)
    until(at_default(ground, MODBUS.device, MODBUS.point, 0.0))
    ground.quiet()
    until(lambda: not ground.record(number)["active"])
    record = ground.record(number)
    assert (record["state"], record["release_reason"]) == ("executed", LET_GO)
    assert ground.plant.read(MODBUS.device, MODBUS.point) == 0.0
    assert Setpoint.objects.count() == 1


def test_s18_a_hold_ends_by_the_reversion_timer(ground: Ground, running: Gateway) -> None:
    alone(ready(ground, MODBUS))
    rule(MODBUS.device, MODBUS.point, watchdog_s=REVERSION_S)
    now = datetime.now(UTC)
    body = {"device": MODBUS.device, "point": MODBUS.point, "value": -10_000.0, "unit": "W", "on_expiry": "hold"}
    number = ground.post("/setpoints", body | {"valid_until": (now + timedelta(seconds=8)).isoformat()}).json()["id"]
    ground.ended(number, "executed")
    ended = now + timedelta(seconds=8)
    until(lambda: ground.plant.now > ended)
    assert lasted(ground, at_default(ground, MODBUS.device, MODBUS.point, 0.0), ended) <= REVERSION_S + 2.0
    assert ground.ended(number, "executed")["release_reason"].startswith("Its time was over: nothing is written")
    assert len(ground.writes(MODBUS.device)) == 1


def test_s18_a_charge_point_drops_its_limit_at_the_end_it_was_told(ground: Ground, running: Gateway) -> None:
    alone(ready(ground, OCPP))
    now = datetime.now(UTC)
    number = Platform(ground).ask(OCPP, 0.0, valid_s=10.0)
    ground.ended(number, "executed")
    assert ground.plant.read(OCPP.device, OCPP.point) == 0.0
    running.stop()
    assert lasted(ground, at_default(ground, OCPP.device, OCPP.point, 11_000.0), now) <= 10.0 + 1.0 + 2.0
