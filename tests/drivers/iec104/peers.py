"""Peers and recorders for the tests of the IEC 104 driver: real sockets on the loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget, Sink, Target
from pilots.drivers.iec104 import Iec104Driver, apci
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu, InformationObject

PATIENCE_S = 30.0

POINTS = {
    "active_power": PointSpec(name="active_power", kind=PointKind.MEASUREMENT, unit="W", address={"ioa": 1, "type": [13, 36]}),
    "position": PointSpec(name="position", kind=PointKind.STATUS, address={"ioa": 2, "type": 31}),
    "trip": PointSpec(name="trip", kind=PointKind.STATUS, address={"ioa": 3, "type": 30}),
    "energy": PointSpec(name="energy", kind=PointKind.COUNTER, unit="Wh", address={"ioa": 4, "type": 37}),
    "p_set": PointSpec(name="p_set", kind=PointKind.SETPOINT, unit="W", scale=10, address={"ioa": 11, "command_type": 50}),
    "position_cmd": PointSpec(
        name="position_cmd", kind=PointKind.COMMAND, address={"ioa": 12, "command_type": 46, "select": True}
    ),
    "p_scaled": PointSpec(name="p_scaled", kind=PointKind.SETPOINT, unit="W", address={"ioa": 13, "command_type": 49}),
    "serial": PointSpec(name="serial", kind=PointKind.TEXT),
}


def make_target(port: int, options: Mapping[str, Any] | None = None, devices: Sequence[DeviceTarget] = ()) -> Target:
    """One RTU with a battery at CA 1, base 700, unless other devices are given."""
    battery = DeviceTarget(id="es-STO01", address={"ca": 1, "ioa": 700}, points=POINTS)
    return Target(name="es-rtu01", host="127.0.0.1", port=port, devices=tuple(devices) or (battery,), options=options or {})


class Store:
    """A sink that keeps what it gets; while `gate` is closed it commits nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[RawReading]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._news = asyncio.Event()

    async def sink(self, device_id: str, readings: Sequence[RawReading]) -> None:
        self.calls.append((device_id, list(readings)))
        self._news.set()
        await self.gate.wait()

    def readings(self, point: str) -> list[RawReading]:
        return [reading for _, readings in self.calls for reading in readings if reading.point == point]

    async def wait_for(self, point: str, count: int = 1) -> list[RawReading]:
        """The readings of `point`, once there are `count` of them."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.readings(point)) < count:
                self._news.clear()
                await self._news.wait()
        return self.readings(point)


class RawStation:
    """A controlled station that does only what the test says; counts its own I-frames."""

    def __init__(self) -> None:
        self.port = 0
        self.sent = self.acknowledged = 0
        self._streams: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def connected(self) -> None:
        self.reader, self.writer = await asyncio.wait_for(self._streams.get(), PATIENCE_S)
        self.sent = self.acknowledged = 0

    async def started(self) -> None:
        """STARTDT is asked for and confirmed."""
        await self.connected()
        assert await self.frame() == bytes((apci.STARTDT_ACT, 0, 0, 0))
        self.write(apci.u_frame(apci.STARTDT_CON))

    async def frame(self) -> bytes:
        """The next APDU from the driver without start and length octet."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readexactly(2)
            assert head[0] == apci.START
            return await self.reader.readexactly(head[1])

    async def frame_within(self, seconds: float) -> bytes | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.frame()
        return None

    async def asks_within(self, seconds: float) -> bool:
        """Whether an I-frame comes; what merely acknowledges is passed over."""
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 0:
            frame = await self.frame_within(left)
            if frame is not None and frame[0] & 1 == 0:
                return True
        return False

    async def request(self, type_id: int) -> Asdu:
        """The next ASDU of that type; other frames are passed over."""
        while True:
            frame = await self.frame()
            if frame[0] & 1 == 0 and frame[4] == type_id:
                return asdu.decode(frame[4:])

    def write(self, octets: bytes) -> None:
        self.writer.write(octets)

    def send(self, *units: Asdu, received: int | None = None) -> None:
        """I-frames in one segment; `received` is the N(R) they carry, else that of the last ones."""
        frames = []
        self.acknowledged = self.acknowledged if received is None else received
        for unit in units:
            frames.append(apci.i_frame(self.sent, self.acknowledged, asdu.encode(unit)))
            self.sent += 1
        self.write(b"".join(frames))

    async def confirmed(self, type_id: int, *, ended: bool = False) -> Asdu:
        """The next request of that type, confirmed, and told to be complete where `ended`."""
        request = await self.request(type_id)
        self.send(request._replace(cause=asdu.ACTIVATION_CON))
        if ended:
            self.send(request._replace(cause=asdu.ACTIVATION_TERM))
        return request

    def hang_up(self) -> None:
        self.writer.transport.abort()

    async def hung_up(self) -> None:
        """The driver has closed the connection (its last frames are read over)."""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(1000):
                    pass


@contextlib.asynccontextmanager
async def raw_station() -> AsyncIterator[RawStation]:
    station = RawStation()
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await station._streams.put((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    station.port = server.sockets[0].getsockname()[1]
    try:
        yield station
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def opened(station: RawStation, sink: Sink, **options: Any) -> AsyncIterator[Iec104Driver]:
    """A driver that has STARTDT confirmed by the raw station; its interrogation (frames 0, 1) is on the way."""
    driver = Iec104Driver(make_target(station.port, options), sink)
    opening = asyncio.ensure_future(driver.open())
    try:
        await station.started()
        await opening
        yield driver
    finally:
        opening.cancel()
        station.hang_up()  # else the driver waits for a STOPDT con that no test sends
        await driver.close()


def floats(*values: float, first: int = 701, cause: int = 3, common_address: int = 1) -> Asdu:
    """M_ME_NC_1 with one object a value, at rising addresses."""
    objects = tuple(InformationObject(first + position, value) for position, value in enumerate(values))
    return Asdu(13, cause, common_address, objects)


def receive_number(frame: bytes) -> int:
    return int.from_bytes(frame[2:4], "little") >> 1
