"""Select before operate, with a second person where a pilot's rule asks for one: the only way a command comes to be. [operation]

select -> [ask for approval -> approve] -> operate -> the command's record, or cancel. One selection a device, by one session,
for 30 s; an approval opens it for 30 s more. Every step and every refusal stands in the audit trail. What a command then has to
pass is what every set-point has (`control.services`): selecting forgives nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from pilots.audit.services import audited, record_event
from pilots.control.feedback import measured_before
from pilots.control.selections import needs_approval, open_on_device, value_words
from pilots.control.services import request_setpoint
from pilots.domain.errors import AuditUnavailable, SetpointRejected
from pilots.domain.point import PointKind
from pilots.domain.setpoint import Issuer, RejectCode
from pilots.domain.switching import (
    APPROVABLE_FOR,
    COMMAND_VALID_FOR,
    SELECTED_FOR,
    CommandClass,
    SwitchingCode,
    class_of,
)
from pilots.models import Approval, Point, Selection, Setpoint, User

C = SwitchingCode


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who takes a step: `source` as `user:3` or `token:invade`, `session` a digest of the session or token.

    `proved`: may give critical commands now, by the password given again within 5 min or by a scope of a token.
    """

    name: str
    source: str
    session: str
    issuer: Issuer
    proved: bool
    user: User | None = None


# The one who switches


def select(point: Point, value: float, *, reason: str, actor: Actor, now: datetime) -> Selection:
    """The device is this session's for 30 s, in place of what it had selected there. Raises SetpointRejected."""
    details = {"value": value, "before": measured_before(point)}
    with _refusals_audited("refuse select", point, actor, now, details):
        command_class = _checked_class(point, value, reason, actor)
        selection = Selection(
            point=point,
            device=point.device,
            value=value,
            before=details["before"],
            reason=reason.strip()[:300],
            command_class=command_class,
            owner=actor.name,
            source=actor.source,
            session=actor.session,
            selected_at=now,
            until=now + SELECTED_FOR,
        )
        with audited():
            _make_room(selection, now)
            _insert(selection)
            _audit("select", selection, actor, now, value=value, before=selection.before)
    return selection


def ask_for_approval(selection: Selection, *, actor: Actor, now: datetime) -> Approval:
    """A second person is asked; the device stays reserved until the answer, 5 min at most. Raises SetpointRejected."""
    with _refusals_audited("refuse approval request", selection.point, actor, now, {"selection": selection.pk}):
        _check_own(selection, actor, now)
        if not needs_approval(selection):
            raise SetpointRejected(C.NO_APPROVAL_NEEDED, "Nobody else has to agree to this command: operate it.")
        with audited():
            approval, made = Approval.objects.get_or_create(
                selection=selection, defaults={"requested_at": now, "until": now + APPROVABLE_FOR}
            )
            if made:
                _prolong(selection, approval.until, now)
                _audit("ask for approval", selection, actor, now)
    return approval


def operate(selection: Selection, value: float, *, actor: Actor, now: datetime) -> Setpoint:
    """The command's record stands, validated or rejected, and the selection is over. Raises SetpointRejected, and it is not."""
    with _refusals_audited("refuse operate", selection.point, actor, now, {"selection": selection.pk, "value": value}):
        _check_own(selection, actor, now)
        if value != selection.value:
            asked, chosen = (value_words(selection.point, each) for each in (value, selection.value))
            sentence = f"{chosen} is selected, not {asked}: cancel and select anew."
            raise SetpointRejected(C.SELECTION_DIFFERS, sentence, field="value")
        _check_proved(CommandClass(selection.command_class), actor)
        _check_approved(selection, now)
        with audited():
            _end(selection, "operated", now)
            setpoint = _command(selection, actor, now)
            Selection.objects.filter(pk=selection.pk).update(setpoint=setpoint)
            _audit("operate", selection, actor, now, value=value, setpoint=str(setpoint.pk), approved_by=_approver(selection))
    return setpoint


def cancel(selection: Selection, *, actor: Actor, now: datetime) -> None:
    """The device is free again and nothing was switched. Raises SetpointRejected when it is another session's or over."""
    with _refusals_audited("refuse cancel selection", selection.point, actor, now, {"selection": selection.pk}):
        _check_own(selection, actor, now)
        with audited():
            _end(selection, "cancelled", now)
            _audit("cancel selection", selection, actor, now)


# The second person


def approve(approval: Approval, *, actor: Actor, reason: str, now: datetime) -> None:
    """Who selected may operate within 30 s. Raises SetpointRejected for their own, and when it is over."""
    _decide(approval, True, actor, reason, now)


def disapprove(approval: Approval, *, actor: Actor, reason: str, now: datetime) -> None:
    """The selection is over and nothing was switched. Raises SetpointRejected as `approve`."""
    _decide(approval, False, actor, reason, now)


def _decide(approval: Approval, approved: bool, actor: Actor, reason: str, now: datetime) -> None:
    selection = approval.selection
    with _refusals_audited("refuse approval", selection.point, actor, now, {"selection": selection.pk, "approved": approved}):
        if actor.source == selection.source or actor.session == selection.session:
            raise SetpointRejected(C.SELF_APPROVAL, "A second person has to agree, in a session of their own.")
        _check_proved(CommandClass(selection.command_class), actor)
        with audited():
            still = Approval.objects.filter(pk=approval.pk, approved=None, until__gt=now, selection__ended_at=None)
            columns = {"decided_at": now, "decided_by": actor.name, "reason": reason.strip()[:300]}
            if not still.update(approved=approved, **columns):
                raise SetpointRejected(C.APPROVAL_OVER, "This request is over: it was answered, given up or took too long.")
            if approved:
                _prolong(selection, now + SELECTED_FOR, now)
            else:
                _end(selection, "refused", now)
            _audit("approve" if approved else "disapprove", selection, actor, now, why=reason.strip()[:300])


