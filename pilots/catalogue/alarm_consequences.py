"""What happens when nobody answers an alarm, and how long an answer still helps: the defaults' rationale. [operation]

Times are [assumed], one a priority; an engineer's table says better (docs/admins.md, alarm rules).
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_noop as _

from pilots.domain.alarm import AlarmKind, Priority

#: Seconds within which an answer averts the consequence.
RESPOND_S = {Priority.CRITICAL: 300.0, Priority.HIGH: 900.0, Priority.MEDIUM: 3600.0, Priority.LOW: 86_400.0}
_K = AlarmKind
_OF_POINTS = {
    "temperature": _("The battery disconnects itself; if that fails it is damaged and may burn."),
    "soc": _("The battery stops taking or giving power, ages faster, and its schedule fails."),
    "loading": _("The insulation ages; in the end protection trips and the feeder is without supply."),
    "hotspot_temperature": _("The insulation ages; in the end protection trips and the feeder is without supply."),
    "connector_state": _("Nobody charges there until somebody has seen to it."),
    "inverter_state": _("What it generates or stores is missing until it is reset."),
    "device_health": _("A fault grows unseen until the device stops."),
    "alarm_word": _("A fault grows unseen until the device stops."),
}
_VOLTAGE = _("Equipment of customers is damaged or switches itself off; EN 50160 is not kept.")
_OF_KINDS = {
    _K.SETPOINT_FAILED: _("The plan behind it is not carried out, and the platform counts on it."),
    _K.DEVICE_LOST: _("It is neither seen nor commanded; its fallback plan comes into force."),
    _K.CONNECTION_LOST: _("All that hangs on it is neither seen nor commanded; fallback plans come into force."),
    _K.LINK_DOWN: _("What lies behind it is not seen."),
    _K.LINK_DEGRADED: _("Values come late, and the link may fail."),
    _K.PILOT_LOST: _("The pilot is neither seen nor commanded; fallback plans come into force."),
    _K.FROZEN: _("Sums, plans and set-points follow a value that is none."),
    _K.CLOCK_OFF: _("Its samples stand at wrong times beside those of others."),
    _K.CLOCK_WRONG: _("What it stored while its link was down cannot be put in its time."),
    _K.OUTBOX_WAITING: _("The platform plans with old values, and its set-points end in fallbacks."),
    _K.DISK_FULL: _("Values are lost, the audit trail cannot be written and commands are refused."),
}


def rationalised(columns: dict[str, Any]) -> dict[str, Any]:
    """The columns of a default rule with its consequence and its time to respond."""
    kind, point = AlarmKind(columns["kind"]), columns["subject"].partition("/")[2]
    text = _OF_KINDS.get(kind) or _OF_POINTS.get(point) or (_VOLTAGE if point.startswith("voltage") else _EXPORT)
    return {**columns, "consequence": text, "respond_s": RESPOND_S[Priority(columns["priority"])]}


_EXPORT = _("The agreement with the grid operator is broken, and protection may disconnect the plant.")
