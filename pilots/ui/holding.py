"""Who holds a device's points, until when, what comes then, and what "back to automatic" does: told before it is done."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from pilots.control.handover import Handover, handovers
from pilots.control.selectors import in_force, with_record_data
from pilots.domain.point import PointKind
from pilots.models import Pilot, Point, Role, Setpoint, User
from pilots.ui.quantities import point_name
from pilots.ui.setpoint_story import issuer_name, story, value_words


def holding_context(points: Iterable[Point], pilot: Pilot, user: User, now: datetime) -> dict[str, Any]:
    """For `holding.html`: the set-points in force of these points, and how operators give them up. Four queries at most."""
    writable = [point for point in points if PointKind(point.kind).writable]
    held = with_record_data(Setpoint.objects.filter(in_force(now), point__in=writable)).order_by("priority", "-received_at")
    may_operate = user.has_role(Role.OPERATOR, pilot)
    return {
        "pilot": pilot,
        "may_operate": may_operate,
        "held": [story(setpoint) for setpoint in held] if writable else [],
        "automatic": [automatic_words(each) for each in handovers(writable, now)] if may_operate and writable else [],
    }


def automatic_words(handover: Handover) -> dict[str, Any]:
    """The button's point and the sentence of what happens next; `only`: the set-point that is all there is to give up."""
    point = handover.point
    only = handover.setpoints[0].pk if len(handover.setpoints) == 1 and not handover.holds else None
    words = {"device": point.device.code, "point": point.name, "label": point_name(point.name), "next": _next(handover)}
    return words | {"only": only}


def _next(handover: Handover) -> str:
    point = handover.point
    if handover.written is not None:
        value = value_words(point, handover.written, point.unit)
        first = _("%(value)s is written to %(device)s now.") % {"value": value, "device": point.device.code}
    elif handover.setpoints:
        first = _("Nothing is written: the device keeps its value until somebody writes another.")
    else:
        first = _("Nothing is written.")
    return f"{first} {_following(handover)}"


def _following(handover: Handover) -> str:
    then = handover.following
    if then is None:
        return _("Then INVADE, schedules and control centres may command it again.")
    told = {
        "who": f"{issuer_name(then.issuer)} {then.requested_by}".strip(),
        "value": value_words(handover.point, then.value, then.unit),
        "time": timezone.localtime(then.valid_from).strftime("%H:%M"),
    }
    if then.valid_from > timezone.now():
        return _("Next is %(value)s of %(who)s from %(time)s.") % told
    return _("Then %(who)s holds it with %(value)s.") % told
