"""IEC 60870-5-104 far ends and bare clients for the bench, without any code of the product. [bench]

`python -m tests.bench.peers_104 flood FRAMES OBJECTS` sends so many frames of so many time-tagged floats to each client as fast
as its window lets it; `paced OBJECTS PER_S` sends frames of so many floats so often a second to each of any number of clients.
Each prints its port first.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

OBJECTS, K = 16, 120
MODULUS = 0x8000
_OBJECT = struct.Struct("<HBfBHBBBBB")
_FLOATS = struct.Struct("<3sfBHBBBBB")


def floats(first: datetime, objects: int) -> bytes:
    """An ASDU of type 36 (float with CP56Time2a), spontaneous, common address 1, object addresses 1..objects.

    Each object has a time of its own, a millisecond after the one before.
    """
    body = b"".join(_object(ioa, first + timedelta(milliseconds=ioa)) for ioa in range(1, objects + 1))
    return struct.pack("<BBBBH", 36, objects, 3, 0, 1) + body


def _object(ioa: int, at: datetime) -> bytes:
    milliseconds = at.second * 1000 + at.microsecond // 1000
    value = ioa + milliseconds / 1000
    return _OBJECT.pack(ioa, 0, value, 0, milliseconds, at.minute, at.hour, at.day, at.month, at.year - 2000)


class Station(asyncio.Protocol):
    """Confirms STARTDT, STOPDT, TESTFR, interrogations and clocks; what it sends by itself is the subclass's."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer, self.sent, self.acknowledged, self.received, self.started = b"", 0, 0, 0, False

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 6 and len(self.buffer) >= self.buffer[1] + 2:
            size = self.buffer[1] + 2
            frame, self.buffer = self.buffer[:size], self.buffer[size:]
            self.take(frame)
        if self.started:
            self.go_on()

    def take(self, frame: bytes) -> None:
        if frame[2] & 3 == 3:
            confirmation = {0x07: 0x0B, 0x13: 0x23, 0x43: 0x83}.get(frame[2])
            if confirmation:
                self.transport.write(bytes((0x68, 4, confirmation, 0, 0, 0)))
            self.started = self.started or frame[2] == 0x07
            return
        acknowledged = int.from_bytes(frame[4:6], "little") >> 1
        self.acknowledged += (acknowledged - self.acknowledged) % MODULUS
        if frame[2] & 1 == 0:
            self.received += 1
            for cause in {100: (7, 10), 103: (7,)}.get(frame[6], ()):
                self.send(frame[6:8] + bytes((cause,)) + frame[9:])

    def send(self, asdu: bytes) -> None:
        control = struct.pack("<HH", self.sent % MODULUS << 1, self.received % MODULUS << 1)
        self.transport.write(bytes((0x68, 4 + len(asdu))) + control + asdu)
        self.sent += 1

    def go_on(self) -> None:
        """Called after whatever came."""


class Flood(Station):
    """`asdus` as fast as a window of K lets it."""

    asdus: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.waiting = iter(self.asdus)

    def go_on(self) -> None:
        while self.sent - self.acknowledged < K:
            asdu = next(self.waiting, None)
            if asdu is None:
                return
            self.send(asdu)


class Paced(Station):
    """`objects` floats each `period_s`, from the first STARTDT on."""

    objects, period_s = 10, 1.0

    def take(self, frame: bytes) -> None:
        before = self.started
        super().take(frame)
        if self.started and not before:
            self.tick()

    def tick(self) -> None:
        if not self.transport.is_closing():
            self.send(floats(datetime.now(UTC), self.objects))
            asyncio.get_running_loop().call_later(self.period_s, self.tick)


def unpacked(body: bytes) -> list[tuple[int, float, int]]:
    """Addresses, floats and qualities of an ASDU of `floats` without its head: the bare loop."""
    from_bytes = int.from_bytes
    return [(from_bytes(f[0], "little"), f[1], f[2]) for f in _FLOATS.iter_unpack(body)]


class BareClient(asyncio.Protocol):
    """The limit: reads floats with `struct`, acknowledges at once each eighth frame, keeps no time and no order."""

    points = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer, self.received = b"", 0
        self.transport.write(bytes((0x68, 4, 0x07, 0, 0, 0)))

    def data_received(self, data: bytes) -> None:
        buffer, at = self.buffer + data, 0
        while len(buffer) - at >= 6 and len(buffer) - at >= buffer[at + 1] + 2:
            size = buffer[at + 1] + 2
            if buffer[at + 2] & 1 == 0:
                self.take(buffer[at + 12 : at + size])
            at += size
        self.buffer = buffer[at:]

    def take(self, body: bytes) -> None:
        BareClient.points += len(unpacked(body))
        self.received += 1
        if self.received % 8 == 0:
            self.transport.write(bytes((0x68, 4, 1, 0)) + struct.pack("<H", self.received % MODULUS << 1))


async def serve(protocol: Callable[[], asyncio.Protocol]) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "flood":
        start = datetime.now(UTC) - timedelta(hours=1)
        Flood.asdus = [
            floats(start + timedelta(milliseconds=20 * number), int(sys.argv[3])) for number in range(int(sys.argv[2]))
        ]
        asyncio.run(serve(Flood))
    else:
        Paced.objects, Paced.period_s = int(sys.argv[2]), 1 / float(sys.argv[3])
        asyncio.run(serve(Paced))
