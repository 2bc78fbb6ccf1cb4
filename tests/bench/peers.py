"""Far ends for the bench, each a process of its own without any code of the product: `python -m tests.bench.peers modbus`.

Each prints its port first. The Modbus gateway's float at register 0 is the moment of its answer (`stamp`), so that a
browser frame tells how old its values are; all other floats change with every answer.
"""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HEADER = struct.Struct(">HHHBB")
#: Quarter milliseconds of the machine's monotonic clock: a float32 holds them exactly up to 2^24.
STAMP_MODULUS = 16_000_000
#: Below: floats that change by themselves. From here on: registers that keep what was written.
MEMORY_FROM = 1000
#: Here two floats of a unit: the stamp, and a level that turns between 0 and 100, each second that of another of so many units.
LEVELS_FROM, LEVELS = 900, 40


def stamp() -> float:
    """Now as a float32 can carry it."""
    return int(time.monotonic() * 4000) % STAMP_MODULUS


def age_ms(value: float) -> float:
    """Milliseconds since a `stamp`, on the same machine."""
    return (time.monotonic() * 4000 - value) % STAMP_MODULUS / 4


class ModbusGateway(asyncio.Protocol):
    """Any unit, holding registers."""

    memory: dict[int, int] = {}
    answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 8:
            transaction, _, length, unit, function = HEADER.unpack_from(self.buffer)
            if len(self.buffer) < 6 + length:
                return
            body, self.buffer = self.buffer[8 : 6 + length], self.buffer[6 + length :]
            pdu = self.write(function, body) if function in (6, 16) else self.read(unit, body)
            self.transport.write(HEADER.pack(transaction, 0, len(pdu) + 2, unit, function) + pdu)

    def read(self, unit: int, body: bytes) -> bytes:
        start, count = struct.unpack(">HH", body)
        if start == LEVELS_FROM:
            raw = struct.pack(">2f", stamp(), 100 * ((int(time.monotonic()) - unit) // LEVELS % 2))
        elif start >= MEMORY_FROM:
            raw = b"".join(self.memory.get(start + index, 0).to_bytes(2, "big") for index in range(count))
        else:
            ModbusGateway.answers += 1
            first = ModbusGateway.answers % 10_000
            raw = struct.pack(f">{count // 2}f", stamp(), *range(first, first + count // 2 - 1))
        return bytes([len(raw)]) + raw

    def write(self, function: int, body: bytes) -> bytes:
        moment = time.monotonic()
        address = int.from_bytes(body[:2], "big")
        words = body[2:4] if function == 6 else body[5:]
        for index in range(len(words) // 2):
            self.memory[address + index] = int.from_bytes(words[2 * index : 2 * index + 2], "big")
        print(f"{moment} {address} {words.hex()}", flush=True)
        return body[:4]


def iec104_floats(objects: int) -> bytes:
    """An ASDU of type 36 (float with CP56Time2a), spontaneous, common address 1, object addresses 1..objects."""
    body = b"".join(
        address.to_bytes(3, "little") + struct.pack("<fBHBBBBB", 1.5 * address, 0, 30_000, 10, 12, 1, 6, 26)
        for address in range(1, objects + 1)
    )
    return struct.pack("<BBBBH", 36, objects, 3, 0, 1) + body


async def serve(protocol: Callable[[], asyncio.Protocol]) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def peer(name: str, module: str = "tests.bench.peers", *arguments: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A far end that runs: its port and its process, whose stdout may be read on."""
    command = [sys.executable, "-m", module, name, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    asyncio.run(serve({"modbus": ModbusGateway}[sys.argv[1]]))
