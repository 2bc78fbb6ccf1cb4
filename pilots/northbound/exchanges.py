"""One exchange with the platform: what it says of the link, and when the next one is due. [towards enterprise]"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pilots.domain.errors import PlatformDown, PlatformRefused
from pilots.drivers.figures import LinkFigures, PollCounters
from pilots.drivers.traffic import Traffic
from pilots.models import OutboxState, Pilot

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0
#: Of the messages this process has sent, by pilot; another worker begins its own, as another gateway does.
_figures: dict[int, LinkFigures] = {}


def exchange(post: Callable[..., None], state: OutboxState, body: bytes, *, key: str, again: bool) -> None:
    """The platform has it; what the exchange says of the link is counted. Raises as `post` does."""
    traffic, began = _figures_of(state.pilot).traffic, time.monotonic()
    traffic.sent += 1
    traffic.sent_bytes += len(body)
    traffic.retries += again
    try:
        post(body, key=key)
    except PlatformDown:
        traffic.timeouts += 1
        raise
    except PlatformRefused:
        traffic.refused += 1
        raise
    traffic.received += 1
    traffic.note_round_trip(time.monotonic() - began)


def note_exchange(state: OutboxState, *, accepted: bool, trouble: str, sequence: int | None = None) -> None:
    """The pilot's row says how it went, up to which `sequence` the platform has its messages, and when it is tried again."""
    now, states = datetime.now(UTC), OutboxState.objects.filter(pk=state.pk)
    states.update(statistics=_figures_of(state.pilot).form(time.monotonic()))
    if accepted:
        states.update(accepted_at=now, attempts=0, retry_at=None, last_error="")
        state.attempts = 0
    if sequence is not None:
        states.update(accepted_sequence=sequence)
    if trouble:
        if not state.last_error:
            log.warning("platform: %s", trouble)
        # Full jitter: many pilots and workers must not come back in step.
        pause_s = random.uniform(0.5, min(LONGEST_PAUSE_S, 2.0 ** min(state.attempts, 6)))
        retry_at = now + timedelta(seconds=pause_s)
        states.update(attempts=state.attempts + 1, retry_at=retry_at, last_error=trouble[:300])


def _figures_of(pilot: Pilot) -> LinkFigures:
    return _figures.setdefault(pilot.pk, LinkFigures(Traffic(), PollCounters(), period_s=None))
