"""Alarm rules for tests."""

from __future__ import annotations

from typing import Any

from pilots.models import AlarmRule, Pilot, Point


def make_rule(point: Point, **fields: Any) -> AlarmRule:
    """A high limit of medium priority unless told otherwise."""
    device = point.device
    form: dict[str, Any] = {"pilot": device.pilot, "point": point, "device": device, "subject": f"{device.code}/{point.name}"}
    form |= {"kind": "high", "priority": 3, "what": "Power high", "why": "Much is used.", "todo": "Use less."}
    return AlarmRule.objects.create(**(form | fields))


def make_pilot_rule(pilot: Pilot, **fields: Any) -> AlarmRule:
    """The pilot's own: much of it not reachable."""
    form: dict[str, Any] = {"pilot": pilot, "subject": "", "kind": "pilot_lost", "priority": 2, "what": "Much not reachable"}
    return AlarmRule.objects.create(**(form | fields))
