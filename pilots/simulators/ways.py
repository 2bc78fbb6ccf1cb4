"""The ways on which simulated equipment meets the product: a relay or a serial line before each.

[zones: field to operation, simulated]
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol as Structural

from pilots.domain.media import Medium
from pilots.simulators.relay import Relay
from pilots.simulators.serial_way import SerialWay

HOST = "127.0.0.1"
TRIES = 3


class Server(Structural):
    """Equipment that listens on a TCP port."""

    async def start(self, host: str, port: int) -> None: ...

    async def stop(self) -> None: ...


class SerialPeer(Structural):
    """Equipment that opens the far end of a serial line by its device file."""

    async def start_serial(self, path: str) -> None: ...

    async def stop(self) -> None: ...


class SimulatedWay(ABC):
    """One way; `connection` and `name` differ for backups and for stations that dial. `medium` is what its link is made of."""

    def __init__(self, name: str, connection: str, medium: Medium | None) -> None:
        self.name, self.connection, self.medium = name, connection, medium

    @abstractmethod
    async def start(self) -> None:
        """The product can come."""

    @abstractmethod
    async def stop(self) -> None:
        """Nothing of it runs on."""

    @abstractmethod
    async def restart(self, up: bool) -> None:
        """The equipment is down, or up again with an empty memory."""

    @property
    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """The names on the fault board that mean this way."""

    @property
    @abstractmethod
    def media_on(self) -> bool:
        """Whether the medium delays, limits and loses just now."""

    @abstractmethod
    def set_media(self, on: bool) -> None:
        """From now on the medium acts, or does not."""

    @property
    @abstractmethod
    def sessions(self) -> int:
        """Connections through it just now; 0 or 1 for a serial line that is there."""


class TcpWay(SimulatedWay):
    """A relay; what `make` makes listens behind it, or a station dials through it (then None)."""

    def __init__(
        self,
        name: str,
        connection: str,
        medium: Medium | None,
        relay: Relay,
        *,
        make: Callable[[], Server] | None = None,
        port: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__(name, connection, medium)
        self.relay = relay
        self.server: Server | None = None
        self._make, self._claim_port, self._inner_port = make, port, 0

    def equipment(self) -> tuple[str, int] | None:
        """Where the server listens; the relay's far end."""
        return (HOST, self._inner_port) if self._inner_port else None

    async def start(self) -> None:
        await self.restart(up=True)
        await self.relay.start(HOST, self._claim_port())

    async def stop(self) -> None:
        await self.relay.stop()
        await self.restart(up=False)

    async def restart(self, up: bool) -> None:
        if up and self._make is not None:
            self.server = self._make()
            self._inner_port = await _start(self.server)
        elif self.server is not None:
            self._inner_port = 0
            await self.server.stop()
            self.server = None

    @property
    def targets(self) -> tuple[str, ...]:
        return self.relay.impairment.targets

    @property
    def media_on(self) -> bool:
        return self.relay.medium is not None

    def set_media(self, on: bool) -> None:
        self.relay.medium = self.medium if on else None

    @property
    def sessions(self) -> int:
        return len(self.relay.sessions)


class LineWay(SimulatedWay):
    """A serial line with what `make` makes at its far end."""

    def __init__(self, name: str, connection: str, medium: Medium | None, way: SerialWay, make: Callable[[], SerialPeer]) -> None:
        super().__init__(name, connection, medium)
        self.way = way
        self.peer: SerialPeer | None = None
        self._make = make

    async def start(self) -> None:
        await self.way.start()
        await self.restart(up=True)

    async def stop(self) -> None:
        await self.restart(up=False)
        await self.way.stop()

    async def restart(self, up: bool) -> None:
        if up:
            self.peer = self._make()
            await self.peer.start_serial(self.way.line.equipment_path)
        elif self.peer is not None:
            await self.peer.stop()
            self.peer = None

    @property
    def targets(self) -> tuple[str, ...]:
        return self.way.impairment.targets

    @property
    def media_on(self) -> bool:
        return self.way.medium is not None

    def set_media(self, on: bool) -> None:
        self.way.medium = self.medium if on else None

    @property
    def sessions(self) -> int:
        return int(self.way.line.path.exists())


async def _start(server: Server) -> int:
    """Listening; the port. Raises what the library raises when none of some tries is free."""
    for attempt in range(1, TRIES + 1):
        port = _free_port()
        try:
            await server.start(HOST, port)
        except (OSError, RuntimeError):
            # Somebody else was faster; the libraries cannot bind to "any".
            if attempt == TRIES:
                raise
        else:
            break
    return port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
