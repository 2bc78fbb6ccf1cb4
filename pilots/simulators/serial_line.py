"""A serial line between the product and a simulated device: two ends, line time, noise. [zones: field, simulated]

The product's end is a device file (a pseudo terminal, raw, without echo). The equipment's end is a stream in this process,
or a device file too, for libraries that open one themselves. Between them bytes take the time that a UART needs for a
start bit, the data bits, parity and stop bits (Modbus over Serial Line V1.02, 2.5; IEC 60870-5-101, 5.1).
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import termios
import tty
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

#: Bytes come out in portions of at most this length: finer than any receiver's time-out, coarser than a timer per byte.
PORTION_S = 0.003
#: Bytes on their way beyond this stop the sender, as a full output buffer does.
LARGEST_BACKLOG = 4096
READ_SIZE = 1024
#: A speed nobody asks for, and how often a device file is put back to it (see `_Terminal._forget_settings`).
NEUTRAL_SPEED = termios.B134
FORGET_S = 0.025


@dataclass(frozen=True, kw_only=True, slots=True)
class LineSettings:
    """Speed and form of a serial line: 19 200 8E1 unless told otherwise.

    >>> round(114 * LineSettings(baudrate=9600).byte_s, 4)
    0.1306
    """

    baudrate: int = 19200
    bytesize: int = 8
    parity: str = "E"
    stopbits: float = 1

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Of a connection's `baudrate`, `bytesize`, `parity`, `stopbits`; what is not named keeps its default."""
        given = {name: options[name] for name in ("baudrate", "bytesize", "parity", "stopbits") if name in options}
        return cls(**given)

    @property
    def byte_s(self) -> float:
        """Seconds that one byte takes."""
        return (1 + self.bytesize + (self.parity != "N") + self.stopbits) / self.baudrate


@dataclass(frozen=True, kw_only=True, slots=True)
class Disturbance:
    """What is wrong with a line. `garbled` and `dropped` are probabilities per byte; `bursts_per_s` are random bytes out
    of nowhere, heard at both ends; with `echo` a sender hears itself; a `silent` line carries nothing."""

    silent: bool = False
    garbled: float = 0.0
    dropped: float = 0.0
    bursts_per_s: float = 0.0
    echo: bool = False


QUIET = Disturbance()


class SerialLine:
    """One line, open between `open` and `close`; also an async context manager.

    `path` becomes the product's device file. The equipment reads `reader` and calls `write`, or opens `equipment_path`
    if the line was made with `equipment_file`. `half_duplex` garbles bytes that two senders put onto the line at once.
    """

    def __init__(
        self,
        path: Path,
        settings: LineSettings | None = None,
        *,
        equipment_file: bool = False,
        half_duplex: bool = False,
        seed: int = 0,
    ) -> None:
        self.path, self.settings = path, settings or LineSettings()
        self.half_duplex = half_duplex
        #: Seconds per byte: the line's own, or more while something slows it down.
        self.byte_s = self.settings.byte_s
        self.disturbance = QUIET
        #: Seconds an answer of the equipment waits before it goes onto the line (a modem, a slow device).
        self.lag: Callable[[bytes], float] | None = None
        #: What becomes of the equipment's bytes before they go onto the line.
        self.spoil: Callable[[bytes], bytes] | None = None
        self.reader = asyncio.StreamReader()
        self.equipment_path = ""
        self._equipment_file = equipment_file
        self._random = random.Random(f"{seed} {path.name}")
        self._product: _Terminal | None = None
        self._equipment: _Terminal | None = None
        self._downwards = _Wire(self, self._to_equipment)
        self._upwards = _Wire(self, self._to_product)
        self._stranger = _Wire(self, self._to_both)
        self._burst: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """The device file is there. Raises OSError."""
        if self._equipment_file:
            self._equipment = _Terminal(self._upwards, self.write)
            self.equipment_path = self._equipment.name
        self.plug()

    async def close(self) -> None:
        """The device file is gone and whoever has it open gets an error; twice is once."""
        self.disturb(QUIET)
        self.unplug()
        for wire in (self._upwards, self._stranger):
            wire.cut()
        if self._equipment is not None:
            self._equipment.close()
            self._equipment = None
        self.reader.feed_eof()

    def plug(self) -> None:
        """The product's adapter is there again. Raises OSError."""
        if self._product is not None:
            return
        self._product = _Terminal(self._downwards, self._downwards.send)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.new")
        draft.unlink(missing_ok=True)
        draft.symlink_to(self._product.name)
        os.replace(draft, self.path)

    def unplug(self) -> None:
        """The product's device file is gone, as when a serial adapter is pulled out; the equipment lives on."""
        if self._product is None:
            return
        if self.path.is_symlink() and os.readlink(self.path) == self._product.name:
            self.path.unlink()
        self._downwards.cut()
        self._product.close()
        self._product = None

    def write(self, message: bytes) -> None:
        """The equipment sends; its bytes arrive at the product in line time."""
        self._upwards.send(self._spoilt(message), 0.0 if self.lag is None else self.lag(message))

    def interject(self, message: bytes) -> None:
        """Somebody else on the line sends (a second master, a spike): both ends hear it."""
        self._stranger.send(message)

    def disturb(self, disturbance: Disturbance) -> None:
        """The line is disturbed in this way from now on; QUIET ends it."""
        self.disturbance = disturbance
        if self._burst is not None:
            self._burst.cancel()
            self._burst = None
        if disturbance.bursts_per_s > 0:
            self._await_burst()

    def _spoilt(self, message: bytes) -> bytes:
        return message if self.spoil is None else self.spoil(message)

    def _await_burst(self) -> None:
        pause = self._random.expovariate(self.disturbance.bursts_per_s)
        self._burst = asyncio.get_running_loop().call_later(pause, self._make_burst)

    def _make_burst(self) -> None:
        self.interject(self._random.randbytes(self._random.randint(1, 8)))
        self._await_burst()

    # -- bytes that come out of a wire

    def _to_equipment(self, portion: bytes) -> None:
        self._hear_equipment(portion)
        if self.disturbance.echo:
            self._hear_product(portion)

    def _to_product(self, portion: bytes) -> None:
        self._hear_product(portion)
        if self.disturbance.echo:
            self._hear_equipment(portion)

    def _to_both(self, portion: bytes) -> None:
        self._hear_equipment(portion)
        self._hear_product(portion)

    def _hear_product(self, portion: bytes) -> None:
        if self._product is not None:
            self._product.deliver(portion)

    def _hear_equipment(self, portion: bytes) -> None:
        if self._equipment is not None:
            self._equipment.deliver(portion)
        elif not self._equipment_file:
            self.reader.feed_data(portion)

    def worn(self, portion: bytes, wire: _Wire, since: float, until: float) -> bytes:
        """What is left of bytes that were on the line from `since` to `until`."""
        state = self.disturbance
        if state.silent:
            return b""
        others = (self._downwards, self._upwards, self._stranger)
        collided = self.half_duplex and any(other.spoke(since, until) for other in others if other is not wire)
        garbled = 0.5 if collided else state.garbled
        if not garbled and not state.dropped:
            return portion
        chance = self._random.random
        kept = [byte for byte in portion if chance() >= state.dropped]
        return bytes(byte ^ self._random.randint(1, 255) if chance() < garbled else byte for byte in kept)


