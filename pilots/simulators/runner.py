"""All simulated peers of some pilots in one process and one loop. [zones: process to enterprise, simulated]

Faults for demos belong here later: between the plants and the peers that `Simulation` holds by connection name.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from invade_scada.ports import claim_port, read_ports
from pilots.catalogue.loader import profiles_of
from pilots.domain.topology import ConnectionSpec, PilotSpec, Protocol
from pilots.simulators.charge_point import ChargePoint
from pilots.simulators.head_end import HeadEnd, pushers_of
from pilots.simulators.iec104_rtu import RemoteTerminalUnit
from pilots.simulators.ledger import WRITES, Ledger
from pilots.simulators.modbus_gateway import ModbusGateway
from pilots.simulators.plant import Plant
from pilots.simulators.platform import Platform
from pilots.simulators.platform_orders import Orders
from pilots.simulators.secrets_file import PeerSecrets

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
STEP_S = 0.2
STOP_S = 1.5
SERVERS = (Protocol.MODBUS_TCP, Protocol.IEC104)


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
    ) -> None:
        self.pilots, self.data_dir, self.first_port, self.seed = pilots, data_dir, first_port, seed
        self._web_url, self._with_platform = web_url, platform
        self.secrets = PeerSecrets(data_dir)
        self.writes = Ledger(data_dir / "ledger" / WRITES)
        self.plants: dict[str, Plant] = {}
        self.servers: dict[str, ModbusGateway | RemoteTerminalUnit] = {}
        self.charge_points: dict[str, ChargePoint] = {}
        self.head_ends: dict[str, HeadEnd] = {}
        self.platform: Platform | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        # c104 writes naive local times on the wire.
        os.environ["TZ"] = "UTC"
        time.tzset()
        if self._with_platform:
            await self._start_platform()
        for pilot in self.pilots:
            await self._start_pilot(pilot)
        if self.plants:
            self._spawn("plants", self._step())

    async def stop(self) -> None:
        """Nothing of it runs on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        stops = [server.stop() for server in self.servers.values()]
        if self.platform is not None:
            stops.append(self.platform.stop())
        await asyncio.gather(*stops, return_exceptions=True)

    async def _start_platform(self) -> None:
        folder = self.data_dir / "ledger"
        self.platform = Platform(folder, token=functools.partial(self.secrets.platform, "push"))
        await self.platform.start(HOST, claim_port(self.data_dir, "platform", self.first_port))
        devices = [device.id for pilot in self.pilots for device in pilot.devices]
        orders = Orders(folder, base_url=self.web_url, token=functools.partial(self.secrets.platform, "control"), devices=devices)
        self._spawn("platform orders", orders.run())

    async def _start_pilot(self, pilot: PilotSpec) -> None:
        profiles = profiles_of(pilot)
        plant = Plant(pilot, profiles, seed=self.seed, start=datetime.now(UTC))
        self.plants[pilot.code] = plant
        for connection in pilot.connections:
            if not connection.simulated or connection.protocol not in SERVERS:
                continue
            kind = ModbusGateway if connection.protocol is Protocol.MODBUS_TCP else RemoteTerminalUnit
            server = kind(plant, connection, pilot, profiles, self.writes)
            self.servers[connection.name] = server
            await server.start(HOST, claim_port(self.data_dir, connection.name, self.first_port))
        for connection in pilot.connections:
            if connection.simulated and connection.protocol is Protocol.OCPP16:
                self._start_charge_points(pilot, plant, connection)
        for name, devices in pushers_of(pilot).items():
            token = functools.partial(self.secrets.token, name)
            self.head_ends[name] = HeadEnd(plant, name, devices, profiles, base_url=self.web_url, token=token, seed=self.seed)
            self._spawn(name, self.head_ends[name].run())

    def _start_charge_points(self, pilot: PilotSpec, plant: Plant, connection: ConnectionSpec) -> None:
        for device in pilot.devices:
            if device.connection != connection.name:
                continue
            identity = str(device.address.get("identity", device.id))
            self.charge_points[identity] = ChargePoint(
                plant,
                device.id,
                identity,
                connector=int(device.address.get("connector", 1)),
                endpoint=self._ocpp_endpoint,
                key=functools.partial(self.secrets.charge_point_key, identity),
                ledger=self.writes,
                seed=self.seed,
            )
            self._spawn(identity, self.charge_points[identity].run())

    def _ocpp_endpoint(self) -> tuple[str, int] | None:
        port = read_ports(self.data_dir).get("ocpp")
        return None if port is None else (HOST, port)

    def web_url(self) -> str | None:
        """The API's root as it stands now: the web role may come and go with another port."""
        if self._web_url is not None:
            return self._web_url
        port = read_ports(self.data_dir).get("web")
        return None if port is None else f"http://{HOST}:{port}/api/v1"

    async def _step(self) -> None:
        """Each plant five times a second, one after the other so that no step blocks the loop for long."""
        pause = STEP_S / max(1, len(self.plants))
        while True:
            for plant in self.plants.values():
                plant.step(datetime.now(UTC))
                await asyncio.sleep(pause)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(_guarded(name, work), name=name))


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
) -> AsyncIterator[Simulation]:
    """A running simulation, stopped at the end of the block."""
    simulation = Simulation(pilots, data_dir=data_dir, first_port=first_port, seed=seed, web_url=web_url, platform=platform)
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
    stop: asyncio.Event | None = None,
) -> None:
    """Simulates until SIGTERM, SIGINT or `stop`; returns within two seconds of it."""

    async def until_stopped() -> None:
        wanted = stop or asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, wanted.set)
        async with simulating(pilots, data_dir=data_dir, first_port=first_port, seed=seed, web_url=web_url) as simulation:
            log.info("simulating %s", ", ".join(simulation.plants))
            await wanted.wait()

    asyncio.run(until_stopped())
