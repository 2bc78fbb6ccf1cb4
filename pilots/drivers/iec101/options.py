"""What a connection's options may say about its FT1.2 line, and the times that follow from its speed. [zone: field]

Source: IEC 60870-5-101:2003, 9.3 to 9.6: the parameters that both ends must agree on. docs/protocols/iec101.md lists them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pilots.domain.errors import CatalogueError
from pilots.drivers.iec60870.asdu import Sizes

UNBALANCED, BALANCED = "unbalanced", "balanced"
#: Longest FT1.2 frame: 255 octets between the second start and the checksum, and six around them.
LONGEST_FRAME = 261
#: IEC 60870-5-1, 6.2.4.2 R3: so many idle bits stand between frames.
IDLE_BITS = 33
_CHOICES: dict[str, tuple[object, ...]] = {
    "mode": (UNBALANCED, BALANCED),
    "link_address_size": (0, 1, 2),
    "cause_size": (1, 2),
    "common_address_size": (1, 2),
    "object_address_size": (1, 2, 3),
    "parity": ("N", "E", "O"),
    "stopbits": (1, 2),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LineOptions:
    """Seconds where a name ends in _s; sizes in octets. The defaults of the ASDU's sizes are those of IEC 104."""

    mode: str = UNBALANCED
    link_address_size: int = 1
    cause_size: int = 2
    common_address_size: int = 2
    object_address_size: int = 3
    baudrate: int = 9600
    parity: str = "E"  # FT1.2 wants even parity; modems and serial device servers may not
    stopbits: int = 1
    connect_timeout_s: float = 10.0  # TCP
    ack_timeout_s: float = 0.0  # from the end of a request to its answer; 0: by baudrate and carrier
    retries: int = 3
    poll_class2_s: float = 1.0  # period of a station that has nothing to tell
    poll_busy_s: float = 0.05  # pause after class 2 data, or while a station's buffer is full
    dead_retry_s: float = 30.0  # longest pause between tries of a station that does not answer
    busy_limit_s: float = 30.0  # longest wait for room in a station's buffer
    test_interval_s: float = 20.0  # balanced: silence after which the link is tested
    broadcast_clock: bool = False

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise CatalogueError(f"one of {', '.join(map(str, allowed))}", field=f"options.{name}")
        if self.link_address_size == 0 and self.mode == UNBALANCED:
            raise CatalogueError("an unbalanced line needs link addresses", field="options.link_address_size")
        if not (50 <= self.baudrate <= 4_000_000 and 0 <= self.retries <= 20):
            raise ValueError("baudrate is 50 to 4000000 and retries 0 to 20")
        above_zero = (self.connect_timeout_s, self.poll_class2_s, self.dead_retry_s, self.busy_limit_s, self.test_interval_s)
        if min(above_zero) <= 0 or min(self.ack_timeout_s, self.poll_busy_s) < 0:
            raise ValueError("times are positive")

    @property
    def balanced(self) -> bool:
        return self.mode == BALANCED

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.cause_size, self.common_address_size, self.object_address_size)

    def line_time_s(self, octets: int) -> float:
        """How long so many octets take on the line."""
        return octets * (9 + self.stopbits + (self.parity != "N")) / self.baudrate


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """What a line waits for, in seconds."""

    answer: float  # from the end of our frame to the whole answer
    gap: float  # silence before a frame of ours
    stall: float  # silence inside a frame after which it is none


def timing(options: LineOptions, *, serial: bool) -> Timing:
    """The times of a serial line, or of TCP with a serial line somewhere behind it, which waits for segments too.

    >>> round(timing(LineOptions(baudrate=9600), serial=True).answer, 2)
    0.8
    """
    answer = options.ack_timeout_s or options.line_time_s(LONGEST_FRAME) + (0.5 if serial else 2.0)
    if serial:
        return Timing(answer=answer, gap=max(IDLE_BITS / options.baudrate, 0.001), stall=0.1)
    return Timing(answer=answer, gap=0.0, stall=max(0.5, answer / 4))  # a segment may be sent again in between
