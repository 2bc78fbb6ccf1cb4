"""F32: noise, half frames, echo and a second master on a serial line; good again within a second of the end. [zone: field]

Modbus over Serial Line V1.02 2.5.1.1 (silence ends frames), IEC 60870-5-1 6.2.4.2 (FT1.2).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pilots.acquisition.polling import Lateness, Poller, poll_slots
from pilots.acquisition.ways import BackOff
from pilots.domain.errors import FieldError
from pilots.domain.measurement import RawReading
from pilots.drivers.base import Driver, Target
from pilots.drivers.figures import PollCounters
from pilots.drivers.iec101 import Iec101Driver, ft12
from pilots.drivers.modbus import ModbusRtuDriver
from pilots.drivers.traffic import Traffic
from pilots.models.leases import HeldLease
from pilots.simulators.serial_line import QUIET, Disturbance, SerialLine
from tests.drivers.builders import Committed, make_device
from tests.drivers.iec101.faulty import FaultyStation
from tests.drivers.iec101.peers import FAST, Store, forgetting, make_target
from tests.drivers.modbus_benches import FLOATS, rtu_peer
from tests.drivers.raw_modbus import with_crc
from tests.waiting import stalls

pytestmark = pytest.mark.wire
RESYNC_S = 1.0
#: What the other master asks: unit 1 of Modbus, station 1 of IEC 101 for its class 2 data.
OTHERS = {"modbus_rtu": with_crc(struct.pack(">BBHH", 1, 3, 100, 2)), "iec101": ft12.encode(0x5B, 1, 1, b"")}
#: Heard by both ends, and never the whole of a frame.
HALVES = {"modbus_rtu": with_crc(b"\1\3\4" + bytes(4))[:5], "iec101": b"\x68\x0f\x0f\x68\x08\x01\x0d"}

#: One thing that can be asked or waited for: the next value, True when it is right.
NextValue = Callable[[], Awaitable[bool]]
Bench = tuple[SerialLine, NextValue, Traffic]


@asynccontextmanager
async def kept_open(
    make: Callable[[], Driver], live: Callable[[Driver], Awaitable[None]], traffic: Traffic
) -> AsyncIterator[None]:
    """A driver that is opened anew when its line ends, after the pauses of a supervisor."""

    async def keep() -> None:
        back_off = BackOff()
        while True:
            driver, violations, opened_at = make(), traffic.violations, asyncio.get_running_loop().time()
            try:
                await driver.open()
                await live(driver)
            except FieldError:
                traffic.reconnects += 1
            finally:
                await driver.close()
            lived_s = asyncio.get_running_loop().time() - opened_at
            await asyncio.sleep(back_off.pause_s(lived_s=lived_s, noisy=traffic.violations > violations))

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


@asynccontextmanager
async def modbus_line(folder: Path) -> AsyncIterator[Bench]:
    """Polled by the product's poller, ten times a second."""
    registers = dict(enumerate(struct.unpack(">4H", struct.pack(">ff", 1.5, -2.25)), start=10))
    registers |= {14: registers[12], 15: registers[13]}
    device, traffic, found = make_device(*(replace(point, period_s=0.1) for point in FLOATS)), Traffic(), asyncio.Queue[bool]()
    options = {"baudrate": 115200, "parity": "N", "timeout_s": 0.2}
    target = Target(name="test", host="", port=0, devices=(device,), options=options, serial_line=str(folder / "line"))

    def take(_: str, readings: Sequence[RawReading] | None) -> None:
        values = {reading.point: reading.value for reading in readings or () if reading.value is not None}
        assert values.items() <= {"a": 1.5, "b": -2.25}.items(), f"noise became a value: {values}"
        found.put_nowait(len(values) == 2)

    async def live(driver: Driver) -> None:
        slots = poll_slots(target, spread="test", now=asyncio.get_running_loop().time())
        lease = HeldLease("connection:test", "gateway", 1, float("inf"))
        await Poller(driver, slots, lease=lease, take=take, counters=PollCounters(), lateness=Lateness()).run()

    async def next_value() -> bool:
        while not found.empty():
            found.get_nowait()
        with suppress(TimeoutError):
            return await asyncio.wait_for(found.get(), 0.25)
        return False

    async with rtu_peer(folder / "line", registers=registers) as (_, line):
        async with kept_open(lambda: ModbusRtuDriver(target, Committed(), traffic), live, traffic):
            yield line, next_value, traffic


