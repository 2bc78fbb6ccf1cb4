"""Schedules by the clock: each step becomes a set-point 60 s ahead, at the one door as everybody's. [operation]

Only what is wanted now is ever asked for: steps that passed while we, the link or the point were not to be had stay missed. A
step that was refused for a passing reason, or lost its point to somebody stronger, is asked for again once nothing forbids it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from pilots.audit.services import record_event
from pilots.control.circumstances import circumstances
from pilots.control.schedules import OPEN, withdraw_step
from pilots.control.selectors import holder
from pilots.control.services import CLOCK, give_back, request_setpoint
from pilots.control.transitions import full
from pilots.domain.errors import AuditUnavailable, SetpointRejected
from pilots.domain.guards import Wish, check_setpoint
from pilots.domain.schedule import (
    LEAD,
    Claim,
    ScheduleState,
    Step,
    due_steps,
    may_ask_again,
    state_at,
    step_at,
    step_ramp,
    winner,
)
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import Point, Schedule, Setpoint

log = logging.getLogger(__name__)
S = SetpointState
_ON_ITS_WAY = [S.RECEIVED, S.VALIDATED, S.DISPATCHED, S.UNKNOWN]


def run_schedules(*, now: datetime) -> int:
    """Every step that is due has its set-point, and schedules whose time is over have their end. Returns how many were asked."""
    asked, begun = 0, Schedule.objects.filter(state__in=OPEN, start__lte=now + LEAD)
    for schedule in begun.select_related("point__device__pilot", "point__device__connection"):
        try:
            asked += _run(schedule, now)
        except (SetpointRejected, AuditUnavailable) as error:
            log.error("schedule %s waits: %s", schedule.pk, error)
        except Exception:  # the outermost loop: one schedule that fails must not stop the others
            log.exception("schedule %s", schedule.pk)
    return asked


def take_over(point: Point, now: datetime) -> bool:
    """The schedule whose step is in force has asked for its value, if nothing forbids it. True when it holds the point now."""
    claim = winner(_claims(point, now))
    if claim is None:
        return False
    schedule = Schedule.objects.select_related("point__device__pilot", "point__device__connection").get(pk=claim.id)
    step = step_at(schedule.curve, now)
    return step is not None and _ask_if_free(schedule, step, now)


def newest_of(schedule: Schedule, step: Step) -> Setpoint | None:
    """The newest set-point of a step."""
    return schedule.setpoints.filter(step=step.number).order_by("-received_at").first()


def is_live(setpoint: Setpoint) -> bool:
    """Whether it holds its point or is on its way to."""
    return setpoint.state in _ON_ITS_WAY or (setpoint.state == S.EXECUTED and setpoint.released_at is None)


def why_not(schedule: Schedule, step: Step, now: datetime) -> str:
    """Why the step may not be asked for now, in a sentence; empty when it may."""
    begins = max(step.begins, now)
    draft = Setpoint(point=schedule.point, valid_from=begins, valid_until=step.ends, issuer=Issuer.SCHEDULE)
    around = circumstances(draft, now)
    if around.holder_priority is not None and around.holder_priority <= schedule.priority:
        # Its equal came later: it does not give way to who was displaced by it.
        return f"{around.holder} holds this point with priority {around.holder_priority}."
    wish = Wish(
        value=step.value,
        unit=schedule.unit,
        mode=schedule.mode,
        priority=schedule.priority,
        valid_from=begins,
        valid_until=step.ends,
        issued_at=None,
        ramp=step_ramp(schedule.point.spec, schedule.mode),
    )
    try:
        check_setpoint(wish, schedule.point.spec, now, around)
    except SetpointRejected as error:
        return error.reason
    return ""


def _run(schedule: Schedule, now: datetime) -> int:
    if schedule.end <= now:
        _turn(schedule, now)
        return 0
    asked = sum(_see_to(schedule, step, now) for step in due_steps(schedule.curve, now))
    _turn(schedule, now)
    return asked


def _see_to(schedule: Schedule, step: Step, now: datetime) -> bool:
    """True when a set-point was asked for the step."""
    newest = newest_of(schedule, step)
    if winner(_claims(schedule.point, max(step.begins, now))) != _claim(schedule):
        _give_way(schedule, newest, now)
        return False
    if newest is None:
        return _ask(schedule, step, now)
    if is_live(newest) or step.begins > now or _ask_if_free(schedule, step, now):
        return False
    _give_back(schedule, now)
    return False


def _ask_if_free(schedule: Schedule, step: Step, now: datetime) -> bool:
    """True when the step's set-point holds the point, or is on its way to."""
    newest = newest_of(schedule, step)
    if newest is not None and is_live(newest):
        return True
    if newest is not None and not may_ask_again(S(newest.state), newest.code, displaced=newest.superseded_by_id is not None):
        return False
    return not why_not(schedule, step, now) and _ask(schedule, step, now)


