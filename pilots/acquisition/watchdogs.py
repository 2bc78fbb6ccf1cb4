"""Reversion timers: a device is told again and again that its set-point still holds, and lets go when it is not. [station]

The timer is in the device (SunSpec models 123, 124 and 704, `*RvrtTms`), written with the value and wound up again every third
of it while the set-point is in force. Nobody has to be alive for the device to come back to its default.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from pilots.acquisition.threads import DatabaseThreads
from pilots.control.age import left_s, over
from pilots.control.releases import end_active
from pilots.domain.errors import FieldError
from pilots.domain.setpoint import SetpointState
from pilots.drivers.base import Driver
from pilots.models import Setpoint
from pilots.models.leases import HeldLease

log = logging.getLogger(__name__)

#: So many times within a reversion time the timer is wound up: one lost time does no harm.
TIMES = 3
LET_GO = "The device has let go of it: its reversion time ran out before it was renewed."


class Watchdogs:
    """Those behind one connection. Lives in the gateway's loop."""

    def __init__(self, lease: HeldLease, threads: DatabaseThreads) -> None:
        self._lease, self._threads = lease, threads
        self._held: Sequence[Setpoint] = ()
        self._wound: dict[UUID, float] = {}  # monotonic

    def note(self, held: Sequence[Setpoint]) -> bool:
        """These are in force now; whether one of them is due."""
        self._held = held
        self._wound = {setpoint.pk: self._wound[setpoint.pk] for setpoint in held if setpoint.pk in self._wound}
        return bool(self.due())

    def due(self) -> list[Setpoint]:
        """Those whose timer must be wound up now; at once where nobody here has done it yet."""
        now = time.monotonic()
        return [each for each in self._held if now - self._wound.get(each.pk, -1e9) >= _watchdog_s(each) / TIMES]

    async def renew(self, setpoint: Setpoint, driver: Driver | None) -> None:
        """The device goes on, or the record says that it has let go."""
        left = left_s(setpoint, datetime.now(UTC))
        if driver is None or not self._lease.usable or left <= 0:
            return
        if not await self._threads.run(_is_in_force, setpoint):
            return
        point = setpoint.point
        try:
            goes_on = await driver.renew(point.device.code, point.name, valid_for_s=left)
        except FieldError as error:
            log.warning("%s: its reversion timer was not wound up: %s", point, error)
            return
        self._wound[setpoint.pk] = time.monotonic()
        if not goes_on:
            now = datetime.now(UTC)
            await self._threads.run(end_active, setpoint, now, actor=self._lease.owner, reason=LET_GO)


def held_by_watchdogs(now: datetime) -> dict[int, list[Setpoint]]:
    """Set-points in force whose devices want to hear of them, by the key of their connection."""
    active = Setpoint.objects.filter(~over(now), state=SetpointState.EXECUTED, released_at=None)
    found: dict[int, list[Setpoint]] = defaultdict(list)
    for setpoint in active.filter(point__capability__watchdog_s__gt=0).select_related("point__device__pilot"):
        if setpoint.point.device.connection_id is not None:
            found[setpoint.point.device.connection_id].append(setpoint)
    return found


def _watchdog_s(setpoint: Setpoint) -> float:
    capability = setpoint.point.spec.capability
    return 0.0 if capability is None else capability.watchdog_s


def _is_in_force(setpoint: Setpoint) -> bool:
    """Not superseded since it was read: the timer of another value is another's business."""
    return Setpoint.objects.filter(pk=setpoint.pk, released_at=None).exists()
