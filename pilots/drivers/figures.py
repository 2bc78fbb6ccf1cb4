"""What a connection's counters say about it: loss, round trips and speed of the last minutes. Pure. [zone: field]

Raw figures of D7.1's quality of service; whether they are good for the link's medium is judged where links are watched.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pilots.drivers.traffic import Traffic

#: The window of the loss: ten marks, one each half minute.
MARKS = 10
MARK_EVERY_S = 30.0
#: Bytes per second are told over at least this long.
SPEED_OVER_S = 10.0


@dataclass(slots=True)
class PollCounters:
    """Since the gateway took the connection; `skipped` polls came too late and were left out."""

    polls: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """Counters as they stood at a moment (monotonic seconds)."""

    at: float
    requests: int
    lost: int
    size: int


@dataclass(slots=True)
class LinkFigures:
    """The statistics of one connection's row; call `form` every few seconds."""

    traffic: Traffic
    counters: PollCounters
    period_s: float | None
    _marks: list[Mark] = field(default_factory=list)  # newest last

    def form(self, now: float) -> dict[str, object]:
        """Counters as they are, and `loss`, `bytes_per_s`, `p50_ms`, `p95_ms`, `period_s` where they can be told.

        `loss` is the share of frames without a proper answer over five minutes: time-outs and violations per request,
        or per frame received where the other end speaks more than we do.
        """
        traffic, counters = self.traffic, self.counters
        form: dict[str, object] = {"polls": counters.polls, "failed": counters.failed, "skipped": counters.skipped}
        form |= {"sent": traffic.sent, "received": traffic.received}
        form |= {"sent_bytes": traffic.sent_bytes, "received_bytes": traffic.received_bytes}
        form |= {"timeouts": traffic.timeouts, "violations": traffic.violations, "lost": traffic.lost, "refused": traffic.refused}
        form |= {"retries": traffic.retries, "reconnects": traffic.reconnects}
        if traffic.kinds:
            form["kinds"] = dict(traffic.kinds)
        form |= self._recent(now)
        trips = sorted(traffic.round_trips_s)
        if trips:
            half, most = trips[len(trips) // 2], trips[int(len(trips) * 0.95)]
            form |= {"p50_ms": round(1000 * half, 1), "p95_ms": round(1000 * most, 1)}
        if self.period_s is not None:
            form["period_s"] = self.period_s
        return form

    def _recent(self, now: float) -> dict[str, object]:
        traffic, marks = self.traffic, self._marks
        requests, lost = max(traffic.sent, traffic.received), traffic.lost
        newest = Mark(now, requests, lost, traffic.sent_bytes + traffic.received_bytes)
        if not marks:
            marks.append(Mark(now, 0, 0, 0))
        form: dict[str, object] = {}
        oldest = marks[0]
        if requests > oldest.requests:
            form["loss"] = round(min(1.0, (lost - oldest.lost) / (requests - oldest.requests)), 4)
        base = next((mark for mark in reversed(marks) if now - mark.at >= SPEED_OVER_S), oldest)
        if now > base.at:
            form["bytes_per_s"] = round((newest.size - base.size) / (now - base.at), 1)
        if now - marks[-1].at >= MARK_EVERY_S:
            marks.append(newest)
            del marks[: -MARKS - 1]
        return form
