"""A loop of its own for peers and relays, so that a test may block while they speak."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from pilots.domain.media import Medium
from pilots.domain.topology import Protocol
from pilots.simulators.faults import Faults
from pilots.simulators.relay import Relay
from tests.waiting import close_server, turns

Found = TypeVar("Found")
HOST = "127.0.0.1"


class FarSide:
    """Everything beyond our own socket; it ends with the test."""

    def __init__(self) -> None:
        self.faults = Faults(seed=21)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="far side", daemon=True)
        self._thread.start()
        self._servers: list[asyncio.Server] = []
        self._closing: list[Callable[[], Awaitable[None]]] = []

    def run(self, work: Coroutine[Any, Any, Found], *, within_s: float = 30.0) -> Found:
        """What the coroutine returns, run in the far side's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within_s)

    def call(self, do: Callable[..., Found], *given: Any) -> Found:
        """What the function returns, called in the far side's loop."""

        async def work() -> Found:
            return do(*given)

        return self.run(work())

    def serve(self, protocol: Callable[[], asyncio.Protocol]) -> int:
        """The port on which such peers answer."""

        async def work() -> asyncio.Server:
            return await asyncio.get_running_loop().create_server(protocol, HOST, 0, backlog=2048)

        server = self.run(work())
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def serve_streams(self, accept: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]) -> int:
        """The same for peers that speak by streams."""

        async def work() -> asyncio.Server:
            return await asyncio.start_server(accept, HOST, 0)

        server = self.run(work())
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def relay(self, port: int, protocol: Protocol, *, name: str = "relay", medium: Medium | None = None, seed: int = 0) -> Relay:
        """A started relay before this port; faults hit it by its name."""
        relay = Relay(lambda: (HOST, port), faults=self.faults, targets=(name,), protocol=protocol, medium=medium, seed=seed)
        self.run(relay.start())
        self._closing.append(relay.stop)
        return relay

    def at_the_end(self, close: Callable[[], Awaitable[None]]) -> None:
        """`close()` is awaited in the far side's loop when the test ends, the last one first."""
        self._closing.append(close)

    def end(self) -> None:
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for close in reversed(self._closing):
            await close()
        for server in self._servers:
            await close_server(server)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await turns()
