"""Back to automatic: what operators hold of a point is given up together, and what then happens is told before. [operation]"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pilots.audit.services import audited
from pilots.control.ending import rest_value
from pilots.control.guards import GuardRefused, hand_back, holds_at
from pilots.control.releases import cancel_setpoint
from pilots.control.selectors import in_force
from pilots.domain.errors import AuditUnavailable, PilotsError, SetpointRejected
from pilots.domain.setpoint import Issuer, RejectCode, SetpointState
from pilots.models import OperatorHold, Point, Setpoint

#: Of these nobody can say more than the device: they are read back, not given up.
_UNSURE = SetpointState.UNKNOWN


class NothingHeld(PilotsError):
    """No operator holds the point, or somebody gave it back before."""

    code = "nothing_held"


@dataclass(frozen=True, kw_only=True, slots=True)
class Handover:
    """What operators hold of a point. `written`: the value that giving it up sends, None when nothing is sent."""

    point: Point
    holds: tuple[OperatorHold, ...]
    setpoints: tuple[Setpoint, ...]  # the strongest first
    written: float | None
    following: Setpoint | None  # of somebody else: holds the point then, or is the next to


def handovers(points: Iterable[Point], now: datetime) -> list[Handover]:
    """One for each of these points that an operator holds, in two queries, and one more where there is any."""
    by_key = {point.pk: point for point in points}
    holds = list(holds_at(now).filter(point__in=by_key))
    wishes = list(Setpoint.objects.filter(in_force(now), point__in=by_key).order_by("priority", "-received_at"))
    rows: list[OperatorHold | Setpoint] = [*holds, *wishes]
    for row in rows:
        row.point = by_key[row.point_id]
    own = [wish for wish in wishes if wish.issuer == Issuer.OPERATOR and wish.state != _UNSURE]
    kept = {hold.point_id for hold in holds} | {wish.point_id for wish in own}
    held = [key for key in by_key if key in kept]
    later = list(_waiting(held, now)) if held else []
    others = [wish for wish in (*wishes, *later) if wish.issuer != Issuer.OPERATOR]
    return [_handover(by_key[key], holds, own, others) for key in held]


def back_to_automatic(point: Point, *, actor: str, reason: str, now: datetime) -> Handover:
    """No operator holds the point any more, all of it or nothing.

    Raises NothingHeld when none did, AuditUnavailable when it cannot be recorded.
    """
    with audited():
        found = next(iter(handovers([point], now)), None)
        if found is None:
            raise NothingHeld("No operator holds this point any more.")
        why = f"Back to automatic. {reason}".strip()
        for hold in found.holds:
            # What ended by itself between the look and the deed is as it was asked for.
            with suppress(GuardRefused):
                hand_back(hold, by=actor, reason=why, now=now)
        for setpoint in found.setpoints:
            _give_up(setpoint, actor=actor, reason=why, now=now)
    return found


def _give_up(setpoint: Setpoint, *, actor: str, reason: str, now: datetime) -> None:
    try:
        cancel_setpoint(setpoint, actor=actor, reason=reason, now=now)
    except SetpointRejected as refusal:
        if refusal.code == RejectCode.AUDIT_UNAVAILABLE:
            raise AuditUnavailable from refusal


def _handover(point: Point, holds: list[OperatorHold], own: list[Setpoint], others: list[Setpoint]) -> Handover:
    mine = tuple(wish for wish in own if wish.point_id == point.pk)
    # What has not been claimed never went out, so there is nothing to take back.
    written = next((rest_value(wish) for wish in mine if wish.claimed_at is not None), None)
    return Handover(
        point=point,
        holds=tuple(hold for hold in holds if hold.point_id == point.pk),
        setpoints=mine,
        written=written,
        following=next((wish for wish in others if wish.point_id == point.pk), None),
    )


def _waiting(points: list[int], now: datetime) -> Iterable[Setpoint]:
    later = Setpoint.objects.filter(point__in=points, state=SetpointState.VALIDATED, valid_from__gt=now)
    return later.exclude(issuer=Issuer.OPERATOR).order_by("valid_from")
