"""How well the alarms serve: the key figures of EEMUA 191 and IEC 62682 (ISA-18.2, 16) over a window. [operation]

Counted is what was announced: no members of a flood, nothing hidden. Figures are for one operator's position.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db.models import Count

from pilots.alarms.selectors import OPEN
from pilots.domain.alarm import CHATTER_TIMES, Priority
from pilots.domain.columns import Ints
from pilots.domain.moments import microseconds
from pilots.models import Alarm, Pilot

PERIOD = timedelta(minutes=10)
#: More in a period is a flood.
FLOOD = 10
TOP = 10
STALE = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True, slots=True)
class Performance:
    """`periods` counts the alarms of each ten minutes, oldest first; times to acknowledge are None where nobody had to."""

    announced: int
    days: float
    periods: tuple[int, ...]
    top: tuple[tuple[str, str, int], ...]  # subject, what, how often
    stale: int
    chattering: int
    mean_to_acknowledge_s: float | None
    p95_to_acknowledge_s: float | None
    priorities: tuple[tuple[Priority, int], ...]

    @property
    def mean_a_period(self) -> float:
        return self.announced / len(self.periods)

    @property
    def peak(self) -> int:
        return max(self.periods)

    @property
    def a_day(self) -> float:
        return self.announced / self.days

    @property
    def flood_share(self) -> float:
        """Share of the time in which more than ten came in ten minutes."""
        return sum(count > FLOOD for count in self.periods) / len(self.periods)

    @property
    def top_share(self) -> float:
        """Share of the ten most frequent in all."""
        return sum(count for _, _, count in self.top) / self.announced if self.announced else 0.0


def performance(pilots: Iterable[Pilot], since: datetime, until: datetime) -> Performance:
    """The key figures of these pilots from `since` (before `until`) on."""
    told = Alarm.objects.filter(pilot__in=pilots, hidden="").order_by()
    came = told.filter(raised_at__gte=since, raised_at__lt=until)
    moments = np.array([microseconds(moment) for moment in came.values_list("raised_at", flat=True)], dtype=np.int64)
    waits = _waits(came.filter(acknowledged_at__isnull=False).values_list("raised_at", "acknowledged_at"))
    by_priority = dict(came.values_list("priority").annotate(Count("pk")))
    top = came.values_list("subject", "what").annotate(n=Count("pk")).order_by("-n", "subject")[:TOP]
    return Performance(
        announced=moments.size,
        days=(until - since) / timedelta(days=1),
        periods=_periods(moments, since, until),
        top=tuple(top),
        stale=told.filter(OPEN, returned_at=None, raised_at__lt=until - STALE).count(),
        # Chatter is shelved by itself, so it is looked for among what is hidden too.
        chattering=_chattering(Alarm.objects.filter(pilot__in=pilots, raised_at__gte=since, raised_at__lt=until)),
        mean_to_acknowledge_s=float(np.mean(waits)) if waits else None,
        p95_to_acknowledge_s=float(np.percentile(waits, 95)) if waits else None,
        priorities=tuple((priority, by_priority.get(priority, 0)) for priority in Priority),
    )


def _periods(moments: Ints, since: datetime, until: datetime) -> tuple[int, ...]:
    count = max(1, -(-(until - since) // PERIOD))
    places = (moments - microseconds(since)) // (PERIOD // timedelta(microseconds=1))
    return tuple(np.bincount(places, minlength=count).tolist())


def _waits(pairs: Iterable[tuple[datetime, Any]]) -> list[float]:
    # What came again after it was seen would count negative.
    return [(seen - raised).total_seconds() for raised, seen in pairs if seen >= raised]


def _chattering(alarms: Any) -> int:
    return int(alarms.filter(recent_times__gte=CHATTER_TIMES).values("rule").distinct().count())
