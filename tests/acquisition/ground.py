"""A proving ground: simulated devices of three protocols on real sockets, with faults, a ledger and a way to be told."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client, override_settings

from pilots.acquisition.gateway import Gateway
from pilots.catalogue.loader import PROFILES, load_pilot, profiles_of
from pilots.catalogue.services import commission_pilot
from pilots.control import dispatch, expiry
from pilots.management.first_run import prepare_simulators
from pilots.models import Point, Setpoint
from pilots.simulators import station_calls
from pilots.simulators.faults import FaultKind
from pilots.simulators.plant import Plant, Refused
from pilots.simulators.runner import Simulation
from tests.builders import make_token
from tests.simulators.peers import free_port
from tests.waiting import turns, until

#: The devices answer at once, and are given seconds: a machine that stands still for a moment is no silent device.
PILOT = """\
code: zz
name: Proving ground
country: ZZ
time_zone: UTC
latitude: 41
longitude: 2
connections:
  - {name: zz-modbus, protocol: modbus_tcp, simulated: true, options: {timeout_s: 2, periods: {F: 0.3, N: 0.3, S: 0.5, E: 5}}}
  - {name: zz-104, protocol: iec104, simulated: true, options: {command_timeout_s: 4, periods: {F: 1, N: 1, S: 1, E: 5}}}
  - {name: zz-select, protocol: iec104, simulated: true, options: {command_timeout_s: 4, periods: {F: 1, N: 1, S: 1, E: 5}}}
  - {name: zz-ocpp, protocol: ocpp16, simulated: true, options: {call_timeout_s: 4, periods: {F: 1, N: 1, S: 1, E: 5}}}
devices:
  - {id: zz-GRID, kind: grid_infeed, sgam: E.3.a}
  - id: zz-STO01
    kind: storage_unit
    sgam: E.4.a
    parent: zz-GRID
    profile: sunspec-storage
    connection: zz-modbus
    address: {unit: 1}
    nameplate: {rated_power_w: 50000, capacity_wh: 200000}
  - id: zz-STO02
    kind: storage_unit
    sgam: E.4.a
    parent: zz-GRID
    profile: iec104-storage
    connection: zz-104
    address: {ca: 1, ioa: 700}
    nameplate: {rated_power_w: 50000, capacity_wh: 200000}
  - id: zz-STO03
    kind: storage_unit
    sgam: E.4.a
    parent: zz-GRID
    profile: ./select-before-operate.yaml
    connection: zz-select
    address: {ca: 1, ioa: 800}
    nameplate: {rated_power_w: 50000, capacity_wh: 200000}
  - id: zz-EVSE01
    kind: charge_point
    sgam: E.4.b
    parent: zz-GRID
    profile: ocpp16-charge-point
    connection: zz-ocpp
    address: {identity: zz-EVSE01, connector: 1}
    nameplate: {rated_power_w: 11000, phases: 3}
