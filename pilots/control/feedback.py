"""What measurements say about a set-point: a device's yes makes it dispatched, only its value makes it executed. [operation]"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from django.db.models import Subquery
from django.db.models.functions import Coalesce

from pilots.control.statements import awaited, by_key, points_by_key
from pilots.control.transitions import changes, move
from pilots.domain.errors import AuditUnavailable
from pilots.domain.measurement import Measurement
from pilots.domain.quality import Quality
from pilots.domain.setpoint import SetpointState, feedback_shows
from pilots.live.frames import Change
from pilots.models import LatestValue, Point, Setpoint
from pilots.models.values import shown_quality

log = logging.getLogger(__name__)
S = SetpointState
_OPEN = [S.DISPATCHED, S.UNKNOWN]


def pending_points() -> set[int]:
    """Keys of the points whose next measurement may prove a set-point, from its claim on."""
    return {feedback for _, feedback in awaited(or_claimed=True)}


def check_feedback(latest: Mapping[int, Measurement], *, now: datetime) -> list[Change]:
    """Set-points that these measurements prove are executed; returns the changes to publish after the commit.

    One that cannot be audited stays open: values are stored all the same.
    """
    measured = {key: feedback for key, feedback in awaited() if feedback in latest}
    if not measured:
        return []
    proved = []
    waiting = by_key(measured)
    points = points_by_key({*measured.values(), *(setpoint.point_id for setpoint in waiting.values())})
    for key, setpoint in waiting.items():
        setpoint.point, feedback = points[setpoint.point_id], points[measured[key]]
        measurement = latest[feedback.pk]
        if not _proves(setpoint, measurement.value, measurement.quality, measurement.received_time):
            continue
        try:
            if _executed(setpoint, feedback, measurement.value, now, published=False):
                proved.append(setpoint)
        except AuditUnavailable as error:
            log.error("set-point %s stays %s: %s", setpoint.pk, setpoint.state, error)
    return changes(proved)


def settle(setpoint: Setpoint, *, now: datetime) -> bool:
    """An open set-point is executed if its feedback, as it stands, shows it. True when it was moved."""
    latest = shown_by(setpoint.point)
    if latest is None or not _proves(setpoint, latest.value, shown_quality(latest, now), latest.received_time):
        return False
    return _executed(setpoint, latest.point, latest.value, now, published=True)


def give_up(setpoint: Setpoint, *, now: datetime) -> bool:
    """The patience is over: executed if the feedback shows it after all, else failed; True when it was moved.

    What is unknown stays so while the device has not been read since.
    """
    if settle(setpoint, now=now):
        return True
    latest = shown_by(setpoint.point)
    if latest is not None and _still_holds(setpoint, latest, now):
        return _executed(setpoint, latest.point, latest.value, now, published=True)
    if setpoint.state == S.UNKNOWN and not _read_since(setpoint, latest, now):
        return False
    shown = f"{latest.value:g} {latest.point.unit}" if latest is not None and latest.value is not None else "nothing"
    reason = f"The device has not followed: {feedback_point(setpoint.point).name} shows {shown}."
    return move(setpoint, _OPEN, S.FAILED, now=now, actor="feedback", reason=reason)


def feedback_point(point: Point) -> Point:
    """The point that shows what a set-point of `point` did; itself when none is declared."""
    return point.device.points.filter(name=point.feedback).first() or point


def shown_by(point: Point) -> LatestValue | None:
    """The newest value of `feedback_point(point)`, with that point; None when there is none."""
    declared = Point.objects.order_by().filter(device=point.device_id, name=point.feedback).values("pk")[:1]
    shows = LatestValue.objects.filter(point=Coalesce(Subquery(declared), point.pk))
    return shows.select_related("point").first()


def measured_before(point: Point) -> float | None:
    """The feedback's value before the set-point, for the operator's comparison; None when there is none."""
    shown = LatestValue.objects.filter(point__device=point.device_id, point__name=point.feedback or point.name)
    return shown.values_list("value", flat=True).first()


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
    if capability is None or value is None or not quality.proves:
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
    return shown_quality(latest, now).proves
