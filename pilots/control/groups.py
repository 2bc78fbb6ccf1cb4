"""Group set-points as people and the platform send and abort them: the only writer of their table. [operation]

A group is taken whole or not at all: each share passes the one door (`request_setpoint`) as an ordinary set-point, one a little
after the other (`STAGGER_S`), and is checked again right before it is written. Aborting commits first that nothing of the group
is claimed any more (`dispatch`), then ends what there is; what could not be ended at once is ended by the clock.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from pilots.audit.services import record_event
from pilots.control.group_plans import GroupWish, Part, check_members, plan_group, read_plan
from pilots.control.releases import cancel_setpoint
from pilots.control.services import CLOCK, audited_or_refused, request_setpoint
from pilots.control.transitions import full
from pilots.domain.errors import SetpointRejected
from pilots.domain.schedule import step_ramp
from pilots.domain.setpoint import SetpointState
from pilots.domain.sharing import STAGGER_S, UNPROVED_MEMBERS
from pilots.domain.switching import SwitchingCode
from pilots.models import Setpoint, SetpointGroup

log = logging.getLogger(__name__)
S = SetpointState
#: Who aborts ends the set-points too; the clock only what is left of that.
ABORT_PATIENCE = timedelta(seconds=5)
#: What aborting still ends; an unknown one ends once it is read.
_TO_END = Q(state__in=[S.RECEIVED, S.VALIDATED, S.DISPATCHED]) | Q(state=S.EXECUTED, released_at=None)


def create_group(wish: GroupWish, *, proved: bool, now: datetime, plan: str = "", group_id: UUID | None = None) -> SetpointGroup:
    """The group stands and each share is a set-point on its way; `plan`: the signed one that was looked at, else one of now.

    `proved`: who asks has given the password again within 5 min, or has the scope for it. Raises SetpointRejected, and nothing
    is stored: with the field at fault, `step_up_required` for many devices, `duplicate_id`, `rate_limited`, or what refuses a
    share, with its device.
    """
    check_members(wish)
    if len(wish.points) > UNPROVED_MEMBERS and not proved:
        lacking = "Give your password again" if wish.user is not None else "The token lacks the scope switch_critical"
        sentence = f"{len(wish.points)} devices at once are more than {UNPROVED_MEMBERS}. {lacking}."
        raise SetpointRejected(SwitchingCode.STEP_UP_REQUIRED, sentence, field="members")
    parts = read_plan(wish, plan) if plan else _planned(wish, now)
    group = SetpointGroup(
        id=group_id or uuid4(),
        pilot=wish.points[0].device.pilot,
        point=wish.points[0].name,
        mode=wish.mode,
        unit=wish.unit,
        target=wish.target,
        parts=[asdict(part) for part in parts],
        priority=wish.rank,
        valid_until=wish.valid_until,
        issuer=wish.issuer,
        requested_by=wish.requested_by,
        user=wish.user,
        reason=wish.reason[:300],
        service=wish.service,
        received_at=now,
    )
    with audited_or_refused():
        _store(group)
        _audit(group, "create group", now=now, actor=wish.requested_by, reason=wish.reason)
        _ask(group, wish, parts, now)
    return group


def abort_group(group: SetpointGroup, *, actor: str, reason: str, now: datetime) -> SetpointGroup:
    """Nothing more of it is written, and what was is given back. Raises SetpointRejected when nothing of it was left to end."""
    unsure = group.setpoints.filter(state=S.UNKNOWN)
    if not unended(group).exists() and not (group.aborted_at is None and unsure.exists()):
        raise SetpointRejected("already_finished", "Nothing of this group is on its way or in force any more.")
    with audited_or_refused():
        words = {"aborted_at": now, "aborted_by": actor, "abort_reason": reason[:300]}
        SetpointGroup.objects.filter(pk=group.pk, aborted_at=None).update(**words)
        _audit(group, "abort group", now=now, actor=actor, reason=reason)
    _end(unended(group), actor=actor, now=now)
    group.refresh_from_db()
    return group


def finish_aborts(*, now: datetime) -> int:
    """What an abort has left, because it broke off or nobody knew of a write, is ended too. Returns how many."""
    return _end(Setpoint.objects.filter(_TO_END, group__aborted_at__lte=now - ABORT_PATIENCE), actor=CLOCK, now=now)


def unended(group: SetpointGroup) -> QuerySet[Setpoint]:
    """Its set-points that are on their way or in force, those that were not written yet first."""
    return group.setpoints.filter(_TO_END).order_by(F("claimed_at").asc(nulls_first=True), "valid_from")


def _planned(wish: GroupWish, now: datetime) -> Sequence[Part]:
    plan = plan_group(wish, now)
    if plan.refusal is not None:
        raise plan.refusal
    return plan.parts


def _store(group: SetpointGroup) -> None:
    try:
        with transaction.atomic():
            group.save(force_insert=True)
    except IntegrityError as error:
        if not SetpointGroup.objects.filter(pk=group.pk).exists():
            raise
        raise SetpointRejected("duplicate_id", "Another group has this id.", field="id") from error


def _ask(group: SetpointGroup, wish: GroupWish, parts: Sequence[Part], now: datetime) -> None:
    """A set-point for each share. Their points are locked in one order, whatever order they are written in."""
    shares = {part.device: part.share for part in parts if part.share is not None}
    starts = {device: now + timedelta(seconds=STAGGER_S * number) for number, device in enumerate(shares)}
    for point in sorted(wish.points, key=lambda point: point.pk):
        device = point.device.code
        if device not in shares:
            continue
        made = request_setpoint(
            point=point,
            value=shares[device],
            unit=wish.unit,
            mode=wish.mode,
            issuer=wish.issuer,
            requested_by=wish.requested_by,
            user=wish.user,
            priority=wish.priority,
            service=wish.service,
            reason=wish.reason or f"Its share of {group.target:g} {group.unit} for {len(shares)} devices.",
            issued_at=wish.issued_at,
            valid_from=starts[device],
            valid_until=wish.valid_until,
            correlation_id=str(group.pk),
            ramp=step_ramp(point.spec, wish.mode),
            now=now,
        )
        if made.state == S.REJECTED:
            sentence = f"{device} cannot take its share any more, nothing was sent: {made.explanation}"
            raise SetpointRejected(made.code, sentence, field="members")
        Setpoint.objects.filter(pk=made.pk).update(group=group)


def _end(setpoints: QuerySet[Setpoint], *, actor: str, now: datetime) -> int:
    ended = 0
    for setpoint in full(setpoints):
        try:
            cancel_setpoint(setpoint, actor=actor, reason="Its group was aborted.", now=now)
            ended += 1
        except SetpointRejected as error:  # it ended by itself this moment, or the trail cannot be written: the clock looks again
            log.warning("set-point %s of an aborted group: %s", setpoint.pk, error)
    return ended


def _audit(group: SetpointGroup, action: str, *, now: datetime, actor: str, reason: str) -> None:
    shares = {part["device"]: part["share"] for part in group.parts if part["share"] is not None}
    left = {part["device"]: part["reason"] for part in group.parts if part["share"] is None}
    details: dict[str, Any] = {"id": str(group.pk), "target": group.target, "unit": group.unit, "shares": shares, "left": left}
    details |= {"mode": group.mode, "priority": group.priority, "valid_until": group.valid_until}
    subject = f"{len(shares)} devices/{group.point}"
    record_event(at=now, actor=actor, action=action, pilot=group.pilot.code, subject=subject, reason=reason, details=details)
