"""What carries Modbus frames: a TCP connection, with TLS or without, or a serial line. [zone: field]

A port gives bytes as they come and knows nothing of frames.
"""

from __future__ import annotations

import asyncio
import os
import socket
import termios
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, cast

import serial

from pilots.domain.errors import CatalogueError, LinkDown
from pilots.drivers.modbus.options import Line
from pilots.drivers.tls import check_peer, client_context, server_name

LEAST_CONNECT_S = 3.0
#: The kernel counts from the first repetition, 0.2 s after the question: found dead within three time-outs of it.
PATIENCE_TIMEOUTS, LEAST_PATIENCE_S = 2.5, 2.5
READ_SIZE = 4096
NEUTRAL_BAUD = 75


class Port(ABC):
    """`on_bytes(data)` is called with what comes; `on_lost(reason)` once when the port breaks, not when we close it."""

    def __init__(self, carrier: str, place: str) -> None:
        self.carrier, self.place = carrier, place
        self.on_bytes: Callable[[bytes], None]
        self.on_lost: Callable[[str], None]
        self.connected = False

    @abstractmethod
    async def open(self) -> None:
        """Raises LinkDown."""

    @abstractmethod
    def write(self, frame: bytes) -> None:
        """The frame is on its way. Raises LinkDown."""

    @abstractmethod
    def close(self) -> None:
        """Twice is once."""


class TcpPort(Port, asyncio.Protocol):
    """A TCP connection; encrypted where `options` have `tls`."""

    def __init__(self, host: str, port: int, options: Mapping[str, Any], *, timeout_s: float) -> None:
        super().__init__("TLS connection to" if options.get("tls") else "TCP connection to", f"{host}:{port}")
        self._host, self._port, self._options, self._timeout_s = host, port, options, timeout_s
        self._transport: asyncio.Transport | None = None

    async def open(self) -> None:
        try:
            context = client_context(self._options)
        except CatalogueError as error:
            raise LinkDown(f"no {self.carrier} {self.place}: {error}") from error
        try:
            async with asyncio.timeout(max(LEAST_CONNECT_S, self._timeout_s)):
                await asyncio.get_running_loop().create_connection(
                    lambda: self,
                    self._host,
                    self._port,
                    ssl=context,
                    server_hostname=server_name(self._options, self._host),
                )
        except OSError as error:  # TimeoutError and ssl's errors are OSErrors too
            raise LinkDown(f"no {self.carrier} {self.place}: {error or 'no answer'}") from error
        self._check_peer()

    def _check_peer(self) -> None:
        transport = cast(asyncio.Transport, self._transport)
        try:
            check_peer(transport.get_extra_info("ssl_object"), self._options)
        except LinkDown as error:
            self.close()
            raise LinkDown(f"no {self.carrier} {self.place}: {error}") from error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.connected = cast(asyncio.Transport, transport), True
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            # A far end that has vanished without a word is found out after some polls, not after the kernel's 15 minutes.
            patience_ms = int(1000 * max(PATIENCE_TIMEOUTS * self._timeout_s, LEAST_PATIENCE_S))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)

    def data_received(self, data: bytes) -> None:
        self.on_bytes(data)

    def connection_lost(self, error: Exception | None) -> None:
        ours, self.connected = self._transport is None, False
        self._transport = None
        if not ours:
            self.on_lost(str(error or "closed by the far end"))

    def write(self, frame: bytes) -> None:
        if self._transport is None:
            raise LinkDown(f"the connection to {self.place} is lost")
        self._transport.write(frame)

    def close(self) -> None:
        transport, self._transport, self.connected = self._transport, None, False
        if transport is not None:
            transport.abort()


class SerialPort(Port):
    """A serial line by its device file, for us alone."""

    def __init__(self, path: str, line: Line) -> None:
        super().__init__("serial line", path)
        self._line = line
        self._serial: serial.Serial | None = None

    async def open(self) -> None:
        try:
            self._serial = self._opened()
            # Bytes from before we came are nobody's answer.
            self._serial.reset_input_buffer()
            asyncio.get_running_loop().add_reader(self._serial.fileno(), self._read)
        except (OSError, ValueError, termios.error) as error:  # SerialException is an OSError
            self.close()
            raise LinkDown(f"no serial line {self.place}: {error}") from error
        self.connected = True

    def _opened(self) -> serial.Serial:
        line = self._line
        form: dict[str, Any] = {"parity": line.parity, "stopbits": line.stopbits}
        form |= {"timeout": 0, "write_timeout": 0, "exclusive": True}
        try:
            return serial.Serial(self.place, line.baudrate, **form)
        except termios.error:
            # A pseudo terminal knows no parity, and refuses a wish of which nothing is left to do: change its speed first.
            serial.Serial(self.place, NEUTRAL_BAUD).close()
            return serial.Serial(self.place, line.baudrate, **form)

    def _read(self) -> None:
        if self._serial is None:
            return
        try:
            data = os.read(self._serial.fileno(), READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(str(error))
            return
        if data:
            self.on_bytes(data)
        else:
            self._lose("the device file has gone")

    def write(self, frame: bytes) -> None:
        if self._serial is None:
            raise LinkDown(f"the serial line {self.place} is lost")
        try:
            taken = os.write(self._serial.fileno(), frame)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            self._lose(str(error))
            raise LinkDown(f"the serial line {self.place} is lost: {error}") from error
        if taken < len(frame):
            # One frame is in flight, so the driver's buffer is empty: who takes none has hung.
            self._lose("it takes no more bytes")
            raise LinkDown(f"the serial line {self.place} takes no more bytes")

    def _lose(self, reason: str) -> None:
        self.close()
        self.on_lost(reason)

    def close(self) -> None:
        port, self._serial, self.connected = self._serial, None, False
        if port is None:
            return
        if port.is_open:
            asyncio.get_running_loop().remove_reader(port.fileno())
            port.close()
