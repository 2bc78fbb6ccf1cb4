"""One connection's life: connect, poll or listen, write set-points, drain, back off, again. [station]

Lives in the gateway's loop. The connection's state is written here and nowhere else.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from channels.db import database_sync_to_async
from django.db import DatabaseError, transaction

from pilots.acquisition.batch import IngestFull, Unstorable
from pilots.acquisition.ingest import Ingest
from pilots.acquisition.old_data import mark_devices_old
from pilots.acquisition.targets import Plan, resolve_endpoint
from pilots.control import services as control
from pilots.control.selectors import due_for
from pilots.domain.errors import AnswerTimeout, DeviceRefused, FieldError, LinkDown, ProtocolViolation
from pilots.domain.measurement import RawReading
from pilots.domain.topology import LinkState
from pilots.drivers.base import Driver, Target, WriteResult
from pilots.drivers.registry import DRIVERS
from pilots.models import Connection, Setpoint
from pilots.models.leases import HeldLease

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
#: A connection that lived this long has earned a quick first retry.
STEADY_S = 60.0
#: The gateway wakes a supervisor whose set-points are due; this is the net under it.
LOOK_EVERY_S = 10.0
#: Blocking calls of the loop run in threads that give their database connection back.
in_thread = partial(database_sync_to_async, thread_sensitive=False)


@dataclass(order=True, slots=True)
class Slot:
    """One device's points of one period, due again and again."""

    due: float
    device: str = field(compare=False)
    points: Sequence[str] = field(compare=False)
    period_s: float = field(compare=False)


@dataclass(slots=True)
class PollCounters:
    polls: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """Newest figures of the connections of one supervisor."""

    connections: list[int]
    last_frame: datetime | None
    statistics: dict[str, object]