# Each step's own questions


def _checked_class(point: Point, value: float, reason: str, actor: Actor) -> CommandClass:
    if point.kind != PointKind.COMMAND or point.capability is None:
        raise SetpointRejected(RejectCode.NOT_CAPABLE, f"{point.name} is no command: give it a set-point.", field="point")
    command_class = class_of(point.spec)
    _check_proved(command_class, actor)
    if not reason.strip():
        raise SetpointRejected(C.REASON_MISSING, "Say why: others will read it.", field="reason")
    known = sorted(map(int, point.labels))
    if known and value not in known:
        offered = ", ".join(f"{code} ({point.labels[str(code)]})" for code in known)
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, f"{point.name} takes {offered}, not {value:g}.", field="value")
    return command_class


def _check_own(selection: Selection, actor: Actor, now: datetime) -> None:
    if (actor.session, actor.source) != (selection.session, selection.source):
        sentence = f"{selection.owner} has selected it in another session, which alone may operate or cancel it."
        raise SetpointRejected(C.OTHER_SESSION, sentence)
    # A clock that was set back must not lengthen it.
    if selection.ended_at is not None or not selection.selected_at <= now < selection.until:
        raise SetpointRejected(C.SELECTION_OVER, "The selection is over: select anew. Nothing was switched by this.")


def _check_proved(command_class: CommandClass, actor: Actor) -> None:
    if command_class is CommandClass.CRITICAL and not actor.proved:
        lacking = "Give your password again" if actor.user is not None else "The token lacks the scope switch_critical"
        raise SetpointRejected(C.STEP_UP_REQUIRED, f"This command is critical. {lacking}.")


def _check_approved(selection: Selection, now: datetime) -> None:
    if not needs_approval(selection):
        return
    approval = Approval.objects.filter(selection=selection, approved=True).first()
    if approval is None or approval.decided_at is None or not approval.decided_at <= now < approval.decided_at + SELECTED_FOR:
        raise SetpointRejected(C.APPROVAL_REQUIRED, "A second person has to agree to this command first.")


def _approver(selection: Selection) -> str:
    return Approval.objects.filter(selection=selection, approved=True).values_list("decided_by", flat=True).first() or ""


def _make_room(selection: Selection, now: datetime) -> None:
    """What nobody ended is over, and a session that lost its page may select again."""
    there = open_on_device(selection.point)
    there.filter(until__lte=now).update(ended_at=now, outcome="expired")
    there.filter(session=selection.session, source=selection.source).update(ended_at=now, outcome="cancelled")


def _insert(selection: Selection) -> None:
    try:
        with transaction.atomic():
            selection.save(force_insert=True)
    except IntegrityError as error:
        held = open_on_device(selection.point).first()
        who = held.owner if held is not None else "Somebody"
        raise SetpointRejected(C.ALREADY_SELECTED, f"{who} has selected {selection.device.code} this moment.") from error


def _prolong(selection: Selection, until: datetime, now: datetime) -> None:
    if not Selection.objects.filter(pk=selection.pk, ended_at=None, until__gt=now).update(until=until):
        raise SetpointRejected(C.SELECTION_OVER, "The selection is over: select anew.")
    selection.until = until


def _end(selection: Selection, outcome: str, now: datetime) -> None:
    """The UPDATE decides every race: two who operate at once end one selection."""
    if not Selection.objects.filter(pk=selection.pk, ended_at=None, until__gt=now).update(ended_at=now, outcome=outcome):
        raise SetpointRejected(C.SELECTION_OVER, "The selection is over: select anew. Nothing was switched by this.")
    selection.ended_at, selection.outcome = now, outcome


def _command(selection: Selection, actor: Actor, now: datetime) -> Setpoint:
    return request_setpoint(
        point=selection.point,
        value=selection.value,
        unit=selection.point.unit,
        issuer=actor.issuer,
        requested_by=actor.name,
        valid_until=now + COMMAND_VALID_FOR,
        reason=selection.reason,
        user=actor.user,
        correlation_id=f"selection {selection.pk}",
        selected=True,
        now=now,
    )


# The audit trail


@contextmanager
def _refusals_audited(action: str, point: Point, actor: Actor, now: datetime, details: dict[str, Any]) -> Iterator[None]:
    """A step that was refused is in the trail with its code and sentence, outside the transaction that it ended."""
    try:
        yield
    except AuditUnavailable as error:
        raise SetpointRejected(RejectCode.AUDIT_UNAVAILABLE, str(error)) from error
    except SetpointRejected as refusal:
        if refusal.code != RejectCode.AUDIT_UNAVAILABLE:
            _record(action, point, actor, now, refusal.reason, {**details, "code": refusal.code})
        raise


def _audit(action: str, selection: Selection, actor: Actor, now: datetime, **details: Any) -> None:
    told = {name: value for name, value in details.items() if value not in (None, "")}
    _record(action, selection.point, actor, now, selection.reason, {"selection": selection.pk, **told})


def _record(action: str, point: Point, actor: Actor, now: datetime, reason: str, details: dict[str, Any]) -> None:
    device = point.device
    told = {name: str(value) if name == "selection" else value for name, value in details.items()}
    record_event(
        at=now,
        actor=actor.name,
        action=action,
        pilot=device.pilot.code,
        subject=f"{device.code}/{point.name}",
        reason=reason,
        details=told,
    )
