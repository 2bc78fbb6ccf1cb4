"""A set-point with a ramp, written step by step: each step is claimed like the first write, and checked again. [operation]

Steps follow only a set-point that is dispatched and still holds its point: whatever ends it (a newer one, its time, a tag, a
check) ends its ramp where it stands. Nobody takes up the ramp of a gateway that died: the feedback tells what became of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

from django.db.models import Exists

from pilots.audit.services import audited
from pilots.control.age import over
from pilots.control.circumstances import circumstances, limits_now
from pilots.control.dispatch import passes_again
from pilots.control.feedback import shown_by
from pilots.control.guards import unguarded
from pilots.control.releases import give_back
from pilots.control.transitions import audit, full
from pilots.domain.errors import AuditUnavailable
from pilots.domain.ramp import ramp_steps
from pilots.domain.setpoint import SetpointState
from pilots.models import Lease, Setpoint
from pilots.models.leases import HeldLease

log = logging.getLogger(__name__)


def steps_of(setpoint: Setpoint) -> tuple[Iterator[float | None], float]:
    """What is written from now on, and for how many seconds; a set-point without a ramp is one step."""
    capability, ramp = setpoint.point.spec.capability, setpoint.ramp
    latest = None if ramp is None else shown_by(setpoint.point)
    if capability is None or ramp is None or latest is None or latest.value is None:
        return iter([setpoint.value]), 0.0
    return ramp_steps(latest.value, setpoint.value, ramp, capability), abs(setpoint.value - latest.value) / ramp


def claim_step(setpoint: Setpoint, lease: HeldLease, *, value: float, now: datetime) -> bool:
    """True once for each step, while the set-point goes on: dispatched, in time, free of guards, and the lease ours.

    It may be executed already: the last steps lie within its tolerance. What no longer passes its checks goes no further; if it
    was under way it has its end, and the device is given back.
    """
    try:
        with audited():
            return _claim_step(setpoint, lease, value, now)
    except AuditUnavailable as error:
        log.error("the ramp of set-point %s stops at %g: %s", setpoint.pk, value, error)
        return False


def _claim_step(setpoint: Setpoint, lease: HeldLease, value: float, now: datetime) -> bool:
    lease_row = Lease.objects.filter(resource=lease.resource, owner=lease.owner, epoch=lease.epoch, until__gt=now)
    holds = {"state__in": [SetpointState.DISPATCHED, SetpointState.EXECUTED], "released_at": None}
    going = Setpoint.objects.filter(~over(now), Exists(lease_row), pk=setpoint.pk, **holds)
    fresh = next(iter(full(going)), None)
    if fresh is None:
        return False
    around = circumstances(fresh, now, claiming=True)
    if not passes_again(fresh, around, now, state=SetpointState.DISPATCHED):
        if SetpointState(fresh.state).terminal and fresh.state != SetpointState.EXECUTED:
            give_back(fresh, now, actor="checks")
        return False
    if not going.filter(unguarded(fresh.point.device)).update(stepped_at=now):
        return False
    audit(fresh, "claim step of ramp", now=now, actor=lease.owner, value=value, limits=limits_now(fresh, around))
    return True
