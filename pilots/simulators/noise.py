"""Seeded random processes: the same seed and the same steps give the same run. [zone: process, simulated]"""

from __future__ import annotations

import math
import random


def generator(seed: int, *names: object) -> random.Random:
    """A random generator of its own for one device and purpose, so that adding a device moves no other."""
    return random.Random(":".join(str(part) for part in (seed, *names)))


class Drift:
    """A mean-reverting (Ornstein-Uhlenbeck) process of standard deviation `sigma` and time constant `tau_s`."""

    __slots__ = ("_random", "sigma", "tau_s", "value")

    def __init__(self, source: random.Random, *, sigma: float, tau_s: float) -> None:
        self._random, self.sigma, self.tau_s = source, sigma, tau_s
        self.value = source.gauss(0.0, sigma)

    def step(self, dt_s: float) -> float:
        """The value `dt_s` later; exact for any step, so its spread does not depend on the step length."""
        if dt_s > 0:
            kept = math.exp(-dt_s / self.tau_s)
            self.value = self.value * kept + self._random.gauss(0.0, self.sigma) * math.sqrt(1.0 - kept * kept)
        return self.value


def bump(t: float, middle: float, width: float) -> float:
    """A daily bell curve exp(-d²/2s²), d the circular distance of hours.

    >>> bump(23.0, 1.0, 2.0) == bump(3.0, 1.0, 2.0)
    True
    """
    distance = abs(t - middle) % 24.0
    distance = min(distance, 24.0 - distance)
    return math.exp(-distance * distance / (2.0 * width * width))
