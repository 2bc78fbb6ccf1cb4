"""What kinds of happenings the journal tells apart, and which actions of the audit trail belong to which. [operation]"""

from __future__ import annotations

from enum import StrEnum


class JournalKind(StrEnum):
    ALARM = "alarm"
    LINK = "link"
    DEVICE = "device"  # its clock, its counters
    SETPOINT = "setpoint"
    COMMAND = "command"  # switching: selected, approved, operated
    SCHEDULE = "schedule"
    FALLBACK = "fallback"
    GUARD = "guard"  # tags, holds, commands off
    COMMISSIONING = "commissioning"
    ADMINISTRATION = "administration"  # configuration, persons, tokens, exports: all the rest


#: What every viewer of a pilot sees on its pages anyway; the other kinds are for who may read the audit trail.
SHARED = tuple(kind for kind in JournalKind if kind not in (JournalKind.COMMISSIONING, JournalKind.ADMINISTRATION))

ACTIONS: dict[JournalKind, tuple[str, ...]] = {
    JournalKind.ALARM: (
        *("shelve alarm", "suppress alarm", "take alarm out of service"),
        *("return shelved alarm", "return suppressed alarm", "return out of service alarm"),
    ),
    JournalKind.LINK: ("way_switched",),
    JournalKind.DEVICE: ("clock_skew", "clock_right", "counter_reset"),
    JournalKind.SETPOINT: (
        *("request set-point", "refuse set-point", "cancel set-point", "end set-point"),
        *("set-point validated", "set-point dispatched", "set-point executed", "set-point rejected", "set-point expired"),
        *("set-point failed", "set-point cancelled", "set-point unknown", "create group", "abort group", "refuse group"),
    ),
    JournalKind.COMMAND: (
        *("select", "ask for approval", "approve", "disapprove", "operate", "cancel selection"),
        *("refuse select", "refuse approval request", "refuse approval", "refuse operate", "refuse cancel selection"),
        "refuse command",
    ),
    JournalKind.SCHEDULE: (
        *("draft schedule", "create schedule", "accept schedule", "revise schedule", "cancel schedule"),
        *("schedule accepted", "schedule running", "schedule completed", "schedule failed", "schedule cancelled"),
    ),
    JournalKind.FALLBACK: ("begin fallback", "end fallback", "take over from fallback", "platform lost", "platform back"),
    JournalKind.GUARD: (
        *("set blocking tag", "remove blocking tag", "switch commands off", "switch commands on"),
        *("hold point", "hand back point"),
    ),
    JournalKind.COMMISSIONING: (
        *("start point test", "sign point test", "import points", "create point", "change point", "delete point"),
        *("write address", "write address outcome", "test connection", "new charge point key", "start fault", "end fault"),
        *("media on", "media off"),
    ),
}
#: Steps inside the program, what the journal's own rows tell already, and what comes by the clock all day.
LEFT_OUT = ("claim set-point", "claim step of ramp", "acknowledge alarm", "reset alarm", "put forecast")
_KIND_OF = {action: kind for kind, actions in ACTIONS.items() for action in actions}


def kind_of(action: str) -> JournalKind:
    """The kind of an action of the audit trail.

    >>> kind_of("set-point executed").value, kind_of("create user").value
    ('setpoint', 'administration')
    """
    return _KIND_OF.get(action, JournalKind.ADMINISTRATION)


def device_and_point(subject: str) -> tuple[str, str]:
    """The device and the point that a subject names; empty where it names none.

    >>> device_and_point("es-STO01/p_set"), device_and_point("es/es-STO01/energy"), device_and_point("link a es-SCADA es-RTU01")
    (('es-STO01', 'p_set'), ('es-STO01', 'energy'), ('', ''))
    """
    parts = subject.split("/")
    if " " in subject or len(parts) > 3:
        return "", ""
    device, point = ([*parts, ""] if len(parts) < 2 else parts)[-2:]
    return device, point
