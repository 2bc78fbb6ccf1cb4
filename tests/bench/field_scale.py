"""Thousands of connections in one field worker: 2,000 Modbus TCP devices at 1 Hz, 1,000 IEC 104 links. [bench]

The gateway runs in this process on its own thread, whose CPU is driver, supervisor and the price of handing values over;
first into a door that only counts, then into the real one. The far ends are bare asyncio in another process.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import resource
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import psutil
from django.db.models import F

from pilots.acquisition import gateway as gateway_module
from pilots.acquisition.awaited import Awaited
from pilots.acquisition.gateway import Gateway
from pilots.acquisition.ingest import ingest
from pilots.domain.measurement import Measurement, RawReading
from pilots.domain.topology import LinkState
from pilots.drivers.traffic import BLOCK, FrameLog
from pilots.models import Connection, Device, Pilot, Point
from tests.bench import plant
from tests.bench.figures import Goal, note, quantile, report
from tests.bench.many import multiply
from tests.bench.peers import peer
from tests.bench.yardsticks import RawModbus

DEVICES, LINKS = 2000, 1000
ROUNDS, WINDOW_S, WARM_UP_S = 3, 4.0, 3.0
FEW, MORE = 100, 400
#: Values a second and device that two cores store beside their peers: 10,000 in all.
STORED_POINTS = 5
#: What a connection's frame log holds at least once it is full.
FRAMES = 500
BARE = "bare asyncio at the same pace"


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # as the product does at its start
    pilot = Pilot.objects.create(code="es", name="Bench", country="ES", latitude=41.6, longitude=2.3)
    with peer("modbus") as (port, _):
        raw = asyncio.run(bare_polls(port))
        meter = make_meter(pilot, port)
        multiply(meter, FEW - 1)
        memory(meter)
        multiply(meter, DEVICES - Connection.objects.count())
        polls(raw)
    Connection.objects.update(enabled=False)
    with peer("iec104", "tests.bench.stations", str(LINKS)) as (port, _):
        multiply(make_station(pilot, port), LINKS - 1)
        listening()


# The product


class Counting:
    """A door that counts what comes and stores nothing."""

    def __init__(self) -> None:
        self.readings = 0
        self.awaited = Awaited()
        self._done: Future[None] = Future()
        self._done.set_result(None)

    def put(self, device: str, readings: Sequence[RawReading], received: datetime) -> Future[None]:
        self.readings += len(readings)
        return self._done

    def mark_old(self, newest: Mapping[int, Measurement]) -> Future[None]:
        return self._done

    def stop(self, timeout_s: float = 0.0) -> None:
        return None


@dataclass(slots=True)
class Window:
    """Some seconds of a gateway: shares of a core, polls and readings per second, lateness."""

    loop: float
    process: float
    polls: float
    readings: float
    late_ms: float


@contextmanager
def running(door: Counting | None = None) -> Iterator[Gateway]:
    """A gateway whose every connection stands; `door` None: values are stored."""
    before = gateway_module.ingest
    if door is not None:
        gateway_module.ingest = lambda: door  # type: ignore[assignment,return-value]
    gateway = Gateway()
    gateway.start()
    try:
        wanted = Connection.objects.filter(enabled=True).count()
        _wait(lambda: _standing(gateway) == wanted, "every connection stands", 60)
        time.sleep(WARM_UP_S)
        yield gateway
    finally:
        gateway.stop(20)
        gateway_module.ingest = before


def _standing(gateway: Gateway) -> int:
    return sum(supervisor.state is LinkState.UP for supervisor in list(gateway.supervisors.values()))


def watch(gateway: Gateway, count: Callable[[], int]) -> Window:
    """One window."""
    _in_loop(gateway, gateway.lateness.clear)
    polls, readings, started = _polls(gateway), count(), time.monotonic()
    loop, process = _in_loop(gateway, time.thread_time), time.process_time()
    time.sleep(WINDOW_S)
    seconds = time.monotonic() - started
    loop, process = _in_loop(gateway, time.thread_time) - loop, time.process_time() - process
    return Window(
        loop=100 * loop / seconds,
        process=100 * process / seconds,
        polls=(_polls(gateway) - polls) / seconds,
        readings=(count() - readings) / seconds,
        late_ms=_in_loop(gateway, lambda: gateway.lateness.quantile_ms(0.99)),
    )


def _in_loop(gateway: Gateway, work: Callable[[], float | None]) -> float:
    """What `work` says in the gateway's thread."""
    found: Future[float] = Future()
    gateway._call(lambda: found.set_result(work() or 0.0))
    return found.result(10)


