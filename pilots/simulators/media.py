"""One direction over a communication medium, message by message. [zones: field to enterprise, simulated] [D7.1 2.2.2-2.2.4]

A message takes the sending time of its bits, then a latency: half of the medium's median is fixed, the rest is a lognormal
jitter through its median and 95th percentile. Losses are single on wires and come in bursts on radio and power line (the
two-state model of E. N. Gilbert, Bell System Technical Journal 1960, as extended by E. O. Elliott, 1963). Pure and seeded.
"""

from __future__ import annotations

import math
import random

from pilots.domain.media import Medium

FIXED_SHARE = 0.5
#: 95th percentile of the standard normal distribution.
NORMAL_P95 = 1.6448536
#: A bad spell of a bursty medium loses this share of its messages and lasts so many of them, in the mean.
BAD_LOSS = 0.6
BAD_MESSAGES = 8.0
#: The first repeat of a lost TCP segment comes after at least this (RFC 6298 as Linux has it), each further one after twice.
LEAST_REPEAT_S = 0.2
MOST_REPEATS = 6


class Losses:
    """Which messages are lost: each by itself, or in bad spells. The mean share is `share`."""

    def __init__(self, share: float, *, bursts: bool, source: random.Random) -> None:
        self.share, self._source = share, source
        bad = min(0.95, share / BAD_LOSS) if bursts else 0.0
        self._in_bad = source.random() < bad
        self._bad_loss = max(BAD_LOSS, share)
        self._leaves_bad = 1.0 / BAD_MESSAGES
        self._enters_bad = self._leaves_bad * bad / (1.0 - bad)

    def next(self) -> bool:
        """Whether the next message is lost."""
        if not self._enters_bad:
            return self._source.random() < self.share
        self._in_bad = self._source.random() < (1.0 - self._leaves_bad if self._in_bad else self._enters_bad)
        return self._in_bad and self._source.random() < self._bad_loss


class Channel:
    """One direction of one connection over `medium`."""

    def __init__(self, medium: Medium, seed: str) -> None:
        self.medium = medium
        self._source = random.Random(seed)
        self._losses = Losses(medium.loss, bursts=medium.bursts, source=self._source)
        self._fixed_s = FIXED_SHARE * medium.latency_p50_s
        jitter_p50, jitter_p95 = medium.latency_p50_s - self._fixed_s, medium.latency_p95_s - self._fixed_s
        self._mu, self._sigma = math.log(jitter_p50), math.log(jitter_p95 / jitter_p50) / NORMAL_P95

    def sending_s(self, size: int) -> float:
        """Seconds for which `size` bytes occupy the medium."""
        return 8.0 * size / self.medium.bandwidth_bps

    def latency_s(self) -> float:
        """Seconds from the last bit's sending to its arrival, drawn anew for each message."""
        return self._fixed_s + self._source.lognormvariate(self._mu, self._sigma)

    def is_lost(self) -> bool:
        """Whether the next message is lost."""
        return self._losses.next()

    def repeat_s(self) -> float:
        """Seconds that TCP spends on repeating the next message until it gets through; 0 in most cases."""
        return repeat_s(self._losses, max(LEAST_REPEAT_S, 3.0 * self.medium.latency_p50_s))


def repeat_s(losses: Losses, wait_s: float) -> float:
    """Seconds until the next message gets through, when the first repeat comes after `wait_s`."""
    spent_s = 0.0
    for _ in range(MOST_REPEATS):
        if not losses.next():
            break
        spent_s += wait_s
        wait_s *= 2
    return spent_s
