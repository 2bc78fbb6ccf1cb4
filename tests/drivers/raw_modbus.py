"""A Modbus TCP responder of our own: no library of the product in it, and scriptable down to the byte."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

#: (header, PDU) of a request -> whole frames to send, or None for silence
Script = Callable[["Request"], Awaitable[bytes | None]]


@dataclass(frozen=True, slots=True)
class Request:
    transaction: int
    unit: int
    function: int
    body: bytes

    @property
    def address(self) -> int:
        return int.from_bytes(self.body[:2], "big")

    @property
    def count(self) -> int:
        return int.from_bytes(self.body[2:4], "big")

    def frame(self, pdu: bytes, *, transaction: int | None = None, unit: int | None = None, protocol: int = 0) -> bytes:
        number = self.transaction if transaction is None else transaction
        return struct.pack(">HHHB", number, protocol, len(pdu) + 1, self.unit if unit is None else unit) + pdu

    def exception(self, code: int) -> bytes:
        return self.frame(bytes([self.function | 0x80, code]))


@dataclass(slots=True)
class RawModbus:
    """Holding registers and coils shared by all units; `script` may answer first, `asked` remembers every request."""

    registers: dict[int, int] = field(default_factory=dict)
    coils: dict[int, bool] = field(default_factory=dict)
    script: Script | None = None
    ignore_writes: bool = False
    asked: list[Request] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    port: int = 0

    def load(self, address: int, raw: bytes) -> None:
        for index in range(0, len(raw), 2):
            self.registers[address + index // 2] = int.from_bytes(raw[index : index + 2], "big")

    def answer(self, request: Request) -> bytes:
        span = range(request.address, request.address + request.count)
        if request.function in (3, 4):
            if any(number not in self.registers for number in span):
                return request.exception(2)
            words = b"".join(self.registers[number].to_bytes(2, "big") for number in span)
            return request.frame(bytes([request.function, len(words)]) + words)
        if request.function in (1, 2):
            bits = sum(1 << index for index, number in enumerate(span) if self.coils.get(number))
            packed = bits.to_bytes((request.count + 7) // 8, "little")
            return request.frame(bytes([request.function, len(packed)]) + packed)
        if not self.ignore_writes:
            self._store(request)
        return request.frame(bytes([request.function]) + request.body[:4])

    def _store(self, request: Request) -> None:
        if request.function == 5:
            self.coils[request.address] = request.body[2] == 0xFF
        elif request.function == 6:
            self.registers[request.address] = request.count
        else:
            self.load(request.address, request.body[5:])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(7)
                transaction, _, length, unit = struct.unpack(">HHHB", head)
                pdu = await reader.readexactly(length - 1)
                request = Request(transaction, unit, pdu[0], pdu[1:])
                self.asked.append(request)
                frames = await self.script(request) if self.script is not None else self.answer(request)
                if frames:
                    writer.write(frames)
        writer.close()

    def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()


@asynccontextmanager
async def raw_modbus(**fields: object) -> AsyncIterator[RawModbus]:
    """A responder listening on a free port of the loopback."""
    peer = RawModbus(**fields)  # type: ignore[arg-type]
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        peer.hang_up()
