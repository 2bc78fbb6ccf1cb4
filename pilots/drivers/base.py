"""What a protocol driver offers the supervisor of a connection. [zone: field]

Drivers are free of Django: they get a `Target` (endpoint and devices) and a `Sink`, and speak the protocol.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pilots.domain.measurement import RawReading
from pilots.domain.point import PointSpec


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
    """The far end of one connection: where it is and which devices it carries."""

    name: str
    host: str
    port: int
    devices: tuple[DeviceTarget, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Traffic:
    """Counters of one connection since it was created; read by the link view and /metrics."""

    sent: int = 0
    received: int = 0
    timeouts: int = 0
    violations: int = 0
    refused: int = 0
    round_trips_s: list[float] = field(default_factory=list)  # newest last, at most 100

    def note_round_trip(self, seconds: float) -> None:
        self.round_trips_s.append(seconds)
        del self.round_trips_s[:-100]


#: `await sink(device_id, readings)` returns once the readings are committed: only then may a protocol acknowledge them.
Sink = Callable[[str, Sequence[RawReading]], Awaitable[None]]


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
    #: True: devices connect to us and connections with the same endpoint share one listener.
    listener: ClassVar[bool] = False

    def __init__(self, target: Target, sink: Sink) -> None:
        self.target = target
        self.sink = sink
        self.traffic = Traffic()
        self.closed = asyncio.Event()

    @abstractmethod
    async def open(self) -> None:
        """The connection stands; listening drivers have started their interrogation."""

    @abstractmethod
    async def close(self) -> None:
        """The connection is gone and nothing of it runs on. Never raises; twice is once."""

    async def read(self, device_id: str, points: Sequence[str]) -> list[RawReading]:
        """One reading per point asked. Raises FieldError. Only for drivers that poll."""
        raise TypeError(f"{type(self).__name__} listens, it cannot be polled")

    @abstractmethod
    async def write(self, device_id: str, point: str, value: float, *, valid_for_s: float | None = None) -> WriteResult:
        """The device (or its protocol) has confirmed the write; `value` is in the point's unit and our sign.

        Raises LinkDown (nothing left), DeviceRefused, AnswerTimeout (it left; outcome unknown), ProtocolViolation.
        `valid_for_s` lets devices with a watchdog of their own drop the value by themselves.
        """

    def device_up(self, device_id: str) -> bool | None:
        """Whether this device answers just now; None when only the connection as a whole is known."""
        return None

    async def probe(self) -> list[str]:
        """Steps that succeeded while testing the connection, in words; raises FieldError with the step that failed."""
        await self.open()
        await self.close()
        return [f"{self.target.host}:{self.target.port} opened and answered"]