@asynccontextmanager
async def iec101_line(folder: Path) -> AsyncIterator[Bench]:
    """A station that has a new value to tell each time one has arrived, or was given up."""
    station, store, traffic, told = FaultyStation(1), Store(), Traffic(), [0.0]
    target = make_target(serial_line=folder / "line")

    async def serve(line: SerialLine) -> None:
        parser = ft12.Parser(1)
        while octets := await line.reader.read(1000):
            for item in parser.feed(octets):
                if isinstance(item, ft12.Frame) and item.from_primary:
                    for _, answer in station.answers(item):
                        line.write(answer)

    async def live(driver: Driver) -> None:
        await driver.closed.wait()

    async def next_value() -> bool:
        told.append(told[-1] + 1)
        station.measure(told[-1])
        arrived = len(store.values("active_power"))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.25):
                while len(store.values("active_power")) == arrived:
                    await asyncio.sleep(0.005)
        strange = set(store.values("active_power")) - set(told)
        assert not strange, f"noise became a value: {strange}"
        return len(store.values("active_power")) > arrived

    async with SerialLine(folder / "line", FAST) as line:
        serving = asyncio.create_task(serve(line))
        with forgetting():
            async with kept_open(lambda: Iec101Driver(target, store.sink, traffic), live, traffic):
                yield line, next_value, traffic
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


BENCHES = {"modbus_rtu": modbus_line, "iec101": iec101_line}


@asynccontextmanager
async def disturbed(line: SerialLine, kind: str, protocol: str) -> AsyncIterator[None]:
    """The line is so for as long as the block runs."""

    async def interject(octets: bytes) -> None:
        while True:
            line.interject(octets)
            await asyncio.sleep(0.013)

    strangers = {"half frames": HALVES, "two masters": OTHERS}
    task = asyncio.create_task(interject(strangers[kind][protocol])) if kind in strangers else None
    spikes = Disturbance(garbled=0.05, dropped=0.02, bursts_per_s=40.0)
    line.disturb({"noise": spikes, "echo": Disturbance(echo=True, garbled=0.02)}.get(kind, QUIET))
    try:
        yield
    finally:
        line.disturb(QUIET)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("protocol", sorted(BENCHES))
@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.rig)], ids=["short", "rig"])
async def test_f32_a_line_is_good_again_within_a_second_of_the_noise(protocol: str, rounds: int, tmp_path: Path) -> None:
    worst: dict[str, float] = {}
    clock = asyncio.get_running_loop().time
    async with BENCHES[protocol](tmp_path) as (line, next_value, traffic):
        async with asyncio.timeout(10):
            while not await next_value():
                pass
        for turn in range(rounds):
            for kind in ("noise", "half frames", "echo", "two masters"):
                async with disturbed(line, kind, protocol):
                    ends = clock() + (0.7 if rounds == 1 else 0.5 + 0.3 * turn)
                    while clock() < ends:
                        await next_value()
                ended = clock()
                with stalls() as machine:
                    async with asyncio.timeout(90):
                        while not await next_value():
                            pass
                worst[kind] = max(worst.get(kind, 0.0), clock() - ended - machine.seconds)
    figures = ", ".join(f"{kind} {1000 * seconds:.0f} ms" for kind, seconds in worst.items())
    print(
        f"F32: {protocol} good again after {figures}; counted {traffic.kinds}, {traffic.retries} repeats, "
        f"opened anew {traffic.reconnects} times"
    )
    assert max(worst.values()) <= RESYNC_S
    assert traffic.violations
