"""The one door for set-points and the only writer of their table. [operation]

operator | INVADE -> `request_setpoint` -> checks -> claimed by the gateway that holds the connection -> device -> feedback.
Every transition is one conditional UPDATE plus one event in one transaction; a device's answer makes a set-point
*dispatched*, only the measurement makes it *executed*.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, Q

from pilots.control.selectors import holder, record
from pilots.domain.errors import SetpointRejected
from pilots.domain.measurement import Measurement
from pilots.domain.point import PointKind
from pilots.domain.quality import Validity, aged
from pilots.domain.setpoint import (
    DEFAULT_PRIORITY,
    Circumstances,
    Issuer,
    RejectCode,
    SetpointState,
    Wish,
    check_setpoint,
    feedback_shows,
)
from pilots.domain.topology import LinkState
from pilots.live.frames import Change
from pilots.live.hub import hub
from pilots.models import AuditEvent, LatestValue, Lease, Point, Setpoint, SetpointEvent, User
from pilots.models.leases import HeldLease

log = logging.getLogger(__name__)
S = SetpointState

#: An outcome that no answer told is looked for this long in the measurements before it may be called failed.
UNKNOWN_PATIENCE = timedelta(seconds=30)
#: How long the 0 W that ends an expired storage set-point may take to arrive.
RELEASE_VALIDITY = timedelta(seconds=60)


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
    on_expiry: str = "release",
    issued_at: datetime | None = None,
    correlation_id: str = "",
    setpoint_id: UUID | None = None,
    user: User | None = None,
) -> Setpoint:
    """A record of the wish stands, validated or rejected with its reason; the gateway is woken for a validated one.

    `value` in `unit`, load convention. Raises SetpointRejected `duplicate_id` when another record has this id.
    """
    wish = Wish(
        value=value,
        unit=unit,
        mode=mode,
        priority=DEFAULT_PRIORITY[issuer] if priority is None else priority,
        valid_from=valid_from or now,
        valid_until=valid_until,
        issued_at=issued_at,
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
        on_expiry=on_expiry,
        correlation_id=correlation_id,
        valid_from=wish.valid_from,
        # A window of no length is refused below; the row still has to satisfy its own constraint.
        valid_until=max(valid_until, wish.valid_from + timedelta(milliseconds=1)),
        issued_at=issued_at,
        received_at=now,
        before=_measured(point, now),
    )
    with transaction.atomic():
        # One wish at a time for a point: two that arrive together must not both find it free.
        Point.objects.select_for_update().get(pk=point.pk)
        _store(setpoint)
        _note_audit(setpoint, now)
        _validate(setpoint, wish, now)
    return setpoint


def cancel_setpoint(setpoint: Setpoint, *, actor: str, reason: str, now: datetime) -> Setpoint:
    """The set-point is cancelled if it was still open; an executed one is released. Raises SetpointRejected when it is over."""
    with transaction.atomic():
        AuditEvent.objects.create(
            at=now,
            actor=actor,
            action="cancel set-point",
            pilot=setpoint.point.device.pilot.code,
            subject=str(setpoint.pk),
            reason=reason[:300],
        )
        open_states = [S.RECEIVED, S.VALIDATED, S.DISPATCHED]
        if _move(setpoint, open_states, S.CANCELLED, now=now, actor=actor, reason=reason or "Cancelled."):
            # A write that already left is not undone by the cancelling: the point is given back explicitly.
            if setpoint.claimed_at is not None:
                _release(setpoint, now, actor=actor)
        elif not _release_executed(setpoint, now, actor=actor):
            raise SetpointRejected("already_finished", f"The set-point is already {setpoint.state}.")
    setpoint.refresh_from_db()
    return setpoint


def claim_setpoint(setpoint: Setpoint, lease: HeldLease, *, now: datetime) -> bool:
    """True exactly once, for the worker that holds the connection's lease, while the set-point is valid."""
    lease_row = Lease.objects.filter(resource=lease.resource, owner=lease.owner, epoch=lease.epoch, until__gt=now)
    claimable = Setpoint.objects.filter(
        Exists(lease_row), pk=setpoint.pk, state=S.VALIDATED, claimed_at=None, valid_from__lte=now, valid_until__gt=now
    )
    if not claimable.update(claimed_at=now, claim_epoch=lease.epoch):
        return False
    setpoint.claimed_at, setpoint.claim_epoch = now, lease.epoch
    return True


