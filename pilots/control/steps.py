"""One step of a schedule: whose it is to say now, whether it may be asked for, and its asking at the one door. [operation]"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from pilots.control.circumstances import circumstances
from pilots.control.services import request_setpoint
from pilots.domain.errors import SetpointRejected
from pilots.domain.guards import Wish, check_setpoint
from pilots.domain.schedule import Claim, ScheduleState, Step, due_steps, ending, may_ask_again, step_at, step_ramp, winner
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import Point, Schedule, Setpoint

S = SetpointState
OPEN = [ScheduleState.ACCEPTED, ScheduleState.RUNNING]
ON_ITS_WAY = [S.RECEIVED, S.VALIDATED, S.DISPATCHED, S.UNKNOWN]


def take_over(point: Point, now: datetime) -> bool:
    """The schedule whose step is in force has asked for its value, if nothing forbids it. True when it holds the point now."""
    claim = winner(claims_at(point, now))
    if claim is None:
        return False
    schedule = Schedule.objects.select_related("point__device__pilot", "point__device__connection").get(pk=claim.id)
    step = step_at(schedule.curve, now)
    return step is not None and ask_if_free(schedule, step, now)


def newest_of(schedule: Schedule, step: Step) -> Setpoint | None:
    """The newest set-point of a step."""
    return schedule.setpoints.filter(step=step.number).order_by("-received_at").first()


def is_live(setpoint: Setpoint) -> bool:
    """Whether it holds its point or is on its way to."""
    return setpoint.state in ON_ITS_WAY or (setpoint.state == S.EXECUTED and setpoint.released_at is None)


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
        **ending(schedule.curve),
    )
    try:
        check_setpoint(wish, schedule.point.spec, now, around)
    except SetpointRejected as error:
        return error.reason
    return ""


def ask_if_free(schedule: Schedule, step: Step, now: datetime) -> bool:
    """True when the step's set-point holds the point, or is on its way to."""
    newest = newest_of(schedule, step)
    if newest is not None and is_live(newest):
        return True
    if newest is not None and not may_ask_again(S(newest.state), newest.code, displaced=newest.superseded_by_id is not None):
        return False
    return not why_not(schedule, step, now) and ask(schedule, step, now)


@transaction.atomic
def ask(schedule: Schedule, step: Step, now: datetime) -> bool:
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
        on_expiry="release" if locked.fallback_value is None else locked.fallback_value,
        now=now,
    )
    Setpoint.objects.filter(pk=setpoint.pk).update(schedule=schedule, step=step.number)
    return is_live(setpoint)


def claims_at(point: Point, moment: datetime) -> Iterable[Claim]:
    """The open schedules of the point that have a value at `moment`."""
    others = Schedule.objects.filter(point=point, state__in=OPEN, start__lte=moment, end__gt=moment)
    return [claim_of(other) for other in others if step_at(other.curve, moment) is not None]


def claim_of(schedule: Schedule) -> Claim:
    return Claim(schedule.priority, schedule.issued_at, schedule.pk)
