"""Bad frames from good ones: a seeded mutator, the same frames in every run."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence


def mutated(frames: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` frames, each a good one with one to three things wrong; what came out good again does not count."""
    source, good = random.Random(seed), set(frames)
    while count:
        frame = bytearray(source.choice(frames))
        for _ in range(source.randint(1, 3)):
            source.choice(_WAYS)(source, frame, frames)
        if bytes(frame) not in good:
            yield bytes(frame)
            count -= 1


def _flip_bit(source: random.Random, frame: bytearray, _frames: Sequence[bytes]) -> None:
    if frame:
        frame[source.randrange(len(frame))] ^= 1 << source.randrange(8)


def _lie(source: random.Random, frame: bytearray, _frames: Sequence[bytes]) -> None:
    """An extreme octet near the head, where lengths and counts stand."""
    if frame:
        frame[source.randrange(min(len(frame), 16))] = source.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))


def _cut(source: random.Random, frame: bytearray, _frames: Sequence[bytes]) -> None:
    del frame[source.randrange(len(frame) + 1) :]


def _lose(source: random.Random, frame: bytearray, _frames: Sequence[bytes]) -> None:
    at = source.randrange(len(frame) + 1)
    del frame[at : at + source.randint(1, 4)]


def _double(source: random.Random, frame: bytearray, _frames: Sequence[bytes]) -> None:
    at = source.randrange(len(frame) + 1)
    frame[at:at] = frame[at : at + source.randint(1, 8)]


def _insert(source: random.Random, frame: bytearray, _frames: Sequence[bytes]) -> None:
    at = source.randrange(len(frame) + 1)
    frame[at:at] = source.randbytes(source.randint(1, 6))


def _splice(source: random.Random, frame: bytearray, frames: Sequence[bytes]) -> None:
    """The end of another frame instead of its own."""
    other = source.choice(frames)
    frame[source.randrange(len(frame) + 1) :] = other[source.randrange(len(other)) :]


_WAYS = (_flip_bit, _flip_bit, _lie, _lie, _cut, _lose, _double, _insert, _splice)
