"""A ramp in steps: what is written when, for a device that has no ramp of its own. [operation]

Between two steps lies the rest that the point needs between writes. Every step is a whole step of the device, and none runs
ahead of the ramp: where the ramp has not reached the next whole step, nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from pilots.domain.point import Capability


def step_s(capability: Capability) -> float:
    """Seconds from one step of a ramp to the next: the rest between two writes, a second where there is none.

    >>> step_s(Capability(minimum=0, maximum=1, min_interval_s=0)), step_s(Capability(minimum=0, maximum=1, min_interval_s=5))
    (1.0, 5)
    """
    return capability.min_interval_s or 1.0


def ramp_steps(start: float, target: float, ramp: float, capability: Capability) -> Iterator[float | None]:
    """What to write at each step, the target last; None: nothing. `ramp` in units a second.

    It begins inside the capability, wherever the device is, so no step lies outside its range.

    >>> able = Capability(minimum=-100, maximum=100)
    >>> list(ramp_steps(0, -25, 10, able)), list(ramp_steps(-400, -90, 5, able))
    ([-10.0, -20.0, -25], [-95.0, -90])
    >>> list(ramp_steps(0, 20, 4, Capability(minimum=0, maximum=100, step=10)))
    [None, None, 10, None, 20]
    """
    written = start = min(max(start, capability.minimum), capability.maximum)
    reach = math.copysign(ramp * step_s(capability), target - start)
    for number in range(1, math.ceil((target - start) / reach - 1e-9)):
        value = start + number * reach
        if capability.step > 0:
            whole = math.floor if reach > 0 else math.ceil
            value = whole(value / capability.step + math.copysign(1e-9, reach)) * capability.step
        if (value - written) * reach > 0:
            written = value
            yield value
        else:
            yield None
    yield target
