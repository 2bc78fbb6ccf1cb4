"""Counts over the reader's pilots that no frame carries: set-points in force, messages waiting for INVADE. [operation]"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Count, Max
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import OutboxMessage, OutboxState, Pilot, Setpoint


def totals_of(pilots: Iterable[Pilot], now: datetime) -> dict[str, str]:
    """Figures and their sentences, ready to be shown."""
    codes = [pilot.pk for pilot in pilots]
    by_issuer = _in_force(codes, now)
    outbox = OutboxMessage.objects.filter(pilot__in=codes)
    return {
        "setpoints": str(sum(by_issuer.values())),
        "setpoints_note": ", ".join(f"{count} {_issuer_name(issuer)}" for issuer, count in by_issuer.items())
        or _("none in force"),
        "waiting": str(outbox.filter(refused_at=None).count()),
        "waiting_note": _outbox_note(codes, outbox.exclude(refused_at=None).count(), now),
    }


def _in_force(pilots: list[int], now: datetime) -> dict[str, int]:
    held = Setpoint.objects.filter(
        point__device__pilot__in=pilots, state=SetpointState.EXECUTED, released_at=None, valid_until__gt=now
    )
    counted = held.exclude(issuer=Issuer.FALLBACK).order_by("issuer").values_list("issuer").annotate(n=Count("pk"))
    return dict(counted)


def _issuer_name(issuer: str) -> str:
    names = {Issuer.OPERATOR: _("by hand"), Issuer.PLATFORM: _("by INVADE"), Issuer.SCHEDULE: _("by schedule")}
    return names.get(Issuer(issuer), issuer)


def _outbox_note(pilots: list[int], set_aside: int, now: datetime) -> str:
    accepted = OutboxState.objects.filter(pilot__in=pilots).aggregate(newest=Max("accepted_at"))["newest"]
    if accepted is None:
        note = _("nothing accepted yet")
    else:
        note = _("last accepted %(seconds)d s ago") % {"seconds": max((now - accepted).total_seconds(), 0)}
    if not set_aside:
        return note
    return f"{note}, " + ngettext("%(n)d set aside", "%(n)d set aside", set_aside) % {"n": set_aside}
