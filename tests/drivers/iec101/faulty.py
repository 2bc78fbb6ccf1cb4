"""Stations on TCP that keep to FT1.2 except where a test says otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from pilots.drivers.iec101 import ft12
from pilots.drivers.iec101.ft12 import Frame
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu, InformationObject

#: What goes onto the line instead of an answer: octets, each after so many seconds.
Answers = list[tuple[float, bytes]]


def polled(request: Frame) -> bool:
    return request.function in (ft12.REQUEST_CLASS_1, ft12.REQUEST_CLASS_2)


class FaultyStation:
    """One secondary station. It keeps what it sent until the FCB of a request has changed, also over a reset of its link."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.class_1: deque[bytes] = deque()
        self.class_2: deque[bytes] = deque()
        self.told: list[Asdu] = []  # user data it took
        self.delivered: list[bytes] = []  # what it sent and knows to have arrived
        self.functions: list[int] = []  # of what it was asked
        self.counted: list[tuple[int, bool]] = []  # function and FCB of requests that count
        self.moments: list[float] = []
        self.silent = self.busy = self.full = self.stuck = False
        self.singles = True
        self.obeys = True
        self.tamper: Callable[[Frame, bytes], Answers] = lambda request, answer: [(0.0, answer)]
        self._fcb = False
        self._unconfirmed: tuple[deque[bytes], bytes] | None = None
        self._answer = b""

    def measure(self, *values: float, class_1: bool = False) -> None:
        """Spontaneous values of its active power, one ASDU each."""
        queue = self.class_1 if class_1 else self.class_2
        queue += [asdu.encode(Asdu(13, 3, 10 * self.number, (InformationObject(101, value),))) for value in values]

    def answers(self, request: Frame) -> Answers:
        self.functions.append(request.function)
        self.moments.append(asyncio.get_running_loop().time())
        if self.silent:
            return []
        if not request.fcv:
            return self.tamper(request, self._uncounted(request))
        self.counted.append((request.function, request.fcb))
        if request.fcb != self._fcb and not self.stuck:
            self._confirm()
            self._fcb = request.fcb
            self._answer = self._counted(request)
        return self.tamper(request, self._answer)

    def _uncounted(self, request: Frame) -> bytes:
        if request.function == ft12.REQUEST_STATUS:
            return self._frame(ft12.STATUS)
        if request.function == ft12.RESET_LINK:
            self._fcb = False
            if self._unconfirmed is not None:
                queue, kept = self._unconfirmed
                queue.appendleft(kept)
                self._unconfirmed = None
            return self._short(ft12.ACK)
        return self._frame(ft12.NOT_IMPLEMENTED)

    def _counted(self, request: Frame) -> bytes:
        if request.function == ft12.SEND_CONFIRM:
            return self._take(request.data)
        queue = self.class_1 if request.function == ft12.REQUEST_CLASS_1 else self.class_2
        if not queue:
            return self._short(ft12.NO_DATA)
        self._unconfirmed = (queue, queue.popleft())
        return self._frame(ft12.DATA, self._unconfirmed[1])

    def _take(self, data: bytes) -> bytes:
        if self.full:
            return self._frame(ft12.NACK)
        unit = asdu.decode(data)
        self.told.append(unit)
        if self.obeys:
            self.class_1.append(asdu.encode(unit._replace(cause=asdu.ACTIVATION_CON)))
        if self.obeys and unit.type_id in (asdu.C_IC, asdu.C_CI):
            self.class_1.append(asdu.encode(unit._replace(cause=asdu.ACTIVATION_TERM)))
        return self._short(ft12.ACK)

    def _confirm(self) -> None:
        if self._unconfirmed is not None:
            self.delivered.append(self._unconfirmed[1])
            self._unconfirmed = None

    def _short(self, function: int) -> bytes:
        return b"\xe5" if self.singles and not self.class_1 and not self.busy else self._frame(function)

    def _frame(self, function: int, data: bytes = b"") -> bytes:
        control = function | (ft12.ACD if self.class_1 else 0) | (ft12.DFC if self.busy else 0)
        return ft12.encode(control, self.number, 1, data)