def note_dispatched(setpoint: Setpoint, *, raw: str, actor: str, now: datetime) -> None:
    """The device has confirmed the write; from now on the measurement is awaited."""
    capability = setpoint.point.spec.capability
    response_s = 5.0 if capability is None else capability.response_time_s
    deadline = now + timedelta(seconds=3 * response_s)
    _move(
        setpoint,
        [S.VALIDATED],
        S.DISPATCHED,
        now=now,
        actor=actor,
        raw=raw,
        changes={"dispatched_at": now, "feedback_deadline": deadline},
    )


def note_refused(setpoint: Setpoint, *, reason: str, raw: str, actor: str, now: datetime) -> None:
    """The device said no."""
    code = RejectCode.DEVICE_REJECTED
    _move(setpoint, [S.VALIDATED, S.DISPATCHED], S.REJECTED, now=now, actor=actor, code=code, reason=reason, raw=raw)


def note_not_sent(setpoint: Setpoint, *, reason: str, actor: str, now: datetime) -> None:
    """The frame could not leave: the device knows nothing of it."""
    _move(setpoint, [S.VALIDATED], S.FAILED, now=now, actor=actor, code=RejectCode.LINK_DOWN, reason=reason)


def note_expired(setpoint: Setpoint, *, actor: str, now: datetime) -> None:
    """Its time had passed before it was executed."""
    reason = "valid_until passed before execution."
    _move(setpoint, [S.RECEIVED, S.VALIDATED, S.DISPATCHED], S.EXPIRED, now=now, actor=actor, reason=reason)


def note_unknown(setpoint: Setpoint, *, reason: str, actor: str, now: datetime) -> None:
    """Nobody knows whether the device took it; the next measurements tell."""
    changes = {"feedback_deadline": now + UNKNOWN_PATIENCE}
    _move(setpoint, [S.VALIDATED, S.DISPATCHED], S.UNKNOWN, now=now, actor=actor, reason=reason, changes=changes)


def recover_claims(connections: Iterable[int], *, actor: str, now: datetime) -> int:
    """Claims of an earlier holder of these connections became `unknown`: nothing is sent again blindly. Returns how many."""
    orphans = Setpoint.objects.filter(state=S.VALIDATED, claimed_at__isnull=False, point__device__connection__in=list(connections))
    found = list(orphans.select_related("point__device__pilot"))
    for setpoint in found:
        reason = "The gateway stopped between claim and answer. Reading it back; do not send again."
        note_unknown(setpoint, reason=reason, actor=actor, now=now)
    return len(found)


def pending_points() -> set[int]:
    """Keys of the points whose next measurement may prove a set-point."""
    return {point.pk for _, point in _awaited()}


def check_feedback(latest: Mapping[int, Measurement], *, now: datetime) -> list[Change]:
    """Set-points that these measurements prove are executed; returns the changes to publish after the commit."""
    changes = []
    for setpoint, feedback in _awaited():
        measurement = latest.get(feedback.pk)
        if measurement is not None and _proves(setpoint, measurement):
            reason = f"{feedback.name} shows {measurement.value:g} {feedback.unit}."
            if _move(setpoint, [S.DISPATCHED, S.UNKNOWN], S.EXECUTED, now=now, actor="feedback", reason=reason, publish=False):
                changes.append(_change(setpoint))
    return changes


def expire_setpoints(*, now: datetime) -> int:
    """Everything whose time is over has its end: expired, failed for want of feedback, or released. Returns how many."""
    actor, ended = "clock", 0
    overdue = Q(state__in=[S.RECEIVED, S.DISPATCHED], valid_until__lte=now)
    unclaimed = Q(state=S.VALIDATED, claimed_at=None, valid_until__lte=now)
    for setpoint in _full(Setpoint.objects.filter(overdue | unclaimed)):
        note_expired(setpoint, actor=actor, now=now)
        if setpoint.claimed_at is not None:
            _release(setpoint, now, actor=actor)
        ended += 1
    for setpoint in _full(Setpoint.objects.filter(state__in=[S.DISPATCHED, S.UNKNOWN], feedback_deadline__lte=now)):
        ended += _fail_without_feedback(setpoint, now)
    for setpoint in _full(Setpoint.objects.filter(state=S.EXECUTED, released_at=None, valid_until__lte=now)):
        ended += _release_executed(setpoint, now, actor=actor)
    return ended


