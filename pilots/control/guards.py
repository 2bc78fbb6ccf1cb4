"""What people put between commands and the plant: blocking tags, the commands-off switch, operator holds. [operation]

Each is a row, so it survives every restart and holds for every worker at once: it is read when a set-point is accepted and
stands in the UPDATE that claims it. Setting and taking away are audited, with the reason, in the same transaction, or not done
at all (AuditUnavailable).

What gives a point back (issuer `fallback`) goes out while commands are off: it is what brings a device to its safe state. A
tag stops it too, because people may be working there; it waits and goes when the tag is gone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, Q, QuerySet

from pilots.audit.services import audited, record_event
from pilots.domain.errors import PilotsError
from pilots.domain.guards import MAX_VALIDITY
from pilots.live.frames import Change, milliseconds
from pilots.live.hub import hub
from pilots.models import BlockingTag, CommandsOff, Device, FallbackRun, OperatorHold, Pilot, Point, Substitution
from pilots.models.guards import Guard


class GuardRefused(PilotsError):
    """A guard cannot be set or taken away like this; the sentence says why."""

    code = "guard"


# Who asks


def tags_on(device: int) -> QuerySet[BlockingTag]:
    """The tags that hang on a device."""
    return BlockingTag.objects.filter(device=device, removed_at=None)


def switched_off() -> QuerySet[CommandsOff]:
    """The switches that are off anywhere."""
    return CommandsOff.objects.filter(removed_at=None).select_related("pilot")


def switches_off(pilot: int) -> QuerySet[CommandsOff]:
    """The switches that forbid commands at a pilot: its own and everybody's."""
    return switched_off().filter(Q(pilot=pilot) | Q(pilot=None))


def holds_at(now: datetime) -> QuerySet[OperatorHold]:
    """The holds that are in force."""
    return OperatorHold.objects.filter(removed_at=None, set_at__lte=now, until__gt=now)


def fallbacks_at(pilot: Pilot) -> QuerySet[FallbackRun]:
    """The fallback plans in force at a pilot."""
    return FallbackRun.objects.filter(point__device__pilot=pilot, removed_at=None).select_related("point__device")


def unguarded(device: Device) -> Q:
    """For a claiming UPDATE: no tag hangs on the device and commands are not off, as the database has it at that moment."""
    return Q(~Exists(tags_on(device.pk))) & Q(~Exists(switches_off(device.pilot_id)))


def block_words(device: Device) -> str:
    """Why the device may not be written to, in a sentence; empty when it may."""
    return tag_words(tags_on(device.pk).first()) or off_words(switches_off(device.pilot_id).first())


def tag_words(tag: BlockingTag | None) -> str:
    """Why a tagged device takes nothing, in a sentence; empty without a tag."""
    return "" if tag is None else f"Do not operate: tagged by {tag.owner}, {tag.reason.rstrip('.')}."


def off_words(switch: CommandsOff | None) -> str:
    """Why nothing is commanded here, in a sentence; empty while commands are on."""
    if switch is None:
        return ""
    where = "at every pilot" if switch.pilot is None else f"at {switch.pilot.name}"
    return f"Commands are off {where}: {switch.owner}, {switch.reason.rstrip('.')}."


def guard_state(pilot: Pilot, now: datetime) -> dict[str, list[dict[str, Any]]]:
    """Every guard of a pilot as pages and frames show it."""
    tags = BlockingTag.objects.filter(device__pilot=pilot, removed_at=None).select_related("device")
    held = holds_at(now).filter(point__device__pilot=pilot).select_related("point__device")
    return {
        "off": [_row(switch) | {"everywhere": switch.pilot is None} for switch in switches_off(pilot.pk)],
        "tags": [_row(tag) | {"device": tag.device.code} for tag in tags],
        "holds": [
            _row(hold) | {"device": hold.point.device.code, "point": hold.point.name, "until_ms": milliseconds(hold.until)}
            for hold in held
        ],
        "fallbacks": [
            _row(run) | {"device": run.point.device.code, "point": run.point.name, "value": run.value, "unit": run.point.unit}
            for run in fallbacks_at(pilot)
        ],
        "substitutions": [
            _row(made)
            | {
                "device": made.point.device.code,
                "point": made.point.name,
                "value": made.value,
                "until_ms": milliseconds(made.until),
            }
            for made in Substitution.objects.filter(removed_at=None, until__gt=now, point__device__pilot=pilot).select_related(
                "point__device"
            )
        ],
    }


# Who sets and takes away


