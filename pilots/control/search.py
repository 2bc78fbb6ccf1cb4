"""Finds set-points for their list and its export: filters, pages by key, all of them in order. [operation]"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from pilots.control.selectors import OPEN_STATES, with_record_data
from pilots.domain.setpoint import SetpointState
from pilots.models import Pilot, Point, Setpoint

#: On their way, or holding their point: the few among all that ever were.
ACTIVE = Q(state__in=[*OPEN_STATES, SetpointState.EXECUTED], released_at=None)
_PAGE = 1000
_SAID = ("point__device__code", "point__name", "requested_by", "reason", "explanation", "service", "correlation_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which set-points are looked for; what is empty does not matter."""

    text: str = ""
    pilot: str = ""
    device: str = ""
    point: str = ""
    state: str = ""
    issuer: str = ""
    who: str = ""
    group: UUID | None = None
    active: bool = False
    start: datetime | None = None
    end: datetime | None = None


class Key(NamedTuple):
    """Where a page ended: the next one begins with what was received before, or with a smaller id at the same time."""

    received_at: datetime
    id: UUID


def search(rows: QuerySet[Setpoint], wanted: Wanted) -> QuerySet[Setpoint]:
    """The set-points that are wanted, newest first. `text` is looked for in all that a row says."""
    exact = {
        "point__name": wanted.point,
        "state": wanted.state,
        "issuer": wanted.issuer,
        "point__device__code__icontains": wanted.device,
        "requested_by__icontains": wanted.who,
        "group": wanted.group,
        "received_at__gte": wanted.start,
        "received_at__lt": wanted.end,
    }
    rows = rows.filter(**{field: value for field, value in exact.items() if value})
    if wanted.pilot:
        rows = rows.filter(_at(Q(device__pilot__code=wanted.pilot)))
    if wanted.active:
        rows = rows.filter(ACTIVE)
    if wanted.text:
        rows = rows.filter(reduce(or_, (Q(**{f"{field}__icontains": wanted.text}) for field in _SAID)))
    return rows.order_by("-received_at", "-id")


def seen_at(pilots: Iterable[Pilot]) -> QuerySet[Setpoint]:
    """The set-points of these pilots; without a condition where these are all pilots."""
    keys = [pilot.pk for pilot in pilots]
    if not Pilot.objects.exclude(pk__in=keys).exists():
        return Setpoint.objects.all()
    return Setpoint.objects.filter(_at(Q(device__pilot__in=keys)))


def _at(where: Q) -> Exists:
    """Asked row by row in the order of time: as a join both databases would rather sort all of a pilot's rows."""
    return Exists(Point.objects.filter(where, pk=OuterRef("point")))


def page_of(rows: QuerySet[Setpoint], after: Key | None, size: int) -> list[Setpoint]:
    """The next `size` rows of a search, with all that a record reads: three queries, however many rows there are before."""
    if after is not None:
        # A plain bound first, which an index of `received_at` serves; the few of the same moment are told apart behind it.
        rows = rows.filter(received_at__lte=after.received_at).exclude(received_at=after.received_at, id__gte=after.id)
    return list(with_record_data(rows)[:size])


def in_order(rows: QuerySet[Setpoint]) -> Iterator[Setpoint]:
    """All rows of a search, a page in memory at a time; what comes in meanwhile is not among them."""
    after: Key | None = None
    while True:
        page = page_of(rows, after, _PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        after = key_of(page[-1])


def key_of(setpoint: Setpoint) -> Key:
    """The key of a row."""
    return Key(setpoint.received_at, setpoint.pk)
