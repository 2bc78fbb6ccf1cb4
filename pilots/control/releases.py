"""How a set-point is taken off its device: cancelled, ended, run out. Whoever holds the point next takes it over. [operation]"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from pilots.control.ending import Ending, ending_of, ending_words, gives_back, rest_value
from pilots.control.selectors import holder, in_fallback
from pilots.control.services import CLOCK, audited_or_refused, request_setpoint
from pilots.control.steps import take_over
from pilots.control.transitions import audit, move, publish
from pilots.domain.errors import SetpointRejected
from pilots.domain.guards import MAX_VALIDITY
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import Setpoint

S = SetpointState
#: The value that gives a device back waits for a broken link as long as a set-point can.
RELEASE_VALIDITY = MAX_VALIDITY
#: What is said of an ending, before how late it was.
_ENDED = {
    "release": "Its time was over: the device is given back",
    "fallback": "Its time was over: the fallback value is written",
    "hold": "Its time was over: nothing is written, the device ends it by itself",
    "lets_go": "Its time was over: the device drops it by itself",
}


def cancel_setpoint(setpoint: Setpoint, *, actor: str, reason: str, now: datetime) -> Setpoint:
    """The set-point is cancelled if it was still open; an executed one is released. Raises SetpointRejected when it is over."""
    with audited_or_refused():
        audit(setpoint, "cancel set-point", now=now, actor=actor, reason=reason)
        open_states = [S.RECEIVED, S.VALIDATED, S.DISPATCHED]
        if move(setpoint, open_states, S.CANCELLED, now=now, actor=actor, reason=reason or "Cancelled."):
            setpoint.refresh_from_db()
            # A write that already left is not undone by the cancelling: the point is given back explicitly.
            if setpoint.claimed_at is not None:
                give_back(setpoint, now, actor=actor)
        elif not release_executed(setpoint, now, actor=actor):
            raise SetpointRejected("already_finished", f"The set-point is already {setpoint.state}.")
    setpoint.refresh_from_db()
    return setpoint


def release_executed(setpoint: Setpoint, now: datetime, *, actor: str) -> bool:
    """An executed set-point no longer holds its point, and the device is given back. True exactly once."""
    with transaction.atomic():
        if not end_active(setpoint, now, actor=actor, reason=f"Ended by {actor}."):
            return False
        if not gives_back(setpoint):
            give_back(setpoint, now, actor=actor)
    return True


def end_active(setpoint: Setpoint, now: datetime, *, actor: str, reason: str) -> bool:
    """The set-point is not in force any longer, and its record says why. True exactly once."""
    active = Setpoint.objects.filter(pk=setpoint.pk, state=S.EXECUTED, released_at=None)
    with transaction.atomic():
        if not active.update(released_at=now, release_reason=reason[:300]):
            return False
        audit(setpoint, "end set-point", now=now, actor=actor, reason=reason)
        setpoint.released_at, setpoint.release_reason = now, reason[:300]
        publish(setpoint)
    return True


def expire_active(setpoint: Setpoint, now: datetime, *, actor: str = CLOCK) -> bool:
    """The time of a set-point in force is over: what its on_expiry says is done. True exactly once."""
    ending = ending_of(setpoint)
    with transaction.atomic():
        if not end_active(setpoint, now, actor=actor, reason=ending_words(setpoint, now, _ENDED[ending.action])):
            return False
        if not gives_back(setpoint):
            write_ending(setpoint, ending, now, actor=actor)
    return True


def give_back(setpoint: Setpoint, now: datetime, *, actor: str) -> None:
    """The device is taken off the value at once, whatever was to be done at its end: no ceiling, 0, or its default."""
    rest = rest_value(setpoint)
    if rest is not None:
        write_ending(setpoint, Ending("release", rest), now, actor=actor)


def write_ending(setpoint: Setpoint, ending: Ending, now: datetime, *, actor: str) -> None:
    """What ends the set-point is on its way to the device; a fallback that is refused becomes a release."""
    if ending.action not in ("release", "fallback") or ending.value is None or ending.value == setpoint.value:
        return
    # Whoever holds the point next takes it from the old value to its own, without a step through the default.
    if holder(setpoint.point, now, apart_from=setpoint) or in_fallback(setpoint.point) or take_over(setpoint.point, now):
        return
    capability = setpoint.point.spec.capability
    at_rest = capability is not None and capability.rest(setpoint.mode) is not None
    made = request_setpoint(
        point=setpoint.point,
        value=ending.value,
        unit=setpoint.unit,
        mode=setpoint.mode,
        issuer=Issuer.FALLBACK,
        requested_by=actor,
        reason=f"{ending.action.capitalize()} of set-point {setpoint.pk}",
        valid_until=now + RELEASE_VALIDITY,
        # A point without a default is left at the value that its asker named for it.
        on_expiry="release" if at_rest else ending.value,
        now=now,
    )
    if made.state == S.REJECTED and ending.action == "fallback":
        give_back(made, now, actor=actor)
