"""Browser websockets that write at once: an open page's frame costs one system call. [operation]

Twisted keeps what is written until its loop has said that the socket takes it: two changes of what the loop watches and a turn
of it, which was a third of what a crowd of pages cost. A live socket takes a frame nearly always.
"""

from __future__ import annotations

from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet.tcp import Connection


class EagerProtocol(WebSocketProtocol):  # type: ignore[misc]  # Daphne has no types
    """As Daphne's; what the socket does not take at once goes the usual way, in order."""

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        rest = data if sync or chopsize or self.send_queue else self._written(data)
        if rest:
            super().sendData(rest, sync, chopsize)

    def _written(self, data: bytes) -> bytes:
        """What is left of the data once the socket has taken what it can."""
        transport = self.transport
        if not isinstance(transport, Connection) or not transport.connected or transport.disconnecting:
            return data
        if transport.dataBuffer or transport._tempDataBuffer:
            return data  # something waits before it
        taken = transport.writeSomeData(data)
        # A lost connection is found again, and told, by the usual way.
        return data[taken:] if isinstance(taken, int) and taken > 0 else data


def write_at_once() -> None:
    """Every websocket that Daphne serves from now on in this process."""
    WebSocketFactory.protocol = EagerProtocol
