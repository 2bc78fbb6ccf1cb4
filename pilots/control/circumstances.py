"""What is so at a device when a set-point is checked: link, mode, holder. [operation]"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pilots.control.feedback import shown_quality
from pilots.control.selectors import holder
from pilots.domain.quality import Flag, Quality
from pilots.domain.setpoint import Circumstances, Issuer
from pilots.domain.topology import LinkState
from pilots.models import LatestValue, Point, Setpoint

_SILENT = Flag.OLD | Flag.COMM_FAILURE


def circumstances(setpoint: Setpoint, now: datetime) -> Circumstances:
    """As this set-point meets them at the moment it is to begin."""
    point = setpoint.point
    latest = {row.point.name: row for row in LatestValue.objects.filter(point__device=point.device).select_related("point")}
    held = holder(point, max(now, setpoint.valid_from), apart_from=setpoint)
    shown = {name: shown_quality(row, now) for name, row in latest.items()}
    return Circumstances(
        # What gives a point back waits for the link instead: somebody has to take the device off the old value.
        link_up=None if setpoint.issuer == Issuer.FALLBACK else _link_up(point, latest, shown),
        feedback_validity=shown[point.feedback].validity if point.feedback in shown else None,
        control_mode_local=_is_local(latest.get("control_mode")),
        holder_priority=None if held is None else held.priority,
        holder="" if held is None else f"{held.issuer} {held.requested_by}",
    )


def _is_local(mode: LatestValue | None) -> bool:
    return mode is not None and mode.value is not None and mode.point.labels.get(str(int(mode.value))) == "local"


def _link_up(point: Point, latest: Mapping[str, LatestValue], shown: Mapping[str, Quality]) -> bool | None:
    """False when the device is known to be silent, None before it was ever heard."""
    connection = point.device.connection
    if connection is None or connection.state == LinkState.DOWN:
        return False
    if not latest:
        return None
    feedback = latest.get(point.feedback)
    if feedback is not None and feedback.point.period_s is not None:
        # Polled: the slow nameplate values behind the same device look fresh for many minutes.
        return _is_heard(shown[point.feedback])
    return any(_is_heard(quality) for quality in shown.values())


def _is_heard(quality: Quality) -> bool:
    return not quality.flags & _SILENT
