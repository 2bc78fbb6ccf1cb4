"""Reads set-points: records for API and pages, holders, what waits for a gateway. [operation]"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from pilots.control.age import left_s
from pilots.control.ending import ending_of
from pilots.control.statements import open_of
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import Device, FallbackRun, Point, Setpoint, SetpointEvent
from pilots.northbound.messages import rfc3339

OPEN_STATES = [SetpointState.RECEIVED, SetpointState.VALIDATED, SetpointState.DISPATCHED, SetpointState.UNKNOWN]


def record(setpoint: Setpoint, events: Iterable[SetpointEvent] | None = None) -> dict[str, Any]:
    """The set-point as API, pages and frames show it (docs/api.md); `events` are its own where they are read already."""
    device = setpoint.point.device
    form: dict[str, Any] = {
        "id": str(setpoint.pk),
        "state": setpoint.state,
        "code": setpoint.code,
        "reason": setpoint.explanation,
        "pilot": device.pilot.code,
        "device": device.code,
        "point": setpoint.point.name,
        "kind": setpoint.kind,
        "value": setpoint.value,
        "label": setpoint.point.labels.get(f"{setpoint.value:g}", "") if setpoint.kind == "command" else "",
        "unit": setpoint.unit,
        "mode": setpoint.mode,
        "issuer": setpoint.issuer,
        "requested_by": setpoint.requested_by,
        "request_reason": setpoint.reason,
        "service": setpoint.service,
        "priority": setpoint.priority,
        "ramp": setpoint.ramp,
        "sequence": setpoint.sequence,
        "on_expiry": setpoint.on_expiry,
        "fallback_value": setpoint.fallback_value,
        "before": setpoint.before,
        "correlation_id": setpoint.correlation_id,
        "schedule_id": None if setpoint.schedule_id is None else str(setpoint.schedule_id),
        "group_id": None if setpoint.group_id is None else str(setpoint.group_id),
        "superseded_by": None if setpoint.superseded_by_id is None else str(setpoint.superseded_by_id),
        "active": setpoint.state == SetpointState.EXECUTED and setpoint.released_at is None,
    }
    form |= _end(setpoint, active=form["active"])
    for name in ("valid_from", "valid_until", "issued_at", "received_at", "released_at"):
        moment = getattr(setpoint, name)
        form[name] = None if moment is None else rfc3339(moment)
    form["events"] = [
        {"state": e.state, "at": rfc3339(e.at), "actor": e.actor, "code": e.code, "reason": e.reason, "raw": e.raw}
        for e in (setpoint.events.all() if events is None else events)
    ]
    return form


def _end(setpoint: Setpoint, *, active: bool) -> dict[str, Any]:
    """When a set-point in force ends and what happens then; why one has ended."""
    ending = ending_of(setpoint)
    left = max(0.0, left_s(setpoint, timezone.now())) if active else None
    return {
        "ends_in_s": None if left is None else round(left, 1),
        "then": {"action": ending.action, "value": ending.value} if setpoint.kind == "setpoint" else None,
        "release_reason": setpoint.release_reason,
    }


def with_record_data(setpoints: QuerySet[Setpoint]) -> QuerySet[Setpoint]:
    """The same rows with everything `record` reads, in two queries."""
    return setpoints.select_related("point__device__pilot").prefetch_related("events")


def recent(of: Point | Device, limit: int = 10) -> list[Setpoint]:
    """The newest set-points of a point or device, newest first."""
    where = Q(point=of) if isinstance(of, Point) else Q(point__device=of)
    return list(with_record_data(Setpoint.objects.filter(where))[:limit])


def in_force(now: datetime) -> Q:
    """Set-points that hold their point at `now`, or are on their way to."""
    waiting = Q(state__in=[SetpointState.VALIDATED, SetpointState.DISPATCHED, SetpointState.UNKNOWN])
    active = Q(state=SetpointState.EXECUTED, released_at=None)
    return (waiting | active) & Q(valid_until__gt=now, valid_from__lte=now) & ~Q(issuer=Issuer.FALLBACK)


def is_in_force(setpoint: Setpoint, now: datetime) -> bool:
    """As `in_force`, of a row that is read already."""
    active = setpoint.state == SetpointState.EXECUTED and setpoint.released_at is None
    waiting = setpoint.state in (SetpointState.VALIDATED, SetpointState.DISPATCHED, SetpointState.UNKNOWN)
    return (waiting or active) and setpoint.valid_from <= now < setpoint.valid_until and setpoint.issuer != Issuer.FALLBACK


def holder(point: Point, now: datetime, *, apart_from: Setpoint | None = None) -> Setpoint | None:
    """The set-point in force at `now`, or on its way to be; None when nobody holds the point."""
    return strongest(open_of(point.pk), now, apart_from=apart_from)


def strongest(setpoints: Iterable[Setpoint], now: datetime, *, apart_from: Setpoint | None = None) -> Setpoint | None:
    """Who holds the point of these set-points: the first in rank, then the newest; None when nobody does."""
    held = [each for each in setpoints if is_in_force(each, now) and each != apart_from]
    return min(held, key=lambda each: (each.priority, -each.received_at.timestamp()), default=None)


def in_fallback(point: Point) -> bool:
    """Whether a fallback plan is in force at the point."""
    return FallbackRun.objects.filter(point=point, removed_at=None).exists()


def connections_with_due_setpoints(now: datetime) -> set[int]:
    """Keys of the connections for which `due_for` would find something."""
    waiting = Setpoint.objects.filter(state=SetpointState.VALIDATED, claimed_at=None, valid_from__lte=now)
    return set(waiting.values_list("point__device__connection", flat=True).distinct()) - {None}
