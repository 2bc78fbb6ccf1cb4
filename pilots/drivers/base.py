"""What a protocol driver offers the supervisor of a connection. [zone: field]

Drivers are free of Django: they get a `Target` (endpoint and devices) and a `Sink`, and speak the protocol.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pilots.domain.errors import DeviceRefused, FieldError
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointSpec
from pilots.drivers.traffic import Traffic


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceTarget:
    """One device behind a connection: `address` from the pilot file, `points` and `options` from its profile."""

    id: str
    address: Mapping[str, Any]
    points: Mapping[str, PointSpec]
    options: Mapping[str, Any] = field(default_factory=dict)
    nameplate: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The far end of one connection: where it is and which devices it carries.

    `serial_line` is the device file of a serial line ("/dev/ttyUSB0"); where it is set, host and port mean nothing and
    `options` tell its speed and form (`baudrate`, `parity` N/E/O, `stopbits`).
    """

    name: str
    host: str
    port: int
    devices: tuple[DeviceTarget, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    serial_line: str = ""

    @property
    def place(self) -> str:
        """Where it is, in words for messages."""
        return self.serial_line or f"{self.host}:{self.port}"


#: `await sink(device_id, readings)` returns once the readings are committed: only then may a protocol acknowledge them.
#: The list is the sink's from then on. Many readings at a time cost the least: a call costs as much as ten readings.
Sink = Callable[[str, Sequence[RawReading]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Examined:
    """What stands at an address just now: the reading (wire value and quality, before scale and sign) and the raw words."""

    reading: RawReading
    raw: str


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The device's (or transport's) positive answer to a write; `raw` is its own words for the audit trail."""

    raw: str


class Driver(ABC):
    """One connection to the field. Not thread-safe: lives in the gateway's loop.

    `open` connects or raises LinkDown / AnswerTimeout / ProtocolViolation. After it, `closed` is set once the
    connection is lost for whatever reason, so that the supervisor can wait for it.
    """

    #: True: values come by themselves through the sink. False: the supervisor calls `read` by the points' periods.
    listening: ClassVar[bool] = False
    #: Wireshark's name of what `traffic.log` keeps ("mbtcp"); empty where a frame of the log is no frame of the wire.
    dissector: ClassVar[str] = ""
    #: True: devices connect to us and connections with the same endpoint share one listener.
    listener: ClassVar[bool] = False

    def __init__(self, target: Target, sink: Sink, traffic: Traffic | None = None) -> None:
        self.target = target
        self.sink = sink
        #: The supervisor hands the same one to each driver of a connection, so that figures survive reconnects.
        self.traffic = traffic or Traffic()
        self.closed = asyncio.Event()
        self._specs = {device.id: device.points for device in target.devices}

    @abstractmethod
    async def open(self) -> None:
        """The connection stands; listening drivers have started their interrogation."""

    @abstractmethod
    async def close(self) -> None:
        """The connection is gone and nothing of it runs on. Never raises; twice is once."""

    @property
    def failure(self) -> FieldError | None:
        """Why the connection ended by itself, where the driver knows."""
        return None

    async def read(self, device_id: str, points: Sequence[str]) -> list[RawReading]:
        """One reading per point asked. Raises FieldError. Only for drivers that poll.

        One that is cancelled counts as unanswered: the supervisor gives a silent device no longer than the line has.
        """
        raise TypeError(f"{type(self).__name__} listens, it cannot be polled")

    async def write(self, device_id: str, point: str, value: float, *, valid_for_s: float | None = None) -> WriteResult:
        """The configured point was written: `write_spec` with the point's own specification."""
        return await self.write_spec(device_id, self._specs[device_id][point], value, valid_for_s=valid_for_s)

    @abstractmethod
    async def write_spec(self, device_id: str, spec: PointSpec, value: float, *, valid_for_s: float | None = None) -> WriteResult:
        """The device (or its protocol) has confirmed the write; `value` is in the point's unit and our sign.

        Raises LinkDown (nothing left), DeviceRefused, AnswerTimeout (it left; outcome unknown), ProtocolViolation.
        `valid_for_s` lets devices with a watchdog of their own drop the value by themselves. `spec` need not be a
        configured point: the commissioning page writes addresses that are none yet.
        """

    async def renew(self, device_id: str, point: str, *, valid_for_s: float) -> bool:
        """The reversion timer of the value that the point holds runs anew; False where the device has let go already.

        Raises FieldError. Only for points whose capability declares a watchdog.
        """
        raise DeviceRefused(f"{type(self).__name__} knows no reversion timers", device_code="not supported")

    async def examine(self, device_id: str, spec: PointSpec) -> Examined:
        """What stands at `spec.address` now, configured or not, asked of the device. Raises FieldError."""
        raise DeviceRefused(f"{type(self).__name__} cannot ask for a single address", device_code="not supported")

    @classmethod
    def describe(cls, frame: bytes) -> str:
        """A logged frame in one line of words; never raises, bad frames are described as such."""
        return frame.hex(" ")

    def device_up(self, device_id: str) -> bool | None:
        """Whether this device answers just now; None when only the connection as a whole is known."""
        return None

    async def probe(self) -> list[str]:
        """Steps that succeeded while testing the connection, in words; raises FieldError with the step that failed."""
        await self.open()
        await self.close()
        return [f"{self.target.host}:{self.target.port} opened and answered"]
