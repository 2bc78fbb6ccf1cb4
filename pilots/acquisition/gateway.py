"""The field gateway: one asyncio loop in a Celery worker that owns every southbound connection. [station]

Celery hosts, starts, stops and scales it (a bootstep of a worker on queue `field`); a poll is never a task, because a task
costs forty times a slot in this loop. Leases decide which worker holds which connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from celery import bootsteps
from django.conf import settings
from django.db import DatabaseError, close_old_connections

from pilots.acquisition.ingest import Ingest, ingest
from pilots.acquisition.link_states import update_link_states
from pilots.acquisition.old_data import mark_old_data
from pilots.acquisition.supervisor import Supervisor, in_thread, write_statistics
from pilots.acquisition.targets import Plan, PlanBook
from pilots.control.selectors import connections_with_due_setpoints
from pilots.live.hub import hub
from pilots.models.leases import HeldLease, give_up_lease, renew_leases, take_lease

log = logging.getLogger(__name__)

LEASE_S = 12.0
TEND_EVERY_S = 1.0
RENEW_EVERY_S = LEASE_S / 3
CLOSE_WITHIN_S = 5.0
STATISTICS_EVERY_S = 2.0


class Gateway:
    """Takes leases, runs a supervisor for each, watches configuration, old data and link states."""

    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"
        self.supervisors: dict[str, Supervisor] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._chores: dict[str, HeldLease] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop = asyncio.Event()
        self._running = threading.Event()
        self._plans = PlanBook()
        self.tended_at: datetime | None = None
        self._statistics_written = 0.0

    def start(self) -> None:
        """The loop runs in a thread of its own."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="gateway", daemon=True)
        self._thread.start()
        self._running.wait(5.0)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Connections are closed, leases given back, everything read is stored."""
        ends = time.monotonic() + timeout_s
        self._call(self._stop.set)
        if self._thread is not None:
            self._thread.join(timeout_s)
        ingest().stop(max(0.5, ends - time.monotonic()))

    def wake(self, connection: str) -> None:
        """Called from any thread: set-points wait for this connection."""
        self._call(self._wake, connection)

    def _call(self, callback: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            if self._loop is not None:
                self._loop.call_soon_threadsafe(callback, *arguments)

    def _wake(self, connection: str) -> None:
        for supervisor in self.supervisors.values():
            if connection in supervisor.plan.connections:
                supervisor.wake()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running.set()
        hub(settings.REDIS_URL).on_wake(self.wake)
        values = ingest()
        renewed = -RENEW_EVERY_S
        while not self._stop.is_set():
            try:
                if self._loop.time() - renewed >= RENEW_EVERY_S:
                    await self._renew()
                    renewed = self._loop.time()
                await self._tend(values)
            except DatabaseError as error:
                log.warning("gateway waits for the database: %s", error)
                await in_thread(close_old_connections)()
            except Exception:  # the outermost loop of the station: one wrong row must not silence every connection
                log.exception("gateway")
            await self._pause()
        hub(settings.REDIS_URL).forget_waker(self.wake)
        await self._drain()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(TEND_EVERY_S):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def _tend(self, values: Ingest) -> None:
        """What is configured and ours runs; what is not, does not."""
        plans = {plan.resource: plan for plan in await in_thread(self._plans.read)()}
        for resource in list(self.supervisors):
            supervisor, plan = self.supervisors[resource], plans.get(resource)
            if plan is None or plan.fingerprint != supervisor.plan.fingerprint or not supervisor.lease.usable:
                await self._end(resource, give_up=plan is None)
        for resource, plan in plans.items():
            if resource not in self.supervisors:
                await self._begin(plan, values)
        await self._wake_due()
        await self._write_statistics()
        await self._chore("old-data", lambda: mark_old_data(values, datetime.now(UTC)))
        await self._chore("link-states", lambda: update_link_states(datetime.now(UTC)))
        self.tended_at = datetime.now(UTC)

    async def _begin(self, plan: Plan, values: Ingest) -> None:
        lease = await in_thread(take_lease)(plan.resource, self.owner, ttl_s=LEASE_S, now=datetime.now(UTC))
        if lease is None:
            return
        supervisor = self.supervisors[plan.resource] = Supervisor(plan, lease, values)
        self._tasks[plan.resource] = asyncio.create_task(self._supervise(supervisor), name=plan.resource)

    async def _supervise(self, supervisor: Supervisor) -> None:
        try:
            await supervisor.run()
        except Exception:  # the outermost loop of a connection: one broken driver must not stop the others
            log.exception("%s: supervisor ended", supervisor.plan.target.name)
            self._tasks.pop(supervisor.plan.resource, None)
            self.supervisors.pop(supervisor.plan.resource, None)

    async def _end(self, resource: str, *, give_up: bool) -> None:
        supervisor, task = self.supervisors.pop(resource), self._tasks.pop(resource, None)
        if task is not None:
            task.cancel()
            # A connection that will not close must not keep the others from being tended.
            _, unfinished = await asyncio.wait([task], timeout=CLOSE_WITHIN_S)
            if unfinished:
                log.error("%s: did not close in %g s", resource, CLOSE_WITHIN_S)
        if give_up:
            await in_thread(give_up_lease)(supervisor.lease, now=datetime.now(UTC))

    async def _renew(self) -> None:
        """One statement for everything held: hundreds of connections must not cost hundreds of commits."""
        held = [supervisor.lease for supervisor in self.supervisors.values()] + list(self._chores.values())
        kept = await in_thread(renew_leases)(held, ttl_s=LEASE_S, now=datetime.now(UTC))
        still_ours = {lease.resource for lease in kept}
        for resource in [resource for resource in self.supervisors if resource not in still_ours]:
            await self._end(resource, give_up=False)
        self._chores = {name: lease for name, lease in self._chores.items() if name in still_ours}

    async def _wake_due(self) -> None:
        """A lost wake-up costs a second: one look at the table for all connections of this gateway."""
        keys = {key: s for s in self.supervisors.values() for key in s.plan.connections.values()}
        for key in await in_thread(connections_with_due_setpoints)(list(keys), datetime.now(UTC)):
            keys[key].wake()

    async def _write_statistics(self) -> None:
        if time.monotonic() - self._statistics_written < STATISTICS_EVERY_S:
            return
        self._statistics_written = time.monotonic()
        await in_thread(write_statistics)([supervisor.figures() for supervisor in self.supervisors.values()])

    async def _chore(self, name: str, work: Callable[[], Any]) -> None:
        """Work that one gateway of the installation does for all."""
        lease = self._chores.get(name)
        if lease is None or not lease.usable:
            lease = await in_thread(take_lease)(name, self.owner, ttl_s=LEASE_S, now=datetime.now(UTC))
            if lease is None:
                self._chores.pop(name, None)
                return
            self._chores[name] = lease
        await in_thread(work)()

    async def _drain(self) -> None:
        await asyncio.gather(*(self._end(resource, give_up=True) for resource in list(self.supervisors)), return_exceptions=True)
        try:
            for lease in self._chores.values():
                await in_thread(give_up_lease)(lease, now=datetime.now(UTC))
        except DatabaseError as error:
            log.warning("leases run out by themselves: %s", error)


_gateway: Gateway | None = None


def gateway() -> Gateway | None:
    """The gateway of this process, when it runs one."""
    return _gateway


class FieldGateway(bootsteps.StartStopStep):
    """Starts and stops the gateway with the Celery worker that hosts it (only workers on queue `field`)."""

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        return "field" in {queue.name for queue in parent.app.amqp.queues.consume_from.values()}

    def start(self, parent: Any) -> None:
        global _gateway
        _gateway = Gateway()
        _gateway.start()

    def stop(self, parent: Any) -> None:
        if _gateway is not None:
            _gateway.stop()
