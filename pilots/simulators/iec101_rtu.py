"""A remote terminal unit on IEC 60870-5-101, simulated with hat-drivers. [zone: station, simulated] [D7.1 2.2.1.1, 3.1.2 a]

It stands at the same plant, common and object addresses as `iec104_rtu`, so that one unit can be reached by both: 104 on
fibre and 101 on a modem. Reports of measurements are class 2 data; switching, answers and interrogated values are class 1.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from hat.drivers import iec101, serial
from hat.drivers.iec60870 import link

from pilots.catalogue.points import resolve_points
from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointSpec
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, PilotSpec, Way
from pilots.simulators.iec101_objects import OBJECTS_PER_ASDU, Monitored, Packer, commanded, data_message, monitored
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant, Refused
from pilots.simulators.serial_server import SerialServer

log = logging.getLogger(__name__)

SCAN_S = 1.0
SELECTED_S = 30.0
#: A line nobody polls for so long is given up; its station starts anew with the next request.
KEEP_ALIVE_S = 60.0
STATION_INTERROGATION = 20
_CAUSE = iec101.CommandResCause
_PARITY = {"N": serial.Parity.NONE, "E": serial.Parity.EVEN, "O": serial.Parity.ODD}


class RemoteTerminalUnit:
    """The stations of one connection, reached by `way` (the connection itself unless it is one of its backups)."""

    def __init__(
        self,
        plant: Plant,
        connection: ConnectionSpec,
        pilot: PilotSpec,
        profiles: Mapping[str, Profile],
        ledger: Ledger,
        *,
        way: Way | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.options = dict((way or connection).options)
        self.name = connection.name
        self.stations: dict[int, Station] = {}
        default = int(self.options.get("ca", 1))
        for device in pilot.devices:
            if device.connection != connection.name or device.profile not in profiles:
                continue
            common = int(device.address.get("ca", default))
            address = int(device.address.get("link", common)) if self._link_address_size else 0
            if address not in self.stations:
                self.stations[address] = Station(self, plant, ledger, address, clock)
            for spec in resolve_points(device, profiles[device.profile], connection).values():
                if "ioa" in spec.address:
                    place = (int(spec.address.get("ca", common)), int(device.address.get("ioa", 0)) + int(spec.address["ioa"]))
                    self.stations[address].add(device.id, spec, *place)
        self._link: Any = None
        self._server: SerialServer | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def balanced(self) -> bool:
        return bool(self.options.get("mode") == "balanced")

    @property
    def _link_address_size(self) -> int:
        return int(self.options.get("link_address_size", 1))

    async def start(self, host: str, port: int) -> None:
        """It is reached by TCP, as behind a serial device server. Raises OSError."""
        self._server = SerialServer()
        await self._server.start(host, port)
        await self.start_serial(self._server.path)

    async def start_serial(self, path: str) -> None:
        """It listens at a serial device file."""
        form = {
            "baudrate": int(self.options.get("baudrate", 9600)),
            "parity": _PARITY[str(self.options.get("parity", "E"))],
            "stopbits": serial.StopBits(int(self.options.get("stopbits", 1))),
        }
        size = link.AddressSize(self._link_address_size)
        if self.balanced:
            self._link = await link.create_balanced_link(path, size, **form)
        else:
            self._link = await link.create_slave_link(path, size, silent_interval=0.0, **form)
        for station in self.stations.values():
            self._spawn(f"{self.name} serves", station.serve(self._open))
            self._spawn(f"{self.name} scans", station.keep_reporting())

    async def stop(self) -> None:
        """Nothing of it runs on; twice is once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._link is not None:
            await self._link.async_close()
            self._link = None
        if self._server is not None:
            await self._server.stop()
            self._server = None

    def cut(self) -> None:
        """A TCP client loses its connection; it may come again."""
        if self._server is not None:
            self._server.hang_up()

    @property
    def is_open(self) -> bool:
        return self._link is not None and bool(self._link.is_open)

    @property
    def sizes(self) -> tuple[Any, Any, Any]:
        """Of cause, common address and object address, as hat-drivers names them."""
        wanted = [int(self.options.get(f"{what}_size", size)) for what, size in _SIZES.items()]
        return iec101.CauseSize(wanted[0]), iec101.AsduAddressSize(wanted[1]), iec101.IoAddressSize(wanted[2])

    async def _open(self, station: Station) -> Any:
        """A link connection, once a controlling station speaks to `station`."""
        if self.balanced:
            return await self._link.open_connection(link.Direction.B_TO_A, station.address, response_timeout=1.0)
        return await self._link.open_connection(
            station.address, poll_class2_cb=station.next_class_2, keep_alive_timeout=KEEP_ALIVE_S
        )

    def _spawn(self, name: str, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))


