"""A control centre: hat-drivers' IEC 104 client in a thread of its own, so that tests wait for what it saw."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hat.drivers import iec104, net


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Centre:
    """Connected and started; `seen` keeps every message."""

    def __init__(self, port: int) -> None:
        self.seen: list[Any] = []
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._connection: Any = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._receiver = self._call(self._open())

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _open(self) -> asyncio.Task[None]:
        address = net.TcpAddress("127.0.0.1", self._port)
        self._connection = await asyncio.wait_for(iec104.connect(address, supervisory_timeout=1), 30)
        return asyncio.create_task(self._receive())

    async def _receive(self) -> None:
        try:
            while True:
                self.seen += await self._connection.receive()
        except ConnectionError:
            return

    def interrogate(self) -> None:
        """General interrogation of common address 1."""
        self._send(iec104.InterrogationMsg(False, 0, 1, 20, False, iec104.CommandReqCause.ACTIVATION))

    def set_point(self, address: int, value: float, common_address: int = 1) -> None:
        command = iec104.FloatingCommand(iec104.FloatingValue(value), False)
        self._send(iec104.CommandMsg(False, 0, common_address, address, command, False, None, iec104.CommandReqCause.ACTIVATION))

    def _send(self, message: Any) -> None:
        async def send() -> None:
            await self._connection.send([message])

        self._call(send())

    def data(self, address: int) -> list[Any]:
        return [message for message in list(self.seen) if isinstance(message, iec104.DataMsg) and message.io_address == address]

    def answers(self, address: int) -> list[Any]:
        return [m for m in list(self.seen) if isinstance(m, iec104.CommandMsg) and m.io_address == address]

    def close(self) -> None:
        async def close() -> None:
            await self._connection.async_close()
            await self._receiver

        self._call(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@contextmanager
def connected(port: int) -> Iterator[Centre]:
    centre = Centre(port)
    try:
        yield centre
    finally:
        centre.close()
