"""What carries the octets of an FT1.2 line: a serial device, or TCP to a serial device server. [zone: field]

Only whole octets matter here. A device that vanishes and a peer that hangs up both end in one call of `on_lost`.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import termios
from collections.abc import Callable
from typing import Protocol, cast

import serial

from pilots.domain.errors import LinkDown
from pilots.drivers import tls
from pilots.drivers.base import Target
from pilots.drivers.iec101.options import LineOptions

OnOctets = Callable[[bytes], None]
OnLost = Callable[[str], None]
_READ_AT_ONCE = 4096


class Carrier(Protocol):
    """An open way for octets; `write` never waits, `close` never raises and twice is once."""

    def write(self, octets: bytes) -> None: ...

    def close(self) -> None: ...


async def open_carrier(target: Target, options: LineOptions, on_octets: OnOctets, on_lost: OnLost) -> Carrier:
    """The way to `target` is open. Raises LinkDown in words; CatalogueError for wrong `tls` options."""
    if target.serial_line:
        return SerialCarrier(target.serial_line, options, on_octets, on_lost)
    return await _open_tcp(target, options, on_octets, on_lost)


class SerialCarrier:
    """A serial device, or a pty, read without blocking. Nobody else may open it through us at the same time."""

    def __init__(self, path: str, options: LineOptions, on_octets: OnOctets, on_lost: OnLost) -> None:
        """Raises LinkDown."""
        self._on_octets, self._on_lost = on_octets, on_lost
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        try:
            self._device = serial.Serial(
                path, options.baudrate, parity=options.parity, stopbits=options.stopbits, timeout=0, exclusive=True
            )
            self._descriptor = self._device.fileno()
            _check_parity_and_never_end(self._descriptor)
        except (OSError, ValueError, termios.error) as error:  # SerialException is an OSError
            raise LinkDown(f"The serial line {path} does not open ({_reason(error)}). Check its path and rights.") from error
        self._open = True
        self._loop.add_reader(self._descriptor, self._read)

    def write(self, octets: bytes) -> None:
        if self._open:
            self._unsent += octets
            self._flush()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            self._device.close()

    def _read(self) -> None:
        try:
            octets = os.read(self._descriptor, _READ_AT_ONCE)
        except BlockingIOError:
            return
        except OSError as error:  # EIO: the device was unplugged, or the other end of a pty closed
            self._lose(error.strerror or str(error))
            return
        if octets:
            self._on_octets(octets)
        else:
            self._lose("the device is gone")

    def _flush(self) -> None:
        """A frame fits the driver's buffer; only a line that takes no octets at all makes us wait for room."""
        try:
            del self._unsent[: os.write(self._descriptor, self._unsent)]
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        if self._unsent:
            self._loop.add_writer(self._descriptor, self._flush)
        else:
            self._loop.remove_writer(self._descriptor)

    def _lose(self, reason: str) -> None:
        self.close()
        self._on_lost(reason)


def _check_parity_and_never_end(descriptor: int) -> None:
    """An octet of wrong parity reads as 0, which spoils its frame's checksum; reading nothing means the device is gone.

    pyserial leaves parity unchecked, and FT1.2 owes half of its Hamming distance to it (IEC 60870-5-1, 6.2.4.2).
    """
    attributes = termios.tcgetattr(descriptor)
    attributes[0] |= termios.INPCK
    attributes[0] &= ~(termios.IGNPAR | termios.PARMRK)
    attributes[6][termios.VMIN] = 1
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)


class TcpCarrier(asyncio.Protocol):
    """A TCP connection to a serial device server, or to a station that speaks FT1.2 in TCP itself."""

    def __init__(self, on_octets: OnOctets, on_lost: OnLost) -> None:
        self._on_octets, self._on_lost = on_octets, on_lost
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.transport is not None:
            self._on_octets(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is not None:
            self.transport = None
            self._on_lost(f"the peer closed the connection{f': {exc}' if exc else ''}")

    def write(self, octets: bytes) -> None:
        if self.transport is not None:
            self.transport.write(octets)

    def close(self) -> None:
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.abort()  # nothing is under way that would be worth waiting for


async def _open_tcp(target: Target, options: LineOptions, on_octets: OnOctets, on_lost: OnLost) -> Carrier:
    context = tls.client_context(target.options)
    name = tls.server_name(target.options, target.host)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(options.connect_timeout_s):
            _, carrier = await loop.create_connection(
                lambda: TcpCarrier(on_octets, on_lost), target.host, target.port, ssl=context, server_hostname=name
            )
    except TimeoutError as error:
        raise LinkDown(f"Port {target.port} of {target.host} does not open within {options.connect_timeout_s:g} s.") from error
    except OSError as error:
        raise LinkDown(f"Port {target.port} of {target.host} does not open ({_reason(error)}). Check host and port.") from error
    if context is not None and carrier.transport is not None:
        try:
            tls.check_peer(cast(ssl.SSLObject, carrier.transport.get_extra_info("ssl_object")), target.options)
        except LinkDown:
            carrier.close()
            raise
    return carrier


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
