"""A remote terminal unit on IEC 60870-5-101, simulated with hat-drivers. [zone: station, simulated] [D7.1 2.2.1.1, 3.1.2 a]

It stands at the same plant, common and object addresses as `iec104_rtu`, so that one unit can be reached by both: 104 on
fibre and 101 on a modem. Reports of measurements are class 2 data; switching, answers and interrogated values are class 1.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hat.drivers import iec101, serial
from hat.drivers.iec101.encoder import Encoder
from hat.drivers.iec60870 import link
from hat.drivers.iec60870.encodings import iec101 as encodings

from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, PilotSpec, Way
from pilots.simulators.iec60870_objects import OBJECTS_PER_ASDU, Packer
from pilots.simulators.iec60870_station import Station, placed_points
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant
from pilots.simulators.serial_server import SerialServer

log = logging.getLogger(__name__)

SCAN_S = 1.0
#: A line nobody polls for so long is given up; its station starts anew with the next request.
KEEP_ALIVE_S = 60.0
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
        self.stations: dict[int, LineStation] = {}
        for point in placed_points(replace(connection, options=self.options), pilot, profiles):
            address = point.link if self._link_address_size else 0
            if address not in self.stations:
                station = Station(plant, ledger, self.name, clock)
                station.everybody = 256 ** self.sizes[1].value - 1
                self.stations[address] = LineStation(self, station, address)
            self.stations[address].station.add(point)
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

    async def _open(self, station: LineStation) -> Any:
        """A link connection, once a controlling station speaks to `station`."""
        if self.balanced:
            return await self._link.open_connection(link.Direction.B_TO_A, station.address, response_timeout=1.0)
        return await self._link.open_connection(
            station.address, poll_class2_cb=station.next_class_2, keep_alive_timeout=KEEP_ALIVE_S
        )

    def _spawn(self, name: str, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))


_SIZES = {"cause": 2, "common_address": 2, "object_address": 3}


class LineStation:
    """One link address: what its station reports as classes 1 and 2, and its answers."""

    def __init__(self, unit: RemoteTerminalUnit, station: Station, address: int) -> None:
        self.unit, self.station, self.address = unit, station, address
        self._connection: Any = None
        self._packer = Packer(Encoder(*unit.sizes), encodings.encoder.Encoder(*unit.sizes))
        #: Measurements that nobody has fetched, the newest of each object.
        self._class_2: dict[tuple[int, int], tuple[tuple[int, bool], Any]] = {}
        self._fresh = True

    async def serve(self, opened: Callable[[LineStation], Awaitable[Any]]) -> None:
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
            for common in self.station.common_addresses:
                restart = iec101.InitializationResCause.LOCAL_POWER
                await self._tell(iec101.InitializationMsg(False, 0, common, False, restart))
        while True:
            for message in await connection.receive():
                await self._tell(*self.station.answers(message))

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
        (common, _), (kind, _) = next(iter(self._class_2.items()))
        alike = [place for place, (other, _) in self._class_2.items() if other == kind and place[0] == common]
        (asdu,) = self._packer.pack([self._class_2.pop(place)[1] for place in alike[:OBJECTS_PER_ASDU]])
        return asdu

    async def _report(self) -> None:
        if self._connection is None or not self._connection.is_open:
            return
        events = []
        for each, message in self.station.due():
            if each.is_event or self.unit.balanced:
                events.append(message)
            else:
                self._class_2[each.common, each.address] = ((each.type_id, each.timed), message)
        await self._tell(*events)

    async def _tell(self, *messages: Any) -> None:
        if self._connection is not None:
            for asdu in self._packer.pack(messages):
                await self._connection.send(asdu)
