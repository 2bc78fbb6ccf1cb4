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
from pilots.domain.measurement import PAST_TOLERANCE, is_plausible
from pilots.domain.moments import moment_of
from pilots.models import Device

log = logging.getLogger(__name__)

ACTOR = "ingest"
#: A clock is right again only after so long without a wrong stamp: one that goes to and fro is one event.
RIGHT_FOR = timedelta(seconds=60)
#: A stamp so far ahead of us is a clock's doing, not the network's.
NOTED = timedelta(seconds=5)


@dataclass(slots=True)
class _Wrong:
    since: datetime
    last: datetime
    skew: timedelta
    told: bool  # the audit trail has it


class Clocks:
    """Of the devices whose readings pass here; the last stamp of each sender's readings speaks for all of them.

    A stamp of the past may be that of a value that waited: only of one from the future it is certain that the clock is wrong.
    """

    def __init__(self) -> None:
        self._wrong: dict[str, _Wrong] = {}
        self._read_at: datetime | None = None

    def watch(self, entries: Iterable[Entry]) -> None:
        """What these were stamped, after they are stored. Raises nothing: stored they are."""
        for entry in entries:
            stamp = entry.readings[-1].source_time if entry.readings else None
            if stamp is None:
                continue
            received = moment_of(entry.received_us)
            if self._read_at is None or received - self._read_at > RIGHT_FOR:
                self._read_known(received)
            skew = stamp - received
            if skew > NOTED or skew < -PAST_TOLERANCE:
                self._note_wrong(entry.device, stamp, received)
            elif self._wrong and entry.device in self._wrong and received - self._wrong[entry.device].last > RIGHT_FOR:
                self._note_right(entry.device, received)

    def _read_known(self, received: datetime) -> None:
        """What another process, or this one before its restart, found wrong."""
        self._read_at = received
        try:
            known = Device.objects.filter(clock_skew_s__isnull=False).values_list("code", "clock_skew_s")
            for device, skew_s in known:
                skew = timedelta(seconds=skew_s or 0.0)
                self._wrong.setdefault(device, _Wrong(received, received, skew, told=not is_plausible(received + skew, received)))
        except DatabaseError as error:
            log.error("wrong clocks were not read: %s", error)

    def _note_wrong(self, device: str, stamp: datetime, received: datetime) -> None:
        known, skew = self._wrong.get(device), stamp - received
        if known is None:
            log.warning("%s: its clock is %+.0f s off", device, skew.total_seconds())
            known = self._wrong[device] = _Wrong(received, received, skew, told=False)
            self._keep(device, skew)
        elif abs(skew - known.skew) > NOTED:
            self._keep(device, skew)
            known.skew = skew
        known.last = received
        if not known.told and not is_plausible(stamp, received):
            known.told, known.since = True, received
            words = f"The device's clock shows {stamp:%Y-%m-%dT%H:%M:%SZ}: its stamps are replaced by the time of receipt."
            self._tell("clock_skew", device, words, received, skew)

    def _note_right(self, device: str, received: datetime) -> None:
        wrong = self._wrong.pop(device)
        log.info("%s: its clock is right again", device)
        self._keep(device, None)
        if wrong.told:
            words = f"The device's clock is right again; it was wrong since {wrong.since:%Y-%m-%dT%H:%M:%SZ}."
            self._tell("clock_right", device, words, received, wrong.skew)

    def _keep(self, device: str, skew: timedelta | None) -> None:
        """The device's row says it, for its alarm."""
        try:
            Device.objects.filter(code=device).update(clock_skew_s=None if skew is None else skew.total_seconds())
        except DatabaseError as error:
            log.error("%s: its clock's skew was not written down: %s", device, error)

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
