"""The field gateway: one asyncio loop in a Celery worker that owns its share of the southbound connections. [station]

Celery hosts, starts, stops and scales it (a bootstep of a worker on queue `field`); a poll is never a task, because a task
costs forty times a slot in this loop. Leases decide which worker holds which connection; the workers alive hold equal shares.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from celery import bootsteps
from django.conf import settings
from django.db import DatabaseError

from pilots.acquisition import field_requests
from pilots.acquisition.authority import LapsingSelector
from pilots.acquisition.chores import Chores
from pilots.acquisition.ingest import ingest
from pilots.acquisition.orders import connections_with_orders
from pilots.acquisition.polling import Lateness
from pilots.acquisition.state_writer import StateWriter
from pilots.acquisition.supervisor import Supervisor
from pilots.acquisition.targets import Plan, PlanBook
from pilots.acquisition.threads import DatabaseThreads
from pilots.acquisition.watchdogs import held_by_watchdogs
from pilots.control.dispatch import recover_claims
from pilots.live.hub import hub
from pilots.models.leases import (
    MARGIN_S,
    HeldLease,
    fair_share,
    give_up_leases,
    live_resources,
    renew_leases,
    take_lease,
    take_leases,
)

log = logging.getLogger(__name__)

LEASE_S = 12.0
TEND_EVERY_S = 1.0
RENEW_EVERY_S = LEASE_S / 3
CLOSE_WITHIN_S = 5.0
#: Thousands of connections are not opened in the same moment.
STARTS_PER_S = 1000
#: Looking whether the configuration has changed takes at most this share of the time, and happens at least so often.
PLAN_SHARE, PLANS_WITHIN_S = 0.01, 5.0
#: A worker with more than its share hands over so many connections at a look, or a twentieth of them.
HANDED_OVER = 5
#: How long a thread that computes may keep the loop waiting. Python's 5 ms are lost at every read and write of a socket
#: while another thread of the process is busy (storing values, reading plans): a hundred polls would take a second.
INTERPRETER_SWITCH_S = 0.0002
WORKER = "gateway:"


class Gateway:
    """Takes leases, runs a supervisor for each, watches configuration and what waits for its connections."""

    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"
        self.supervisors: dict[str, Supervisor] = {}
        self.tended_at: datetime | None = None
        self.lateness = Lateness()
        self.threads = DatabaseThreads()
        self._values = ingest()
        self._writer = StateWriter(self._values, self.threads)
        self._chores = Chores(self.owner, self._values, self.threads, ttl_s=LEASE_S)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._presence: HeldLease | None = None
        self._alone = True
        self._plans: dict[str, Plan] = {}
        self._book = PlanBook()
        self._plans_due = 0.0
        self._selector = LapsingSelector(self._on_lapse)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop = asyncio.Event()
        self._running = threading.Event()

    # From other threads

    def start(self) -> None:
        """The loop runs in a thread of its own."""
        self._thread = threading.Thread(target=self._run_loop, name="gateway", daemon=True)
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
        """Called from any thread: set-points or questions wait for this connection."""
        self._call(self._wake, connection)

    def _call(self, callback: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            if self._loop is not None:
                self._loop.call_soon_threadsafe(callback, *arguments)

    def _wake(self, connection: str) -> None:
        for supervisor in self.supervisors.values():
            if connection in supervisor.plan.connections:
                supervisor.orders.wake()

    # The loop

    def _run_loop(self) -> None:
        sys.setswitchinterval(INTERPRETER_SWITCH_S)
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(self._selector)) as runner:
            runner.run(self._run())
        self.threads.close()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running.set()
        hub(settings.REDIS_URL).on_wake(self.wake)
        beside = [asyncio.create_task(work) for work in (self._writer.run(), self._chores.run(), self._keep_authority())]
        try:
            await self._tend_for_ever()
        finally:
            hub(settings.REDIS_URL).forget_waker(self.wake)
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self._drain()

    async def _tend_for_ever(self) -> None:
        renewed = -RENEW_EVERY_S
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                if started - renewed >= RENEW_EVERY_S:
                    await self._renew()
                    renewed = started
                await self._tend()
            except DatabaseError as error:
                log.warning("gateway waits for the database: %s", error)
            except Exception:  # the outermost loop of the station: one wrong row must not silence every connection
                log.exception("gateway")
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(TEND_EVERY_S):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def _tend(self) -> None:
        """What is configured and ours runs; what is not, does not. Whoever is waited for hears of it."""
        await self._read_plans()
        gone = [r for r, s in self.supervisors.items() if r not in self._plans]
        changed = [r for r, s in self.supervisors.items() if r not in gone and self._is_outdated(r, s)]
        await self._end(gone, give_up=True)
        await self._end(changed, give_up=False)
        await self._share()
        for supervisor in self.supervisors.values():
            supervisor.look()
        await self._wake_due()
        await self._writer.write_figures(list(self.supervisors.values()))
        self.tended_at = datetime.now(UTC)

    async def _read_plans(self) -> None:
        started = time.monotonic()
        if started >= self._plans_due:
            self._plans = {plan.resource: plan for plan in await self.threads.run(self._book.read)}
            ended = time.monotonic()
            self._plans_due = ended + min((ended - started) / PLAN_SHARE - TEND_EVERY_S, PLANS_WITHIN_S)

    def _is_outdated(self, resource: str, supervisor: Supervisor) -> bool:
        plan = self._plans[resource]
        return plan.fingerprint != supervisor.plan.fingerprint or not supervisor.lease.usable or supervisor.ended

    # Leases

    async def _share(self) -> None:
        """Ours are as many as are our due among the workers alive: what is free is taken, too many are handed over."""
        held = await self.threads.run(live_resources, [WORKER], now=datetime.now(UTC))
        workers = len(held.keys() | {WORKER + self.owner})
        self._alone = workers == 1
        share = fair_share(len(self._plans), workers)
        if len(self.supervisors) > share:
            await self._hand_over(len(self.supervisors) - share)
        wanted = [resource for resource in self._plans if resource not in self.supervisors]
        if wanted and len(self.supervisors) < share:
            await self._take(await self._free(wanted), share - len(self.supervisors))

    async def _free(self, wanted: list[str]) -> list[str]:
        """Those nobody holds, in an order of our own, so that workers that start together do not want the same."""
        if self._alone:
            return wanted
        held = await self.threads.run(live_resources, ["connection:", "listener:"], now=datetime.now(UTC))
        free = [resource for resource in wanted if held.get(resource, self.owner) == self.owner]
        return sorted(free, key=lambda resource: hashlib.sha256(f"{self.owner} {resource}".encode()).digest())

    async def _hand_over(self, surplus: int) -> None:
        """A few at a time, so that whoever takes them has opened them before the next; none whose orders are under way."""
        idle = [resource for resource, supervisor in self.supervisors.items() if not supervisor.orders.busy]
        at_once = min(surplus, max(HANDED_OVER, len(self.supervisors) // 20))
        given = idle[len(idle) - at_once :]
        log.info("%s connections are handed over to another worker", len(given))
        await self._end(given, give_up=True)

    async def _take(self, resources: list[str], most: int) -> None:
        now = datetime.now(UTC)
        leases = await self.threads.run(take_leases, resources[:most], self.owner, ttl_s=LEASE_S, now=now)
        keys = [key for lease in leases for key in self._plans[lease.resource].connections.values()]
        lost = await self.threads.run(recover_claims, keys, actor=self.owner, now=now)
        await self.threads.run(field_requests.recover, keys, now=now)
        if lost:
            log.warning("%s set-points of an earlier gateway are unknown", lost)
        for index, lease in enumerate(leases):
            self._begin(self._plans[lease.resource], lease, start_in_s=index / STARTS_PER_S)
        self._note_authority()

    def _begin(self, plan: Plan, lease: HeldLease, *, start_in_s: float = 0.0) -> None:
        supervisor = Supervisor(
            plan,
            lease,
            ingest=self._values,
            threads=self.threads,
            writer=self._writer,
            lateness=self.lateness,
            start_in_s=start_in_s,
        )
        self.supervisors[plan.resource] = supervisor
        self._tasks[plan.resource] = asyncio.create_task(self._supervise(supervisor), name=plan.resource)

    async def _supervise(self, supervisor: Supervisor) -> None:
        try:
            await supervisor.run()
        except Exception:  # the outermost loop of a connection: one broken driver must not stop the others
            log.exception("%s: supervisor ended", supervisor.plan.target.name)

    async def _end(self, resources: Iterable[str], *, give_up: bool) -> None:
        ending = [(resource, self.supervisors.pop(resource), self._tasks.pop(resource)) for resource in resources]
        if not ending:
            return
        for _, _, task in ending:
            task.cancel()
        # A connection that will not close must not keep the others from being tended.
        _, unfinished = await asyncio.wait([task for _, _, task in ending], timeout=CLOSE_WITHIN_S)
        for task in unfinished:
            log.error("%s: did not close in %g s", task.get_name(), CLOSE_WITHIN_S)
        if give_up:
            leases = [supervisor.lease for _, supervisor, _ in ending]
            await self.threads.run(give_up_leases, leases, now=datetime.now(UTC))

    async def _renew(self) -> None:
        """One statement for everything held: hundreds of connections must not cost hundreds of commits."""
        now = datetime.now(UTC)
        if self._presence is None:
            self._presence = await self.threads.run(take_lease, WORKER + self.owner, self.owner, ttl_s=LEASE_S, now=now)
        of_supervisors = [supervisor.lease for supervisor in self.supervisors.values()]
        held = [*of_supervisors, *self._chores.leases, *([self._presence] if self._presence else [])]
        kept = {lease.resource for lease in await self.threads.run(renew_leases, held, ttl_s=LEASE_S, now=now)}
        self._chores.keep(kept)
        if WORKER + self.owner not in kept:
            self._presence = None
        self._note_authority()
        await self._end([lease.resource for lease in of_supervisors if lease.resource not in kept], give_up=False)

    # Authority

    async def _keep_authority(self) -> None:
        """A lone worker keeps its connections while the database is away: nobody can take what nobody can write.

        With others alive a lease ends where it ends: they may reach the database although we do not.
        """
        while True:
            await asyncio.sleep(TEND_EVERY_S)
            for supervisor in self.supervisors.values() if self._alone else ():
                lease = supervisor.lease
                if lease.usable:  # one that ran out did so because this process slept
                    lease.ends_monotonic = max(lease.ends_monotonic, time.monotonic() + LEASE_S / 2)
            self._note_authority()

    def _note_authority(self) -> None:
        """Until when the leases hold; those that have run out are dealt with by the selector, and first of all."""
        if time.monotonic() >= self._selector.lapses_at:
            return
        leases = [supervisor.lease for supervisor in self.supervisors.values() if supervisor.lease.usable]
        self._selector.lapses_at = min((lease.ends_monotonic for lease in leases), default=float("inf")) - MARGIN_S

    def _on_lapse(self) -> None:
        log.error("leases ran out while this process slept or the database was away: its connections are closed")

    # Work for connections

    async def _wake_due(self) -> None:
        """A lost wake-up costs a second: one look at the tables for all connections of this gateway."""
        keys = {key: supervisor for supervisor in self.supervisors.values() for key in supervisor.plan.connections.values()}
        for key in await self.threads.run(connections_with_orders, datetime.now(UTC)) & keys.keys():
            keys[key].orders.wake()
        held = await self.threads.run(held_by_watchdogs, datetime.now(UTC))
        for key, supervisor in keys.items():
            supervisor.orders.note_in_force(held.get(key, []))

    async def _drain(self) -> None:
        try:
            await self._end(list(self.supervisors), give_up=True)
            last = [*self._chores.leases, *([self._presence] if self._presence else [])]
            await self.threads.run(give_up_leases, last, now=datetime.now(UTC))
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