def _polls(gateway: Gateway) -> int:
    return sum(supervisor.counters.polls for supervisor in gateway.supervisors.values())


def polls(raw: list[tuple[float, float]]) -> None:
    door = Counting()
    with running(door) as gateway:
        rounds = [watch(gateway, lambda: door.readings) for _ in range(ROUNDS)]
    _tell("counting door", rounds)
    unit = f"% of a core, {DEVICES:,} devices at 1 Hz"
    shares = [(window.loop, share) for window, (share, _) in zip(rounds, raw, strict=True)]
    report("field.scale_cpu", unit, BARE, shares, Goal("value", "<=", 60))
    late = [(window.late_ms, max(0.1, late)) for window, (_, late) in zip(rounds, raw, strict=True)]
    report("field.scale_lateness_p99", "ms after a poll was due", BARE, late, Goal("value", "<=", 50))
    every = stored(plant.POINTS)
    unit = f"% of a core, {min(window.readings for window in every):,.0f} values/s stored"
    pairs = [(window.process, before.loop) for window, before in zip(every, rounds, strict=True)]
    report("field.scale_with_ingest_cpu", unit, "without storing", pairs)
    some = stored(STORED_POINTS)
    unit = f"ms after a poll was due, {min(window.readings for window in some):,.0f} values/s stored"
    late = [(window.late_ms, max(0.1, late)) for window, (_, late) in zip(some, raw, strict=True)]
    report("field.scale_stored_lateness_p99", unit, BARE, late, Goal("value", "<=", 50))


def stored(points: int) -> list[Window]:
    """So many points of each device are asked for, and their values stored."""
    Point.objects.exclude(name__in=plant.NAMES[:points]).update(period_s=None)
    Pilot.objects.update(revision=F("revision") + 1)
    with running() as gateway:
        counters = ingest().counters
        before = counters.readings
        _wait(lambda: counters.readings > before, "values are stored", 60)
        windows = [watch(gateway, lambda: counters.readings) for _ in range(ROUNDS)]
    _tell(f"{points} points a device stored", windows)
    return windows


def _tell(what: str, rounds: list[Window]) -> None:
    for w in rounds:
        shares = f"loop {w.loop:.0f} %, process {w.process:.0f} %"
        note(f"field_scale: {what}: {shares}, {w.polls:,.0f} polls/s, {w.readings:,.0f} values/s, p99 late {w.late_ms:.0f} ms")


def memory(meter: Connection) -> None:
    """Resident memory that each connection adds once its frame log is full, its plan, driver and socket included."""
    rounds = []
    with running(Counting()) as gateway:
        for _ in range(ROUNDS):
            _fill_logs(gateway)
            before, known = _resident_kib(), len(gateway.supervisors)
            multiply(meter, MORE)
            wanted = known + MORE
            _wait(lambda: _standing(gateway) == wanted, "the new connections stand", 60)  # noqa: B023
            _fill_logs(gateway)
            rounds.append(((_resident_kib() - before) / MORE, _raw_log_kib()))
            note(f"field_scale: {rounds[-1][0]:.1f} KiB a connection")
    report("field.scale_memory", "KiB a Modbus connection", "the bytes of its frame log", rounds, Goal("value", "<=", 64))