class _Wire:
    """One sender's bytes on their way: each takes its time, one after the other."""

    def __init__(self, line: SerialLine, deliver: Callable[[bytes], None]) -> None:
        self.backlog = bytearray()
        self.resume: Callable[[], None] | None = None
        self._line, self._deliver = line, deliver
        self._began = self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def send(self, message: bytes, lag_s: float = 0.0) -> None:
        if not message:
            return
        now = asyncio.get_running_loop().time()
        if not self.backlog and now >= self._free_at:
            self._began = self._free_at = now + lag_s
        self.backlog += message
        if self._timer is None:
            self._next()

    def spoke(self, since: float, until: float) -> bool:
        """Whether this sender was on the line at any moment of that time."""
        ends = self._free_at + len(self.backlog) * self._line.byte_s
        return self._began < until and ends > since

    def cut(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.backlog.clear()

    def _next(self) -> None:
        byte_s = self._line.byte_s
        length = min(len(self.backlog), max(1, int(PORTION_S / byte_s)))
        due = self._free_at + length * byte_s
        self._timer = asyncio.get_running_loop().call_at(due, self._arrive, length, self._free_at, due)

    def _arrive(self, length: int, since: float, until: float) -> None:
        portion = bytes(self.backlog[:length])
        del self.backlog[:length]
        # The line's clock, not ours: a late timer must not make the line slower.
        self._free_at, self._timer = until, None
        worn = self._line.worn(portion, self, since, until)
        if worn:
            self._deliver(worn)
        if self.backlog:
            self._next()
        if self.resume is not None and len(self.backlog) < LARGEST_BACKLOG:
            self.resume()


class _Terminal:
    """A pseudo terminal: what is written to its device file is sent on `wire`, `deliver` makes bytes readable there."""

    _forgetting: asyncio.TimerHandle

    def __init__(self, wire: _Wire, send: Callable[[bytes], None]) -> None:
        self._master, self._slave = os.openpty()
        self.name = os.ttyname(self._slave)
        self._wire, self._send, self._reading = wire, send, False
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        wire.resume = self._resume
        self._resume()
        self._forget_settings()

    def close(self) -> None:
        """Idle: the device file's users get an error."""
        self._wire.resume = None
        self._pause()
        self._forgetting.cancel()
        # Our own hold on the device file keeps the terminal alive while nobody else has it open; it ends here.
        os.close(self._slave)
        os.close(self._master)

    def deliver(self, portion: bytes) -> None:
        try:
            os.write(self._master, portion)
        except BlockingIOError:
            # Nobody reads: a full receiver loses what it has, as a UART does.
            termios.tcflush(self._slave, termios.TCIFLUSH)

    def _resume(self) -> None:
        if not self._reading:
            self._reading = True
            asyncio.get_running_loop().add_reader(self._master, self._read)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._master)

    def _forget_settings(self) -> None:
        """The device file's speed is neutral again.

        A pseudo terminal drops the parity it is asked for, and a request of which nothing can be done is refused: who opens
        it a second time with the same settings would fail. With another speed there is always something to do.
        """
        settings = termios.tcgetattr(self._slave)
        if settings[4] != NEUTRAL_SPEED:
            settings[4] = settings[5] = NEUTRAL_SPEED
            termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        self._forgetting = asyncio.get_running_loop().call_later(FORGET_S, self._forget_settings)

    def _read(self) -> None:
        try:
            message = os.read(self._master, READ_SIZE)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EIO):
                raise
            return
        self._send(message)
        if len(self._wire.backlog) >= LARGEST_BACKLOG:
            self._pause()