class FaultyLine:
    """Stations behind one TCP port; `echo` sends back whatever is heard, `heard` is every frame of the primary."""

    def __init__(self, stations: Sequence[FaultyStation]) -> None:
        self.stations = {station.number: station for station in stations}
        self.port = 0
        self.echo = False
        self.heard: list[Frame] = []
        self.clients = 0
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def write(self, octets: bytes) -> None:
        if self._writer is not None:
            self._writer.write(octets)

    def hang_up(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.clients += 1
        parser = ft12.Parser(1)
        with contextlib.suppress(ConnectionError):
            while octets := await reader.read(1000):
                if self.echo:
                    writer.write(octets)
                for item in parser.feed(octets):
                    if isinstance(item, Frame) and item.from_primary:
                        self.heard.append(item)
                        self._answer(item)
        writer.close()

    def _answer(self, request: Frame) -> None:
        station = self.stations.get(request.address)
        if station is None:
            return
        for delay, octets in station.answers(request):
            if delay:
                task = asyncio.create_task(self._later(delay, octets))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self.write(octets)

    async def _later(self, delay: float, octets: bytes) -> None:
        await asyncio.sleep(delay)
        self.write(octets)


@contextlib.asynccontextmanager
async def faulty_line(*stations: FaultyStation, context: ssl.SSLContext | None = None) -> AsyncIterator[FaultyLine]:
    line = FaultyLine(stations)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0, ssl=context)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        line.hang_up()
        for task in line._tasks:
            task.cancel()
        await asyncio.gather(*line._tasks, return_exceptions=True)


class BalancedPeer:
    """The other end of a balanced line: answers as `answer` says, speaks when the test says so."""

    def __init__(self, address: int = 1) -> None:
        self.address, self.port = address, 0
        self.asked: list[Frame] = []  # of us
        self.answered: list[Frame] = []  # by us
        self.answer: Callable[[Frame], bytes] = self.obey
        self._writer: asyncio.StreamWriter | None = None

    def obey(self, request: Frame) -> bytes:
        return self.frame(ft12.STATUS if request.function == ft12.REQUEST_STATUS else ft12.ACK)

    def frame(self, control: int, data: bytes = b"") -> bytes:
        return ft12.encode(control, self.address, 1, data)

    def ask(self, function: int, data: bytes = b"", *, fcb: bool | None = None) -> None:
        """A request of its own; with `fcb` one that counts."""
        counts = 0 if fcb is None else ft12.FCV | (ft12.FCB if fcb else 0)
        self.write(self.frame(ft12.PRM | counts | function, data))

    def tell(self, value: float, *, fcb: bool) -> None:
        self.ask(ft12.SEND_CONFIRM, measured(value), fcb=fcb)

    def write(self, octets: bytes) -> None:
        assert self._writer is not None
        self._writer.write(octets)

    def functions(self) -> list[int]:
        return [frame.function for frame in self.answered]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, parser = writer, ft12.Parser(1)
        with contextlib.suppress(ConnectionError):
            while octets := await reader.read(1000):
                for item in parser.feed(octets):
                    if isinstance(item, Frame) and item.from_primary:
                        self.asked.append(item)
                        writer.write(self.answer(item))
                    elif isinstance(item, Frame):
                        self.answered.append(item)
        writer.close()


def measured(value: float, number: int = 1) -> bytes:
    return asdu.encode(Asdu(13, 3, 10 * number, (InformationObject(101, value),)))


@contextlib.asynccontextmanager
async def balanced_peer() -> AsyncIterator[BalancedPeer]:
    peer = BalancedPeer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        if peer._writer is not None:
            peer._writer.transport.abort()
