"""One direction over a communication medium, message by message. [zones: field to enterprise, simulated] [D7.1 2.2.2-2.2.4]

A message takes the sending time of its bits, then a latency: half of the medium's median is fixed, the rest is a lognormal
jitter through its median and 95th percentile. Losses are single on wires; on radio and power line they come in bad spells (the
two-state model of E. N. Gilbert, Bell System Technical Journal 1960, as extended by E. O. Elliott, 1963, with states that
change in time: a fade ends whether or not anybody sends meanwhile). Pure and seeded; moments are seconds of one clock.
"""

from __future__ import annotations

import math
import random

from pilots.domain.media import Medium

FIXED_SHARE = 0.5
#: 95th percentile of the standard normal distribution.
NORMAL_P95 = 1.6448536
#: A bad spell loses this share of its messages, and all spells together fill no more than this share of the time.
BAD_LOSS, MOST_BAD = 0.6, 0.95
#: The first repeat of a lost TCP segment comes after at least this (RFC 6298 as Linux has it), each further one after twice.
LEAST_REPEAT_S = 0.2
MOST_REPEATS = 6


class Losses:
    """Which messages are lost: each by itself, or in bad spells of `spell_s` in the mean. The mean share is `share`."""

    def __init__(self, share: float, *, spell_s: float, source: random.Random) -> None:
        self.share, self._source, self._spell_s = share, source, spell_s
        self._bad = min(MOST_BAD, share / BAD_LOSS)
        self._bad_loss = max(BAD_LOSS, share)
        self._in_bad, self._at = source.random() < self._bad, -math.inf

    def next(self, at: float) -> bool:
        """Whether the message sent at `at` is lost."""
        if not self._spell_s:
            return self._source.random() < self.share
        # The state is forgotten at the rate at which spells begin and end: with a time constant of a spell's good share.
        forgotten = -math.expm1((self._at - at) / (self._spell_s * (1.0 - self._bad))) if at > self._at else 0.0
        if self._source.random() < forgotten:
            self._in_bad = self._source.random() < self._bad
        self._at = max(self._at, at)
        return self._in_bad and self._source.random() < self._bad_loss


class Channel:
    """One direction of one connection over `medium`."""

    def __init__(self, medium: Medium, seed: str) -> None:
        self.medium = medium
        self._source = random.Random(seed)
        self._losses = Losses(medium.loss, spell_s=medium.bad_spell_s, source=self._source)
        self._fixed_s = FIXED_SHARE * medium.latency_p50_s
        jitter_p50, jitter_p95 = medium.latency_p50_s - self._fixed_s, medium.latency_p95_s - self._fixed_s
        self._mu, self._sigma = math.log(jitter_p50), math.log(jitter_p95 / jitter_p50) / NORMAL_P95

    def sending_s(self, size: int) -> float:
        """Seconds for which `size` bytes occupy the medium."""
        return 8.0 * size / self.medium.bandwidth_bps

    def latency_s(self) -> float:
        """Seconds from the last bit's sending to its arrival, drawn anew for each message."""
        return self._fixed_s + self._source.lognormvariate(self._mu, self._sigma)

    def is_lost(self, at: float) -> bool:
        """Whether the message sent at `at` is lost."""
        return self._losses.next(at)

    def repeat_s(self, at: float) -> float:
        """Seconds that TCP spends on repeating the message sent at `at` until it gets through; 0 in most cases."""
        return repeat_s(self._losses, at, max(LEAST_REPEAT_S, 3.0 * self.medium.latency_p50_s))


def repeat_s(losses: Losses, at: float, wait_s: float) -> float:
    """Seconds until the message sent at `at` gets through, when the first repeat comes after `wait_s`."""
    spent_s = 0.0
    for _ in range(MOST_REPEATS):
        if not losses.next(at + spent_s):
            break
        spent_s += wait_s
        wait_s *= 2
    return spent_s
