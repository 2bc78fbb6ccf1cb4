"""The limits: the same jobs done with bare asyncio, struct, COPY and `websockets`, without a line of the product.

`chain`, `broadcast` and `echo` are processes of their own (`python -m tests.bench.yardsticks chain ...`), whose CPU is read
from outside as the product's is; the functions run in the process that measures.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections.abc import Sequence

import numpy as np
import psycopg
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve

from tests.bench.peers import HEADER as MBAP

PG_EPOCH_S = 946_684_800
_FIELDS = [
    "n",
    "i2",
    "a",
    "i4",
    "time",
    "i8",
    "b",
    "i4",
    "value",
    "f8",
    "c",
    "i4",
    "point",
    "i4",
    "d",
    "i4",
    "received",
    "i4",
    "e",
    "i4",
    "quality",
    "i2",
]
ROW = np.dtype([(name, ">" + kind) for name, kind in zip(_FIELDS[::2], _FIELDS[1::2], strict=True)])
SAMPLE = """source_time timestamptz NOT NULL, value double precision, point integer NOT NULL,
received_ms integer NOT NULL, quality smallint NOT NULL"""
FLUSH_S = 0.1


def packed(points: Sequence[int], values: Sequence[float], times_s: Sequence[float]) -> bytes:
    """A binary COPY of samples."""
    rows = np.zeros(len(points), dtype=ROW)
    rows["n"], rows["a"], rows["b"], rows["c"], rows["d"], rows["e"] = 5, 8, 8, 4, 4, 2
    rows["time"] = ((np.asarray(times_s) - PG_EPOCH_S) * 1e6).astype(np.int64)
    rows["value"], rows["point"] = values, points
    return b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8 + rows.tobytes() + b"\xff\xff"


class RawModbus(asyncio.Protocol):
    """One request in flight, answered by the bytes of its registers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.loop, self.buffer, self.number = asyncio.get_running_loop(), b"", 0

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) >= 6 and len(self.buffer) >= 6 + int.from_bytes(self.buffer[4:6], "big"):
            answer, self.buffer = self.buffer, b""
            self.answer.set_result(answer)

    async def read(self, unit: int, start: int, count: int) -> bytes:
        return (await self.ask(unit, 3, struct.pack(">HH", start, count)))[9:]

    async def ask(self, unit: int, function: int, body: bytes) -> bytes:
        self.number = (self.number + 1) % 65536
        self.answer: asyncio.Future[bytes] = self.loop.create_future()
        self.transport.write(MBAP.pack(self.number, 0, len(body) + 2, unit, function) + body)
        return await self.answer


async def connect_modbus(port: int) -> RawModbus:
    _, protocol = await asyncio.get_running_loop().create_connection(RawModbus, "127.0.0.1", port)
    return protocol


class RawChain:
    """Modbus socket to COPY and websocket: every device once a second, everything flushed each tenth of a second."""

    def __init__(self, modbus_port: int, database: str, devices: int, links: int) -> None:
        self.modbus_port, self.database, self.devices, self.links = modbus_port, database, devices, links
        self.layout = struct.Struct(">50f")
        self.read: list[tuple[int, tuple[float, ...], float]] = []

    async def run(self) -> None:
        async with serve(_wait, "127.0.0.1", 0, compression=None) as server:
            say_port(server)
            async with asyncio.TaskGroup() as group:
                for link in range(self.links):
                    group.create_task(self.poll(link))
                group.create_task(self.flush(server))

    async def poll(self, link: int) -> None:
        modbus, mine = await connect_modbus(self.modbus_port), range(link, self.devices, self.links)
        started = time.monotonic()
        for turn in range(1_000_000):
            for index, device in enumerate(mine):
                await asyncio.sleep(max(0.0, started + turn + index / len(mine) - time.monotonic()))
                values = self.layout.unpack(await modbus.read(1 + device % 240, 0, 100))
                self.read.append((device, values, time.time()))

    async def flush(self, server: Server) -> None:
        async with await psycopg.AsyncConnection.connect(self.database) as connection:
            await connection.execute(f"CREATE TABLE IF NOT EXISTS raw_sample ({SAMPLE})")
            await connection.execute("CREATE INDEX IF NOT EXISTS raw_by_point ON raw_sample (point, source_time)")
            await connection.commit()
            while True:
                await asyncio.sleep(FLUSH_S)
                read, self.read = self.read, []
                if read:
                    await self.store(connection, read)
                    rows = [[f"{d}/p{i:02d}", value] for d, values, _ in read for i, value in enumerate(values)]
                    broadcast(server.connections, json.dumps(rows))

    async def store(self, connection: psycopg.AsyncConnection, read: list[tuple[int, tuple[float, ...], float]]) -> None:
        points = [device * 50 + index for device, _, _ in read for index in range(50)]
        values = [value for _, of_device, _ in read for value in of_device]
        payload = packed(points, values, [moment for _, _, moment in read for _ in range(50)])
        async with connection.cursor() as cursor, cursor.copy("COPY raw_sample FROM STDIN (FORMAT binary)") as copy:
            await copy.write(payload)
        await connection.commit()


async def _wait(socket: ServerConnection) -> None:
    async for _ in socket:
        pass


async def _echo(socket: ServerConnection) -> None:
    async for text in socket:
        await socket.send(text)


async def echo() -> None:
    async with serve(_echo, "127.0.0.1", 0, compression=None, max_size=None) as server:
        say_port(server)
        await server.serve_forever()


async def broadcaster(redis_url: str, channel: str) -> None:
    """Every message of a Redis channel to every websocket, framed once."""
    import redis.asyncio as redis  # only here

    async with serve(_wait, "127.0.0.1", 0, compression=None) as server:
        say_port(server)
        async with redis.Redis.from_url(redis_url).pubsub() as subscription:
            await subscription.subscribe(channel)
            async for message in subscription.listen():
                if message["type"] == "message":
                    broadcast(server.connections, message["data"].decode())


def say_port(server: Server) -> None:
    print(next(iter(server.sockets)).getsockname()[1], flush=True)


def decode_iec104(asdu: bytes) -> list[tuple[int, float, int]]:
    """Addresses, floats and qualities of a type 36 ASDU, the bare loop."""
    from_bytes = int.from_bytes
    return [(from_bytes(f[0], "little"), f[1], f[2]) for f in _TYPE_36.iter_unpack(asdu[6:])]


_TYPE_36 = struct.Struct("<3sfBHBBBBB")


if __name__ == "__main__":
    if sys.argv[1] == "chain":
        asyncio.run(RawChain(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])).run())
    elif sys.argv[1] == "echo":
        asyncio.run(echo())
    else:
        asyncio.run(broadcaster(sys.argv[2], sys.argv[3]))
