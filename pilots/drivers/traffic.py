"""What one connection has said and heard: counters, and the newest frames for the frame log. [zone: field]

The log keeps raw bytes only; a driver's `describe` turns them into words when somebody looks.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections import deque
from dataclasses import dataclass, field

#: Frames a connection remembers, in blocks: closed blocks are compressed, because a thousand devices must fit in memory.
BLOCK = 50
BLOCKS = 10
LOG_LENGTH = BLOCK * BLOCKS
#: What the closed blocks of a log may take while nobody looks at it: a connection has 64 KiB for everything.
MOST_BYTES = 36 * 1024
#: Who has looked may look again: for so long the log keeps all its blocks, however large.
WATCHED_S = 600.0
#: Longer frames (MMS, OCPP) are cut in the log, never on the line.
LONGEST_KEPT = 1024
_HEAD = struct.Struct("<dBHH")


@dataclass(frozen=True, slots=True)
class LoggedFrame:
    """One frame as it passed; `number` counts a connection's frames, `length` is the whole one, `raw` perhaps its head."""

    number: int
    at: float  # seconds since 1970, our clock
    sent: bool
    length: int
    raw: bytes


class FrameLog:
    """The newest frames of a connection: 500 of them, or as many large ones as fit into MOST_BYTES while nobody looks."""

    def __init__(self) -> None:
        self.count = 0
        self._watched_until = 0.0
        self._closed: deque[bytes] = deque(maxlen=BLOCKS)
        self._open = bytearray()

    def note(self, frame: bytes, *, sent: bool) -> None:
        """Costs about a microsecond: it runs for every frame of every connection."""
        raw = frame[:LONGEST_KEPT]
        self._open += _HEAD.pack(time.time(), sent, min(len(frame), 0xFFFF), len(raw))
        self._open += raw
        self.count += 1
        if self.count % BLOCK == 0:
            self._closed.append(zlib.compress(self._open, 1))
            self._open = bytearray()
            if time.monotonic() > self._watched_until:
                self._bound()

    def _bound(self) -> None:
        kept = sum(map(len, self._closed))
        while kept > MOST_BYTES:
            kept -= len(self._closed.popleft())

    def frames(self, after: int = -1) -> list[LoggedFrame]:
        """Oldest first, those with a number above `after`; for the next ten minutes the log forgets none of the newest 500."""
        self._watched_until = time.monotonic() + WATCHED_S
        kept = self._unpack(bytes(self._open), self.count - self.count % BLOCK)
        first = self.count - self.count % BLOCK
        for block in reversed(self._closed):
            first -= BLOCK
            if first + BLOCK <= after + 1:
                break
            kept = self._unpack(zlib.decompress(block), first) + kept
        return [frame for frame in kept if frame.number > after]

    @staticmethod
    def _unpack(block: bytes, first: int) -> list[LoggedFrame]:
        frames: list[LoggedFrame] = []
        at = 0
        while at < len(block):
            moment, sent, length, kept = _HEAD.unpack_from(block, at)
            at += _HEAD.size
            frames.append(LoggedFrame(first + len(frames), moment, bool(sent), length, block[at : at + kept]))
            at += kept
        return frames


@dataclass(slots=True)
class Traffic:
    """Counters of one connection since its gateway took it; they survive reconnects."""

    sent: int = 0
    received: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    timeouts: int = 0
    violations: int = 0
    refused: int = 0
    retries: int = 0
    reconnects: int = 0
    #: Kind of violation in a word or two ("crc", "wrong unit") -> how often.
    kinds: dict[str, int] = field(default_factory=dict)
    round_trips_s: deque[float] = field(default_factory=lambda: deque(maxlen=100))  # newest last
    log: FrameLog = field(default_factory=FrameLog)

    @property
    def heard(self) -> int:
        """Frames of others: an adapter that hears itself proves nobody's life."""
        return self.received - self.kinds.get("echo", 0)

    def note_sent(self, frame: bytes) -> None:
        """One frame left."""
        self.sent += 1
        self.sent_bytes += len(frame)
        self.log.note(frame, sent=True)

    def note_received(self, frame: bytes) -> None:
        """One frame came, good or bad."""
        self.received += 1
        self.received_bytes += len(frame)
        self.log.note(frame, sent=False)

    def note_violation(self, kind: str) -> None:
        """Something came that the protocol does not allow."""
        self.violations += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def note_round_trip(self, seconds: float) -> None:
        """From a request to its answer."""
        self.round_trips_s.append(seconds)
