"""Schedules by the clock: each step becomes a set-point 60 s ahead, at the one door as everybody's. [operation]

Only what is wanted now is ever asked for: steps that passed while we, the link or the point were not to be had stay missed. A
step that was refused for a passing reason, or lost its point to somebody stronger, is asked for again once nothing forbids it.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction

from pilots.audit.services import record_event
from pilots.control.releases import give_back
from pilots.control.schedules import withdraw_step
from pilots.control.selectors import holder
from pilots.control.services import CLOCK
from pilots.control.steps import ON_ITS_WAY, OPEN, ask, ask_if_free, claim_of, claims_at, is_live, newest_of
from pilots.control.transitions import full
from pilots.domain.errors import AuditUnavailable, SetpointRejected
from pilots.domain.schedule import (
    LEAD,
    ScheduleState,
    Step,
    due_steps,
    state_at,
    winner,
)
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import Schedule, Setpoint

log = logging.getLogger(__name__)
S = SetpointState


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
    if winner(claims_at(schedule.point, max(step.begins, now))) != claim_of(schedule):
        _give_way(schedule, newest, now)
        return False
    if newest is None:
        return ask(schedule, step, now)
    if is_live(newest) or step.begins > now or ask_if_free(schedule, step, now):
        return False
    _give_back(schedule, now)
    return False


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
    waiting = Setpoint.objects.filter(point=schedule.point, issuer=Issuer.FALLBACK, state__in=ON_ITS_WAY)
    if holder(schedule.point, now) is None and not waiting.exists():
        give_back(full(Setpoint.objects.filter(pk=written.pk))[0], now, actor=CLOCK)


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
