"""All simulated peers of some pilots in one process and one loop. [zones: process to enterprise, simulated]"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from invade_scada.ports import claim_port, read_ports
from pilots.catalogue.loader import profiles_of
from pilots.domain.topology import PilotSpec
from pilots.simulators.control_endpoint import ControlEndpoint
from pilots.simulators.desk import Desk
from pilots.simulators.faults import Fault, FaultKind, Faults
from pilots.simulators.fleet import Fleet, Surroundings
from pilots.simulators.ledger import WRITES, Ledger
from pilots.simulators.mishaps import Mishaps
from pilots.simulators.places import names_of, places_of, unheard
from pilots.simulators.plant import Plant
from pilots.simulators.platform import Platform
from pilots.simulators.platform_forecasts import Forecasts
from pilots.simulators.platform_orders import Orders
from pilots.simulators.platform_schedules import Schedules
from pilots.simulators.secrets_file import PeerSecrets

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
STEP_S = 0.2
STOP_S = 1.5


class Simulation:
    """The plants, their peers and the platform; `start` returns once every listener listens."""

    def __init__(
        self,
        pilots: Sequence[PilotSpec],
        *,
        data_dir: Path,
        first_port: int,
        seed: int,
        web_url: str | None = None,
        platform: bool = True,
        media: bool = False,
    ) -> None:
        self.pilots, self.data_dir, self.first_port, self.seed = pilots, data_dir, first_port, seed
        self._web_url, self._with_platform, self._with_media = web_url, platform, media
        self.secrets = PeerSecrets(data_dir)
        self.writes = Ledger(data_dir / "ledger" / WRITES)
        self.faults = Faults(seed=seed)
        self.desk = Desk(self.faults, self._points)
        self.plants: dict[str, Plant] = {}
        self.fleets: dict[str, Fleet] = {}
        self.platform: Platform | None = None
        self._control = ControlEndpoint(self.desk, data_dir)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        if self._with_platform:
            await self._start_platform()
        for pilot in self.pilots:
            await self._start_pilot(pilot)
        if self.plants:
            self._spawn("plants", self._step())
        self.faults.watch(self._on_fault)
        self._spawn("faults", self.desk.run())
        await self._control.start()

    async def stop(self) -> None:
        """Nothing of it runs on."""
        await self._control.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        stops = [way.stop() for way in self.desk.ways]
        if self.platform is not None:
            stops.append(self.platform.stop())
        await asyncio.gather(*stops, return_exceptions=True)

    async def _start_platform(self) -> None:
        folder = self.data_dir / "ledger"
        self.platform = Platform(folder, token=functools.partial(self.secrets.platform, "push"))
        await self.platform.start(HOST, claim_port(self.data_dir, "platform", self.first_port))
        devices = [device.id for pilot in self.pilots for device in pilot.devices]
        token = functools.partial(self.secrets.platform, "control")
        for name, wishes in (("orders", Orders), ("schedules", Schedules)):
            self._spawn(f"platform {name}", wishes(folder, base_url=self.web_url, token=token, devices=devices).run())
        foresight = Forecasts(folder, base_url=self.web_url, token=token, pilots=self.pilots, seed=self.seed)
        self._spawn("platform forecasts", foresight.run())

    async def _start_pilot(self, pilot: PilotSpec) -> None:
        profiles = profiles_of(pilot)
        places = {place.name: place for place in places_of(pilot)}
        mishaps = Mishaps(self.faults, names_of(pilot), unheard(places))
        plant = Plant(pilot, profiles, seed=self.seed, start=datetime.now(UTC), mishaps=mishaps)
        fleet = Fleet(self._surroundings(), pilot, profiles, plant)
        self.plants[pilot.code], self.fleets[pilot.code] = plant, fleet
        self.desk.places.update(places)
        for way in fleet.ways:
            way.set_media(self._with_media)
            await way.start()
            self.desk.ways.append(way)
        for identity, station in fleet.charge_points.items():
            self._spawn(identity, station.run())
        for name, head_end in fleet.head_ends.items():
            self._spawn(name, head_end.run())

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            data_dir=self.data_dir,
            first_port=self.first_port,
            seed=self.seed,
            faults=self.faults,
            ledger=self.writes,
            secrets=self.secrets,
            ocpp=self._ocpp_endpoint,
            web=self.web_url,
        )

    def _ocpp_endpoint(self) -> tuple[str, int] | None:
        port = read_ports(self.data_dir).get("ocpp")
        return None if port is None else (HOST, port)

    def web_url(self) -> str | None:
        """The API's root as it stands now: the web role may come and go with another port."""
        if self._web_url is not None:
            return self._web_url
        port = read_ports(self.data_dir).get("web")
        return None if port is None else f"http://{HOST}:{port}/api/v1"

    def _points(self, device: str) -> list[str]:
        return [name for plant in self.plants.values() for name in plant.points_of(device)]

    def _on_fault(self, fault: Fault) -> None:
        """A reboot ends the equipment itself; its connections are the relay's business."""
        if fault.kind is not FaultKind.REBOOT:
            return
        up = not self.faults.runs(fault)
        for way in self.desk.ways:
            if fault.target in way.targets:
                self._spawn(f"restart of {way.name}", way.restart(up))
        stations = [station for fleet in self.fleets.values() for station in fleet.charge_points.values()]
        for station in stations:
            if fault.target in (station.device_id, self.desk.places[station.device_id].connection):
                station.restart()

    async def _step(self) -> None:
        """Each plant five times a second, one after the other so that no step blocks the loop for long."""
        pause = STEP_S / max(1, len(self.plants))
        while True:
            for plant in self.plants.values():
                plant.step(datetime.now(UTC))
                await asyncio.sleep(pause)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_guarded(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _guarded(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except asyncio.CancelledError:
        raise
    except Exception:
        # One broken peer must not take the other two hundred with it.
        log.exception("simulated peer %s ended", name)


@contextlib.asynccontextmanager
async def simulating(
    pilots: Sequence[PilotSpec],
    *,
    data_dir: Path,
    first_port: int,
    seed: int = 1,
    web_url: str | None = None,
    platform: bool = True,
    media: bool = False,
) -> AsyncIterator[Simulation]:
    """A running simulation, stopped at the end of the block."""
    simulation = Simulation(
        pilots, data_dir=data_dir, first_port=first_port, seed=seed, web_url=web_url, platform=platform, media=media
    )
    try:
        await simulation.start()
        yield simulation
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(simulation.stop(), STOP_S)


def run(
    pilots: Sequence[PilotSpec],
    *,
    data_dir: Path,
    first_port: int,
    seed: int = 1,
    web_url: str | None = None,
    media: bool = False,
    stop: asyncio.Event | None = None,
) -> None:
    """Simulates until SIGTERM, SIGINT or `stop`; returns within two seconds of it."""

    async def until_stopped() -> None:
        wanted = stop or asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, wanted.set)
        async with simulating(
            pilots, data_dir=data_dir, first_port=first_port, seed=seed, web_url=web_url, media=media
        ) as simulation:
            log.info("simulating %s", ", ".join(simulation.plants))
            await wanted.wait()

    asyncio.run(until_stopped())
