"""An IEC 60870-5-104 station that floods, for the bench, without any code of the product.

`python -m tests.bench.peers_104 FRAMES OBJECTS AFTER_S` sends so many frames of so many time-tagged floats to each client as fast
as its window lets it, and prints its port first. The time tags begin AFTER_S seconds after the moment an hour ago.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from datetime import UTC, datetime, timedelta

OBJECTS, K = 16, 120
MODULUS = 0x8000
_OBJECT = struct.Struct("<HBfBHBBBBB")


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


class Flood(asyncio.Protocol):
    """Confirms STARTDT, STOPDT, TESTFR, clocks and interrogations; sends `asdus` within a window of K frames."""

    asdus: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer, self.sent, self.acknowledged, self.received, self.started = b"", 0, 0, 0, False
        self.waiting = iter(self.asdus)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 6 and len(self.buffer) >= self.buffer[1] + 2:
            size = self.buffer[1] + 2
            frame, self.buffer = self.buffer[:size], self.buffer[size:]
            self.take(frame)
        while self.started and self.sent - self.acknowledged < K and (asdu := next(self.waiting, None)):
            self.send(asdu)

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


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Flood, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    start = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=float(sys.argv[3]))
    Flood.asdus = [floats(start + timedelta(milliseconds=20 * n), int(sys.argv[2])) for n in range(int(sys.argv[1]))]
    asyncio.run(serve())