@transaction.atomic
def _ask(schedule: Schedule, step: Step, now: datetime) -> bool:
    """True when the set-point is on its way. Two clocks at once ask once."""
    locked = Schedule.objects.select_for_update(of=("self",)).filter(pk=schedule.pk, state__in=OPEN).first()
    if locked is None or step not in due_steps(locked.curve, now):
        return False  # cancelled or revised meanwhile
    newest = newest_of(locked, step)
    if newest is not None and is_live(newest):
        return True
    setpoint = request_setpoint(
        point=schedule.point,
        value=step.value,
        unit=schedule.unit,
        mode=schedule.mode,
        issuer=Issuer.SCHEDULE,
        requested_by=schedule.requested_by,
        user=schedule.user,
        priority=schedule.priority,
        service=schedule.service,
        reason=schedule.reason or f"Step {step.number + 1} of {len(schedule.values)} of a schedule.",
        valid_from=max(step.begins, now),
        valid_until=step.ends,
        correlation_id=str(schedule.pk),
        ramp=step_ramp(schedule.point.spec, schedule.mode),
        now=now,
    )
    Setpoint.objects.filter(pk=setpoint.pk).update(schedule=schedule, step=step.number)
    return is_live(setpoint)


def _give_way(schedule: Schedule, newest: Setpoint | None, now: datetime) -> None:
    """What waits of an overridden step is withdrawn; what is in force is superseded by the stronger schedule's set-point."""
    if newest is not None and newest.state == S.VALIDATED:
        for setpoint in full(Setpoint.objects.filter(pk=newest.pk)):
            withdraw_step(setpoint, actor=CLOCK, reason="Another schedule goes before: priority, then the later issued.", now=now)


def _give_back(schedule: Schedule, now: datetime) -> None:
    """A step that came to nothing leaves the device on the value of one before it: that is given back, once."""
    written = Setpoint.objects.filter(point=schedule.point).exclude(claimed_at=None).order_by("-claimed_at").first()
    if written is None or written.schedule_id != schedule.pk or written.state != S.EXECUTED or written.released_at is None:
        return
    waiting = Setpoint.objects.filter(point=schedule.point, issuer=Issuer.FALLBACK, state__in=_ON_ITS_WAY)
    if holder(schedule.point, now) is None and not waiting.exists():
        give_back(full(Setpoint.objects.filter(pk=written.pk))[0], now, actor=CLOCK)


def _claims(point: Point, moment: datetime) -> Iterable[Claim]:
    """The open schedules of the point that have a value at `moment`."""
    others = Schedule.objects.filter(point=point, state__in=OPEN, start__lte=moment, end__gt=moment)
    return [_claim(other) for other in others if step_at(other.curve, moment) is not None]


def _claim(schedule: Schedule) -> Claim:
    return Claim(schedule.priority, schedule.issued_at, schedule.pk)


@transaction.atomic
def _turn(schedule: Schedule, now: datetime) -> None:
    """Running once it begins, completed or failed once it is over: in its row and in the audit trail."""
    executed = schedule.end <= now and schedule.setpoints.filter(state=S.EXECUTED).exists()
    old = ScheduleState(schedule.state)
    new = state_at(schedule.curve, old, now, executed=executed)
    if new is old:
        return
    over = not new.open
    words = "No step of it was executed." if new is ScheduleState.FAILED else ""
    columns = {"state": new, "explanation": words, "finished_at": now if over else None}
    if Schedule.objects.filter(pk=schedule.pk, state=old).update(**columns):
        device = schedule.point.device
        subject, details = f"{device.code}/{schedule.point.name}", {"id": str(schedule.pk), "revision": schedule.revision}
        action = f"schedule {new}"
        record_event(at=now, actor=CLOCK, action=action, pilot=device.pilot.code, subject=subject, reason=words, details=details)
