"""A thousand quiet IEC 104 stations in one process: `python -m tests.bench.stations STATIONS`, without a line of the product."""

from __future__ import annotations

import asyncio
import struct
import sys

from tests.bench.peers import iec104_floats

#: How often all stations report, and how many objects each time: ten points a second.
EVERY_S, OBJECTS = 0.5, 5


class QuietStation(asyncio.Protocol):
    """Confirms what it is asked; `report` sends five time-tagged floats."""

    started: set[QuietStation] = set()
    asdu = iec104_floats(OBJECTS)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer, self.sent, self.received = b"", 0, 0

    def connection_lost(self, exc: Exception | None) -> None:
        self.started.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 6 and len(self.buffer) >= self.buffer[1] + 2:
            size = self.buffer[1] + 2
            frame, self.buffer = self.buffer[:size], self.buffer[size:]
            self.take(frame)

    def take(self, frame: bytes) -> None:
        if frame[2] == 0x07:
            self.transport.write(bytes((0x68, 4, 0x0B, 0, 0, 0)))
            self.started.add(self)
        elif frame[2] & 3 == 3:
            self.transport.write(bytes((0x68, 4, frame[2] + (frame[2] & 0xFC), 0, 0, 0)))
        elif frame[2] & 1 == 0:
            self.received += 1
            for cause in (7, 10) if frame[6] == 100 else ():
                self.send(frame[6:8] + bytes((cause,)) + frame[9:])

    def report(self) -> None:
        self.send(self.asdu)

    def send(self, asdu: bytes) -> None:
        control = struct.pack("<HH", self.sent % 0x8000 << 1, self.received % 0x8000 << 1)
        self.transport.write(bytes((0x68, 4 + len(asdu))) + control + asdu)
        self.sent += 1


async def serve(stations: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(QuietStation, "127.0.0.1", 0, backlog=stations)
    print(server.sockets[0].getsockname()[1], flush=True)
    due = loop.time()
    while True:  # all have their turn in each interval, spread over it
        waiting = list(QuietStation.started)
        for turn in range(50):
            for station in waiting[turn::50]:
                station.report()
            due += EVERY_S / 50
            await asyncio.sleep(max(0.0, due - loop.time()))


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[2])))
