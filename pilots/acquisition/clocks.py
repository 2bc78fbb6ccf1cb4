"""Whose clock is wrong: said once when it goes wrong and once when it is right again, not with each value. [station]

A stamp beyond `measurement`'s tolerances is replaced by the time of receipt and its value flagged; what the device's clock
had said is kept here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError

from pilots.acquisition.batch import Entry
from pilots.audit.services import record_event
from pilots.domain.errors import AuditUnavailable
from pilots.domain.measurement import is_plausible
from pilots.domain.moments import moment_of
from pilots.models import Device

log = logging.getLogger(__name__)

ACTOR = "ingest"
#: A clock is right again only after so long without a wrong stamp: one that goes to and fro is one event.
RIGHT_FOR = timedelta(seconds=60)


@dataclass(slots=True)
class _Wrong:
    since: datetime
    last: datetime
    skew: timedelta


class Clocks:
    """Of the devices whose readings pass here; the last stamp of each sender's readings speaks for all of them."""

    def __init__(self) -> None:
        self._wrong: dict[str, _Wrong] = {}

    def watch(self, entries: Iterable[Entry]) -> None:
        """What these were stamped, after they are stored. Raises nothing: stored they are."""
        for entry in entries:
            stamp = entry.readings[-1].source_time if entry.readings else None
            if stamp is None:
                continue
            received = moment_of(entry.received_us)
            if not is_plausible(stamp, received):
                self._note_wrong(entry.device, stamp, received)
            elif self._wrong and entry.device in self._wrong and received - self._wrong[entry.device].last > RIGHT_FOR:
                self._note_right(entry.device, received)

    def _note_wrong(self, device: str, stamp: datetime, received: datetime) -> None:
        known = self._wrong.get(device)
        if known is not None:
            known.last, known.skew = received, stamp - received
            return
        skew = stamp - received
        self._wrong[device] = _Wrong(received, received, skew)
        log.warning("%s: its clock is %+.0f s off", device, skew.total_seconds())
        words = f"The device's clock shows {stamp:%Y-%m-%dT%H:%M:%SZ}: its stamps are replaced by the time of receipt."
        self._tell("clock_skew", device, words, received, skew)

    def _note_right(self, device: str, received: datetime) -> None:
        wrong = self._wrong.pop(device)
        log.info("%s: its clock is right again", device)
        words = f"The device's clock is right again; it was wrong since {wrong.since:%Y-%m-%dT%H:%M:%SZ}."
        self._tell("clock_right", device, words, received, wrong.skew)

    def _tell(self, action: str, device: str, words: str, at: datetime, skew: timedelta) -> None:
        try:
            pilot = Device.objects.filter(code=device).values_list("pilot__code", flat=True).first()
            if pilot is not None:
                details = {"skew_s": round(skew.total_seconds(), 3)}
                record_event(
                    at=datetime.now(UTC), actor=ACTOR, action=action, pilot=pilot, subject=device, reason=words, details=details
                )
        except (DatabaseError, AuditUnavailable) as error:
            log.error("%s: %s was not written down: %s", device, action, error)
