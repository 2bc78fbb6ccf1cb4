"""What people and the platform want of a connection: set-points first, then questions, one after the other. [station]

Both are rows that are claimed by a conditional UPDATE right before they are carried out, by the holder of the lease only.
What was claimed and has no outcome when its gateway ends is unknown and never tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pilots.acquisition.field_requests import claim, note_answer, requests_for, waiting_requests
from pilots.acquisition.ingest import Ingest
from pilots.acquisition.questions import carry_out
from pilots.acquisition.targets import Plan
from pilots.acquisition.threads import DatabaseThreads
from pilots.acquisition.watchdogs import Watchdogs
from pilots.control import dispatch
from pilots.control.age import left_s, since_boot_s
from pilots.control.ramps import claim_step, steps_of
from pilots.control.selectors import connections_with_due_setpoints
from pilots.control.statements import due_for
from pilots.domain.errors import DeviceRefused, FieldError, LinkDown, NotSent
from pilots.domain.ramp import step_s
from pilots.drivers.base import Driver, WriteResult
from pilots.drivers.traffic import Traffic
from pilots.models import FieldRequest, Setpoint
from pilots.models.leases import HeldLease

log = logging.getLogger(__name__)


class Orders:
    """Carries out what waits for one connection. Lives in the gateway's loop."""

    def __init__(self, plan: Plan, lease: HeldLease, ingest: Ingest, threads: DatabaseThreads, traffic: Traffic) -> None:
        self._plan, self._lease, self._ingest, self._threads, self._traffic = plan, lease, ingest, threads, traffic
        self._keys = list(plan.connections.values())
        self.driver: Driver | None = None
        self._work: asyncio.Task[None] | None = None
        self._again = False
        self._ramps: set[asyncio.Task[None]] = set()
        self._free = asyncio.Lock()
        self._watchdogs = Watchdogs(lease, threads)

    @property
    def busy(self) -> bool:
        return self._work is not None

    def wake(self) -> None:
        """Something waits: look at the tables now."""
        self._again = True
        if self._work is None:
            self._work = asyncio.create_task(self._serve(), name=f"orders {self._plan.target.name}")

    def note_in_force(self, held: Sequence[Setpoint]) -> None:
        """Set-points in force of which the devices let go by themselves unless they are told in time."""
        if self._watchdogs.note(held):
            self.wake()

    async def end(self) -> None:
        """Nothing is begun any more; what was claimed and not noted stays so."""
        running = [task for task in (self._work, *self._ramps) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Nothing is under way inside."""
        async with self._free:
            yield

    async def _serve(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._look()
        except Exception:  # the outermost loop of a connection's orders: it must outlive a database outage
            log.exception("%s: orders wait", self._plan.target.name)
        finally:
            self._work = None

    async def _look(self) -> None:
        now = datetime.now(UTC)
        if self.driver is not None:
            for setpoint in await self._threads.run(due_for, self._keys, now):
                async with self._free:
                    await self._dispatch(setpoint)
        for setpoint in self._watchdogs.due():
            async with self._free:
                await self._watchdogs.renew(setpoint, self.driver)
        for request in await self._threads.run(requests_for, self._keys, now):
            async with self._free:
                await self._answer(request)

    # Set-points

    async def _dispatch(self, setpoint: Setpoint) -> None:
        """Claim, write, note the outcome. Between claim and note a crash leaves a claimed row, which becomes unknown."""
        driver = self.driver
        if driver is None or not self._lease.usable:
            return  # stays validated until the link is back or its time is over
        before = since_boot_s() + left_s(setpoint, datetime.now(UTC))
        claimed = await self._threads.run(self._claim, setpoint)
        if claimed is None:
            return
        log.info("set-point %s: %s = %g", setpoint.pk, setpoint.point, setpoint.value)
        steps, lasts_s = claimed
        first = next(value for value in steps if value is not None)
        note, words = await self._write(driver, setpoint, first, before)
        if first != setpoint.value and note is dispatch.note_dispatched:
            words["lasts_s"] = lasts_s
            self._begin(self._go_on(setpoint, steps))
        await self._note(note, setpoint, words)

    def _claim(self, setpoint: Setpoint) -> tuple[Iterator[float | None], float] | None:
        """Its steps and the seconds they take once it is ours to send; else None."""
        if not dispatch.claim_setpoint(setpoint, self._lease, now=datetime.now(UTC)):
            return None
        self._ingest.awaited.ask()  # the proof may come before the write is noted
        return steps_of(setpoint)

    async def _go_on(self, setpoint: Setpoint, steps: Iterator[float | None]) -> None:
        """The rest of a ramp, a step at a time, as long as the set-point holds its point."""
        capability = setpoint.point.spec.capability
        for value in steps:
            await asyncio.sleep(step_s(capability) if capability is not None else 1.0)
            if value is None:
                continue
            async with self._free:
                driver, now = self.driver, datetime.now(UTC)
                before = since_boot_s() + left_s(setpoint, now)
                if driver is None or not await self._threads.run(claim_step, setpoint, self._lease, value=value, now=now):
                    return
                note, words = await self._write(driver, setpoint, value, before)
                if note is not dispatch.note_dispatched:
                    await self._note(note, setpoint, words)
                    return

    def _begin(self, ramp: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(ramp, name=f"ramp {self._plan.target.name}")
        self._ramps.add(task)
        task.add_done_callback(self._ramp_done)

    def _ramp_done(self, task: asyncio.Task[None]) -> None:
        self._ramps.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s: a ramp stopped", self._plan.target.name, exc_info=task.exception())

    async def _note(self, note: Callable[..., object], setpoint: Setpoint, words: dict[str, Any]) -> None:
        def noted() -> None:
            note(setpoint, actor=self._lease.owner, now=datetime.now(UTC), **words)
            self._ingest.awaited.ask()

        await self._threads.run(noted)

    async def _write(
        self, driver: Driver, setpoint: Setpoint, value: float, before: float
    ) -> tuple[Callable[..., object], dict[str, Any]]:
        """`before`: its end by the clock since boot, as it was before the claim; the wall clock may have been set since."""
        valid_for_s = min(left_s(setpoint, datetime.now(UTC)), before - since_boot_s())
        if valid_for_s <= 0:
            return dispatch.note_expired, {}
        if not self._lease.usable:
            return dispatch.note_not_sent, {"reason": "The gateway lost its lease on the connection before the write."}
        point = setpoint.point
        write: Awaitable[WriteResult] = driver.write(point.device.code, point.name, value, valid_for_s=valid_for_s)
        try:
            return dispatch.note_dispatched, {"raw": (await write).raw}
        except LinkDown as error:
            return dispatch.note_not_sent, {"reason": str(error)}
        except NotSent:
            return dispatch.note_expired, {}
        except DeviceRefused as error:
            return dispatch.note_refused, {"reason": str(error), "raw": error.device_code}
        except FieldError as error:
            return dispatch.note_unknown, {"reason": f"{error} It may have acted on it."}

    # Questions

    async def _answer(self, request: FieldRequest) -> None:
        if not self._lease.usable or not await self._threads.run(claim, request, self._lease, now=datetime.now(UTC)):
            return
        answer, error = await carry_out(request, self._plan, self.driver, self._traffic)
        await self._threads.run(note_answer, request, answer, error, actor=self._lease.owner, now=datetime.now(UTC))


def connections_with_orders(now: datetime) -> set[int]:
    """Keys of the connections for which a set-point or a question waits: two cheap queries for all of them."""
    return connections_with_due_setpoints(now) | waiting_requests(now)
