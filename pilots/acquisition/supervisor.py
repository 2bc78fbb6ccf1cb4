"""One connection's life: connect, poll or listen, back off, turn to a backup way and back. [station]

Lives in the gateway's loop. The connection's state is decided here and nowhere else: `up` says that a way stands and the
other end speaks, `down` that none does. How well a link goes (degraded) is judged by its medium in `link_states`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import orjson

from pilots.acquisition.batch import IngestFull, Unstorable
from pilots.acquisition.ingest import Ingest
from pilots.acquisition.orders import Orders
from pilots.acquisition.polling import Lateness, Poller, Slot, poll_slots
from pilots.acquisition.state_writer import StateRow, StateWriter
from pilots.acquisition.targets import Plan, resolve_endpoint
from pilots.acquisition.threads import DatabaseThreads
from pilots.acquisition.ways import BackOff, WayChoice, switch_after_s, words_of
from pilots.domain.errors import DeviceRefused, LinkDown, PilotsError
from pilots.domain.measurement import RawReading
from pilots.domain.topology import LinkState
from pilots.drivers.base import Driver, Sink
from pilots.drivers.figures import LinkFigures, PollCounters
from pilots.drivers.registry import DRIVERS
from pilots.drivers.traffic import Traffic
from pilots.models.leases import HeldLease

log = logging.getLogger(__name__)


class Supervisor:
    """Keeps one lease resource connected and its orders moving until stopped."""

    def __init__(
        self,
        plan: Plan,
        lease: HeldLease,
        *,
        ingest: Ingest,
        threads: DatabaseThreads,
        writer: StateWriter,
        lateness: Lateness,
        start_in_s: float = 0.0,
    ) -> None:
        self.plan, self.lease, self.ingest = plan, lease, ingest
        self.traffic, self.counters = Traffic(), PollCounters()
        self.orders = Orders(plan, lease, ingest, threads, self.traffic)
        self.state, self.ended = LinkState.UNKNOWN, False
        self._threads, self._writer, self._lateness, self._start_in_s = threads, writer, lateness, start_in_s
        self._choice = WayChoice(plan.ways)
        self._figures = LinkFigures(self.traffic, self.counters, _shortest_period_s(plan))
        self._devices_up: dict[str, bool] = {}
        self._since: datetime | None = None
        self._last_frame: datetime | None = None
        self._way: int | None = None
        self._stands = False
        self._error = self._why = ""

    # Life

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await asyncio.sleep(self._start_in_s)
            await self._connect_for_ever()
        finally:
            self.ended = True
            await self.orders.end()
            self._writer.forget(self)

    async def _connect_for_ever(self) -> None:
        back_off = BackOff(simulated=self.plan.simulated)
        while True:
            started, self._stands, violations = time.monotonic(), False, self.traffic.violations
            self._choice.note_trying(started)
            way = self.plan.ways[self._choice.index]
            problem = await self._one_connection(self._choice.index)
            if problem is None:
                continue  # a better way stands again: it is opened at once
            elsewhere = not self._stands and self._choice.note_failed(time.monotonic())
            self._note_down(problem, listening=DRIVERS[way.protocol].listening)
            if elsewhere:
                continue  # another way, not tried yet
            noisy = bool(way.serial_line) and self.traffic.violations > violations
            pause_s = back_off.pause_s(lived_s=time.monotonic() - started, noisy=noisy)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))

    async def _one_connection(self, way: int) -> str | None:
        """Why the connection ended, in words; None where it gave way to a better one."""
        try:
            driver = await self._open(way, self._sink, self.traffic, within_s=self._choice.open_within_s)
            try:
                self.orders.driver = driver
                return _ended_words(driver) if await self._live(driver, way) is None else None
            finally:
                self.orders.driver = None
                await driver.close()
        except PilotsError as error:
            return str(error)
        except OSError as error:
            return f"{type(error).__name__}: {error}"

    async def _open(self, way: int, sink: Sink, traffic: Traffic, *, within_s: float | None) -> Driver:
        """An open driver of that way. Raises PilotsError or OSError."""
        if not self.lease.usable:
            raise LinkDown("This gateway's lease on the connection has run out.")
        declared = self.plan.ways[way]
        if declared.port is None and not declared.serial_line:
            target = await self._threads.run(resolve_endpoint, self.plan, way)
        else:
            target = resolve_endpoint(self.plan, way)
        driver = DRIVERS[declared.protocol](target, sink, traffic)
        try:
            async with asyncio.timeout(within_s):
                await driver.open()
        except TimeoutError as error:
            await driver.close()
            raise LinkDown(f"{target.place} did not stand within {within_s or 0:g} s.") from error
        except BaseException:
            await driver.close()
            raise
        return driver

    async def _live(self, driver: Driver, way: int) -> int | None:
        """Until the connection ends (None), or a better way stands again (its number). Raises LinkDown."""
        self._devices_up.clear()
        poller = self._poller(driver, way)
        if poller is None:
            self._note_stands(way)
        back = asyncio.create_task(self._find_better(), name=f"better way {self.plan.target.name}") if way else None
        ended = asyncio.create_task(driver.closed.wait(), name=f"end {self.plan.target.name}")
        tasks = [task for task in (ended, back) if task is not None]
        try:
            if poller is None:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            else:
                stop = poller.stop
                for task in tasks:
                    task.add_done_callback(lambda _: stop())
                await poller.run()
            if back is None or not back.done() or ended.done():
                return None
            async with self.orders.paused():  # what is being written to the device gets its answer first
                self.orders.driver = None
                self._choice.go_back(back.result())
            return back.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _poller(self, driver: Driver, way: int) -> Poller | None:
        """None for a driver that reports by itself, or where nothing is to be asked."""
        slots = [] if driver.listening else self._slots(way)
        if not slots:
            return None

        def take(device: str, readings: Sequence[RawReading] | None) -> None:
            self._last_frame = received = datetime.now(UTC)
            if not self._stands:
                self._note_stands(way)
            if readings is not None:
                try:
                    self.ingest.put(device, readings, received)
                except IngestFull:
                    self.counters.failed += 1

        return Poller(driver, slots, lease=self.lease, take=take, counters=self.counters, lateness=self._lateness)

    def _slots(self, way: int) -> list[Slot]:
        return poll_slots(self.plan.targets[way], spread=self.plan.resource, now=time.monotonic())

    async def _sink(self, device: str, readings: Sequence[RawReading]) -> None:
        self._last_frame = received = datetime.now(UTC)
        try:
            done = self.ingest.put(device, readings, received)
            if done.done():
                done.result()
            else:
                await asyncio.wrap_future(done)
        except Unstorable as error:
            # Acknowledged all the same: sent again it would block the line for ever. It is counted and in the log.
            log.error("%s: %s", device, error)

    # Better ways

    async def _find_better(self) -> int:
        """The best way that stands again, tried every minute beside the backup in use."""
        while True:
            await asyncio.sleep(self._choice.return_after_s)
            for way in self._choice.better:
                if await self._answers(way):
                    return way

    async def _answers(self, way: int) -> bool:
        """Whether the way opens and, where it is polled, a device answers. Its traffic is nobody's figures."""
        within_s = switch_after_s(self.plan.ways[way])
        try:
            driver = await self._open(way, _discard, Traffic(), within_s=within_s)
        except (PilotsError, OSError) as error:
            log.debug("%s: %s: %s", self.plan.target.name, words_of(self.plan.ways, way), error)
            return False
        try:
            async with asyncio.timeout(within_s):
                return driver.listening or await _anybody(driver, self._slots(way))
        except TimeoutError:
            return False
        finally:
            await driver.close()

    # State

    def look(self) -> None:
        """Devices that hang up (charge points, stations of a shared line) take their values with them."""
        driver = self.orders.driver
        if driver is None or not driver.listening or type(driver).device_up is Driver.device_up:
            return
        lost = []
        for device in self.plan.target.devices:
            up = driver.device_up(device.id)
            if up is False and self._devices_up.get(device.id):
                lost.append(device.id)
            if up is not None:
                self._devices_up[device.id] = up
        if lost:
            self._writer.note_old(lost)

    def row(self, now: float) -> StateRow:
        """What the connections' rows should say; `now` by the monotonic clock."""
        several = len(self.plan.ways) > 1
        return StateRow(
            connections=list(self.plan.connections.values()),
            owner=self.lease.owner,
            state=self.state,
            since=self._since,
            error=self._error,
            last_frame=self._last_frame,
            way=self._way,
            statistics=orjson.dumps(self._figures.form(now)).decode(),
            switch=self._why if several and self.state is LinkState.UP else "",
        )

    def _note_stands(self, way: int) -> None:
        self._stands = True
        self._choice.note_stands()
        if self._way is not None:
            self.traffic.reconnects += 1
        words = words_of(self.plan.ways, way)
        if self.state is not LinkState.UP or way != self._way:
            log.info("%s: up%s", self.plan.target.name, f" on {words}" if way else "")
        if way != self._way:
            self._why = f"on {words}: {self._error}" if way else f"{words} stands again"
        self._set_state(LinkState.UP, self._why if way else "")
        self._way = way

    def _note_down(self, problem: str, *, listening: bool) -> None:
        if self._error != problem:
            log.warning("%s: down: %s", self.plan.target.name, problem)
        before = self.state
        self._set_state(LinkState.DOWN, problem)
        # Who reports by himself is silent from now on. Who is polled has one more try before his values are called old, unless
        # they are overdue already: a connection that comes back at once costs nobody anything.
        if listening or before is LinkState.DOWN or self._is_overdue():
            self._writer.note_old([device.id for device in self.plan.target.devices])

    def _is_overdue(self) -> bool:
        """Nobody on a polled connection has answered for longer than its shortest period."""
        period_s = self._figures.period_s
        if self._last_frame is None or period_s is None:
            return False
        return datetime.now(UTC) - self._last_frame > timedelta(seconds=period_s)

    def _set_state(self, state: LinkState, error: str) -> None:
        if state is not self.state:
            self.state, self._since = state, datetime.now(UTC)
        self._error = error
        self._writer.note(self)


def _ended_words(driver: Driver) -> str:
    words = str(driver.failure or "the connection was closed")
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def _shortest_period_s(plan: Plan) -> float | None:
    if DRIVERS[plan.protocol].listening:
        return None
    specs = (spec for device in plan.target.devices for spec in device.points.values() if not spec.kind.writable)
    return min((spec.period_s for spec in specs if spec.period_s is not None), default=None)


async def _discard(device: str, readings: Sequence[RawReading]) -> None:
    """What arrives while a way is tried is measured on the way in use."""


async def _anybody(driver: Driver, slots: Sequence[Slot]) -> bool:
    """Whether one device answers, be it with a refusal."""
    for slot in slots:
        try:
            await driver.read(slot.device, slot.points)
        except DeviceRefused:
            return True
        except PilotsError:
            continue
        return True
    return not slots