_SIZES = {"cause": 2, "common_address": 2, "object_address": 3}


class Station:
    """One link address: its image, its reports and its commands, at one or more common addresses."""

    def __init__(
        self, unit: RemoteTerminalUnit, plant: Plant, ledger: Ledger, address: int, clock: Callable[[], datetime]
    ) -> None:
        self.unit, self.plant, self.ledger, self.address, self.clock = unit, plant, ledger, address, clock
        self._monitored: dict[tuple[int, int], Monitored] = {}
        self._commands: dict[tuple[int, int], tuple[str, PointSpec]] = {}
        self._selected: dict[tuple[int, int], float] = {}
        self._connection: Any = None
        self._packer = Packer(unit.sizes)
        #: Measurements that nobody has fetched, the newest of each object.
        self._class_2: dict[tuple[int, int], tuple[int, Any]] = {}
        self._fresh = True

    def add(self, device_id: str, spec: PointSpec, common: int, address: int) -> None:
        """Raises CatalogueError when the object address is taken."""
        place = (common, address)
        if place in self._monitored or place in self._commands:
            raise CatalogueError(f"{device_id} {spec.name}: object address {address} is taken")
        if "command_type" in spec.address:
            self._commands[place] = (device_id, spec)
        else:
            self._monitored[place] = monitored(device_id, spec, common, address)

    # -- the link

    async def serve(self, opened: Callable[[Station], Awaitable[Any]]) -> None:
        """One controlling station after the other."""
        while self.unit.is_open:
            try:
                self._connection = connection = await opened(self)
            except ConnectionError:
                return
            try:
                await self._converse(iec101.Connection(connection, *self.unit.sizes))
            except ConnectionError:
                log.info("%s: nobody asks station %s any more", self.unit.name, self.address)
            except Exception:
                log.exception("%s: a message was not understood", self.unit.name)
            finally:
                self._connection = None
                self._class_2.clear()
                await connection.async_close()

    async def _converse(self, connection: iec101.Connection) -> None:
        if self._fresh:
            self._fresh = False
            for common in {common for common, _ in self._monitored}:
                restart = iec101.InitializationResCause.LOCAL_POWER
                await self._tell(iec101.InitializationMsg(False, 0, common, False, restart))
        while True:
            for message in await connection.receive():
                await self._take(message)

    async def keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(SCAN_S)
            try:
                await self._report()
            except ConnectionError:
                continue  # `serve` sees it too
            except Exception:
                log.exception("%s: a scan failed", self.unit.name)

    async def next_class_2(self, _: Any) -> bytes | None:
        """What measurements nobody has fetched, as many as fit an ASDU: those of the oldest one's type."""
        if not self._class_2:
            return None
        (common, _), (type_id, _) = next(iter(self._class_2.items()))
        alike = [place for place, (other, _) in self._class_2.items() if other == type_id and place[0] == common]
        (asdu,) = self._packer.pack([self._class_2.pop(place)[1] for place in alike[:OBJECTS_PER_ASDU]])
        return asdu

    async def _report(self) -> None:
        if self._connection is None or not self._connection.is_open:
            return
        now, at, events = time.monotonic(), self.clock(), []
        for each in self._monitored.values():
            value = self._value(each)
            if each.is_due(value, now):
                each.note(value, now)
                own = self.plant.own_time(each.device, at)
                message = data_message(each, value, cause=iec101.DataResCause.SPONTANEOUS, at=own)
                if each.is_event or self.unit.balanced:
                    events.append(message)
                else:
                    self._class_2[each.common, each.address] = (each.type_id, message)
        await self._tell(*events)

    def _value(self, each: Monitored) -> float | None:
        raw = self.plant.read(each.device, each.spec.name)
        return raw if isinstance(raw, float | int) else None

    async def _tell(self, *messages: Any) -> None:
        if self._connection is not None:
            for asdu in self._packer.pack(messages):
                await self._connection.send(asdu)

    # -- what it is asked

    async def _take(self, message: Any) -> None:
        if isinstance(message, iec101.CommandMsg):
            await self._take_command(message)
        elif isinstance(message, iec101.InterrogationMsg):
            known = message.request == STATION_INTERROGATION
            chosen = self._image(message.asdu_address, counters=False)
            await self._tell_image(message, chosen, iec101.DataResCause.INTERROGATED_STATION, known)
        elif isinstance(message, iec101.CounterInterrogationMsg):
            chosen = self._image(message.asdu_address, counters=True)
            await self._tell_image(message, chosen, iec101.DataResCause.INTERROGATED_COUNTER, known=True)
        elif isinstance(message, iec101.ClockSyncMsg):
            await self._tell(message._replace(cause=iec101.ClockSyncResCause.ACTIVATION_CONFIRMATION))
        elif isinstance(message, iec101.TestMsg):
            await self._tell(message._replace(cause=iec101.ActivationResCause.ACTIVATION_CONFIRMATION))
        elif isinstance(message, iec101.ReadMsg):
            await self._read(message)

    def _image(self, common: int, *, counters: bool) -> list[Monitored]:
        return [each for each in self._monitored.values() if each.common == common and each.is_counter is counters]

    async def _tell_image(self, request: Any, chosen: list[Monitored], cause: Any, known: bool) -> None:
        await self._tell(request._replace(cause=_CAUSE.ACTIVATION_CONFIRMATION, is_negative_confirm=not known))
        if not known:
            return
        await self._tell(*(data_message(each, self._value(each), cause=cause) for each in chosen))
        await self._tell(request._replace(cause=_CAUSE.ACTIVATION_TERMINATION))

    async def _read(self, message: Any) -> None:
        each = self._monitored.get((message.asdu_address, message.io_address))
        if each is None:
            await self._tell(message._replace(cause=iec101.ReadResCause.UNKNOWN_IO_ADDRESS))
        else:
            await self._tell(data_message(each, self._value(each), cause=iec101.DataResCause.REQUEST))

    async def _take_command(self, message: Any) -> None:
        known = self._commands.get((message.asdu_address, message.io_address))
        if known is None:
            await self._tell(message._replace(cause=_CAUSE.UNKNOWN_IO_ADDRESS, is_negative_confirm=True))
        elif message.cause == iec101.CommandReqCause.DEACTIVATION:
            selected = self._selected.pop((message.asdu_address, message.io_address), None) is not None
            await self._tell(message._replace(cause=_CAUSE.DEACTIVATION_CONFIRMATION, is_negative_confirm=not selected))
        else:
            obeyed = self._obey(message, *known)
            await self._tell(message._replace(cause=_CAUSE.ACTIVATION_CONFIRMATION, is_negative_confirm=not obeyed))
            if obeyed and not getattr(message.command, "select", False):
                await self._tell(message._replace(cause=_CAUSE.ACTIVATION_TERMINATION))

    def _obey(self, message: Any, device_id: str, spec: PointSpec) -> bool:
        """Whether the select or the command was taken."""
        value, able, now = spec.from_wire(commanded(message.command)), spec.capability, time.monotonic()
        place = (message.asdu_address, message.io_address)
        if not math.isfinite(value) or (able is not None and not able.minimum <= value <= able.maximum):
            return False
        if getattr(message.command, "select", False):
            self._selected[place] = now + SELECTED_S
            return bool(spec.address.get("select"))
        if spec.address.get("select") and self._selected.pop(place, 0.0) < now:
            return False
        try:
            self.plant.write(device_id, spec.name, value)
        except Refused as refusal:
            log.info("%s refused %s %s: %s", device_id, spec.name, value, refusal)
            return False
        self.ledger.write(device=device_id, point=spec.name, value=value, peer=self.unit.name)
        return True
