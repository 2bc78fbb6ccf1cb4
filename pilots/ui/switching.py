"""What pages show of switching: a faceplate's commands, what is selected, what waits for a second person."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from pilots.control.selections import approval_of, needs_approval, obstacles, state_of, value_words
from pilots.domain.point import PointKind
from pilots.domain.setpoint import Issuer
from pilots.domain.switching import CommandClass, class_of
from pilots.models import Pilot, Point, Role, Selection, User
from pilots.ui.quantities import point_name


def approvable_pilots(user: User) -> QuerySet[Pilot]:
    """The pilots where this person may be the second one."""
    return user.rights().pilots_where(Role.APPROVER)


def switches_of(points: list[Point]) -> list[dict[str, Any]]:
    """The commands of a faceplate, each with the values it can be given."""
    return [
        {
            "point": point.name,
            "label": point_name(point.name),
            "values": [(code, _verb(label)) for code, label in sorted(point.labels.items(), key=lambda pair: int(pair[0]))],
            "critical": class_of(point.spec) is CommandClass.CRITICAL,
        }
        for point in points
        if point.kind == PointKind.COMMAND and point.capability and point.labels
    ]


def selection_context(found: Selection, pilot: Pilot, now: datetime) -> dict[str, Any]:
    """What the dialog of a selection shows."""
    point, state = found.point, state_of(found, now)
    return {
        "pilot": pilot,
        "selection": found,
        "state": state,
        "label": point_name(point.name),
        "old": value_words(_feedback(point), found.before),
        "new": value_words(point, found.value),
        "verb": _verb(value_words(point, found.value)),
        "left_ms": max(0, int((found.until - now).total_seconds() * 1000)),
        "refusals": [each.reason for each in obstacles(found, Issuer.OPERATOR, now)],
        "needs_approval": needs_approval(found),
        "approval": approval_of(found),
    }


def _feedback(point: Point) -> Point:
    return Point.objects.filter(device=point.device_id, name=point.feedback).first() or point


def _verb(label: str) -> str:
    """What a button says that brings about the state of this label."""
    verbs = {"open": _("Open"), "closed": _("Close"), "enabled": _("Enable"), "disabled": _("Disable"), "reset": _("Reset")}
    return verbs.get(label, label.capitalize())