def set_tag(device: Device, *, owner: str, reason: str, now: datetime) -> BlockingTag:
    """Nobody operates the device until the tag is taken away. Raises GuardRefused without a reason or with a second tag."""
    tag = BlockingTag(device=device, owner=owner, reason=_reason(reason), set_at=now)
    _set(tag, "set blocking tag", device.pilot, device.code, f"{owner} has tagged {device.code} already.")
    return tag


def remove_tag(tag: BlockingTag, *, by: str, reason: str, now: datetime) -> None:
    """The tag is gone; what waited to give a point back goes out now. Raises GuardRefused when it was gone before."""
    _remove(tag, "remove blocking tag", tag.device.pilot, tag.device.code, by=by, reason=reason, now=now)


def switch_commands_off(pilot: Pilot | None, *, by: str, reason: str, now: datetime) -> CommandsOff:
    """No command leaves for the pilot, or for any (None). Raises GuardRefused without a reason or when it is off already."""
    switch = CommandsOff(pilot=pilot, owner=by, reason=_reason(reason), set_at=now)
    _set(switch, "switch commands off", pilot, pilot.code if pilot else "all pilots", "Commands are off already.")
    return switch


def switch_commands_on(switch: CommandsOff, *, by: str, reason: str, now: datetime) -> None:
    """Commands go again. Raises GuardRefused when they did before."""
    subject = switch.pilot.code if switch.pilot else "all pilots"
    _remove(switch, "switch commands on", switch.pilot, subject, by=by, reason=reason, now=now)


def hold_point(point: Point, *, owner: str, reason: str, until: datetime, now: datetime) -> OperatorHold:
    """The operator keeps the point until then. Raises GuardRefused when somebody else does, or for more than 24 h."""
    if not timedelta(0) < until - now <= MAX_VALIDITY:
        raise GuardRefused("A point is held for 24 h at most.")
    over = OperatorHold.objects.filter(point=point, removed_at=None, until__lte=now)
    over.update(removed_at=now, removed_by="clock")
    hold = OperatorHold(point=point, owner=owner, reason=_reason(reason), until=until, set_at=now)
    device = point.device
    _set(hold, "hold point", device.pilot, f"{device.code}/{point.name}", f"{point} is held already: hand it back first.")
    return hold


def hand_back(hold: OperatorHold, *, by: str, reason: str, now: datetime) -> None:
    """The point is for everybody again. Raises GuardRefused when it was before."""
    device = hold.point.device
    _remove(hold, "hand back point", device.pilot, f"{device.code}/{hold.point.name}", by=by, reason=reason, now=now)


def _reason(reason: str) -> str:
    if not reason.strip():
        raise GuardRefused("Say why: others will read it.")
    return reason.strip()[:300]


def _set(guard: BlockingTag | CommandsOff | OperatorHold, action: str, pilot: Pilot | None, subject: str, taken: str) -> None:
    with audited():
        _audit(action, pilot, subject, by=guard.owner, reason=guard.reason, now=guard.set_at)
        try:
            with transaction.atomic():
                guard.save(force_insert=True)
        except IntegrityError as error:
            raise GuardRefused(taken) from error
        _publish(pilot, guard.set_at)


def _remove(
    guard: BlockingTag | CommandsOff | OperatorHold,
    action: str,
    pilot: Pilot | None,
    subject: str,
    *,
    by: str,
    reason: str,
    now: datetime,
) -> None:
    with audited():
        still = type(guard)._default_manager.filter(pk=guard.pk, removed_at=None)
        if not still.update(removed_at=now, removed_by=by):
            raise GuardRefused("It was taken away before.")
        _audit(action, pilot, subject, by=by, reason=reason.strip()[:300], now=now)
        _publish(pilot, now)


def _audit(action: str, pilot: Pilot | None, subject: str, *, by: str, reason: str, now: datetime) -> None:
    code = "" if pilot is None else pilot.code
    record_event(at=now, actor=by, action=action, pilot=code, subject=subject, reason=reason)


def _publish(pilot: Pilot | None, now: datetime) -> None:
    """Pages see it at once. The gateways need no telling: their next claim meets the row."""

    def after_commit() -> None:
        pilots = Pilot.objects.all() if pilot is None else [pilot]
        hub(settings.REDIS_URL).publish([Change(each.code, guards=guard_state(each, now)) for each in pilots])

    transaction.on_commit(after_commit)


def _row(guard: Guard) -> dict[str, Any]:
    return {"id": guard.pk, "owner": guard.owner, "reason": guard.reason, "since_ms": milliseconds(guard.set_at)}
