"""When a link counts as up: loss against its medium, age against its period. Pure. [station]

Rule of the project, for D7.1's quality of service (D7.1 1): up while the loss is below twice what the medium usually loses
and the newest good frame is younger than three poll periods; degraded up to ten times either; else down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pilots.domain.media import Medium
from pilots.domain.topology import LinkState

#: A hundred requests cannot tell a loss of 1 in a million from none: below these shares no state changes.
LEAST_DEGRADED, LEAST_DOWN = 0.02, 0.10


@dataclass(frozen=True, slots=True)
class Limits:
    """From these shares of lost requests on a link is no longer up, and no longer degraded."""

    degraded: float
    down: float


def limits_of(medium: Medium | None) -> Limits:
    """By the medium's usual loss.

    >>> from pilots.domain.media import MEDIA
    >>> limits_of(MEDIA["GPRS"]), limits_of(MEDIA["fibre"])
    (Limits(degraded=0.04, down=0.2), Limits(degraded=0.02, down=0.1))
    """
    usual = 0.0 if medium is None else medium.loss
    return Limits(max(2 * usual, LEAST_DEGRADED), max(10 * usual, LEAST_DOWN))


def judge(*, loss: float | None, age_s: float | None, period_s: float | None, medium: Medium | None) -> LinkState:
    """The state of a link that is connected; `age_s` of its newest good frame, None before the first.

    Without a period (reports by themselves) only the loss counts: the protocol watches its own silence.

    >>> judge(loss=0.0, age_s=4.0, period_s=1.0, medium=None).value
    'degraded'
    """
    if age_s is None:
        return LinkState.UNKNOWN
    limits = limits_of(medium)
    ages = 0.0 if period_s is None else age_s / period_s
    share = loss or 0.0
    if share < limits.degraded and ages < 3:
        return LinkState.UP
    return LinkState.DEGRADED if share < limits.down and ages <= 10 else LinkState.DOWN


@dataclass(frozen=True, slots=True)
class ConnectionFigures:
    """What a supervisor wrote about its connection, as the link view needs it; None where nothing is known yet."""

    name: str
    state: LinkState
    way: int
    last_frame: datetime | None
    p50_ms: float | None
    p95_ms: float | None
    loss: float | None
    bytes_per_s: float | None
    period_s: float | None
    counters: Mapping[str, int]

    @property
    def row(self) -> dict[str, Any]:
        """As the page and the API show it."""
        last = None if self.last_frame is None else int(self.last_frame.timestamp() * 1000)
        return {
            "connection": self.name,
            "way": self.way,
            "last_frame_ms": last,
            "p50_ms": self.p50_ms,
            "p95_ms": self.p95_ms,
            "loss": self.loss,
            "bytes_per_s": self.bytes_per_s,
            "period_s": self.period_s,
            **self.counters,
        }


COUNTERS = (
    "sent",
    "received",
    "sent_bytes",
    "received_bytes",
    "timeouts",
    "violations",
    "lost",
    "refused",
    "retries",
    "reconnects",
)


def figures_of(name: str, state: str, way: int, last_frame: datetime | None, statistics: Mapping[str, Any]) -> ConnectionFigures:
    """The figures in a connection's row."""

    def number(key: str) -> float | None:
        value = statistics.get(key)
        return float(value) if isinstance(value, int | float) else None

    return ConnectionFigures(
        name=name,
        state=LinkState(state),
        way=way,
        last_frame=last_frame,
        p50_ms=number("p50_ms"),
        p95_ms=number("p95_ms"),
        loss=number("loss"),
        bytes_per_s=number("bytes_per_s"),
        period_s=number("period_s"),
        counters={key: int(statistics.get(key, 0)) for key in COUNTERS},
    )
