"""One transition of a set-point: a conditional UPDATE, its event, its audit row and its frame. [operation]"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from pilots.alarms.setpoints import raise_setpoint_alarm
from pilots.audit.services import audited_or_spooled, record_events
from pilots.control.ending import gives_back
from pilots.control.selectors import record
from pilots.control.statements import as_they_are
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.live.frames import Change
from pilots.live.hub import hub
from pilots.models import Forwarding, Setpoint, SetpointEvent

#: Whose set-points' transitions go north.
TOLD_TO_PLATFORM = (Issuer.PLATFORM, Issuer.SCHEDULE)


def move(
    setpoint: Setpoint,
    allowed: list[SetpointState],
    new: SetpointState,
    *,
    now: datetime,
    actor: str,
    code: str = "",
    reason: str = "",
    raw: str = "",
    changes: dict[str, Any] | None = None,
    published: bool = True,
) -> bool:
    """One transition, if the row is still in an allowed state: the UPDATE decides every race. True when it happened.

    Raises AuditUnavailable, and the state is what it was; what only gives a point back moves without the trail.
    """
    columns: dict[str, Any] = {"state": new, "code": code, "explanation": reason[:300]} | (changes or {})
    if new.terminal:
        columns["finished_at"] = now
    if new is SetpointState.EXECUTED and gives_back(setpoint):
        columns["released_at"] = now  # it gives the point back, it does not hold it

    def deed() -> bool:
        with transaction.atomic():
            if not Setpoint.objects.filter(pk=setpoint.pk, state__in=allowed).update(**columns):
                return False
            add_event(setpoint, new, now=now, actor=actor, code=code, reason=reason, raw=raw)
            audit(setpoint, f"set-point {new}", now=now, actor=actor, reason=reason, code=code, raw=raw[:500])
            if published:
                publish(setpoint)
            if new is SetpointState.FAILED:
                raise_setpoint_alarm(setpoint.point_id, reason, now=now)
        return True

    moved = audited_or_spooled(deed) if setpoint.issuer == Issuer.FALLBACK else deed()
    if moved:
        for name, value in columns.items():
            setattr(setpoint, name, value)
    return moved


def add_event(setpoint: Setpoint, state: SetpointState, **words: Any) -> None:
    """The transition stands in the set-point's story, and waits to be told to the platform if it asked for it."""
    event(setpoint, state, **words).save(force_insert=True)


def event(
    setpoint: Setpoint, state: SetpointState, *, now: datetime, actor: str, code: str = "", reason: str = "", raw: str = ""
) -> SetpointEvent:
    """As `add_event` stores it; long texts are cut."""
    forwarding = Forwarding.WAITING if setpoint.issuer in TOLD_TO_PLATFORM else ""
    words = {"actor": actor[:120], "code": code, "reason": reason[:300], "raw": raw[:500]}
    return SetpointEvent(setpoint=setpoint, state=state, at=now, forwarding=forwarding, **words)


def audit(setpoint: Setpoint, action: str, **words: Any) -> None:
    """The audit trail says what happened to the set-point."""
    record_events([audit_form(setpoint, action, **words)])


def audit_form(setpoint: Setpoint, action: str, *, now: datetime, actor: str, reason: str = "", **details: Any) -> dict[str, Any]:
    """As `record_events` takes it; empty details are left out."""
    told = {name: value for name, value in details.items() if value not in (None, "")}
    return {
        "at": now,
        "actor": actor,
        "action": action,
        "pilot": setpoint.point.device.pilot.code,
        "subject": f"{setpoint.point.device.code}/{setpoint.point.name}",
        "reason": reason,
        "details": {"id": str(setpoint.pk), **told},
    }


def full(setpoints: QuerySet[Setpoint]) -> list[Setpoint]:
    """The rows with everything that their transitions need."""
    return list(setpoints.select_related("point__device__pilot", "point__device__connection"))


def changes(setpoints: Collection[Setpoint]) -> list[Change]:
    """The set-points, read again, as the browsers get them."""
    return [
        Change(setpoint.point.device.pilot.code, setpoints=[record(setpoint, events)])
        for setpoint, events in as_they_are(setpoints)
    ]


def publish(*setpoints: Setpoint) -> None:
    """Browsers see the set-points as they are once the transaction commits."""
    transaction.on_commit(lambda: hub(settings.REDIS_URL).publish(changes(setpoints)))
