"""Work one gateway does for all: old data, values by hand, link states, alarms, questions, spooled audit rows. [station]

Each chore has a lease of its own and rests ten times as long as it took: whatever it costs, the pollers keep their time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db import DatabaseError

from pilots.acquisition.by_hand import LOOK_EVERY_S, uphold
from pilots.acquisition.field_requests import forget_old_requests
from pilots.acquisition.ingest import Ingest
from pilots.acquisition.link_states import LinkWatch
from pilots.acquisition.old_data import mark_old_data
from pilots.acquisition.threads import DatabaseThreads
from pilots.alarms.states import StateAlarms
from pilots.audit.services import take_in_spool
from pilots.domain.errors import AuditUnavailable
from pilots.models.leases import HeldLease, take_lease

log = logging.getLogger(__name__)

EVERY_S = 1.0
#: What is asked every second must show as old 4 s after it fell silent: three periods, and the look for it.
OLD_DATA_EVERY_S = 0.5
REST = 10
SPOOL_EVERY_S = 5.0


@dataclass(slots=True)
class Chore:
    """One piece of work; `every_s` is the shortest rest."""

    name: str
    work: Callable[[datetime], object]
    every_s: float
    lease: HeldLease | None = None


class Chores:
    """Lives in the gateway's loop; the gateway renews the leases."""

    def __init__(self, owner: str, ingest: Ingest, threads: DatabaseThreads, *, ttl_s: float) -> None:
        self._owner, self._threads, self._ttl_s = owner, threads, ttl_s
        self._links = LinkWatch(ingest)
        self._chores = [
            Chore("old-data", lambda now: mark_old_data(ingest, now), OLD_DATA_EVERY_S),
            Chore("link-states", self._links.look, EVERY_S),
            Chore("alarm-states", StateAlarms().look, EVERY_S),
            Chore("values-by-hand", lambda now: uphold(ingest, now), LOOK_EVERY_S),
            Chore("field-requests", forget_old_requests, 60.0),
            Chore(f"audit-spool {socket.gethostname()}{settings.DATA_DIR}"[:120], lambda now: take_in_spool(), SPOOL_EVERY_S),
        ]

    @property
    def leases(self) -> list[HeldLease]:
        return [chore.lease for chore in self._chores if chore.lease is not None]

    def keep(self, names: Collection[str]) -> None:
        """The leases of other names are lost."""
        for chore in self._chores:
            if chore.name not in names:
                chore.lease = None

    async def run(self) -> None:
        """For ever, each in its own time."""
        await asyncio.gather(*(self._repeat(chore) for chore in self._chores))

    async def _repeat(self, chore: Chore) -> None:
        while True:
            started = time.monotonic()
            await self._do(chore)
            took_s = time.monotonic() - started
            await asyncio.sleep(max(chore.every_s - took_s, REST * took_s))

    async def _do(self, chore: Chore) -> None:
        try:
            if chore.lease is None or not chore.lease.usable:
                now = datetime.now(UTC)
                chore.lease = await self._threads.run(take_lease, chore.name, self._owner, ttl_s=self._ttl_s, now=now)
            if chore.lease is not None:
                await self._threads.run(chore.work, datetime.now(UTC))
        except (DatabaseError, AuditUnavailable) as error:
            log.warning("%s waits for the database: %s", chore.name, error)
        except Exception:  # the outermost loop of the chores: one that fails must not end the others
            log.exception("%s", chore.name)
