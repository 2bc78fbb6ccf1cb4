"""What one connection has said and heard: counters, and the newest frames for the frame log. [zone: field]

The log keeps raw bytes only; a driver's `describe` turns them into words when somebody looks.
"""

from __future__ import annotations

import struct
import time
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

#: Frames a connection remembers, in blocks: closed blocks are compressed, because a thousand devices must fit in memory.
BLOCK = 50
BLOCKS = 10
LOG_LENGTH = BLOCK * BLOCKS
#: What the closed blocks of a log may take while nobody looks at it: a connection has 64 KiB for everything.
MOST_BYTES = 32 * 1024
#: Who has looked may look again: for so long the log keeps all its blocks, however large.
WATCHED_S = 600.0
#: Longer frames (MMS, OCPP) are cut in the log, never on the line.
LONGEST_KEPT = 1024
#: The kind of violation of an answer that comes when nobody waits for it any more.
LATE = "late answer"
TRIPS = 100
#: zlib looks 8 KiB back: most blocks are no longer, and four times the window is four times the memory to set up.
WINDOW_BITS = 13
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

    __slots__ = ("_closed", "_heads", "_raw", "_watched_until", "count")

    def __init__(self) -> None:
        self.count = 0
        self._watched_until = 0.0
        self._closed: list[bytes] = []  # newest last
        self._heads, self._raw = bytearray(), bytearray()

    def note(self, frame: bytes, *, sent: bool) -> None:
        """Costs about a microsecond: it runs for every frame of every connection."""
        raw = frame[:LONGEST_KEPT]
        self._heads += _HEAD.pack(time.time(), sent, min(len(frame), 0xFFFF), len(raw))
        self._raw += raw
        self.count += 1
        if self.count % BLOCK == 0:
            self._close_block()

    def _close_block(self) -> None:
        self._closed.append(_compressed(self._heads, self._raw))
        self._heads, self._raw = bytearray(), bytearray()
        del self._closed[:-BLOCKS]
        if time.monotonic() > self._watched_until:
            kept = sum(map(len, self._closed))
            while kept > MOST_BYTES:
                kept -= len(self._closed.pop(0))

    def frames(self, after: int = -1) -> list[LoggedFrame]:
        """Oldest first, those with a number above `after`; for the next ten minutes the log forgets none of the newest 500."""
        self._watched_until = time.monotonic() + WATCHED_S
        first = self.count - self.count % BLOCK
        heads = list(_HEAD.iter_unpack(self._heads))
        kept = _logged(first, heads, _cut(bytes(self._raw), [head[-1] for head in heads]))
        for block in reversed(self._closed):
            first -= BLOCK
            if first + BLOCK <= after + 1:
                break
            kept = _logged(first, *_decompressed(block)) + kept
        return [frame for frame in kept if frame.number > after]


#: When (seconds since 1970), whether sent, length of the whole frame, and of what is kept of it.
_Head = tuple[float, bool, int, int]


def _logged(first: int, heads: Sequence[_Head], frames: Sequence[bytes]) -> list[LoggedFrame]:
    return [
        LoggedFrame(first + index, at, bool(sent), length, raw)
        for index, ((at, sent, length, _), raw) in enumerate(zip(heads, frames, strict=True))
    ]


def _cut(raw: bytes, lengths: Iterable[int]) -> list[bytes]:
    return [raw[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]


def _compressed(heads: bytearray, raw: bytearray) -> bytes:
    """A block, column by column: the first bytes of all heads, their second bytes ..., then so all frames of one length.

    Answers to one question have most bytes in common: a quarter less is left than of frames in a row, in the same time.
    """
    groups: dict[int, list[bytes]] = defaultdict(list)
    for frame in _cut(bytes(raw), [head[-1] for head in _HEAD.iter_unpack(heads)]):
        groups[len(frame)].append(frame)
    columns = [heads[at :: _HEAD.size] for at in range(_HEAD.size)]
    return zlib.compress(b"".join([*columns, *map(_columns, groups.values())]), 1, WINDOW_BITS)


def _columns(rows: Sequence[bytes]) -> bytearray:
    """Rows of one length, column by column.

    >>> bytes(_columns([b"abc", b"ABC"]))
    b'aAbBcC'
    """
    columns = bytearray(len(rows) * len(rows[0]))
    for index, row in enumerate(rows):
        columns[index :: len(rows)] = row
    return columns


def _decompressed(block: bytes) -> tuple[list[_Head], list[bytes]]:
    columns = zlib.decompress(block)
    at = BLOCK * _HEAD.size
    heads = [_HEAD.unpack(columns[index:at:BLOCK]) for index in range(BLOCK)]
    rows: dict[int, Iterator[bytes]] = {}
    for length, count in Counter(head[-1] for head in heads).items():
        group = columns[at : at + length * count]
        rows[length] = iter([group[index::count] for index in range(count)])
        at += length * count
    return heads, [next(rows[head[-1]]) for head in heads]


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
    #: The newest TRIPS, newest last; four bytes each, because they are kept for thousands of connections.
    round_trips_s: array[float] = field(default_factory=lambda: array("f"))
    log: FrameLog = field(default_factory=FrameLog)

    @property
    def heard(self) -> int:
        """Frames of others: an adapter that hears itself proves nobody's life."""
        return self.received - self.kinds.get("echo", 0)

    @property
    def lost(self) -> int:
        """Frames without a proper answer: one that came late is that of a frame whose time was over already."""
        return self.timeouts + self.violations - self.kinds.get(LATE, 0)

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
        if len(self.round_trips_s) == TRIPS:
            del self.round_trips_s[0]
        self.round_trips_s.append(seconds)
