"""Reads selections and approvals: what stands in the way, who has to agree, records for API and pages. [operation]"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from pilots.control.circumstances import circumstances
from pilots.domain.errors import SetpointRejected
from pilots.domain.guards import Wish, refusals
from pilots.domain.setpoint import DEFAULT_PRIORITY, Issuer
from pilots.domain.switching import COMMAND_VALID_FOR, CommandClass, FourEyes
from pilots.models import Approval, Pilot, Point, Selection, Setpoint
from pilots.northbound.messages import rfc3339


def open_on_device(point: Point) -> QuerySet[Selection]:
    """The selection that reserves the point's device, over or not."""
    return Selection.objects.filter(device=point.device_id, ended_at=None)


def with_point(selections: QuerySet[Selection]) -> QuerySet[Selection]:
    """The same rows with everything that their steps and records need."""
    return selections.select_related("point__device__pilot", "point__device__connection", "device__pilot", "approval")


def pending_approvals(pilots: QuerySet[Pilot], now: datetime) -> QuerySet[Approval]:
    """What waits for a second person there, oldest first."""
    waiting = Approval.objects.filter(approved=None, until__gt=now, selection__ended_at=None, selection__device__pilot__in=pilots)
    return waiting.select_related("selection__point__device__pilot", "selection__device__pilot").order_by("requested_at")


def needs_approval(selection: Selection) -> bool:
    """Whether the pilot's rule asks for a second person, as it stands now."""
    return FourEyes(selection.device.pilot.four_eyes).covers(CommandClass(selection.command_class))


def approval_of(selection: Selection) -> Approval | None:
    """The second person's word, asked for or given; None when nobody was asked."""
    return Approval.objects.filter(selection=selection).first()


def obstacles(selection: Selection, issuer: Issuer, now: datetime) -> list[SetpointRejected]:
    """Everything that would refuse the command if it were operated now: tags, interlocks, link, local mode, holder."""
    wish = Wish(
        value=selection.value,
        unit=selection.point.unit,
        mode="absolute",
        priority=DEFAULT_PRIORITY[issuer],
        valid_from=now,
        valid_until=now + COMMAND_VALID_FOR,
        issued_at=None,
    )
    probe = Setpoint(point=selection.point, issuer=issuer, valid_from=now, priority=wish.priority)
    return refusals(wish, selection.point.spec, now, circumstances(probe, now))


def value_words(point: Point, value: float | None) -> str:
    """The label of a command's value, or its number; a dash for none."""
    if value is None:
        return "–"
    label = point.labels.get(str(int(value))) if value.is_integer() else None
    return str(label or f"{value:g}")


def state_of(selection: Selection, now: datetime) -> str:
    """selected, awaiting_approval, approved, operated, cancelled, refused or expired."""
    if selection.outcome or selection.until <= now:
        return selection.outcome or "expired"
    approval = approval_of(selection)
    if approval is None:
        return "selected"
    return "approved" if approval.approved else "awaiting_approval"


def selection_record(selection: Selection, issuer: Issuer, now: datetime) -> dict[str, Any]:
    """The selection as the API shows it (docs/api.md, switching); what would refuse it only while it is open."""
    point, state, approval = selection.point, state_of(selection, now), approval_of(selection)
    found = obstacles(selection, issuer, now) if state in ("selected", "awaiting_approval", "approved") else []
    return {
        "id": str(selection.pk),
        "state": state,
        "pilot": selection.device.pilot.code,
        "device": selection.device.code,
        "point": point.name,
        "value": selection.value,
        "label": point.labels.get(str(int(selection.value)), ""),
        "before": selection.before,
        "reason": selection.reason,
        "command_class": selection.command_class,
        "owner": selection.owner,
        "selected_at": rfc3339(selection.selected_at),
        "until": rfc3339(selection.until),
        "needs_approval": needs_approval(selection),
        "approval": None if approval is None else approval_record(approval),
        "refusals": [{"code": str(each.code), "reason": each.reason} for each in found],
        "setpoint": None if selection.setpoint_id is None else str(selection.setpoint_id),
    }


def approval_record(approval: Approval) -> dict[str, Any]:
    """The second person's word as the API shows it."""
    decided = approval.decided_at
    return {
        "id": str(approval.pk),
        "selection": str(approval.selection_id),
        "requested_at": rfc3339(approval.requested_at),
        "until": rfc3339(approval.until),
        "approved": approval.approved,
        "decided_at": None if decided is None else rfc3339(decided),
        "decided_by": approval.decided_by,
        "reason": approval.reason,
    }
