"""A line is asked in cycles; a silent device delays nobody, and comes back by itself."""

from __future__ import annotations

import asyncio
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise

import pytest

from pilots.acquisition.polling import Lateness, Poller, poll_slots
from pilots.domain.errors import AnswerTimeout, LinkDown, ProtocolViolation
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget, Target
from pilots.drivers.figures import LinkFigures, PollCounters
from pilots.drivers.modbus import ModbusTcpDriver
from pilots.drivers.traffic import LATE, Traffic
from pilots.models.leases import HeldLease
from tests.bench.figures import quantile
from tests.drivers.raw_modbus import RawModbus, Request, raw_modbus
from tests.waiting import Stalls, stalls, timed

PERIOD_S, UNITS = 0.5, 20
LEASE = HeldLease("connection:line", "gateway", 1, float("inf"))


def line_of(port: int, units: Sequence[int], *, period_s: float = PERIOD_S, timeout_s: float = PERIOD_S) -> Target:
    """Units behind one gateway, each with one float."""
    spec = PointSpec(name="p", kind=PointKind.MEASUREMENT, address={"register": 0, "type": "float32"}, period_s=period_s)
    devices = tuple(DeviceTarget(id=f"m{unit}", address={"unit": unit}, points={"p": spec}) for unit in units)
    return Target(name="line", host="127.0.0.1", port=port, devices=devices, options={"timeout_s": timeout_s})


