"""Select before operate: which commands are critical, how long what holds, and the words of refusals. [operation]

Every command point is selected before it is operated (IEC 60870-5-101 7.2.6.26, IEC 61850-7-2 control model), here between
person and SCADA; equipment that wants its own select gets that within the dispatch. Criteria: docs/api.md, switching.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from pilots.domain.point import PointSpec

#: From select to operate, and again from an approval to operate.
SELECTED_FOR = timedelta(seconds=30)
APPROVABLE_FOR = timedelta(minutes=5)
STEPPED_UP_FOR = timedelta(minutes=5)
#: A command reaches its device within this time or not at all; two rounds of a slow radio link fit in.
COMMAND_VALID_FOR = timedelta(seconds=60)


class CommandClass(StrEnum):
    """What a command asks of who gives it: a critical one the password again."""

    ORDINARY = "ordinary"
    CRITICAL = "critical"


class FourEyes(StrEnum):
    """For which commands of a pilot a second person has to agree."""

    NONE = "none"
    CRITICAL = "critical"
    ALL = "all"

    def covers(self, command_class: CommandClass) -> bool:
        """Whether a command of this class needs a second person.

        >>> FourEyes.CRITICAL.covers(CommandClass.CRITICAL), FourEyes.CRITICAL.covers(CommandClass.ORDINARY)
        (True, False)
        """
        return self is FourEyes.ALL or (self is FourEyes.CRITICAL and command_class is CommandClass.CRITICAL)


class SwitchingCode(StrEnum):
    """Why a step towards a command was refused; stable words of the API beside those of `setpoint.RejectCode`."""

    NOT_SELECTED = "not_selected"
    ALREADY_SELECTED = "already_selected"
    SELECTION_OVER = "selection_over"
    SELECTION_DIFFERS = "selection_differs"
    OTHER_SESSION = "other_session"
    STEP_UP_REQUIRED = "step_up_required"
    APPROVAL_REQUIRED = "approval_required"
    APPROVAL_OVER = "approval_over"
    NO_APPROVAL_NEEDED = "no_approval_needed"
    SELF_APPROVAL = "self_approval"
    REASON_MISSING = "reason_missing"


#: What no right order of steps would mend: somebody else, or without the right.
FORBIDDEN = frozenset(
    {
        SwitchingCode.NOT_SELECTED,
        SwitchingCode.OTHER_SESSION,
        SwitchingCode.STEP_UP_REQUIRED,
        SwitchingCode.APPROVAL_REQUIRED,
        SwitchingCode.SELF_APPROVAL,
    }
)


def http_status(code: str) -> int:
    """The status that pages and API answer a refused step with.

    >>> [http_status(code) for code in ("step_up_required", "selection_over", "out_of_range", "audit_unavailable")]
    [403, 409, 422, 503]
    """
    if code in FORBIDDEN:
        return 403
    if code in ("audit_unavailable", "rate_limited"):
        return 503 if code == "audit_unavailable" else 429
    return 409 if code in list(SwitchingCode) and code != SwitchingCode.REASON_MISSING else 422


def class_of(point: PointSpec) -> CommandClass:
    """The class its profile declares; without one, what opens and closes a circuit is critical.

    >>> from pilots.domain.point import PointKind
    >>> breaker = PointSpec(name="position_cmd", kind=PointKind.COMMAND, labels={1: "open", 2: "closed"})
    >>> class_of(breaker), class_of(PointSpec(name="enable", kind=PointKind.COMMAND, labels={0: "disabled", 1: "enabled"}))
    (<CommandClass.CRITICAL: 'critical'>, <CommandClass.ORDINARY: 'ordinary'>)
    """
    declared = point.capability.command_class if point.capability is not None else ""
    if declared:
        return CommandClass(declared)
    return CommandClass.CRITICAL if {"open", "closed"} <= set(point.labels.values()) else CommandClass.ORDINARY
