"""A serial device server: joins a simulated serial line to one TCP client, octet by octet. [zone: station, simulated]

The equipment opens `path` as if it were a serial port; the TCP side carries the same octets (D7.1 2.2.1.1: IEC 101 over
GSM/GPRS comes as TCP from such a server).
"""

from __future__ import annotations

import asyncio
import os
import tty

_READ_AT_ONCE = 4096


class SerialServer:
    """One pty and one TCP port between `start` and `stop`; a new client takes the place of the one before."""

    def __init__(self) -> None:
        self.path = ""
        self.port = 0
        self._master = self._slave = -1
        self._server: asyncio.Server | None = None
        self._client: asyncio.StreamWriter | None = None

    async def start(self, host: str, port: int) -> None:
        """Raises OSError."""
        self._server = await asyncio.start_server(self._accept, host, port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    async def stop(self) -> None:
        """The port is closed and the client gone; twice is once."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self.hang_up()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    def hang_up(self) -> None:
        """The client is cut off, the equipment does not notice: as when a modem loses its carrier."""
        client, self._client = self._client, None
        if client is not None:
            client.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hang_up()
        self._client = writer
        try:
            while octets := await reader.read(_READ_AT_ONCE):
                if self._client is not writer or self._server is None:
                    return
                os.write(self._master, octets)
        except (ConnectionError, BlockingIOError):
            pass  # hung up, or more than the equipment reads
        finally:
            writer.transport.abort()
            if self._client is writer:
                self._client = None

    def _read(self) -> None:
        try:
            octets = os.read(self._master, _READ_AT_ONCE)
        except (BlockingIOError, OSError):
            return
        if self._client is not None:
            self._client.write(octets)  # without a client they are lost, as on a line that nobody listens to
