"""Reads group set-points: records for API and pages, each member with its share and what became of it. [operation]"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pilots.control.selectors import with_record_data
from pilots.domain.setpoint import SetpointState
from pilots.domain.sharing import group_state
from pilots.models import LatestValue, Point, Setpoint, SetpointGroup
from pilots.models.values import shown_quality
from pilots.northbound.messages import rfc3339


def group_record(group: SetpointGroup, now: datetime) -> dict[str, Any]:
    """The group as the API shows it (docs/api.md). `measured`: the sum now, None while one of those with a share is not known."""
    setpoints = setpoints_of(group)
    known = _measured(group, now)
    members = [_member(part, setpoints.get(part["device"]), known.get(part["device"])) for part in group.parts]
    sharing = [member for member in members if member["setpoint"] is not None]
    measured = [member["measured"] for member in sharing]
    form: dict[str, Any] = {
        "id": str(group.pk),
        "state": state_of(group, setpoints),
        "pilot": group.pilot.code,
        "point": group.point,
        "mode": group.mode,
        "unit": group.unit,
        "target": group.target,
        "shared": sum(part["share"] or 0.0 for part in group.parts),
        "measured": None if None in measured else sum(measured),
        "members": members,
        "priority": group.priority,
        "issuer": group.issuer,
        "requested_by": group.requested_by,
        "request_reason": group.reason,
        "service": group.service,
        "aborted_by": group.aborted_by,
        "abort_reason": group.abort_reason,
    }
    for name in ("valid_until", "received_at", "aborted_at"):
        moment = getattr(group, name)
        form[name] = None if moment is None else rfc3339(moment)
    return form


def setpoints_of(group: SetpointGroup) -> dict[str, Setpoint]:
    """Each share's set-point by its device, with all that a record reads."""
    rows = with_record_data(group.setpoints.all()).select_related("point__device__pilot", "point__device__connection")
    return {setpoint.point.device.code: setpoint for setpoint in rows}


def state_of(group: SetpointGroup, setpoints: Mapping[str, Setpoint]) -> str:
    """The word for where the group stands."""
    members = [(SetpointState(each.state), each.state == "executed" and each.released_at is None) for each in setpoints.values()]
    return str(group_state(members, aborted=group.aborted_at is not None))


def feedback_of(group: SetpointGroup) -> dict[str, Point]:
    """The point that shows what each member does, by its device; absent where none is declared."""
    codes = [part["device"] for part in group.parts]
    wished = {
        point.device.code: point
        for point in Point.objects.filter(device__code__in=codes, name=group.point).select_related("device")
    }
    names = {point.feedback for point in wished.values()}
    shown = Point.objects.filter(device__code__in=codes, name__in=names).select_related("device")
    return {point.device.code: point for point in shown if wished[point.device.code].feedback == point.name}


def _measured(group: SetpointGroup, now: datetime) -> dict[str, float]:
    rows = LatestValue.objects.filter(point__in=feedback_of(group).values()).select_related("point__device")
    good = (row for row in rows if shown_quality(row, now).proves)
    return {row.point.device.code: row.value for row in good if row.value is not None}


def _member(part: Mapping[str, Any], setpoint: Setpoint | None, measured: float | None) -> dict[str, Any]:
    form = {name: part[name] for name in ("device", "low", "high", "before", "share")} | {"measured": measured}
    if setpoint is None:
        return form | {"setpoint": None, "state": None, "active": False, "code": part["code"], "reason": part["reason"]}
    active = setpoint.state == SetpointState.EXECUTED and setpoint.released_at is None
    reason = setpoint.explanation if active or not setpoint.release_reason else setpoint.release_reason
    form |= {"setpoint": str(setpoint.pk), "state": setpoint.state, "active": active}
    return form | {"code": setpoint.code, "reason": reason}
