"""A Modbus responder of our own, on TCP and serial lines: no code of the product in it, and scriptable down to the byte."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pymodbus.framer import FramerRTU

#: Long enough for a busy machine to bring the next byte.
SILENCE_S = 0.03
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


class RtuRequest(Request):
    """The same on a serial line: no transaction, a CRC at the end."""

    def frame(self, pdu: bytes, *, transaction: int | None = None, unit: int | None = None, protocol: int = 0) -> bytes:
        return with_crc(bytes([self.unit if unit is None else unit]) + pdu)


def with_crc(body: bytes) -> bytes:
    return body + int(FramerRTU.compute_CRC(body)).to_bytes(2, "big")


@dataclass(slots=True)
class RawModbus:
    """Holding registers and coils shared by all units; `script` may answer first, `asked` remembers every request."""

    registers: dict[int, int] = field(default_factory=dict)
    coils: dict[int, bool] = field(default_factory=dict)
    script: Script | None = None
    ignore_writes: bool = False
    asked: list[Request] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    serving: list[asyncio.Task[None]] = field(default_factory=list)
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
        return request.frame(bytes([request.function]) + request.body[: 6 if request.function == 22 else 4])

    def _store(self, request: Request) -> None:
        if request.function == 5:
            self.coils[request.address] = request.body[2] == 0xFF
        elif request.function == 15:
            self.coils[request.address] = bool(request.body[5] & 1)
        elif request.function == 22:
            keep, put = struct.unpack_from(">HH", request.body, 2)
            old = self.registers.get(request.address, 0)
            self.registers[request.address] = old & keep | put & (keep ^ 0xFFFF)
        elif request.function == 6:
            self.registers[request.address] = request.count
        else:
            self.load(request.address, request.body[5:])

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.serving.append(asyncio.create_task(self.serve(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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

    async def serve_rtu(
        self, reader: asyncio.StreamReader, write: Callable[[bytes], None], *, silence_s: float = SILENCE_S
    ) -> None:
        """A request ends with its CRC; what makes none is forgotten in silence, and our own voice is none."""
        heard = said = b""
        while not reader.at_eof():
            try:
                async with asyncio.timeout(silence_s if heard else None):
                    heard = (heard + await reader.read(256)).removeprefix(said)
            except TimeoutError:
                heard = b""
            if len(heard) < 4 or with_crc(heard[:-2]) != heard:
                continue
            request = RtuRequest(0, heard[0], heard[1], heard[2:-2])
            heard = said = b""
            self.asked.append(request)
            answer = await self.script(request) if self.script is not None else self.answer(request)
            if answer:
                said = answer
                write(answer)

    def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()


@asynccontextmanager
async def raw_modbus(**fields: object) -> AsyncIterator[RawModbus]:
    """A responder listening on a free port of the loopback."""
    peer = RawModbus(**fields)  # type: ignore[arg-type]
    server = await asyncio.start_server(peer.accept, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        peer.hang_up()
        await asyncio.gather(*peer.serving, return_exceptions=True)
