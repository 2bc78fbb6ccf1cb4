"""A TCP relay before a simulated peer: it delays, limits and loses as a medium does, and fails on demand.

[zones: field to operation, simulated] The order of bytes is kept, and what a medium loses TCP repeats: a lost message comes
late. Only faults change or swallow bytes. Its limit: while packets vanish (`half_open`) our own kernel still acknowledges
what the peer sends, so only the peer's protocol timers can notice, not its TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from typing import cast

from pilots.domain.media import Medium
from pilots.domain.topology import Protocol
from pilots.simulators.faults import Fault, FaultKind, Faults
from pilots.simulators.frame_faults import FRAMINGS
from pilots.simulators.impairment import Impairment
from pilots.simulators.media import Channel

log = logging.getLogger(__name__)

CONNECT_S = 5.0
#: A sender is stopped while so many of its bytes wait.
LARGEST_BACKLOG = 65536
#: Over a medium larger pieces would keep the line for themselves: one Ethernet frame's load.
SEGMENT = 1400
#: A trickle comes in pieces at least so far apart, not in a timer per byte.
TRICKLE_S = 0.02
#: Closing then sends RST, as equipment does that lost its power or its program.
LINGER_NOT = struct.pack("ii", 1, 0)

Endpoint = Callable[[], tuple[str, int] | None]


class Relay:
    """Listens for one far end; `far_end()` gives where it is now, or None while it is unknown.

    `dials`: the equipment connects to us and the far end is the product; else the other way round. `targets` are the names
    on the fault board that mean this relay, `units` the devices behind it by unit. `medium` may be changed while it runs.
    """

    def __init__(
        self,
        far_end: Endpoint,
        *,
        faults: Faults,
        targets: tuple[str, ...],
        protocol: Protocol,
        units: Mapping[int, tuple[str, ...]] | None = None,
        dials: bool = False,
        medium: Medium | None = None,
        seed: int = 0,
    ) -> None:
        self.far_end, self.protocol, self.dials, self.medium, self.seed = far_end, protocol, dials, medium, seed
        self.impairment = Impairment(faults, targets, FRAMINGS[protocol](), units)
        self.host, self.port = "127.0.0.1", 0
        self.sessions: set[_Session] = set()
        self.accepted = 0
        self.flap_down = False
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listening; the port. Raises OSError when it is taken."""
        self.host, self.port = host, port
        await self._listen()
        self.impairment.faults.watch(self._on_fault)
        self._tending = asyncio.create_task(self._tend(), name=f"relay {self.impairment.targets[-1]}")
        return self.port

    async def stop(self) -> None:
        """No listener, no connection; twice is once."""
        self.impairment.faults.forget(self._on_fault)
        if self._tending is not None:
            self._tending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tending
            self._tending = None
        self._hang_up()
        # The transports' own last calls.
        await asyncio.sleep(0)

    @property
    def is_quiet(self) -> bool:
        """Bytes pass untouched."""
        return self.medium is None and not self.impairment.faults.running

    def _on_fault(self, fault: Fault) -> None:
        names = self.impairment.targets
        if fault.target in names:
            self._changed.set()

    async def _listen(self) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: _Session(self).near, self.host, self.port)
            self.port = int(self._server.sockets[0].getsockname()[1])

    def _hang_up(self) -> None:
        """Connections are reset and new ones refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in list(self.sessions):
            session.abort()

    async def _tend(self) -> None:
        """The listener and the connections are as the board wants them."""
        while True:
            self._changed.clear()
            flapping = self.impairment.on(FaultKind.FLAPPING)
            self.flap_down = flapping is not None and not self.flap_down
            if self.impairment.is_down or self.flap_down:
                self._hang_up()
            else:
                await self._reopen()
            for session in list(self.sessions):
                session.freeze(self.impairment.is_frozen)
            wait_s = None if flapping is None else flapping.options["down_s" if self.flap_down else "up_s"]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)

    async def _reopen(self) -> None:
        try:
            await self._listen()
        except OSError as error:
            log.warning("relay %s: port %s: %s", self.impairment.targets[-1], self.port, error)
            asyncio.get_running_loop().call_later(1.0, self._changed.set)


class _Session:
    """One connection through the relay: the near side has connected to us, the far side we connect to."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.near, self.far = _Side(self), _Side(self)
        number = relay.accepted
        relay.accepted += 1
        seed = f"{relay.seed} {relay.impairment.targets[-1]} {number}"
        # Answers are what the equipment says: the far side of a polled device, the near side of one that dials.
        self.near.flow = _Flow(relay, self.near, self.far, answers=relay.dials, seed=f"{seed} near")
        self.far.flow = _Flow(relay, self.far, self.near, answers=not relay.dials, seed=f"{seed} far")
        self._thawed = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The near side stands."""
        self.relay.sessions.add(self)
        self.near.pause("connecting")
        self.freeze(self.relay.impairment.is_frozen)
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        # A SYN into the void: it is repeated until packets pass again.
        await self._thawed.wait()
        place = self.relay.far_end()
        if place is None:
            self.abort()
            return
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().create_connection(lambda: self.far, *place)
        except (OSError, TimeoutError):
            self.abort()
            return
        self.freeze(self.relay.impairment.is_frozen)
        self.near.resume("connecting")

    def freeze(self, frozen: bool) -> None:
        """While frozen nothing is read or written on either side."""
        (self._thawed.clear if frozen else self._thawed.set)()
        for side in (self.near, self.far):
            (side.pause if frozen else side.resume)("frozen")
            side.flow.freeze(frozen)

    def abort(self) -> None:
        """Both sides are reset, now."""
        self.relay.sessions.discard(self)
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        for side in (self.near, self.far):
            side.flow.cut()
            if side.transport is not None:
                side.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                side.transport.abort()

    def close(self) -> None:
        """Both sides end after what still waits to be written."""
        self.relay.sessions.discard(self)
        for side in (self.near, self.far):
            if side.transport is not None:
                side.transport.close()

    @property
    def has_ended(self) -> bool:
        """Both ends have said their last."""
        return self.near.flow.ended and self.far.flow.ended


class _Side(asyncio.Protocol):
    """One socket of a session; `flow` takes what it says to the other."""

    flow: _Flow

    def __init__(self, session: _Session) -> None:
        self.session = session
        self.transport: asyncio.Transport | None = None
        self._paused_by: set[str] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self is self.session.near:
            self.session.begin()
        elif self._paused_by:
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self.flow.carry(data)
        if self.flow.backlog > LARGEST_BACKLOG:
            self.pause("backlog")

    def eof_received(self) -> bool:
        self.flow.end()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if not self.session.has_ended:
            self.session.abort()

    def pause_writing(self) -> None:
        self._other.pause("slow reader")

    def resume_writing(self) -> None:
        self._other.resume("slow reader")

    @property
    def _other(self) -> _Side:
        return self.session.far if self is self.session.near else self.session.near

    def pause(self, reason: str) -> None:
        if not self._paused_by and self.transport is not None:
            self.transport.pause_reading()
        self._paused_by.add(reason)

    def resume(self, reason: str) -> None:
        if reason in self._paused_by:
            self._paused_by.discard(reason)
            if not self._paused_by and self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    def write(self, piece: bytes) -> None:
        if self.transport is not None:
            self.transport.write(piece)

    def write_eof(self) -> None:
        """The other end has said its last."""
        if self.transport is not None and not self.transport.is_closing():
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        if self.session.has_ended:
            self.session.close()


class _Flow:
    """One direction of a session: what `source` says comes in by `carry` and leaves towards `to` when it is due."""

    def __init__(self, relay: Relay, source: _Side, to: _Side, *, answers: bool, seed: str) -> None:
        self.backlog, self.ended = 0, False
        self._relay, self._source, self._to, self._answers, self._seed = relay, source, to, answers, seed
        self._rest = bytearray()
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._frozen = False
        self._free_at = self._last_due = 0.0
        self._channel: Channel | None = None

    def carry(self, data: bytes) -> None:
        if self._relay.is_quiet and not self._queue:
            self._to.write(bytes(self._rest) + data)
            self._rest.clear()
            return
        self._rest += data
        for frame in self._frames():
            self._send(frame)

    def end(self) -> None:
        """Nothing more will come."""
        if self._rest:
            self._send(bytes(self._rest))
            self._rest.clear()
        self._enter(self._last_due, None)

    def freeze(self, frozen: bool) -> None:
        self._frozen = frozen
        self._arm()

    def cut(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queue.clear()

    def _frames(self) -> list[bytes]:
        """Whole frames of the equipment; requests, and what is no frame, as it comes."""
        frames = self._relay.impairment.framing.split(self._rest) if self._answers else None
        if frames is None:
            frames = [bytes(self._rest)]
            self._rest.clear()
        return frames

    def _send(self, frame: bytes) -> None:
        """One frame goes its way, through faults and medium."""
        impairment = self._relay.impairment
        now = asyncio.get_running_loop().time()
        slow = None
        if self._answers:
            slow = impairment.slowness(frame)
            frame = impairment.answer(frame)
        frame = impairment.noisy(frame)
        if not frame:
            return
        delay_s = impairment.repeat_s() + (slow.options["answer_s"] if slow is not None else 0.0)
        due = max(self._last_due, now) + delay_s if slow is not None else max(self._last_due, now + delay_s)
        if slow is not None and slow.options["bytes_per_s"]:
            self._trickle(frame, due, slow.options["bytes_per_s"])
            return
        for start in range(0, len(frame), SEGMENT):
            piece = frame[start : start + SEGMENT]
            self._enter(max(due, self._through_medium(len(piece), now)), piece)

    def _through_medium(self, size: int, now: float) -> float:
        """When a piece sent now comes out of the medium."""
        medium = self._relay.medium
        if medium is None:
            return now
        if self._channel is None or self._channel.medium is not medium:
            self._channel = Channel(medium, self._seed)
            self._free_at = now + medium.setup_s
        self._free_at = max(now, self._free_at) + self._channel.sending_s(size)
        return self._free_at + self._channel.latency_s() + self._channel.repeat_s(self._free_at)

    def _trickle(self, frame: bytes, due: float, bytes_per_s: float) -> None:
        step = max(1, int(bytes_per_s * TRICKLE_S))
        for start in range(0, len(frame), step):
            due += step / bytes_per_s
            self._enter(due, frame[start : start + step])

    def _enter(self, due: float, piece: bytes | None) -> None:
        self._last_due = max(self._last_due, due)
        self._queue.append((self._last_due, piece))
        self.backlog += len(piece or b"")
        self._arm()

    def _arm(self) -> None:
        if self._queue and self._timer is None and not self._frozen:
            self._timer = asyncio.get_running_loop().call_at(self._queue[0][0], self._release)

    def _release(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._queue and self._queue[0][0] <= now and not self._frozen:
            _, piece = self._queue.popleft()
            if piece is None:
                self.ended = True
                self._to.write_eof()
                continue
            self.backlog -= len(piece)
            self._to.write(piece)
        if self.backlog < LARGEST_BACKLOG:
            self._source.resume("backlog")
        self._arm()
