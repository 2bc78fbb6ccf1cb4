"""Leases: who may own a connection or the outbox just now. [station]

A row per resource with owner, epoch and end. It is taken only when free or run out, and its holder gives it up by its own
monotonic clock before the row says so, so two workers never own one resource even if a clock jumps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from pilots.models.plant import Lease

#: Given up this much before its end: covers the write that is just under way.
MARGIN_S = 2.0


@dataclass(slots=True)
class HeldLease:
    """A lease this process holds. `usable` by the monotonic clock only."""

    resource: str
    owner: str
    epoch: int
    ends_monotonic: float

    @property
    def usable(self) -> bool:
        return time.monotonic() < self.ends_monotonic - MARGIN_S


def take_lease(resource: str, owner: str, *, ttl_s: float, now: datetime) -> HeldLease | None:
    """The lease if `resource` was free, run out or already ours (then it is renewed); None while another holds it."""
    started = time.monotonic()
    until = now + timedelta(seconds=ttl_s)
    renewed = Lease.objects.filter(resource=resource, owner=owner, until__gt=now).update(until=until)
    if not renewed:
        free = Lease.objects.filter(Q(until__lte=now), resource=resource)
        taken = free.update(owner=owner, until=until, epoch=F("epoch") + 1)
        if not taken and (Lease.objects.filter(resource=resource).exists() or not _create(resource, owner, until)):
            return None
    epoch = Lease.objects.filter(resource=resource, owner=owner).values_list("epoch", flat=True).first()
    return None if epoch is None else HeldLease(resource, owner, epoch, started + ttl_s)


def renew_leases(leases: Sequence[HeldLease], *, ttl_s: float, now: datetime) -> list[HeldLease]:
    """Those of one owner's leases that are still its own, now longer, in one transaction; the others are lost."""
    if not leases:
        return []
    started = time.monotonic()
    mine = Lease.objects.filter(owner=leases[0].owner, resource__in=[lease.resource for lease in leases])
    with transaction.atomic():
        mine.filter(until__gt=now).update(until=now + timedelta(seconds=ttl_s))
        epochs = dict(mine.filter(until__gt=now).values_list("resource", "epoch"))
    kept = [lease for lease in leases if epochs.get(lease.resource) == lease.epoch]
    for lease in kept:
        lease.ends_monotonic = started + ttl_s
    return kept


def give_up_lease(lease: HeldLease, *, now: datetime) -> None:
    """Others may take the resource at once."""
    Lease.objects.filter(resource=lease.resource, owner=lease.owner, epoch=lease.epoch).update(until=now)


def _create(resource: str, owner: str, until: datetime) -> bool:
    try:
        with transaction.atomic():
            Lease.objects.create(resource=resource, owner=owner, until=until)
    except IntegrityError:
        return False  # another worker was quicker, or holds it still
    return True
