"""Values by hand: an operator says what a point is to show while it cannot be measured, why and until when. [operation]

The row is the truth and survives every restart; `pilots.acquisition.by_hand` brings its value through the one door for values,
with quality source substituted, so that pages, history, alarms and INVADE see it as what it is. What the field sends meanwhile
is kept in the history under its own quality and shown nowhere else. No guard, interlock, feedback or ramp takes it for a
measurement.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from pilots.audit.services import audited, record_event
from pilots.control.guards import GuardRefused, guard_state
from pilots.domain.guards import MAX_VALIDITY
from pilots.domain.point import PointKind, PointSpec
from pilots.live.frames import Change
from pilots.live.hub import hub
from pilots.models import Pilot, Point, Substitution

_KINDS = (PointKind.MEASUREMENT, PointKind.STATUS, PointKind.COUNTER)
#: Says who may command: a person's word for it would open what the switch at the device has closed.
_NEVER = frozenset({"control_mode"})


class SubstitutionRefused(GuardRefused):
    """A value cannot be substituted or withdrawn like this; the sentence says why, `field` where."""

    code = "substitution"

    def __init__(self, sentence: str, field: str = "") -> None:
        super().__init__(sentence)
        self.field = field


def substitutable(point: Point) -> bool:
    """Whether a value by hand may ever stand for this point: what is measured, not what is wished or fixed."""
    return point.kind in _KINDS and point.name not in _NEVER


def in_force(now: datetime) -> QuerySet[Substitution]:
    """The values by hand that stand for their points."""
    return Substitution.objects.filter(removed_at=None, set_at__lte=now, until__gt=now)


def substitute(point: Point, value: float, *, owner: str, reason: str, until: datetime, now: datetime) -> Substitution:
    """From the next second on the point shows this value. Raises SubstitutionRefused; audited, or not done at all."""
    _check(point, value)
    if not reason.strip():
        raise SubstitutionRefused("Say why: others will read it.", "reason")
    if not timedelta(0) < until - now <= MAX_VALIDITY:
        raise SubstitutionRefused("A value by hand ends within 24 h: say when.", "minutes")
    made = Substitution(point=point, value=value, owner=owner, reason=reason.strip()[:300], until=until, set_at=now)
    with audited():
        _audit("substitute value", made, by=owner, reason=made.reason, now=now, value=value, until=until.isoformat())
        try:
            with transaction.atomic():
                made.save(force_insert=True)
        except IntegrityError as error:
            raise SubstitutionRefused(f"{point} is substituted already: withdraw that value first.", "point") from error
        _publish(point.device.pilot, now)
    return made


def withdraw(made: Substitution, *, by: str, reason: str, now: datetime) -> None:
    """The value by hand is gone. Raises SubstitutionRefused when it was before."""
    if not _end(made, by=by, reason=reason.strip()[:300], action="withdraw substituted value", now=now):
        raise SubstitutionRefused("It was withdrawn before, or its time is over.")


def end_overdue(now: datetime) -> int:
    """Values by hand whose time is over are gone; returns how many."""
    over = Substitution.objects.filter(removed_at=None, until__lte=now).select_related("point__device__pilot")
    return sum(_end(made, by="clock", reason="Its time is over.", action="end substituted value", now=now) for made in over)


def standing_at(pilot: Pilot, moment: datetime) -> QuerySet[Substitution]:
    """Those that stood at a moment of the past."""
    begun = Substitution.objects.filter(point__device__pilot=pilot, set_at__lte=moment, until__gt=moment)
    return begun.filter(Q(removed_at=None) | Q(removed_at__gt=moment)).select_related("point__device")


def rows_of(pilot: Pilot, now: datetime) -> QuerySet[Substitution]:
    """Those in force at a pilot."""
    return in_force(now).filter(point__device__pilot=pilot).select_related("point__device")


def _check(point: Point, value: float) -> None:
    spec = point.spec
    if not substitutable(point):
        raise SubstitutionRefused(
            f"{point.name} cannot be substituted: it is not a measured value, or it says who may command.", "point"
        )
    if not math.isfinite(value):
        raise SubstitutionRefused("The value is not a number.", "value")
    if spec.labels and value not in spec.labels:
        raise SubstitutionRefused(f"{point.name} takes {_choices(spec)}.", "value")
    low, high = -math.inf if spec.low is None else spec.low, math.inf if spec.high is None else spec.high
    if not low <= value <= high:
        raise SubstitutionRefused(
            f"{value:g} {spec.unit} is outside what {point.name} can be: {low:g} to {high:g} {spec.unit}.", "value"
        )


def _choices(spec: PointSpec) -> str:
    return ", ".join(f"{code} ({label})" for code, label in sorted(spec.labels.items()))


def _end(made: Substitution, *, by: str, reason: str, action: str, now: datetime) -> bool:
    with audited():
        if not Substitution.objects.filter(pk=made.pk, removed_at=None).update(removed_at=now, removed_by=by):
            return False
        _audit(action, made, by=by, reason=reason, now=now)
        _publish(made.point.device.pilot, now)
    return True


def _audit(action: str, made: Substitution, *, by: str, reason: str, now: datetime, **details: Any) -> None:
    device = made.point.device
    subject = f"{device.code}/{made.point.name}"
    record_event(at=now, actor=by, action=action, pilot=device.pilot.code, subject=subject, reason=reason, details=details)


def _publish(pilot: Pilot, now: datetime) -> None:
    transaction.on_commit(lambda: hub(settings.REDIS_URL).publish([Change(pilot.code, guards=guard_state(pilot, now))]))
