"""From validated to the device's answer: what the gateway that holds the connection does with a set-point. [operation, station]

A claim happens once, under the connection's lease, and is checked with what is so at that moment; what then happens to the
frame is noted here. Without an audit row there is no claim, but of what gives a device back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q

from pilots.audit.services import audited, audited_or_spooled
from pilots.control.circumstances import circumstances, limits_now
from pilots.control.ending import gives_back
from pilots.control.feedback import settle
from pilots.control.releases import give_back
from pilots.control.services import supersede_older
from pilots.control.statements import claim_row, is_claimable, is_measured_since, lock_point, open_of
from pilots.control.transitions import audit, move, publish
from pilots.domain.errors import AuditUnavailable, SetpointRejected
from pilots.domain.guards import Circumstances, Wish, check_setpoint
from pilots.domain.setpoint import Issuer, RejectCode, SetpointState
from pilots.models import Point, Setpoint
from pilots.models.leases import HeldLease

log = logging.getLogger(__name__)
S = SetpointState
LOST_CLAIM = "The gateway stopped between claim and answer. Reading it back; do not send again."
#: An outcome that no answer told is looked for this long in the measurements before it may be called failed.
UNKNOWN_PATIENCE = timedelta(seconds=30)


def claim_setpoint(setpoint: Setpoint, lease: HeldLease, *, now: datetime) -> bool:
    """True exactly once, for the worker that holds the connection's lease, while the set-point is valid and passes its checks.

    It is checked once more, with what is so now: what no longer passes is rejected, and failed where the device has fallen
    silent. It stays validated while its point was written to a moment ago, or while a tag holds back what gives it back.
    Without an audit row of the claim there is none: the set-point waits, and expires if the trail stays away. What gives the
    point back is claimed all the same, its row waits in a file. The claimed one has its point as it is configured now.
    """
    try:
        if setpoint.issuer == Issuer.FALLBACK:
            claimed = audited_or_spooled(lambda: _claim(setpoint, lease, now))
        else:
            with audited():
                claimed = _claim(setpoint, lease, now)
    except AuditUnavailable as error:
        log.error("set-point %s is not sent: %s", setpoint.pk, error)
        return False
    if claimed:
        setpoint.claimed_at, setpoint.claim_epoch = now, lease.epoch
    return claimed


def _claim(setpoint: Setpoint, lease: HeldLease, now: datetime) -> bool:
    # With the point's row, as those who ask: neither the holder nor the last write changes in between.
    lock_point(setpoint.point_id)
    if not is_claimable(setpoint, lease, now):
        return False
    setpoint.point = Point.objects.select_related("device__pilot", "device__connection").get(pk=setpoint.point_id)
    rivals = open_of(setpoint.point_id)
    fresh = next((each for each in rivals if each.pk == setpoint.pk), None)
    if fresh is None:
        return False  # cancelled or expired in this moment: neither takes the point's lock
    fresh.point = setpoint.point
    if _written_just_now(fresh, now):
        return False
    around = circumstances(fresh, now, claiming=True, rivals=rivals)
    if not passes_again(fresh, around, now, state=S.VALIDATED):
        return False
    if fresh.valid_from > fresh.received_at:
        publish(*supersede_older(fresh, rivals, now))
    if not claim_row(fresh, lease, now, gives_back=gives_back(fresh)):
        return False
    limits = limits_now(fresh, around)
    audit(setpoint, "claim set-point", now=now, actor=lease.owner, epoch=lease.epoch, value=fresh.value, limits=limits)
    return True


def _written_just_now(setpoint: Setpoint, now: datetime) -> bool:
    """The point rests between two writes; what waits meanwhile is superseded by what is newer."""
    capability = setpoint.point.spec.capability
    rest = timedelta(seconds=0.0 if capability is None else capability.min_interval_s)
    if not rest:
        return False
    # Not beyond now: a clock that was set back must not hold a point.
    claimed, stepped = Q(claimed_at__gt=now - rest, claimed_at__lte=now), Q(stepped_at__gt=now - rest, stepped_at__lte=now)
    return Setpoint.objects.filter(claimed | stepped, point=setpoint.point_id).exists()


def passes_again(setpoint: Setpoint, around: Circumstances, now: datetime, *, state: SetpointState) -> bool:
    """Whether the set-point in this state passes the checks of its acceptance with what is so now; else it has its end."""
    wish = Wish(
        value=setpoint.value,
        unit=setpoint.unit,
        mode=setpoint.mode,
        priority=setpoint.priority,
        valid_from=setpoint.valid_from,
        valid_until=setpoint.valid_until,
        issued_at=None,  # our clock was compared when it came
        gives_back=gives_back(setpoint),
        ramp=setpoint.ramp,
        on_expiry=setpoint.on_expiry,
        fallback_value=setpoint.fallback_value,
    )
    try:
        check_setpoint(wish, setpoint.point.spec, now, around)
    except SetpointRejected as error:
        end = S.FAILED if error.code == RejectCode.LINK_DOWN else S.REJECTED
        move(setpoint, [state], end, now=now, actor="checks", code=error.code, reason=error.reason)
        if setpoint.issuer == Issuer.FALLBACK and not gives_back(setpoint):
            give_back(setpoint, now, actor="checks")  # the fallback may not be written: the device is released instead
        return False
    return True


def note_dispatched(setpoint: Setpoint, *, raw: str, actor: str, now: datetime, lasts_s: float = 0.0) -> None:
    """The device has confirmed the write; from now on the measurement is awaited. `lasts_s`: what is left of its ramp."""
    capability = setpoint.point.spec.capability
    response_s = 5.0 if capability is None else capability.response_time_s
    changes = {"dispatched_at": now, "feedback_deadline": now + timedelta(seconds=lasts_s + 3 * response_s)}
    if not move(setpoint, [S.VALIDATED], S.DISPATCHED, now=now, actor=actor, raw=raw, changes=changes):
        return
    # The measurement may have been quicker than the confirmation.
    if setpoint.claimed_at is not None and is_measured_since(setpoint.point, setpoint.claimed_at):
        settle(setpoint, now=now)


def note_refused(setpoint: Setpoint, *, reason: str, raw: str, actor: str, now: datetime) -> None:
    """The device said no."""
    code = RejectCode.DEVICE_REJECTED
    move(setpoint, [S.VALIDATED, S.DISPATCHED], S.REJECTED, now=now, actor=actor, code=code, reason=reason, raw=raw)


def note_not_sent(setpoint: Setpoint, *, reason: str, actor: str, now: datetime) -> None:
    """The frame could not leave: the device knows nothing of it."""
    move(setpoint, [S.VALIDATED], S.FAILED, now=now, actor=actor, code=RejectCode.LINK_DOWN, reason=reason)


def note_expired(setpoint: Setpoint, *, actor: str, now: datetime) -> bool:
    """Its time had passed before it was executed. True when it happened."""
    reason = "valid_until passed before execution."
    return move(setpoint, [S.RECEIVED, S.VALIDATED, S.DISPATCHED], S.EXPIRED, now=now, actor=actor, reason=reason)


def note_unknown(setpoint: Setpoint, *, reason: str, actor: str, now: datetime) -> bool:
    """Nobody knows whether the device took it; the next measurements tell. True when it happened."""
    changes = {"feedback_deadline": now + UNKNOWN_PATIENCE}
    return move(setpoint, [S.VALIDATED, S.DISPATCHED], S.UNKNOWN, now=now, actor=actor, reason=reason, changes=changes)


def recover_claims(connections: Iterable[int], *, actor: str, now: datetime) -> int:
    """Claims of an earlier holder of these connections became `unknown`: nothing is sent again blindly. Returns how many."""
    orphans = Setpoint.objects.filter(
        state=S.VALIDATED, claimed_at__isnull=False, point__device__connection__in=list(connections)
    )
    found = list(orphans.select_related("point__device__pilot"))
    for setpoint in found:
        note_unknown(setpoint, reason=LOST_CLAIM, actor=actor, now=now)
    return len(found)