class Asked(RawModbus):
    """A gateway that notes when each unit was asked, with units that do not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.load(0, struct.pack(">f", 1.0))
        self.at: dict[int, list[float]] = defaultdict(list)
        self.silent: set[int] = set()
        self.script = self.note

    async def note(self, request: Request) -> bytes | None:
        self.at[request.unit].append(time.monotonic())
        return None if request.unit in self.silent else self.answer(request)


async def polled(
    peer: Asked,
    seconds: float,
    units: Sequence[int],
    lease: HeldLease = LEASE,
    *,
    counters: PollCounters | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> PollCounters:
    """The units of this gateway were asked for so long, or until it was enough."""
    counters = counters or PollCounters()
    server = await asyncio.start_server(peer.accept, "127.0.0.1", 0)
    target = line_of(server.sockets[0].getsockname()[1], units)
    driver = ModbusTcpDriver(target, _nowhere)
    await driver.open()
    slots = poll_slots(target, spread="line", now=time.monotonic())
    poller = Poller(driver, slots, lease=lease, take=lambda device, readings: None, counters=counters, lateness=Lateness())
    stopping = asyncio.create_task(stop(poller, seconds, enough))
    try:
        await poller.run()
    finally:
        stopping.cancel()
        await driver.close()
        server.close()
        peer.hang_up()
        await asyncio.gather(*peer.serving, return_exceptions=True)
    return counters


async def stop(poller: Poller, seconds: float, enough: Callable[[], bool]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not enough():
                await asyncio.sleep(0.01)
    poller.stop()


async def _nowhere(device: str, readings: Sequence[RawReading]) -> None:
    return None


def drift_p95(peer: Asked, *, after: float, machine: Stalls) -> float:
    """How far 95 of 100 periods of the living units are from what they should be, as a share; the machine did not stand still."""
    moments = [[at for at in of_unit if at > after] for unit, of_unit in peer.at.items() if unit not in peer.silent]
    pairs = [pair for of_unit in moments for pair in pairwise(of_unit)]
    gaps = [later - earlier for earlier, later in pairs if not machine.between(earlier - PERIOD_S, later)]
    return quantile([abs(gap - PERIOD_S) / PERIOD_S for gap in gaps], 0.95)


@pytest.mark.wire
async def test_silent_units_change_no_other_units_period() -> None:
    _, one, three = lines = (Asked(), Asked(), Asked())
    one.silent, three.silent = {7}, {3, 7, 15}
    started, units = time.monotonic(), range(1, UNITS + 1)
    with stalls() as machine:
        await asyncio.gather(*(polled(line, 7.0, units) for line in lines))
    assert all(len(line.at[7]) >= 2 for line in lines)
    # What is left of a unit that falls silent is the one time-out in which it does.
    calm, *drifts = (drift_p95(line, after=started + 2.5, machine=machine) for line in lines)
    assert max(drifts) <= max(0.10, calm + 0.05), f"p95 drift {drifts} beside {calm} without a silent unit"


@pytest.mark.wire
async def test_a_unit_that_comes_back_is_asked_as_before() -> None:
    class ComingBack(Asked):
        async def note(self, request: Request) -> bytes | None:
            self.silent = {2} if len(self.at[2]) < 2 else set()
            return await super().note(request)

    peer = ComingBack()
    counters = await polled(peer, 30.0, (1, 2), enough=lambda: len(peer.at[2]) >= 6)
    assert counters.failed >= 2
    assert len(peer.at[1]) >= 4


@pytest.mark.wire
async def test_nobody_at_all_is_a_lost_connection() -> None:
    peer = Asked()
    peer.silent = {1, 2, 3, 4}
    with timed() as took, pytest.raises(LinkDown, match="nobody has answered 3 questions in a row"):
        await polled(peer, 20.0, (1, 2, 3, 4))
    assert took.own_s < 3 * PERIOD_S + 1


@pytest.mark.wire
async def test_three_questions_in_vain_end_a_connection_that_spoke_before() -> None:
    class FallingSilent(Asked):
        async def note(self, request: Request) -> bytes | None:
            if len(self.at[request.unit]) == 3:
                self.silent.add(request.unit)
            return await super().note(request)

    peer, counters = FallingSilent(), PollCounters()
    with pytest.raises(LinkDown, match="nobody has answered 3 questions in a row"):
        await polled(peer, 20.0, (1,), counters=counters)
    assert (counters.polls, counters.failed, len(peer.at[1])) == (3 + 3, 3, 3 + 3)


async def test_questions_that_a_driver_does_not_ask_prove_nothing() -> None:
    refused: list[str] = []

    class LeavingAlone(ModbusTcpDriver):
        async def read(self, device_id: str, points: Sequence[str]) -> list[RawReading]:
            refused.append(device_id)
            raise AnswerTimeout("its late answer may still come")

    target = line_of(1, (1,), period_s=0.05)
    slots = poll_slots(target, spread="line", now=time.monotonic())
    driver, counters = LeavingAlone(target, _nowhere), PollCounters()
    poller = Poller(driver, slots, lease=LEASE, take=lambda *_: None, counters=counters, lateness=Lateness())
    running = asyncio.create_task(poller.run())
    async with asyncio.timeout(30):
        while len(refused) < 5:
            await asyncio.sleep(0.01)
    poller.stop()
    await running


@pytest.mark.wire
async def test_one_dead_unit_among_slow_ones_is_no_lost_connection() -> None:
    async with raw_modbus() as peer:
        peer.load(0, struct.pack(">f", 1.0))

        async def only_unit_one(request: Request) -> bytes | None:
            return peer.answer(request) if request.unit == 1 else None

        peer.script = only_unit_one
        fast, slow = line_of(peer.port, (2,), period_s=0.3, timeout_s=0.3), line_of(peer.port, (1,), period_s=30.0)
        target = Target(name="line", host="127.0.0.1", port=peer.port, devices=fast.devices + slow.devices, options=fast.options)
        driver, counters = ModbusTcpDriver(target, _nowhere), PollCounters()
        await driver.open()
        slots = poll_slots(target, spread="line", now=time.monotonic())
        poller = Poller(driver, slots, lease=LEASE, take=lambda *_: None, counters=counters, lateness=Lateness())
        stopping = asyncio.create_task(stop(poller, 30.0, lambda: counters.failed >= 5))
        await poller.run()
        stopping.cancel()
        assert sum(request.unit == 2 for request in peer.asked) >= 3
        await driver.close()


async def test_a_unit_under_noise_is_asked_in_gaps_like_a_silent_one() -> None:
    cut: list[str] = []

    class Noisy(ModbusTcpDriver):
        async def read(self, device_id: str, points: Sequence[str]) -> list[RawReading]:
            if device_id == "m1":
                try:
                    await asyncio.sleep(0.3 * PERIOD_S if counters.polls <= 2 else 100 * PERIOD_S)
                except asyncio.CancelledError:
                    cut.append(device_id)
                    raise
                raise ProtocolViolation("noise was heard")
            return [RawReading("p", 1.0)]

    target = line_of(1, (1, 2))
    slots = poll_slots(target, spread="line", now=time.monotonic())
    counters = PollCounters()
    poller = Poller(Noisy(target, _nowhere), slots, lease=LEASE, take=lambda *_: None, counters=counters, lateness=Lateness())
    running = asyncio.create_task(poller.run())
    async with asyncio.timeout(30):
        while len(cut) < 2:
            await asyncio.sleep(0.01)
    poller.stop()
    await running


@pytest.mark.wire
async def test_without_a_lease_not_one_question_leaves() -> None:
    peer = Asked()
    with pytest.raises(LinkDown, match="lease"):
        await polled(peer, 1.0, (1,), HeldLease("connection:line", "gateway", 1, 0.0))
    assert peer.asked == []


# Phases


def points(**periods: float) -> dict[str, PointSpec]:
    return {name: PointSpec(name=name, kind=PointKind.MEASUREMENT, period_s=period_s) for name, period_s in periods.items()}


def target_of(name: str, *devices: dict[str, PointSpec]) -> Target:
    found = tuple(DeviceTarget(id=f"{name}-{index}", address={}, points=of_device) for index, of_device in enumerate(devices))
    return Target(name=name, host="", port=0, devices=found)


def test_connections_are_spread_over_the_whole_period() -> None:
    phases = sorted(poll_slots(target_of(f"c{n}", points(p=10.0)), spread=f"c{n}", now=0.0)[0].phase for n in range(1000))
    assert 0 <= phases[0] < phases[-1] < 10
    assert max(later - earlier for earlier, later in pairwise(phases)) < 0.2
    assert [len([p for p in phases if low <= p < low + 1]) > 60 for low in range(10)] == [True] * 10


def test_slow_points_of_many_connections_are_spread_too() -> None:
    slots = [poll_slots(target_of(f"c{n}", points(f=1.0, e=900.0)), spread=f"c{n}", now=0.0) for n in range(500)]
    slow = [slot.phase for of_line in slots for slot in of_line if slot.period_s == 900.0]
    assert max(sum(low <= phase < low + 10 for phase in slow) for low in range(0, 900, 10)) < 25


def test_one_lines_questions_fill_the_first_half_of_its_cycle() -> None:
    slots = poll_slots(target_of("line", *[points(p=1.0)] * 10), spread="line", now=0.0)
    first = next(slot.phase for slot in slots if slot.device == "line-0")
    inside = sorted((slot.phase - first + 1e-9) % 1.0 for slot in slots)
    assert inside == pytest.approx([index * 0.05 for index in range(10)], abs=1e-6)


def test_set_points_are_not_asked() -> None:
    spec = PointSpec(name="p_set", kind=PointKind.SETPOINT, period_s=1.0)
    assert poll_slots(target_of("line", {"p_set": spec}), spread="line", now=0.0) == []


# Figures


def test_loss_is_that_of_the_last_minutes_and_speed_that_of_now() -> None:
    traffic = Traffic()
    figures = LinkFigures(traffic, PollCounters(), 1.0)
    assert "loss" not in figures.form(0.0)
    traffic.sent = traffic.received = 100
    traffic.timeouts, traffic.sent_bytes, traffic.received_bytes = 10, 600, 400
    form = figures.form(20.0)
    assert (form["loss"], form["bytes_per_s"], form["period_s"]) == (0.1, 50.0, 1.0)
    for half_minute in range(1, 13):
        traffic.sent += 100
        traffic.received += 100
        form = figures.form(20.0 + 30 * half_minute)
    assert form["loss"] == 0.0
    assert form["timeouts"] == 10
    assert form["bytes_per_s"] == 0.0


def test_an_answer_that_came_late_is_one_lost_frame_and_not_two() -> None:
    traffic = Traffic(sent=100, timeouts=3)
    for kind in (LATE, LATE, "crc"):
        traffic.note_violation(kind)
    assert (traffic.lost, LinkFigures(traffic, PollCounters(), 1.0).form(1.0)["loss"]) == (4, 0.04)


def test_lateness_is_told_by_quantiles() -> None:
    late = Lateness()
    for milliseconds in range(100):
        late.note(milliseconds / 1000)
    assert (late.quantile_ms(0.5), late.quantile_ms(0.99)) == (49, 98)
    late.clear()
    assert late.quantile_ms(0.99) == 0