class Supervisor:
    """Keeps one lease resource connected and its set-points moving until stopped."""

    def __init__(self, plan: Plan, lease: HeldLease, ingest: Ingest) -> None:
        self.plan = plan
        self.lease = lease
        self.ingest = ingest
        self.driver: Driver | None = None
        self.counters = PollCounters()
        self._wake = asyncio.Event()
        self._devices_up: dict[str, bool] = {}
        self._state = LinkState.UNKNOWN
        self._error = ""
        self._noted = True
        self._last_frame: datetime | None = None

    def wake(self) -> None:
        """Set-points wait: look at the table now."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        name = self.plan.target.name
        recovered = await in_thread(control.recover_claims)(
            self.plan.connections.values(), actor=self.lease.owner, now=datetime.now(UTC)
        )
        if recovered:
            log.warning("%s: %s set-points of an earlier gateway are unknown", name, recovered)
        commands = asyncio.create_task(self._watch_setpoints(), name=f"set-points {name}")
        try:
            await self._connect_for_ever()
        finally:
            commands.cancel()
            await asyncio.gather(commands, return_exceptions=True)

    async def _connect_for_ever(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            started = time.monotonic()
            try:
                await self._one_connection()
                problem = "The connection was closed."
            except FieldError as error:
                problem = str(error)
            except OSError as error:
                problem = f"{type(error).__name__}: {error}"
            await self._note_down(problem)
            pause_s = FIRST_PAUSE_S if time.monotonic() - started > STEADY_S else pause_s
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S if not self.plan.simulated else 4.0)

    async def _one_connection(self) -> None:
        host, port = await in_thread(resolve_endpoint)(self.plan)
        old = self.plan.target
        target = Target(name=old.name, host=host, port=port, devices=old.devices, options=old.options)
        driver = DRIVERS[self.plan.protocol](target, self._sink)
        try:
            await driver.open()
            self.driver = driver
            await self._note_up()
            await self._live(driver)
        finally:
            self.driver = None
            await driver.close()

    async def _live(self, driver: Driver) -> None:
        tasks = [asyncio.create_task(driver.closed.wait()), asyncio.create_task(self._watch_devices(driver))]
        if not driver.listening:
            tasks.append(asyncio.create_task(self._poll(driver)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # Values

    async def _sink(self, device: str, readings: Sequence[RawReading]) -> None:
        self._last_frame = received = datetime.now(UTC)
        try:
            await asyncio.wrap_future(self.ingest.put(device, readings, received))
        except Unstorable as error:
            # Acknowledged all the same: sent again it would block the line for ever. It is counted and in the log.
            log.error("%s: %s", device, error)

    async def _poll(self, driver: Driver) -> None:
        slots = poll_slots(self.plan.target, time.monotonic())
        while slots:
            slot = slots[0]
            await asyncio.sleep(max(0.0, slot.due - time.monotonic()))
            await self._poll_slot(driver, slot)
            slot.due = self._next_due(slot)
            heapq.heapreplace(slots, slot)
        await driver.closed.wait()

    def _next_due(self, slot: Slot) -> float:
        """A late poll is skipped and counted: cycles never pile up."""
        following, now = slot.due + slot.period_s, time.monotonic()
        if following < now:
            missed = int((now - following) / slot.period_s) + 1
            self.counters.skipped += missed
            following += missed * slot.period_s
        return following

    async def _poll_slot(self, driver: Driver, slot: Slot) -> None:
        self.counters.polls += 1
        try:
            readings = await driver.read(slot.device, slot.points)
        except LinkDown:
            raise
        except (AnswerTimeout, DeviceRefused, ProtocolViolation) as error:
            # Only this device is silent: its values grow old by themselves, the others go on.
            self.counters.failed += 1
            log.debug("%s: %s", slot.device, error)
            return
        self._last_frame = received = datetime.now(UTC)
        try:
            self.ingest.put(slot.device, readings, received)
        except IngestFull:
            self.counters.failed += 1

    # Set-points

    async def _watch_setpoints(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                for setpoint in await in_thread(due_for)(list(self.plan.connections.values()), datetime.now(UTC)):
                    await self._dispatch(setpoint)
            except Exception:  # the outermost loop of this connection's set-points: it must outlive a database outage
                log.exception("%s: set-points wait", self.plan.target.name)

    async def _dispatch(self, setpoint: Setpoint) -> None:
        """Claim, write, note the outcome. Between claim and note a crash leaves a claimed row, which becomes unknown."""
        driver = self.driver
        if driver is None or not self.lease.usable:
            return  # stays validated until the link is back or its time is over
        if not await in_thread(control.claim_setpoint)(setpoint, self.lease, now=datetime.now(UTC)):
            return
        log.info("set-point %s: %s = %g", setpoint.pk, setpoint.point, setpoint.value)
        note, words = await self._write(driver, setpoint)
        await in_thread(note)(setpoint, actor=self.lease.owner, now=datetime.now(UTC), **words)
        await in_thread(self.ingest.note_pending_setpoint)()

    async def _write(self, driver: Driver, setpoint: Setpoint) -> tuple[Callable[..., object], dict[str, str]]:
        now = datetime.now(UTC)
        valid_for_s = (setpoint.valid_until - now).total_seconds()
        if valid_for_s <= 0:
            return control.note_expired, {}
        if not self.lease.usable:
            return control.note_not_sent, {"reason": "The gateway lost its lease on the connection before the write."}
        point = setpoint.point
        write: Awaitable[WriteResult] = driver.write(point.device.code, point.name, setpoint.value, valid_for_s=valid_for_s)
        try:
            return control.note_dispatched, {"raw": (await write).raw}
        except LinkDown as error:
            return control.note_not_sent, {"reason": str(error)}
        except DeviceRefused as error:
            return control.note_refused, {"reason": str(error), "raw": error.device_code}
        except FieldError as error:
            return control.note_unknown, {"reason": f"{error} It may have acted on it."}

    # State

    async def _watch_devices(self, driver: Driver) -> None:
        """Devices that hang up (charge points) take their values with them."""
        while True:
            lost = []
            for device in self.plan.target.devices:
                up = driver.device_up(device.id)
                if up is False and self._devices_up.get(device.id):
                    lost.append(device.id)
                if up is not None:
                    self._devices_up[device.id] = up
            if lost and driver.listening:
                await self._mark_old(lost)
            if not self._noted:
                await self._note_state()
            await asyncio.sleep(1.0)

    async def _note_up(self) -> None:
        if self._state is not LinkState.UP:
            log.info("%s: up", self.plan.target.name)
        self._state, self._error = LinkState.UP, ""
        await self._note_state()

    async def _note_down(self, problem: str) -> None:
        if self._error != problem:
            log.warning("%s: down: %s", self.plan.target.name, problem)
        before, self._state, self._error = self._state, LinkState.DOWN, problem
        self._devices_up.clear()
        await self._note_state()
        # Who reports by himself is silent from now on. Who is polled has one more try before his values are called old:
        # a connection that comes back at once costs nobody anything.
        listening = DRIVERS[self.plan.protocol].listening
        if before is LinkState.UP if listening else before is LinkState.DOWN:
            await self._mark_old([device.id for device in self.plan.target.devices])

    async def _note_state(self) -> None:
        try:
            await in_thread(self._write_state)()
            self._noted = True
        except DatabaseError as error:
            self._noted = False  # tried again while the connection lives, and at its next change
            # A database that is away is no reason to drop the field: its values wait in ingest.
            log.warning("%s: state not noted: %s", self.plan.target.name, error)

    async def _mark_old(self, devices: list[str]) -> None:
        try:
            await in_thread(mark_devices_old)(self.ingest, devices)
        except DatabaseError as error:
            log.warning("%s: readers age these values by themselves: %s", self.plan.target.name, error)

    def _write_state(self) -> None:
        now = datetime.now(UTC)
        rows = Connection.objects.filter(pk__in=list(self.plan.connections.values()))
        rows.exclude(state=self._state).update(state=self._state, state_since=now)
        rows.update(last_frame_at=self._last_frame, last_error=self._error[:300], statistics=self.statistics())

    def figures(self) -> Figures:
        """What the gateway writes about this connection every few seconds, together with all others."""
        return Figures(list(self.plan.connections.values()), self._last_frame, self.statistics())

    def statistics(self) -> dict[str, object]:
        """Counters of this connection since the gateway took it."""
        form: dict[str, object] = {"polls": self.counters.polls, "failed": self.counters.failed, "skipped": self.counters.skipped}
        if self.driver is not None:
            traffic = self.driver.traffic
            trips = sorted(traffic.round_trips_s)
            form |= {"sent": traffic.sent, "received": traffic.received, "timeouts": traffic.timeouts}
            form |= {"violations": traffic.violations, "refused": traffic.refused}
            if trips:
                half, most = trips[len(trips) // 2], trips[int(len(trips) * 0.95)]
                form |= {"p50_ms": round(1000 * half, 1), "p95_ms": round(1000 * most, 1)}
        return form


@transaction.atomic
def write_statistics(figures: Sequence[Figures]) -> None:
    """The rows of these connections show their newest figures."""
    for row in figures:
        Connection.objects.filter(pk__in=row.connections).update(last_frame_at=row.last_frame, statistics=row.statistics)


def poll_slots(target: Target, now: float) -> list[Slot]:
    """A heap of what to ask and when: phases spread evenly over each period, so that no line sees a burst."""
    groups: list[tuple[str, float, list[str]]] = []
    for device in target.devices:
        periods: dict[float, list[str]] = {}
        for name, spec in device.points.items():
            if spec.period_s is not None and not spec.kind.writable:
                periods.setdefault(spec.period_s, []).append(name)
        groups += [(device.id, period_s, names) for period_s, names in sorted(periods.items())]
    slots = [
        Slot(now + period_s * index / len(groups), device, tuple(names), period_s)
        for index, (device, period_s, names) in enumerate(groups)
    ]
    heapq.heapify(slots)
    return slots