def _validate(setpoint: Setpoint, wish: Wish, now: datetime) -> None:
    try:
        check_setpoint(wish, setpoint.point.spec, now, _circumstances(setpoint, now))
    except SetpointRejected as error:
        _move(setpoint, [S.RECEIVED], S.REJECTED, now=now, actor="checks", code=error.code, reason=error.reason)
        return
    _supersede_older(setpoint, now)
    _move(setpoint, [S.RECEIVED], S.VALIDATED, now=now, actor="checks")
    connection = setpoint.point.device.connection
    if connection is not None:
        transaction.on_commit(lambda: hub(settings.REDIS_URL).wake(connection.name))


def _circumstances(setpoint: Setpoint, now: datetime) -> Circumstances:
    point = setpoint.point
    device = point.device
    latest = LatestValue.objects.filter(point__device=device).select_related("point")
    qualities = {row.point.name: _shown_quality(row, now) for row in latest}
    mode = next((row for row in latest if row.point.name == "control_mode"), None)
    held = holder(point, now)
    return Circumstances(
        link_up=_link_up(point, qualities),
        feedback_validity=qualities.get(point.feedback),
        control_mode_local=mode is not None and point.device.points.get(name="control_mode").labels.get(str(int(mode.value or 0))) == "local",
        holder_priority=None if held is None or held.pk == setpoint.pk else held.priority,
        holder="" if held is None else f"{held.issuer} {held.requested_by}",
    )


def _link_up(point: Point, qualities: Mapping[str, Validity]) -> bool | None:
    connection = point.device.connection
    if connection is None or connection.state == LinkState.DOWN:
        return False
    if not qualities:
        return None
    return any(validity is Validity.GOOD for validity in qualities.values())


def _shown_quality(row: LatestValue, now: datetime) -> Validity:
    quality = aged(row.unpacked_quality, received=row.received_time, max_age_s=row.point.spec.max_age_s, now=now)
    return quality.validity


def _supersede_older(setpoint: Setpoint, now: datetime) -> None:
    """Newest wins among equals and lower ones: what waits is cancelled, what is in force ends."""
    if setpoint.valid_from > now:
        return
    older = Setpoint.objects.filter(point=setpoint.point, priority__gte=setpoint.priority).exclude(pk=setpoint.pk)
    for other in _full(older.filter(state__in=[S.RECEIVED, S.VALIDATED, S.DISPATCHED], valid_from__lte=now)):
        _move(
            other,
            [S.RECEIVED, S.VALIDATED, S.DISPATCHED],
            S.CANCELLED,
            now=now,
            actor=setpoint.requested_by,
            code=RejectCode.SUPERSEDED,
            reason=f"Superseded by a newer set-point of {setpoint.requested_by}.",
            changes={"superseded_by": setpoint},
        )
    active = older.filter(state=S.EXECUTED, released_at=None)
    for other in _full(active):
        Setpoint.objects.filter(pk=other.pk, released_at=None).update(released_at=now, superseded_by=setpoint)
        _publish(other.pk)


def _release_executed(setpoint: Setpoint, now: datetime, *, actor: str) -> bool:
    """An executed set-point no longer holds its point, and the device is given back."""
    if not Setpoint.objects.filter(pk=setpoint.pk, state=S.EXECUTED, released_at=None).update(released_at=now):
        return False
    if setpoint.issuer != Issuer.FALLBACK:
        _release(setpoint, now, actor=actor)
    _publish(setpoint.pk)
    return True


def _release(setpoint: Setpoint, now: datetime, *, actor: str) -> None:
    """A target ends with 0 written to the device; a ceiling ends by the device's own validity (OCPP `validTo`)."""
    capability = setpoint.point.spec.capability
    if setpoint.kind != "setpoint" or setpoint.on_expiry != "release" or capability is None:
        return
    ceiling = setpoint.mode == "limit"
    value = capability.maximum if ceiling else 0.0
    if not capability.minimum <= value <= capability.maximum or setpoint.value == value:
        return
    if ceiling and setpoint.valid_until <= now:
        return
    request_setpoint(
        point=setpoint.point,
        value=value,
        unit=setpoint.unit,
        mode=setpoint.mode,
        issuer=Issuer.FALLBACK,
        requested_by=actor,
        reason=f"Release of set-point {setpoint.pk}",
        valid_until=now + RELEASE_VALIDITY,
        now=now,
    )


