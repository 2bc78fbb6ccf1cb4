"""What the primary of an unbalanced line knows of one secondary station. [zone: field]

Source: IEC 60870-5-2:1992, 4 to 6 (FCB, ACD, DFC).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pilots.drivers.iec101 import ft12
from pilots.drivers.iec101.ft12 import Frame
from pilots.drivers.iec101.options import LineOptions
from pilots.drivers.iec101.outgoing import Queue


class Resume(NamedTuple):
    """How to go on with a station after its line was lost: the poll to send next, and its FCB."""

    function: int
    fcb: bool


class Secondary:
    """One station: its place in the FCB's alternation, its flags and what waits for it. `up` is None until it was tried."""

    def __init__(self, address: int, common_addresses: Sequence[int], options: LineOptions) -> None:
        self.address, self.common_addresses = address, tuple(common_addresses)
        self.options = options
        self.up: bool | None = None
        self.fcb = True  # of the next request that counts
        self.poll: int | None = ft12.REQUEST_CLASS_2  # what that request is; None while user data are unconfirmed
        self.resume: Resume | None = None
        self.committing = False  # its last answer is not stored: the FCB must not change
        self.access_demand = self.busy = False
        self.outgoing = Queue(f"station {address}", options.busy_limit_s)
        self.due = 0.0  # of the next class 2 poll, or of the next try
        self.pause_s = 0.0
        self.served = 0.0

    def urgency(self, now: float) -> int | None:
        """Lower is served first; None: there is nothing to do for it now."""
        if self.committing:
            return None
        if self.up and self.outgoing and not self.busy:
            return 0
        if self.up and self.access_demand:
            return 1
        if self.due > now:
            return None
        late = now - self.due > self.options.poll_class2_s  # others' class 1 data must not starve it
        return 1 if late else 2 if self.up else 3

    def started(self, now: float) -> None:
        """It answers; its next poll is due."""
        self.up, self.resume = True, None
        self.pause_s, self.due = 0.0, now

    def missed(self, now: float, *, noisy: bool = False) -> None:
        """It did not answer: tried again after a pause that doubles, unless noise may have covered the answer."""
        self.up, self.access_demand, self.busy = False, False, False
        longer_s = self.pause_s if noisy else 2 * self.pause_s
        self.pause_s = min(max(longer_s, self.options.poll_class2_s), self.options.dead_retry_s)
        self.due = now + self.pause_s

    def heard(self, answer: Frame) -> None:
        self.access_demand, self.busy = answer.access_demand, answer.busy

    def done(self) -> None:
        """Its last answer is dealt with: the next request is another one."""
        self.fcb, self.poll, self.committing = not self.fcb, ft12.REQUEST_CLASS_2, False

    def remembered(self) -> Resume | None:
        """How to go on with it later; None: only by a reset of its link."""
        if self.resume is not None:
            return self.resume
        return Resume(self.poll, self.fcb) if self.up and self.poll is not None else None