links: []
"""


@contextmanager
def proving_ground(folder: Path) -> Iterator[Ground]:
    """The ground with its data in this folder; nobody kills it, so its ledger need not reach the disk before it answers."""
    with pytest.MonkeyPatch.context() as patch, override_settings(DATA_DIR=folder, OCPP_PORT=free_port()):
        patch.setenv("TZ", "UTC")
        patch.setattr(os, "fsync", void)
        # The message of a station that was not heard blocks those behind it for so long.
        patch.setattr(station_calls, "ANSWER_S", 2.0)
        ground = Ground(folder)
        patch.setattr(dispatch, "claim_setpoint", functools.partial(ground.claim, dispatch.claim_setpoint))
        yield ground
        ground.end()
    time.tzset()


class Ground:
    """The pilot `zz`: commissioned, simulated in a loop of its own thread; asked through the API like any platform."""

    def __init__(self, folder: Path) -> None:
        path = folder / "zz.yaml"
        path.write_text(PILOT)
        selecting = (PROFILES / "iec104-storage.yaml").read_text().replace("select: false", "select: true")
        (folder / "select-before-operate.yaml").write_text(selecting.replace("iec104-storage", "select-before-operate"))
        self.spec = load_pilot(path)
        commission_pilot(self.spec, profiles_of(self.spec))
        prepare_simulators()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.simulation = Simulation([self.spec], data_dir=folder, first_port=free_port(), seed=1, platform=False)
        self._run(self.simulation.start())
        for station in self.simulation.fleets["zz"].charge_points.values():
            station.meter_s = 1.0
        self._client = Client(raise_request_exception=False)
        self._token = make_token("read", "control")
        self._on_write: dict[str, tuple[Callable[[], None], bool]] = {}
        self._call(lambda: self.plant.__dict__.__setitem__("write", self._write))
        #: By device: what happens between the next claim and its write.
        self.after_claim: dict[str, Callable[[], object]] = {}
        #: The one that tests started in front of it.
        self.gateway: Gateway | None = None

    def end(self) -> None:
        self._run(self.simulation.stop())
        self._run(turns())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _call(self, work: Callable[[], Any]) -> Any:
        async def turn() -> Any:
            return work()

        return self._run(turn())

    @property
    def plant(self) -> Plant:
        return self.simulation.plants["zz"]

    def writes(self, device: str) -> list[float]:
        """What the device obeyed, by its own ledger."""
        return [entry["value"] for entry in self.simulation.writes.entries() if entry["device"] == device]

    # Faults

    def start(self, kind: FaultKind, target: str, **options: Any) -> None:
        self._call(lambda: self.simulation.faults.start(kind, target, now=datetime.now(UTC), **options))

    def freeze(self, device: str, point: str) -> None:
        """The device tells the value that the point has now, whatever happens."""

        def stick() -> None:
            self.simulation.faults.start(FaultKind.STUCK_VALUE, device, now=datetime.now(UTC), point=point)
            self.plant.read(device, point)  # a value sticks when it is read

        self._call(stick)

    def quiet(self, *targets: str) -> None:
        """The faults of these connections and devices are over, of all where none is named."""
        faults = self.simulation.faults

        def end() -> None:
            for fault in list(faults.running.values()):
                if not targets or fault.target in targets:
                    faults.end(fault.id)

        self._call(end)

    def unmute(self, connection: str) -> None:
        """Its silence is over; faults of its devices run on."""
        self.quiet(connection)

    def cut(self, connection: str, device: str) -> None:
        """The equipment hangs up, and its gateway has noticed."""
        self.start(FaultKind.REFUSE, connection)
        until(lambda: not self.hears(connection, device))

    def on_next_write(self, device: str, then: Callable[[], None], *, obeys: bool) -> None:
        """The next new value meets a device that obeys (or not), and `then` happens before it has answered."""
        self._on_write[device] = (then, obeys)

    def _write(self, device: str, point: str, value: float, valid_for_s: float | None = None) -> None:
        renews = self.plant.read(device, point) == pytest.approx(value)
        if device in self._on_write and not renews:
            then, obeys = self._on_write.pop(device)
            then()
            if not obeys:
                raise Refused("it fell over")
        Plant.write(self.plant, device, point, value, valid_for_s)

    def claim(self, claim: Callable[..., bool], setpoint: Setpoint, *arguments: Any, **words: Any) -> bool:
        """Claims as the product does; what a test wants to happen then has happened before the write."""
        claimed = claim(setpoint, *arguments, **words)
        if claimed:
            self.after_claim.pop(setpoint.point.device.code, str)()
        return claimed

    def mute(self, connection: str) -> Callable[[], None]:
        """For `on_next_write`: from then on nothing of that equipment is heard."""
        return lambda: void(self.simulation.faults.start(FaultKind.SILENCE, connection, now=datetime.now(UTC)))

    def hears(self, connection: str, device: str) -> bool:
        """Whether the gateway still has the device's connection."""
        assert self.gateway is not None
        supervisors = (each for each in self.gateway.supervisors.values() if connection in each.plan.connections)
        supervisor = next(supervisors, None)  # none: it is being started anew, its configuration has changed
        driver = None if supervisor is None else supervisor.orders.driver
        return driver is not None and not driver.closed.is_set() and driver.device_up(device) is not False

    # Asking

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": str(uuid4())}
        return _taken(lambda: self._client.post(f"/api/v1{path}", body, content_type="application/json", headers=headers))

    def record(self, number: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"}
        answer = _taken(lambda: self._client.get(f"/api/v1/setpoints/{number}", headers=headers))
        found: dict[str, Any] = answer.json()
        assert answer.status_code == 200, found
        return found

    def ended(self, number: str, *states: str, within_s: float = 30.0) -> dict[str, Any]:
        """The record once it is in one of the states; what the clock ends is ended."""

        def look() -> dict[str, Any] | None:
            expiry.expire_setpoints(now=datetime.now(UTC))
            record = self.record(number)
            return record if record["state"] in states else None

        return until(look, within_s=within_s)


def _taken(ask: Callable[[], Any]) -> Any:
    """The answer; an API that is asked too often names the seconds to wait (429), and SQLite may be locked for a moment (503)."""
    while (answer := ask()).status_code in (429, 503):
        time.sleep(float(answer.headers.get("Retry-After", 0.1)))
    return answer


def void(_: object) -> None:
    """For a lambda whose answer nobody wants."""


def rule(device: str, point: str, **rules: Any) -> None:
    """The point's capability says this from now on; the simulated device keeps what it was built with."""
    row = Point.objects.get(device__code=device, name=point)
    row.capability = {**(row.capability or {}), **rules}
    row.save()