def _fail_without_feedback(setpoint: Setpoint, now: datetime) -> bool:
    feedback = _feedback_point(setpoint.point)
    latest = LatestValue.objects.filter(point=feedback).select_related("point").first()
    readable = latest is not None and _shown_quality(latest, now) is Validity.GOOD
    if setpoint.state == S.UNKNOWN and not readable:
        return False  # honest: it stays unknown while it cannot be read
    shown = f"{latest.value:g} {feedback.unit}" if latest is not None and latest.value is not None else "nothing"
    reason = f"The device has not followed: {feedback.name} shows {shown}."
    return _move(setpoint, [S.DISPATCHED, S.UNKNOWN], S.FAILED, now=now, actor="feedback", reason=reason)


def _proves(setpoint: Setpoint, measurement: Measurement) -> bool:
    since = setpoint.dispatched_at or setpoint.claimed_at
    capability = setpoint.point.spec.capability
    if since is None or capability is None or measurement.value is None or measurement.received_time <= since:
        return False
    if measurement.quality.validity is not Validity.GOOD:
        return False
    return feedback_shows(setpoint.value, setpoint.mode, measurement.value, capability)


def _awaited() -> list[tuple[Setpoint, Point]]:
    """Set-points whose proof is awaited, each with its feedback point."""
    waiting = _full(Setpoint.objects.filter(state__in=[S.DISPATCHED, S.UNKNOWN]))
    return [(setpoint, _feedback_point(setpoint.point)) for setpoint in waiting]


def _feedback_point(point: Point) -> Point:
    return point.device.points.filter(name=point.feedback).first() or point


def _measured(point: Point, now: datetime) -> float | None:
    """The feedback's value before the set-point, for the operator's comparison; None when there is none to trust."""
    latest = LatestValue.objects.filter(point__device=point.device, point__name=point.feedback or point.name).first()
    return None if latest is None else latest.value


def _store(setpoint: Setpoint) -> None:
    try:
        with transaction.atomic():
            setpoint.save(force_insert=True)
    except IntegrityError as error:
        raise SetpointRejected("duplicate_id", "Another set-point has this id.", field="id") from error
    _add_event(setpoint, S.RECEIVED, now=setpoint.received_at, actor=setpoint.requested_by, reason=setpoint.reason)


def _note_audit(setpoint: Setpoint, now: datetime) -> None:
    device = setpoint.point.device
    details: dict[str, Any] = {"value": setpoint.value, "unit": setpoint.unit, "mode": setpoint.mode, "id": str(setpoint.pk)}
    details |= {"before": setpoint.before, "valid_until": setpoint.valid_until.isoformat(), "issuer": setpoint.issuer}
    AuditEvent.objects.create(
        at=now,
        actor=setpoint.requested_by,
        action="request set-point",
        pilot=device.pilot.code,
        subject=f"{device.code}/{setpoint.point.name}",
        reason=setpoint.reason,
        details=details,
    )


def _move(
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
    publish: bool = True,
) -> bool:
    """One transition, if the row is still in an allowed state: the UPDATE decides every race. True when it happened."""
    columns: dict[str, Any] = {"state": new, "code": code, "explanation": reason[:300]} | (changes or {})
    if new.terminal:
        columns["finished_at"] = now
    if new is S.EXECUTED and setpoint.issuer == Issuer.FALLBACK:
        columns["released_at"] = now  # it gives the point back, it does not hold it
    with transaction.atomic():
        if not Setpoint.objects.filter(pk=setpoint.pk, state__in=allowed).update(**columns):
            return False
        for name, value in columns.items():
            setattr(setpoint, name, value)
        _add_event(setpoint, new, now=now, actor=actor, code=code, reason=reason, raw=raw)
        if publish:
            _publish(setpoint.pk)
    return True


def _add_event(
    setpoint: Setpoint, state: SetpointState, *, now: datetime, actor: str, code: str = "", reason: str = "", raw: str = ""
) -> None:
    SetpointEvent.objects.create(
        setpoint=setpoint, state=state, at=now, actor=actor, code=code, reason=reason[:300], raw=raw[:500]
    )


def _full(setpoints: Any) -> list[Setpoint]:
    return list(setpoints.select_related("point__device__pilot", "point__device__connection"))


def _change(setpoint: Setpoint) -> Change:
    return Change(setpoint.point.device.pilot.code, setpoints=[record(setpoint)])


def _publish(key: UUID) -> None:
    def after_commit() -> None:
        (setpoint,) = _full(Setpoint.objects.filter(pk=key))
        hub(settings.REDIS_URL).publish([_change(setpoint)])

    transaction.on_commit(after_commit)
