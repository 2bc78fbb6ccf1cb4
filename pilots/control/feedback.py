"""What measurements say about a set-point: a device's yes makes it dispatched, only its value makes it executed. [operation]"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce

from pilots.control.transitions import change, full, move
from pilots.domain.errors import AuditUnavailable
from pilots.domain.measurement import Measurement
from pilots.domain.quality import Quality, Validity, aged
from pilots.domain.setpoint import SetpointState, feedback_shows
from pilots.live.frames import Change
from pilots.models import LatestValue, Point, Setpoint

log = logging.getLogger(__name__)
S = SetpointState
_OPEN = [S.DISPATCHED, S.UNKNOWN]


def pending_points() -> set[int]:
    """Keys of the points whose next measurement may prove a set-point."""
    return {feedback for _, feedback in _awaited()}


def check_feedback(latest: Mapping[int, Measurement], *, now: datetime) -> list[Change]:
    """Set-points that these measurements prove are executed; returns the changes to publish after the commit.

    One that cannot be audited stays open: values are stored all the same.
    """
    measured = {key: feedback for key, feedback in _awaited() if feedback in latest}
    feedbacks = Point.objects.in_bulk(measured.values()) if measured else {}
    changes = []
    for setpoint in full(Setpoint.objects.filter(pk__in=measured)) if measured else []:
        feedback = feedbacks[measured[setpoint.pk]]
        measurement = latest[feedback.pk]
        if not _proves(setpoint, measurement.value, measurement.quality, measurement.received_time):
            continue
        try:
            if _executed(setpoint, feedback, measurement.value, now, published=False):
                changes.append(change(setpoint))
        except AuditUnavailable as error:
            log.error("set-point %s stays %s: %s", setpoint.pk, setpoint.state, error)
    return changes


def settle(setpoint: Setpoint, *, now: datetime) -> bool:
    """An open set-point is executed if its feedback, as it stands, shows it. True when it was moved."""
    feedback = feedback_point(setpoint.point)
    latest = LatestValue.objects.filter(point=feedback).select_related("point").first()
    if latest is None or not _proves(setpoint, latest.value, shown_quality(latest, now), latest.received_time):
        return False
    return _executed(setpoint, feedback, latest.value, now, published=True)


def give_up(setpoint: Setpoint, *, now: datetime) -> bool:
    """The patience is over: executed if the feedback shows it after all, else failed; True when it was moved.

    What is unknown stays so while the device has not been read since.
    """
    if settle(setpoint, now=now):
        return True
    feedback = feedback_point(setpoint.point)
    latest = LatestValue.objects.filter(point=feedback).select_related("point").first()
    if latest is not None and _still_holds(setpoint, latest, now):
        return _executed(setpoint, feedback, latest.value, now, published=True)
    if setpoint.state == S.UNKNOWN and not _read_since(setpoint, latest, now):
        return False
    shown = f"{latest.value:g} {feedback.unit}" if latest is not None and latest.value is not None else "nothing"
    reason = f"The device has not followed: {feedback.name} shows {shown}."
    return move(setpoint, _OPEN, S.FAILED, now=now, actor="feedback", reason=reason)


def feedback_point(point: Point) -> Point:
    """The point that shows what a set-point of `point` did; itself when none is declared."""
    return point.device.points.filter(name=point.feedback).first() or point


def measured_before(point: Point) -> float | None:
    """The feedback's value before the set-point, for the operator's comparison; None when there is none."""
    latest = LatestValue.objects.filter(point__device=point.device, point__name=point.feedback or point.name).first()
    return None if latest is None else latest.value


def shown_quality(row: LatestValue, now: datetime) -> Quality:
    """The quality as a reader must take it now."""
    return aged(row.unpacked_quality, received=row.received_time, max_age_s=row.point.spec.max_age_s, now=now)


def _executed(setpoint: Setpoint, feedback: Point, value: float | None, now: datetime, *, published: bool) -> bool:
    reason = f"{feedback.name} shows {value:g} {feedback.unit}."
    return move(setpoint, _OPEN, S.EXECUTED, now=now, actor="feedback", reason=reason, published=published)


def _proves(setpoint: Setpoint, value: float | None, quality: Quality, received: datetime) -> bool:
    # Since the claim, not since the answer: a return value may overtake the confirmation (IEC 60870-5-104, COT 11 before 10).
    if setpoint.claimed_at is None or received <= setpoint.claimed_at:
        return False
    return _shows(setpoint, value, quality)


def _shows(setpoint: Setpoint, value: float | None, quality: Quality) -> bool:
    capability = setpoint.point.spec.capability
    if capability is None or value is None or quality.validity is not Validity.GOOD:
        return False
    return feedback_shows(setpoint.value, setpoint.mode, value, capability)


def _still_holds(setpoint: Setpoint, latest: LatestValue, now: datetime) -> bool:
    """A point that reports changes by itself and has reported none still shows what it showed."""
    if setpoint.state != S.DISPATCHED or latest.point.period_s is not None:
        return False
    # A position comes on change only and is as good as its connection: closing what is closed changes nothing.
    if latest.point.max_interval_s is None and setpoint.kind != "command":
        return False
    return _shows(setpoint, latest.value, shown_quality(latest, now))


def _read_since(setpoint: Setpoint, latest: LatestValue | None, now: datetime) -> bool:
    if latest is None or setpoint.claimed_at is None or latest.received_time <= setpoint.claimed_at:
        return False
    return shown_quality(latest, now).validity is Validity.GOOD


def _awaited() -> list[tuple[UUID, int]]:
    """Keys of the set-points whose proof is awaited, each with that of its feedback point.

    Asked at every flush, with many under way: one query of two columns, and only what has been measured is read whole.
    """
    shows = Point.objects.filter(device=OuterRef("point__device"), name=OuterRef("point__feedback")).values("pk")[:1]
    waiting = Setpoint.objects.filter(state__in=_OPEN).order_by("received_at")
    return list(waiting.values_list("pk", Coalesce(Subquery(shows), "point_id")))
