"""Leases: who may own a connection or the outbox just now. [station]

A row per resource with owner, epoch and end. It is taken only when free or run out, and its holder gives it up by its own
monotonic clock before the row says so, so two workers never own one resource even if a clock jumps.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
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


@transaction.atomic
def take_leases(resources: Iterable[str], owner: str, *, ttl_s: float, now: datetime) -> list[HeldLease]:
    """Those of `resources` that `take_lease` would have given, in a handful of statements for thousands."""
    started, wanted = time.monotonic(), list(resources)
    until = now + timedelta(seconds=ttl_s)
    rows = Lease.objects.filter(resource__in=wanted)
    rows.filter(owner=owner, until__gt=now).update(until=until)
    # Rows that another worker is just taking are left to it: waiting for each other's rows would be a deadlock.
    free = list(rows.filter(until__lte=now).select_for_update(skip_locked=True).values_list("pk", flat=True))
    Lease.objects.filter(pk__in=free, until__lte=now).update(owner=owner, until=until, epoch=F("epoch") + 1)
    known = set(rows.values_list("resource", flat=True))
    new = [Lease(resource=resource, owner=owner, until=until) for resource in sorted(set(wanted) - known)]
    Lease.objects.bulk_create(new, ignore_conflicts=True)
    ours = rows.filter(owner=owner, until__gt=now).values_list("resource", "epoch")
    return [HeldLease(resource, owner, epoch, started + ttl_s) for resource, epoch in ours]


def renew_leases(leases: Sequence[HeldLease], *, ttl_s: float, now: datetime) -> list[HeldLease]:
    """Those of one owner's leases that are still its own, now longer, in one transaction; the others are lost.

    One that has run out and that nobody else took since is still its own: owner and epoch say so.
    """
    if not leases:
        return []
    started = time.monotonic()
    mine = Lease.objects.filter(owner=leases[0].owner, resource__in=[lease.resource for lease in leases])
    with transaction.atomic():
        mine.update(until=now + timedelta(seconds=ttl_s))
        epochs = dict(mine.values_list("resource", "epoch"))
    kept = [lease for lease in leases if epochs.get(lease.resource) == lease.epoch]
    for lease in kept:
        lease.ends_monotonic = started + ttl_s
    return kept


def give_up_lease(lease: HeldLease, *, now: datetime) -> None:
    """Others may take the resource at once."""
    Lease.objects.filter(resource=lease.resource, owner=lease.owner, epoch=lease.epoch).update(until=now)


def give_up_leases(leases: Sequence[HeldLease], *, now: datetime) -> None:
    """Others may take all these resources at once."""
    mine = Lease.objects.filter(owner__in={lease.owner for lease in leases}, resource__in=[lease.resource for lease in leases])
    mine.update(until=now)


def live_resources(prefixes: Sequence[str], *, now: datetime) -> dict[str, str]:
    """Owner by resource of every lease that holds now, of resources that begin like that."""
    begins = Q()
    for prefix in prefixes:
        begins |= Q(resource__startswith=prefix)
    return dict(Lease.objects.filter(begins, until__gt=now).values_list("resource", "owner"))


def fair_share(total: int, workers: int) -> int:
    """How many of `total` resources one of `workers` may hold, so that together they can hold all.

    >>> fair_share(7, 2), fair_share(1, 3), fair_share(4, 0)
    (4, 1, 4)
    """
    return -(-total // max(1, workers))


def _create(resource: str, owner: str, until: datetime) -> bool:
    try:
        with transaction.atomic():
            Lease.objects.create(resource=resource, owner=owner, until=until)
    except IntegrityError:
        return False  # another worker was quicker, or holds it still
    return True
