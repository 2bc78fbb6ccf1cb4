"""Modbus meters and IEC 104 stations of the fault tests: raw sockets, a ledger of what they were asked and said."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu, InformationObject
from tests.drivers.raw_modbus import Request

#: Seconds after the question, and what is sent then.
Answers = list[tuple[float, bytes]]


class _Peer(asyncio.Protocol):
    """One connection of a peer; what is due later dies with it."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.buffer = b""
        self._timers: set[asyncio.TimerHandle] = set()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()

    def send(self, answers: Answers) -> None:
        for delay_s, octets in answers:
            if delay_s > 0:
                self._timers.add(asyncio.get_running_loop().call_later(delay_s, self._write, octets))
            else:
                self._write(octets)

    def _write(self, octets: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(octets)


@dataclass(eq=False)
class Meters:
    """Modbus TCP devices behind one port, each connection one of them; a float at register 0 counts its answers.

    `reply` turns a question and its proper answer into what is sent. `asked` has the moments of each connection's questions,
    `told` every value that left.
    """

    reply: Callable[[Request, bytes], Answers] = lambda request, answer: [(0.0, answer)]
    asked: dict[int, list[float]] = field(default_factory=dict)
    told: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    connections: set[Meter] = field(default_factory=set)
    #: The last values of connections that have ended: they may never have left.
    unsure: set[float] = field(default_factory=set)
    #: A new connection is reset at once while this is so.
    hangs_up: bool = False

    def protocol(self) -> Meter:
        return Meter(self)

    def hang_up(self) -> None:
        for meter in list(self.connections):
            meter.transport.abort()


class Meter(_Peer):
    def __init__(self, meters: Meters) -> None:
        self.meters = meters

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.number, self.last = len(self.meters.opened), 0.0
        self.meters.opened.append(time.monotonic())
        self.meters.connections.add(self)
        if self.meters.hangs_up:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.meters.connections.discard(self)
        self.meters.unsure.add(self.last)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 8 and len(self.buffer) >= 6 + int.from_bytes(self.buffer[4:6]):
            size = 6 + int.from_bytes(self.buffer[4:6])
            frame, self.buffer = self.buffer[:size], self.buffer[size:]
            request = Request(int.from_bytes(frame[:2]), frame[6], frame[7], frame[8:])
            self.meters.asked.setdefault(self.number, []).append(time.monotonic())
            value = self.last = float(len(self.meters.told) + 1)
            self.meters.told.append(value)
            words = struct.pack(">f", value) * (request.count // 2)
            self.send(self.meters.reply(request, request.frame(bytes((request.function, len(words))) + words)))


@dataclass(eq=False)
class Stations:
    """IEC 104 stations behind one port: they confirm, answer interrogations, and report a float at object 1 every `every_s`.

    `bad` is sent in place of the reports, and then nothing else is said.
    """

    every_s: float = 1.0
    bad: Callable[[Station], bytes] | None = None
    told: list[float] = field(default_factory=list)
    opened: int = 0

    def protocol(self) -> Station:
        return Station(self)


class Station(_Peer):
    def __init__(self, stations: Stations) -> None:
        self.stations, self.sent, self.received = stations, 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.stations.opened += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 6 and len(self.buffer) >= self.buffer[1] + 2:
            size = self.buffer[1] + 2
            frame, self.buffer = self.buffer[:size], self.buffer[size:]
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        control = frame[2]
        if control == 0x07:
            self._write(bytes((0x68, 4, 0x0B, 0, 0, 0)))
            self._later()
        elif control in (0x13, 0x43):
            self._write(bytes((0x68, 4, control + (control & 0xFC), 0, 0, 0)))  # the confirming bit is the next higher one
        elif control & 1 == 0:
            self.received += 1
            self._obey(frame[6:])

    def _obey(self, command: bytes) -> None:
        if command[0] not in (asdu.C_IC, asdu.C_CS) or self.stations.bad is not None:
            return
        self.tell(command[:2] + bytes((asdu.ACTIVATION_CON,)) + command[3:])
        if command[0] == asdu.C_IC:
            self.tell(self.measured(cause=20))
            self.tell(command[:2] + bytes((asdu.ACTIVATION_TERM,)) + command[3:])

    def _later(self) -> None:
        self._timers.add(asyncio.get_running_loop().call_later(self.stations.every_s, self._report))

    def _report(self) -> None:
        if self.stations.bad is None:
            self.tell(self.measured())
        else:
            self._write(self.stations.bad(self))
        self._later()

    def measured(self, *, cause: int = 3) -> bytes:
        value = float(len(self.stations.told) + 1)
        self.stations.told.append(value)
        return asdu.encode(Asdu(13, cause, 1, (InformationObject(1, value),)))

    def tell(self, octets: bytes) -> None:
        """The ASDU leaves in an I-frame."""
        self._write(self.next_frame(octets))

    def next_frame(self, octets: bytes) -> bytes:
        """An I-frame in its turn."""
        frame = self.frame(octets)
        self.sent += 1
        return frame

    def frame(self, octets: bytes) -> bytes:
        """The next I-frame with these octets for an ASDU, not counted."""
        control = struct.pack("<HH", self.sent % 0x8000 << 1, self.received % 0x8000 << 1)
        return bytes((0x68, (4 + len(octets)) % 256)) + control + octets
