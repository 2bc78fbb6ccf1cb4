"""What ends by the clock: set-points that ran out, claims nobody came back to, feedback that never came. [operation]

What gives devices back happens without the audit trail too (`audited_or_spooled`); all else waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from pilots.audit.services import audited_or_spooled, take_in_spool
from pilots.control.age import over
from pilots.control.dispatch import LOST_CLAIM, note_expired, note_unknown
from pilots.control.ending import ending_of
from pilots.control.feedback import give_up
from pilots.control.releases import expire_active, write_ending
from pilots.control.services import CLOCK
from pilots.control.transitions import full
from pilots.domain.errors import AuditUnavailable
from pilots.domain.setpoint import SetpointState
from pilots.models import Setpoint

log = logging.getLogger(__name__)
S = SetpointState
#: A claim whose outcome nobody has noted for so long has lost its gateway.
CLAIM_PATIENCE = timedelta(seconds=60)


def expire_setpoints(*, now: datetime) -> int:
    """Everything whose time is over has its end: expired, failed for want of feedback, or released. Returns how many.

    Audit rows that wait in this process's file go into the trail first, if it can be written again.
    """
    with suppress(AuditUnavailable):
        take_in_spool()
    return _expire(now) + _lose_claims(now) + _settle_overdue(now) + _release_over(now)


def _expire(now: datetime) -> int:
    waiting = Q(state__in=[S.RECEIVED, S.DISPATCHED]) | Q(state=S.VALIDATED, claimed_at=None)

    def end(setpoint: Setpoint) -> bool:
        expired = note_expired(setpoint, actor=CLOCK, now=now)
        if expired and setpoint.claimed_at is not None:
            write_ending(setpoint, ending_of(setpoint), now, actor=CLOCK)
        return expired

    return _each(Setpoint.objects.filter(waiting, over(now)), lambda setpoint: audited_or_spooled(lambda: end(setpoint)))


def _lose_claims(now: datetime) -> int:
    """Claims that no gateway came back to, not even a new one."""
    lost = Setpoint.objects.filter(state=S.VALIDATED, claimed_at__lte=now - CLAIM_PATIENCE)
    return _each(lost, lambda setpoint: note_unknown(setpoint, reason=LOST_CLAIM, actor=CLOCK, now=now))


def _settle_overdue(now: datetime) -> int:
    overdue = Setpoint.objects.filter(state__in=[S.DISPATCHED, S.UNKNOWN], feedback_deadline__lte=now)
    return _each(overdue, lambda setpoint: give_up(setpoint, now=now))


def _release_over(now: datetime) -> int:
    ended = Setpoint.objects.filter(over(now), state=S.EXECUTED, released_at=None)
    return _each(ended, lambda setpoint: audited_or_spooled(lambda: expire_active(setpoint, now)))


def _each(setpoints: QuerySet[Setpoint], end: Callable[[Setpoint], bool]) -> int:
    """How many of them it ended; one that cannot be audited does not keep the others waiting."""
    ended = 0
    for setpoint in full(setpoints):
        try:
            ended += end(setpoint)
        except AuditUnavailable as error:
            log.error("set-point %s stays %s: %s", setpoint.pk, setpoint.state, error)
    return ended