def _fill_logs(gateway: Gateway) -> None:
    """Full, each at another place of its open block, as after a day: else all open blocks would grow during the round."""
    frames = [_frames(number) for number in range((FRAMES + BLOCK) // 2)]

    def fill(log: FrameLog, over: int) -> None:
        for request, answer in frames[: FRAMES // 2 + over]:
            log.note(request, sent=True)
            log.note(answer, sent=False)

    for index, supervisor in enumerate(list(gateway.supervisors.values())):
        if supervisor.traffic.log.count < FRAMES:
            _in_loop(gateway, partial(fill, supervisor.traffic.log, index % (BLOCK // 2)))
    gc.collect()


def _frames(number: int) -> tuple[bytes, bytes]:
    """A request for 100 registers and its answer, as a meter with changing values gives it."""
    values = [230.0 + (number * (index + 1) * 7919 % 1000) / 100 for index in range(50)]
    answer = struct.pack(">HHHBBB50f", number & 0xFFFF, 0, 203, 1, 3, 200, *values)
    return struct.pack(">HHHBBHH", number & 0xFFFF, 0, 6, 1, 3, 0, 100), answer


def _raw_log_kib() -> float:
    return FRAMES / 2 * sum(map(len, _frames(1))) / 1024


def _resident_kib() -> float:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the allocator only keeps for later is no use of ours
    return float(psutil.Process(os.getpid()).memory_info().rss) / 1024


def listening() -> None:
    door = Counting()
    with running(door) as gateway:
        rounds = [watch(gateway, lambda: door.readings) for _ in range(ROUNDS)]
    _tell("IEC 104", rounds)
    unit = f"% of a core, {LINKS:,} links, {min(window.readings for window in rounds):,.0f} points/s"
    pairs = [(window.loop, window.readings / 1000) for window in rounds]
    report("field.scale_iec104_cpu", unit, "thousand points/s", pairs, Goal("value", "<=", 25))


# The yardstick


async def bare_polls(port: int) -> list[tuple[float, float]]:
    """Per cent of a core and p99 lateness (ms) of the same polls without the product: read, unpack, forget."""
    loop = asyncio.get_running_loop()
    lines = [(await loop.create_connection(RawModbus, "127.0.0.1", port))[1] for _ in range(DEVICES)]
    late: list[float] = []
    layout, started = struct.Struct(">50f"), loop.time() + 0.5

    async def poll(line: RawModbus, phase: float) -> None:
        due = started + phase
        while True:
            await asyncio.sleep(due - loop.time())
            late.append(1000 * (loop.time() - due))
            layout.unpack(await line.read(1, 0, 100))
            due += 1.0

    tasks = [asyncio.create_task(poll(line, index / DEVICES)) for index, line in enumerate(lines)]
    await asyncio.sleep(2.0)
    rounds = []
    for _ in range(ROUNDS):
        late.clear()
        cpu = time.thread_time()
        await asyncio.sleep(WINDOW_S)
        rounds.append((100 * (time.thread_time() - cpu) / WINDOW_S, quantile(late, 0.99)))
    for line in lines:
        line.transport.abort()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return rounds


# The plant


def make_pilot() -> Pilot:
    return Pilot.objects.create(code="es", name="Bench", country="ES", latitude=41.6, longitude=2.3)


def make_meter(pilot: Pilot, port: int) -> Connection:
    """A meter of 50 floats a second on a connection of its own."""
    line = Connection.objects.create(pilot=pilot, name="es-gw", protocol="modbus_tcp", host="127.0.0.1", port=port)
    meter = Device.objects.create(pilot=pilot, code="es-M", kind="meter", connection=line, address={"unit": 1})
    for index, name in enumerate(plant.NAMES):
        address = {"register": 2 * index, "type": "float32"}
        Point.objects.create(device=meter, name=name, kind="measurement", unit="W", period_s=1.0, address=address)
    return line


def make_station(pilot: Pilot, port: int) -> Connection:
    """An RTU of ten floats on a link of its own."""
    line = Connection.objects.create(pilot=pilot, name="es-rtu", protocol="iec104", host="127.0.0.1", port=port)
    rtu = Device.objects.create(pilot=pilot, code="es-RTU", kind="rtu", connection=line, address={"ca": 1})
    for ioa in range(1, 11):
        Point.objects.create(device=rtu, name=f"p{ioa:02d}", kind="measurement", unit="W", address={"ioa": ioa, "type": 36})
    return line


def _wait(condition: Callable[[], bool], what: str, within_s: float) -> None:
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {within_s:g} s: {what}")
        time.sleep(0.1)
