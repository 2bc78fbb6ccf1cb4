"""Schedules as people and the platform make, revise and cancel them; with `stepping` the only writer of their table. [operation]

A document is taken whole or not at all, and every change stands in the audit trail. Steps become set-points in `stepping`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction

from pilots.audit.services import record_event
from pilots.control.releases import cancel_setpoint
from pilots.control.services import audited_or_refused
from pilots.control.statements import lock_point
from pilots.control.steps import OPEN
from pilots.control.transitions import full, move
from pilots.domain.errors import SetpointRejected
from pilots.domain.guards import MAX_CLOCK_SKEW
from pilots.domain.schedule import Curve, ScheduleState, check_schedule, revised
from pilots.domain.setpoint import DEFAULT_PRIORITY, Issuer, RejectCode, SetpointState
from pilots.models import Point, Schedule, Setpoint, User

#: Open schedules of one point: who needs more has forgotten to revise.
MOST_OPEN = 50
Values = Sequence[float | None]


def create_schedule(
    *,
    point: Point,
    curve: Curve,
    unit: str,
    issuer: Issuer,
    requested_by: str,
    now: datetime,
    mode: str = "",
    priority: int | None = None,
    service: str = "",
    reason: str = "",
    issued_at: datetime | None = None,
    schedule_id: UUID | None = None,
    draft: bool = False,
    user: User | None = None,
) -> Schedule:
    """The schedule stands, accepted or as a draft.

    Raises SetpointRejected, and nothing is stored: with the field at fault, a value as `values[3]`; `duplicate_id` when
    another schedule has this id; `audit_unavailable` when the audit trail cannot be written.
    """
    mode = mode or default_mode(point)
    _check(point, curve, unit=unit, mode=mode, now=now)
    if issued_at is not None and abs(issued_at - now) > MAX_CLOCK_SKEW:
        raise SetpointRejected(RejectCode.CLOCK_SKEW, "issued_at is more than 60 s off our clock.", field="issued_at")
    schedule = Schedule(
        id=schedule_id or uuid4(),
        point=point,
        mode=mode,
        unit=unit,
        start=curve.start,
        end=curve.end,
        resolution_s=curve.resolution_s,
        values=list(curve.values),
        priority=DEFAULT_PRIORITY[Issuer.SCHEDULE] if priority is None else priority,
        on_expiry=curve.on_expiry,
        fallback_value=curve.fallback_value,
        state=ScheduleState.DRAFT if draft else ScheduleState.ACCEPTED,
        issuer=issuer,
        requested_by=requested_by,
        user=user,
        reason=reason[:300],
        service=service,
        issued_at=issued_at or now,
        received_at=now,
    )
    with audited_or_refused():
        _store(schedule)
        _audit(schedule, "draft schedule" if draft else "create schedule", now=now, actor=requested_by, reason=reason)
    return schedule


def accept_schedule(schedule: Schedule, *, actor: str, now: datetime) -> None:
    """The draft is in force. Raises SetpointRejected when it no longer passes, or is no draft."""
    _check(schedule.point, schedule.curve, unit=schedule.unit, mode=schedule.mode, now=now)
    with audited_or_refused():
        drafts = Schedule.objects.filter(pk=schedule.pk, state=ScheduleState.DRAFT)
        # From now on: what was issued in between and accepted before is older.
        if not drafts.update(state=ScheduleState.ACCEPTED, issued_at=now):
            raise _over(schedule)
        _audit(schedule, "accept schedule", now=now, actor=actor)
    schedule.refresh_from_db()


def revise_schedule(
    schedule: Schedule,
    *,
    revision: int,
    curve: Curve,
    actor: str,
    now: datetime,
    priority: int | None = None,
    service: str = "",
    reason: str = "",
) -> Schedule:
    """The steps that are not dispatched yet, and have not passed, are those of the new revision; the others stay.

    Point, mode, unit, start and resolution of a schedule never change: another grid is another schedule. Raises
    SetpointRejected: `revision_conflict` when `revision` is not the next one, `already_finished`, or a field at fault.
    """
    if (curve.start, curve.resolution_s) != (schedule.start, schedule.resolution_s):
        field = "start" if curve.start != schedule.start else "resolution"
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, f"{field} of a schedule does not change: make another.", field=field)
    with audited_or_refused():
        locked = Schedule.objects.select_for_update(of=("self",)).select_related("point__device__pilot").get(pk=schedule.pk)
        _check_revision(locked, revision)
        before, kept = list(locked.values), _kept(locked, now)
        values = revised(before, curve.values, kept)
        new = replace(curve, values=values)
        _check(locked.point, new, unit=locked.unit, mode=locked.mode, now=now)
        locked.values, locked.end, locked.revision = list(values), new.end, revision
        locked.on_expiry, locked.fallback_value = new.on_expiry, new.fallback_value
        locked.priority = locked.priority if priority is None else priority
        locked.service, locked.reason = service or locked.service, (reason or locked.reason)[:300]
        locked.issued_at = now
        locked.save()
        _withdraw(locked, actor=actor, reason=f"Replaced by revision {revision} of its schedule.", now=now)
        _audit(locked, "revise schedule", now=now, actor=actor, reason=reason, before=before, kept=kept)
    return locked


def cancel_schedule(schedule: Schedule, *, actor: str, reason: str, now: datetime) -> Schedule:
    """No step of it is asked for any more, and the one in force is given back. Raises SetpointRejected when it was over."""
    with audited_or_refused():
        live = Schedule.objects.filter(pk=schedule.pk, state__in=[ScheduleState.DRAFT, *OPEN])
        # Cancelled first, so that it does not itself take over what its last step gives back.
        words = {"state": ScheduleState.CANCELLED, "finished_at": now, "explanation": reason[:300] or f"Cancelled by {actor}."}
        if not live.update(**words):
            raise _over(schedule)
        _audit(schedule, "cancel schedule", now=now, actor=actor, reason=reason)
        for setpoint in full(_unfinished(schedule)):
            cancel_setpoint(setpoint, actor=actor, reason="Its schedule was cancelled.", now=now)
    schedule.refresh_from_db()
    return schedule


def default_mode(point: Point) -> str:
    """The mode of a point where a document names none."""
    capability = point.spec.capability
    return "absolute" if capability is None else capability.modes[0]


def _check(point: Point, curve: Curve, *, unit: str, mode: str, now: datetime) -> None:
    if point.kind == "command":
        raise SetpointRejected(RejectCode.NOT_CAPABLE, f"{point.name} is a command: schedules are for set-points.", field="point")
    check_schedule(curve, unit=unit, mode=mode, point=point.spec, now=now)


def _check_revision(schedule: Schedule, revision: int) -> None:
    if not ScheduleState(schedule.state).open and schedule.state != ScheduleState.DRAFT:
        raise _over(schedule)
    if revision != schedule.revision + 1:
        sentence = f"The schedule is at revision {schedule.revision}: the next one is {schedule.revision + 1}, not {revision}."
        raise SetpointRejected("revision_conflict", sentence, field="revision")


def _store(schedule: Schedule) -> None:
    # One at a time for a point, so that the bound holds.
    lock_point(schedule.point_id)
    if Schedule.objects.filter(point=schedule.point, state__in=OPEN).count() >= MOST_OPEN:
        sentence = f"{schedule.point} has {MOST_OPEN} open schedules: revise or cancel one of them."
        raise SetpointRejected(RejectCode.RATE_LIMITED, sentence, field="point")
    try:
        with transaction.atomic():
            schedule.save(force_insert=True)
    except IntegrityError as error:
        if not Schedule.objects.filter(pk=schedule.pk).exists():
            raise
        raise SetpointRejected("duplicate_id", "Another schedule has this id.", field="id") from error


def _kept(schedule: Schedule, now: datetime) -> int:
    """How many steps at the front a revision leaves as they are: those that passed, and one whose set-point was claimed."""
    if schedule.state == ScheduleState.DRAFT:
        return 0
    passed = min(max(schedule.curve.number_at(now), 0), len(schedule.values))
    sent = schedule.setpoints.exclude(claimed_at=None).order_by("-step").values_list("step", flat=True).first()
    return max(passed, 0 if sent is None else sent + 1)


def _unfinished(schedule: Schedule) -> Any:
    states = [SetpointState.RECEIVED, SetpointState.VALIDATED, SetpointState.DISPATCHED]
    waiting = schedule.setpoints.filter(state__in=states)
    return waiting | schedule.setpoints.filter(state=SetpointState.EXECUTED, released_at=None)


def _withdraw(schedule: Schedule, *, actor: str, reason: str, now: datetime) -> None:
    """Set-points of it that nobody has claimed are cancelled."""
    for setpoint in full(schedule.setpoints.filter(state=SetpointState.VALIDATED, claimed_at=None)):
        withdraw_step(setpoint, actor=actor, reason=reason, now=now)


def withdraw_step(setpoint: Setpoint, *, actor: str, reason: str, now: datetime) -> bool:
    """A step's set-point that was not sent is cancelled; it may be asked for again. True when it happened."""
    code, waiting = RejectCode.SUPERSEDED, [SetpointState.VALIDATED]
    unclaimed = Setpoint.objects.select_for_update(of=("self",)).filter(pk=setpoint.pk, claimed_at=None)
    with transaction.atomic():
        if not unclaimed.exists():
            return False
        return move(setpoint, waiting, SetpointState.CANCELLED, now=now, actor=actor, code=code, reason=reason)


def _over(schedule: Schedule) -> SetpointRejected:
    schedule.refresh_from_db(fields=["state"])
    return SetpointRejected("already_finished", f"The schedule is already {schedule.state}.")


def _audit(schedule: Schedule, action: str, *, now: datetime, actor: str, reason: str = "", **details: Any) -> None:
    device = schedule.point.device
    told = {"start": schedule.start, "resolution_s": schedule.resolution_s, "values": schedule.values, "unit": schedule.unit}
    told |= {"mode": schedule.mode, "priority": schedule.priority, "on_expiry": schedule.on_expiry}
    told |= {} if schedule.fallback_value is None else {"fallback_value": schedule.fallback_value}
    record_event(
        at=now,
        actor=actor,
        action=action,
        pilot=device.pilot.code,
        subject=f"{device.code}/{schedule.point.name}",
        reason=reason,
        details={"id": str(schedule.pk), "revision": schedule.revision, **told, **details},
    )
