"""Timers and windows of a link. [zone: field] [IEC 60870-5-104:2006, 5.5, 9.6]"""

from __future__ import annotations

from dataclasses import dataclass

from pilots.domain.errors import CatalogueError
from pilots.drivers.iec60870.options import within

MODULUS = 1 << 15  # of sequence numbers
SHORTEST_S, LONGEST_S = 0.001, 172_800.0  # the standard's own tables end at 255 s (t0-t2) and 48 h (t3)


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkParameters:
    """Timers in seconds and windows in I-frames; defaults of IEC 60870-5-104, 9.6."""

    t0: float = 30.0  # connection establishment
    t1: float = 15.0  # our frame must be acknowledged or answered within it, else the link is closed
    t2: float = 10.0  # longest wait before we acknowledge; below t1
    t3: float = 20.0  # silence after which the link is tested
    k: int = 12  # most I-frames of ours without acknowledgement
    w: int = 8  # acknowledge at the latest after so many received

    def __post_init__(self) -> None:
        for name in ("t0", "t1", "t2", "t3"):
            within(name, getattr(self, name), SHORTEST_S, LONGEST_S)
        if self.t2 >= self.t1:
            raise CatalogueError(f"{self.t2:g} is not below t1, {self.t1:g}", field="options.t2")
        for name in ("k", "w"):
            within(name, getattr(self, name), 1, MODULUS - 1)
