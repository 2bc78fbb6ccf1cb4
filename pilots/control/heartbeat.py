"""The platform's sign of life: any authenticated call of a client that may control. [operation, towards enterprise]

The deadline is the pilot's `heartbeat_s`. Time in which nobody of us looked (a restart, a suspension, a clock that was set) is
not held against the platform: it has its whole heartbeat again.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime

from django.db import transaction
from django.db.models import F

from pilots.audit.services import audited, record_event
from pilots.domain.fallback import BLIND, is_lost
from pilots.models import Pilot, PlatformWatch

#: A caller is noted once a second in each process: what comes in between tells nothing new.
NOTED_EVERY_S = 1.0


class HeartbeatNotes:
    """When each caller was noted by this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[str, float] = {}

    def due(self, name: str) -> bool:
        """Whether the caller is to be noted, which is then done."""
        now = time.monotonic()
        with self._lock:
            if now - self._noted.get(name, -NOTED_EVERY_S) < NOTED_EVERY_S:
                return False
            self._noted[name] = now
            return True

    def forget(self) -> None:
        with self._lock:
            self._noted.clear()


NOTES = HeartbeatNotes()


def look_for_silence(*, now: datetime) -> list[PlatformWatch]:
    """Pilots whose platform is silent beyond its heartbeat are marked and audited; all that are lost now, newly or before."""
    watches = list(PlatformWatch.objects.exclude(pilot__heartbeat_s=None).select_related("pilot"))
    if not watches:
        return []
    blind = [watch for watch in watches if now - watch.looked_at > BLIND]
    with transaction.atomic():
        if blind:
            PlatformWatch.objects.filter(pilot__in=[watch.pilot_id for watch in blind]).update(patient_from=now)
        PlatformWatch.objects.filter(pilot__in=[watch.pilot_id for watch in watches]).update(looked_at=now)
    for watch in blind:
        watch.patient_from = now
    for watch in watches:
        if watch.lost_at is None and is_lost(watch.heard_at, watch.patient_from, watch.pilot.heartbeat_s or 0.0, now):
            _lose(watch, now)
    # Heard since, it is back: its plans are being ended, and must not begin anew meanwhile.
    return [watch for watch in watches if watch.lost_at is not None and watch.heard_at < watch.lost_at]


def is_silent(pilot: Pilot) -> bool:
    """Whether the pilot's platform is lost at this moment."""
    return PlatformWatch.objects.filter(pilot=pilot, heard_at__lt=F("lost_at")).exists()


def silence_words(watch: PlatformWatch) -> str:
    """Since when the platform is silent, in a sentence."""
    heard = f"{watch.heard_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"Nothing heard from the platform since {heard}, heartbeat {watch.pilot.heartbeat_s:g} s."


def _lose(watch: PlatformWatch, now: datetime) -> None:
    with audited():
        # Heard in this very moment, it is not lost.
        if PlatformWatch.objects.filter(pk=watch.pk, lost_at=None, heard_at=watch.heard_at).update(lost_at=now):
            watch.lost_at = now
            record_event(
                at=now,
                actor="clock",
                action="platform lost",
                pilot=watch.pilot.code,
                subject=watch.heard_from,
                reason=silence_words(watch),
            )
