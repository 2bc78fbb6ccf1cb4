"""Peers for the tests of the IEC 101 driver: hat-drivers' stations on ptys, and a station that misbehaves as told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hat.drivers import iec101, serial
from hat.drivers.iec60870 import link

from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget, Sink, Target
from pilots.drivers.iec101 import Iec101Driver
from pilots.drivers.iec101 import driver as driver_module
from pilots.simulators.serial_line import LineSettings, SerialLine

PATIENCE_S = 30.0
#: Fast enough for tests, slow enough that frames come in pieces.
FAST = LineSettings(baudrate=115200)
LINE: dict[str, Any] = {"baudrate": 115200, "ack_timeout_s": 0.15, "poll_class2_s": 0.05, "poll_busy_s": 0.0, "clock_sync": False}

#: For tests that want no time-out even on a machine that is busy.
PATIENT = {"ack_timeout_s": 2.0}

POINTS = {
    "active_power": PointSpec(name="active_power", kind=PointKind.MEASUREMENT, unit="W", address={"ioa": 1, "type": [13, 36]}),
    "position": PointSpec(name="position", kind=PointKind.STATUS, address={"ioa": 2, "type": 31}),
    "energy": PointSpec(name="energy", kind=PointKind.COUNTER, unit="Wh", address={"ioa": 4, "type": 37}),
    "p_set": PointSpec(name="p_set", kind=PointKind.SETPOINT, unit="W", scale=10, address={"ioa": 11, "command_type": 50}),
    "position_cmd": PointSpec(
        name="position_cmd", kind=PointKind.COMMAND, address={"ioa": 12, "command_type": 46, "select": True}
    ),
}


def station(number: int) -> DeviceTarget:
    """The device at link address `number`, common address ten times that."""
    return DeviceTarget(id=f"es-STO{number:02}", address={"link": number, "ca": 10 * number, "ioa": 100}, points=POINTS)


def make_target(
    *, serial_line: Path | str = "", port: int = 0, numbers: Sequence[int] = (1,), options: Mapping[str, Any] | None = None
) -> Target:
    return Target(
        name="es-rtu01",
        host="127.0.0.1",
        port=port,
        serial_line=str(serial_line),
        devices=tuple(station(number) for number in numbers),
        options={**LINE, **(options or {})},
    )


class Store:
    """A sink that keeps what it gets; while `gate` is closed it commits nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[RawReading]]] = []
        self.committed: list[RawReading] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._news = asyncio.Event()

    async def sink(self, device_id: str, readings: Sequence[RawReading]) -> None:
        self.calls.append((device_id, list(readings)))
        self._news.set()
        await self.gate.wait()
        self.committed += readings

    def readings(self, point: str, device: str = "") -> list[RawReading]:
        chosen = [readings for device_id, readings in self.calls if device in ("", device_id)]
        return [reading for readings in chosen for reading in readings if reading.point == point]

    def values(self, point: str, device: str = "") -> list[float | None]:
        return [reading.value for reading in self.readings(point, device)]

    async def wait_for(self, point: str, count: int = 1, device: str = "") -> list[RawReading]:
        """The readings of `point`, once there are `count` of them."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.readings(point, device)) < count:
                self._news.clear()
                await self._news.wait()
        return self.readings(point, device)


@contextlib.asynccontextmanager
async def opened(target: Target, sink: Sink) -> AsyncIterator[Iec101Driver]:
    driver = Iec101Driver(target, sink)
    try:
        await asyncio.wait_for(driver.open(), PATIENCE_S)
        yield driver
    finally:
        await driver.close()


def forget() -> None:
    """As after a restart of the process: no station is remembered."""
    driver_module._REMEMBERED.clear()


async def until(condition: Callable[[], object], within_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


# ---------------------------------------------------------------- hat-drivers

GOOD = iec101.MeasurementQuality(False, False, False, False, False)
BINARY_GOOD = iec101.IndicationQuality(False, False, False, False)
COUNTER_GOOD = iec101.CounterQuality(invalid=False, adjusted=False, overflow=False, sequence=0)
CON, TERM = iec101.CommandResCause.ACTIVATION_CONFIRMATION, iec101.CommandResCause.ACTIVATION_TERMINATION
INTERROGATED = iec101.DataResCause.INTERROGATED_STATION
SPONTANEOUS = iec101.DataResCause.SPONTANEOUS


def stamped(time: datetime, size: Any = iec101.TimeSize.SEVEN) -> Any:
    return iec101.time_from_datetime(time, invalid=False)._replace(size=size)


class HatStation:
    """One station of hat-drivers, unbalanced or balanced; `mode` of commands: confirm, refuse or silent."""

    def __init__(self, number: int, sizes: tuple[int, int, int] = (2, 2, 3)) -> None:
        self.number, self.common_address = number, 10 * number
        self._sizes = (iec101.CauseSize(sizes[0]), iec101.AsduAddressSize(sizes[1]), iec101.IoAddressSize(sizes[2]))
        self.mode = "confirm"
        self.interrogations = 0
        self.clock: datetime | None = None
        self.commands: list[iec101.CommandMsg] = []
        self.power = 50.0
        self.connection: iec101.Connection | None = None
        self._ready = asyncio.Event()

    async def serve(self, opening: Any) -> None:
        """`opening` yields a link connection; it is served until it closes."""
        connection = self.connection = iec101.Connection(await opening, *self._sizes)
        self._ready.set()
        with contextlib.suppress(ConnectionError):
            while True:
                for message in await connection.receive():
                    await self._take(message)

    async def tell(self, *messages: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):  # wait_for would swallow a cancellation that comes just then
            await self._ready.wait()
        assert self.connection is not None
        await self.connection.send(list(messages))

    def message(self, offset: int, data: Any, *, cause: Any = SPONTANEOUS, time: Any = None) -> Any:
        return iec101.DataMsg(False, 0, self.common_address, 100 + offset, data, time, cause)

    def measured(self, value: float, *, cause: Any = SPONTANEOUS, time: Any = None) -> Any:
        return self.message(1, iec101.FloatingData(iec101.FloatingValue(value), GOOD), cause=cause, time=time)

    async def _take(self, message: Any) -> None:
        if isinstance(message, iec101.InterrogationMsg):
            self.interrogations += 1
            double = iec101.DoubleData(iec101.DoubleValue.ON, BINARY_GOOD)
            image = [self.measured(self.power, cause=INTERROGATED), self.message(2, double, cause=INTERROGATED)]
            await self.tell(message._replace(cause=CON), *image, message._replace(cause=TERM))
        elif isinstance(message, iec101.CounterInterrogationMsg):
            counter = iec101.BinaryCounterData(iec101.BinaryCounterValue(1234), COUNTER_GOOD)
            value = self.message(4, counter, cause=iec101.DataResCause.INTERROGATED_COUNTER)
            await self.tell(message._replace(cause=CON), value, message._replace(cause=TERM))
        elif isinstance(message, iec101.ClockSyncMsg):
            self.clock = iec101.time_to_datetime(message.time)
            await self.tell(message._replace(cause=iec101.ClockSyncResCause.ACTIVATION_CONFIRMATION))
        elif isinstance(message, iec101.CommandMsg):
            self.commands.append(message)
            if self.mode != "silent":
                await self.tell(message._replace(cause=CON, is_negative_confirm=self.mode == "refuse"))


@contextlib.asynccontextmanager
async def hat_slaves(path: str, stations: Sequence[HatStation], **options: Any) -> AsyncIterator[link.SlaveLink]:
    """Stations of one unbalanced line on the device file `path`."""
    slave = await link.create_slave_link(
        path, link.AddressSize.ONE, baudrate=115200, parity=serial.Parity.EVEN, silent_interval=0.0
    )
    tasks = [asyncio.create_task(each.serve(slave.open_connection(each.number, **options))) for each in stations]
    try:
        yield slave
    finally:
        await slave.async_close()
        await ended(*tasks)


async def ended(*tasks: asyncio.Task[None]) -> None:
    """hat-drivers waits for ever for the first request to a station, also when its line is closed."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def hat_line(folder: Path, *numbers: int) -> AsyncIterator[tuple[SerialLine, list[HatStation]]]:
    """A serial line with hat-drivers' stations at its far end."""
    stations = [HatStation(number) for number in numbers or (1,)]
    async with SerialLine(folder / "line", FAST, equipment_file=True) as line:
        async with hat_slaves(line.equipment_path, stations):
            yield line, stations


def utc(hour: int = 3) -> datetime:
    return datetime(2026, 7, 1, hour, 4, 1, 500_000, UTC)


@contextlib.contextmanager
def forgetting() -> Iterator[None]:
    forget()
    try:
        yield
    finally:
        forget()
