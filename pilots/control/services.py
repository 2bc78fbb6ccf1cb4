"""The one door for set-points; with dispatch.py, releases.py and expiry.py the only writers of their table. [operation]

operator | INVADE -> `request_setpoint` -> checks -> claimed by the gateway that holds the connection -> device -> feedback.
A request is stored with the outcome of its checks; every later transition is one conditional UPDATE plus one event and one
audit row in one transaction; a device's answer makes a set-point *dispatched*, only the measurement makes it *executed*.
Without an audit row nothing is taken and nothing is sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import IntegrityError, transaction

from pilots.audit.services import audited, is_inside, record_events
from pilots.control.age import stamp
from pilots.control.circumstances import circumstances, limits_now
from pilots.control.ending import is_rest
from pilots.control.rates import take_token
from pilots.control.statements import lock_point, open_of
from pilots.control.transitions import audit_form, event, move, publish
from pilots.domain.errors import AuditUnavailable, SetpointRejected
from pilots.domain.guards import Circumstances, Wish, check_setpoint
from pilots.domain.point import PointKind
from pilots.domain.setpoint import DEFAULT_PRIORITY, Issuer, RejectCode, SetpointState
from pilots.domain.switching import SwitchingCode
from pilots.live.hub import hub
from pilots.models import Point, Setpoint, SetpointEvent, User

S = SetpointState
CLOCK = "clock"
UNDER_WAY = [S.RECEIVED, S.VALIDATED, S.DISPATCHED]
#: Selected before operated already, by the protocol they came with.
SELECTS_ITSELF = (Issuer.CONTROL_CENTRE,)


def request_setpoint(
    *,
    point: Point,
    value: float,
    unit: str,
    issuer: Issuer,
    requested_by: str,
    valid_until: datetime,
    now: datetime,
    valid_from: datetime | None = None,
    mode: str = "absolute",
    priority: int | None = None,
    reason: str = "",
    service: str = "",
    on_expiry: str | float = "release",
    issued_at: datetime | None = None,
    correlation_id: str = "",
    ramp: float | None = None,
    sequence: int | None = None,
    setpoint_id: UUID | None = None,
    user: User | None = None,
    selected: bool = False,
) -> Setpoint:
    """A record of the wish stands, validated or rejected with its reason; the gateway is woken for a validated one.

    `value` in `unit`, load convention; `on_expiry` is release, hold, or the value of a fallback; `ramp` in units a second;
    `sequence` numbers the wishes of this source for the point.
    Raises SetpointRejected, and nothing is stored: `duplicate_id` when another record has this id, `out_of_range` for what is
    no finite number, `rate_limited` when the source asks too often, `audit_unavailable` without the audit trail,
    `not_selected` for a command that does not come out of `control.switching` (`selected`).
    """
    _check_form(point, value, issuer, selected=selected)
    wish = Wish(
        value=value,
        unit=unit,
        mode=mode,
        priority=DEFAULT_PRIORITY[issuer] if priority is None else priority,
        valid_from=valid_from or now,
        valid_until=valid_until,
        issued_at=issued_at,
        gives_back=is_rest(issuer, value, mode, point.spec.capability),
        ramp=ramp,
        sequence=sequence,
        on_expiry=on_expiry if isinstance(on_expiry, str) else "fallback",
        fallback_value=None if isinstance(on_expiry, str) else on_expiry,
    )
    setpoint = Setpoint(
        id=setpoint_id or uuid4(),
        point=point,
        kind="command" if point.kind == PointKind.COMMAND else "setpoint",
        value=value,
        unit=unit,
        mode=mode,
        state=S.RECEIVED,
        issuer=issuer,
        requested_by=requested_by,
        user=user,
        reason=reason[:300],
        service=service,
        priority=wish.priority,
        ramp=ramp if ramp is None or math.isfinite(ramp) else None,
        sequence=sequence,
        on_expiry=wish.on_expiry,
        # What is no number is refused below, and no database keeps it.
        fallback_value=wish.fallback_value if math.isfinite(wish.fallback_value or 0.0) else None,
        correlation_id=correlation_id,
        valid_from=wish.valid_from,
        # A window of no length is refused below; the row still has to satisfy its own constraint.
        valid_until=max(valid_until, wish.valid_from + timedelta(milliseconds=1)),
        issued_at=issued_at,
        received_at=now,
    )
    stamp(setpoint)
    _store(setpoint, wish, now)
    return setpoint


def _check_form(point: Point, value: float, issuer: Issuer, *, selected: bool) -> None:
    if point.kind == PointKind.COMMAND and not selected and issuer not in SELECTS_ITSELF:
        raise SetpointRejected(SwitchingCode.NOT_SELECTED, f"{point.name} is a command: select it, then operate.", field="point")
    if isinstance(value, bool) or not math.isfinite(value):
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, "The value is not a finite number.", field="value")


def _store(setpoint: Setpoint, wish: Wish, now: datetime) -> None:
    try:
        with audited_or_refused():
            take_token(Issuer(setpoint.issuer), setpoint.requested_by, now)
            # One wish at a time for a point: two that arrive together must not both find it free.
            lock_point(setpoint.point_id)
            _take(setpoint, wish, now)
    except IntegrityError as error:
        if not Setpoint.objects.filter(pk=setpoint.pk).exists():
            raise
        raise SetpointRejected("duplicate_id", "Another set-point has this id.", field="id") from error


def _take(setpoint: Setpoint, wish: Wish, now: datetime) -> None:
    """It stands with what the checks say of it, and with the events and audit rows of both its states."""
    rivals = open_of(setpoint.point_id)
    around = circumstances(setpoint, now, rivals=rivals)
    setpoint.before = around.before
    refusal = _refusal(wish, setpoint.point, around, now)
    state, code, reason = (S.VALIDATED, "", "") if refusal is None else (S.REJECTED, refusal.code, refusal.reason)
    setpoint.state, setpoint.code, setpoint.explanation = state, code, reason[:300]
    setpoint.finished_at = now if state.terminal else None
    setpoint.save(force_insert=True)
    checked: dict[str, Any] = {"now": now, "actor": "checks", "code": code, "reason": reason}
    received = event(setpoint, S.RECEIVED, now=now, actor=setpoint.requested_by, reason=setpoint.reason)
    SetpointEvent.objects.bulk_create([received, event(setpoint, state, **checked)])
    record_events([_request_form(setpoint, around, now), audit_form(setpoint, f"set-point {state}", **checked)])
    ended = [] if refusal is not None else supersede_older(setpoint, rivals, now)
    publish(setpoint, *ended)
    connection = setpoint.point.device.connection
    if refusal is None and connection is not None:
        transaction.on_commit(lambda: hub(settings.REDIS_URL).wake(connection.name))


def _refusal(wish: Wish, point: Point, around: Circumstances, now: datetime) -> SetpointRejected | None:
    try:
        check_setpoint(wish, point.spec, now, around)
    except SetpointRejected as error:
        return error
    return None


def supersede_older(setpoint: Setpoint, rivals: Iterable[Setpoint], now: datetime) -> list[Setpoint]:
    """Newest wins among equals and lower ones: what waits is cancelled, what is in force ends. Returns those, to publish.

    `rivals` are `open_of` its point, read under the point's lock.
    """
    if setpoint.valid_from > now:
        return []
    return [other for other in rivals if _is_older(other, setpoint, now) and _yields(other, setpoint, now)]


def _is_older(other: Setpoint, newer: Setpoint, now: datetime) -> bool:
    # What only gives the point back yields to every newer wish, whatever its priority.
    weaker = other.priority >= newer.priority or other.issuer == Issuer.FALLBACK
    begun = other.state == S.EXECUTED or (other.state in UNDER_WAY and other.valid_from <= now)
    return other.pk != newer.pk and weaker and begun


def _yields(other: Setpoint, newer: Setpoint, now: datetime) -> bool:
    other.point = newer.point
    return _cancel(other, newer, now) or _end(other, newer, now)


def _cancel(other: Setpoint, newer: Setpoint, now: datetime) -> bool:
    """False for one that is in force, also since this moment."""
    reason, changes = f"Superseded by a newer set-point of {newer.requested_by}.", {"superseded_by": newer}
    actor, code = newer.requested_by, RejectCode.SUPERSEDED
    return other.state != S.EXECUTED and move(
        other, UNDER_WAY, S.CANCELLED, now=now, actor=actor, code=code, reason=reason, changes=changes, published=False
    )


def _end(other: Setpoint, newer: Setpoint, now: datetime) -> bool:
    ended = {"released_at": now, "release_reason": f"Superseded by {newer.requested_by}.", "superseded_by": newer}
    return bool(Setpoint.objects.filter(pk=other.pk, state=S.EXECUTED, released_at=None).update(**ended))


def _request_form(setpoint: Setpoint, around: Circumstances, now: datetime) -> dict[str, Any]:
    return audit_form(
        setpoint,
        "request set-point",
        now=now,
        actor=setpoint.requested_by,
        reason=setpoint.reason,
        issuer=setpoint.issuer,
        value=setpoint.value,
        unit=setpoint.unit,
        mode=setpoint.mode,
        before=setpoint.before,
        limits=limits_now(setpoint, around),
        ramp=setpoint.ramp,
        sequence=setpoint.sequence,
        valid_until=setpoint.valid_until,
    )


@contextmanager
def audited_or_refused() -> Iterator[None]:
    """A transaction with its audit rows. Raises SetpointRejected `audit_unavailable`, and nothing is stored.

    Inside another audited deed it is that one's to say or to spool: AuditUnavailable.
    """
    inside = is_inside()
    try:
        with audited():
            yield
    except AuditUnavailable as error:
        if inside:
            raise
        raise SetpointRejected(RejectCode.AUDIT_UNAVAILABLE, str(error)) from error
