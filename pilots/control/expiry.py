"""What ends by the clock: set-points that ran out, claims nobody came back to, feedback that never came. [operation]"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from pilots.control.dispatch import LOST_CLAIM, note_expired, note_unknown
from pilots.control.feedback import give_up
from pilots.control.services import CLOCK, release, release_executed
from pilots.control.transitions import full
from pilots.domain.setpoint import SetpointState
from pilots.models import Setpoint

S = SetpointState
#: A claim whose outcome nobody has noted for so long has lost its gateway.
CLAIM_PATIENCE = timedelta(seconds=60)


def expire_setpoints(*, now: datetime) -> int:
    """Everything whose time is over has its end: expired, failed for want of feedback, or released. Returns how many."""
    return _expire(now) + _lose_claims(now) + _settle_overdue(now) + _release_over(now)


def _expire(now: datetime) -> int:
    overdue = Q(state__in=[S.RECEIVED, S.DISPATCHED], valid_until__lte=now)
    unclaimed = Q(state=S.VALIDATED, claimed_at=None, valid_until__lte=now)
    ended = 0
    for setpoint in full(Setpoint.objects.filter(overdue | unclaimed)):
        with transaction.atomic():
            if note_expired(setpoint, actor=CLOCK, now=now):
                ended += 1
                if setpoint.claimed_at is not None:
                    release(setpoint, now, actor=CLOCK)
    return ended


def _lose_claims(now: datetime) -> int:
    """Claims that no gateway came back to, not even a new one."""
    lost = Setpoint.objects.filter(state=S.VALIDATED, claimed_at__lte=now - CLAIM_PATIENCE)
    return sum(note_unknown(setpoint, reason=LOST_CLAIM, actor=CLOCK, now=now) for setpoint in full(lost))


def _settle_overdue(now: datetime) -> int:
    overdue = Setpoint.objects.filter(state__in=[S.DISPATCHED, S.UNKNOWN], feedback_deadline__lte=now)
    return sum(give_up(setpoint, now=now) for setpoint in full(overdue))


def _release_over(now: datetime) -> int:
    over = Setpoint.objects.filter(state=S.EXECUTED, released_at=None, valid_until__lte=now)
    return sum(release_executed(setpoint, now, actor=CLOCK) for setpoint in full(over))
