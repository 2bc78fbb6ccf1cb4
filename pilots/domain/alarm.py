"""The life of an alarm: kinds, priorities, states and transitions of ISA-18.2 / IEC 62682. [operation]

An occurrence begins when its condition comes and ends when the condition is gone and somebody has seen it. What may not ask
for attention (shelved by an operator, suppressed by design, out of service, a member of a flood) is kept all the same and
ends by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum


class Priority(IntEnum):
    CRITICAL = 1
    HIGH = 2
    MEDIUM = 3
    LOW = 4


class AlarmKind(StrEnum):
    HIGH_HIGH = "high_high"
    HIGH = "high"
    LOW = "low"
    LOW_LOW = "low_low"
    RATE = "rate"  # changes faster than the limit, per second
    STATE = "state"  # a status has one of the codes
    NOT_STATE = "not_state"  # a status has none of the codes
    FROZEN = "frozen"  # renewed, and never any other value
    DEVICE_LOST = "device_lost"  # none of its values is renewed
    CONNECTION_LOST = "connection_lost"  # down, or much of what hangs on it is lost
    PILOT_LOST = "pilot_lost"  # much of a pilot is lost at once
    LINK_DOWN = "link_down"
    LINK_DEGRADED = "link_degraded"
    SETPOINT_FAILED = "setpoint_failed"  # failed, or nobody knows what became of it
    CLOCK_OFF = "clock_off"  # a device's clock differs from ours by more than the limit, s
    CLOCK_WRONG = "clock_wrong"  # the same, by so much that its stamps are not taken
    OUTBOX_WAITING = "outbox_waiting"  # what the platform must get waits longer than the limit, s
    DISK_FULL = "disk_full"  # less is free than the limit, GiB

    @property
    def is_of_values(self) -> bool:
        """Whether measurements tell, not tables of states."""
        return self in OF_VALUES

    @property
    def needs_limit(self) -> bool:
        return self in LIMITED or self in OF_OURSELVES


LIMITED = frozenset({AlarmKind.HIGH_HIGH, AlarmKind.HIGH, AlarmKind.LOW, AlarmKind.LOW_LOW, AlarmKind.RATE})
OF_OURSELVES = frozenset({AlarmKind.CLOCK_OFF, AlarmKind.CLOCK_WRONG, AlarmKind.OUTBOX_WAITING, AlarmKind.DISK_FULL})
OF_VALUES = LIMITED | {AlarmKind.STATE, AlarmKind.NOT_STATE, AlarmKind.FROZEN}


class AlarmState(StrEnum):
    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"  # active, nobody has seen it
    ACKNOWLEDGED = "acknowledged"  # active, seen
    RETURNED = "returned"  # gone, and nobody has seen it
    LATCHED = "latched"  # gone and seen, waits for the reset that its rule asks for

    @property
    def is_active(self) -> bool:
        return self in (AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED)

    @property
    def wants_acknowledgement(self) -> bool:
        return self in (AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED)


class AlarmEvent(StrEnum):
    RAISE = "raise"
    RETURN = "return"
    ACKNOWLEDGE = "acknowledge"
    REALARM = "realarm"  # seen long ago and still there: it asks again
    RESET = "reset"


class Hidden(StrEnum):
    """Why an alarm does not ask for attention; empty while it does."""

    SHELVED = "shelved"  # by an operator, for a time
    SUPPRESSED = "suppressed"  # by design
    OUT_OF_SERVICE = "out_of_service"  # for upkeep
    MEMBER = "member"  # of a flood with one cause, which asks for all


_S, _E = AlarmState, AlarmEvent
_TRANSITIONS: dict[tuple[AlarmState, AlarmEvent], AlarmState] = {
    (_S.NORMAL, _E.RAISE): _S.UNACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _E.ACKNOWLEDGE): _S.ACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _E.RETURN): _S.RETURNED,
    (_S.ACKNOWLEDGED, _E.RETURN): _S.NORMAL,
    (_S.ACKNOWLEDGED, _E.REALARM): _S.UNACKNOWLEDGED,
    (_S.RETURNED, _E.RAISE): _S.UNACKNOWLEDGED,
    (_S.RETURNED, _E.ACKNOWLEDGE): _S.NORMAL,
    (_S.LATCHED, _E.RAISE): _S.UNACKNOWLEDGED,
    (_S.LATCHED, _E.RESET): _S.NORMAL,
}


def next_alarm_state(state: AlarmState, event: AlarmEvent, *, latched: bool = False, hidden: bool = False) -> AlarmState:
    """The state after the event; the same state where it changes nothing.

    A latched alarm waits for its reset before it is normal; a hidden one asks nobody, so its return is its end.

    >>> next_alarm_state(AlarmState.UNACKNOWLEDGED, AlarmEvent.RETURN).value
    'returned'
    >>> next_alarm_state(AlarmState.RETURNED, AlarmEvent.ACKNOWLEDGE, latched=True).value
    'latched'
    """
    new = _TRANSITIONS.get((state, event), state)
    if hidden and new is _S.RETURNED:
        new = _S.NORMAL
    if latched and new is _S.NORMAL and event is not _E.RESET and state is not _S.NORMAL:
        return _S.LATCHED
    return new


#: Alarms of one chain of devices that come so soon after each other have the first of them as their likely cause.
FIRST_OUT_WITHIN = timedelta(seconds=30)
#: What comes back so soon after it was gone is the same occurrence: no second sound.
REPEAT = timedelta(seconds=60)
#: Coming so often within this time is chatter: it is shelved by itself.
CHATTER_TIMES, CHATTER_WITHIN = 5, timedelta(minutes=5)
CHATTER_SHELF = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Chatter:
    """How often an alarm came since `since`."""

    times: int
    since: datetime

    def again(self, now: datetime) -> Chatter:
        """It came once more; what came long ago is forgotten."""
        return Chatter(1, now) if now - self.since > CHATTER_WITHIN else Chatter(self.times + 1, self.since)

    @property
    def is_chatter(self) -> bool:
        return self.times >= CHATTER_TIMES


#: Devices, connections or links lost at once that are one alarm: so many, and such a share of what there is.
FLOOD_MEMBERS, FLOOD_SHARE = 5, 0.1


def is_flood(lost: int, of: int) -> bool:
    """Whether so many lost at once have one cause, which is announced for all.

    >>> is_flood(4, 4), is_flood(5, 40), is_flood(5, 1000)
    (False, True, False)
    """
    return lost >= FLOOD_MEMBERS and lost >= FLOOD_SHARE * of
