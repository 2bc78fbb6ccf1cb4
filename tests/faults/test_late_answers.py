"""F23: each register holds its own number and answers come late; no value lands at another register's point. [zone: field]

Modbus Messaging on TCP/IP V1.0b 4.2 (transaction identifier); Modbus over Serial Line V1.02 2.4.1 (no identifier at all).
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pilots.domain.errors import AnswerTimeout, ProtocolViolation
from pilots.drivers.modbus.driver import ModbusDriver
from tests.drivers.builders import make_device, make_point
from tests.drivers.modbus_benches import on_line, opened, rtu_peer
from tests.drivers.raw_modbus import RawModbus, Request, raw_modbus

pytestmark = pytest.mark.wire
REGISTERS, IN_ONE = 10_000, 100
TIMEOUT_S, LATE_S, LATE_SHARE = 0.06, 0.05, 0.12
NAMES = [f"r{number}" for number in range(REGISTERS)]
DEVICE = make_device(*(make_point(name, register=number, type="uint16") for number, name in enumerate(NAMES)))


class Late:
    """Answers rightly, but some answers only after the master has given up, by up to `LATE_S` more."""

    def __init__(self) -> None:
        self.chance, self.late = random.Random(23), 0

    async def __call__(self, request: Request) -> bytes:
        if self.chance.random() < LATE_SHARE:
            self.late += 1
            await asyncio.sleep(TIMEOUT_S + self.chance.uniform(0.0, 0.9 * LATE_S))
        numbers = [(request.address + index) % 65536 for index in range(request.count)]
        return request.frame(bytes((request.function, 2 * request.count)) + struct.pack(f">{request.count}H", *numbers))


@asynccontextmanager
async def bench(carrier: str, folder: Path, script: Late) -> AsyncIterator[ModbusDriver]:
    options = {"timeout_s": TIMEOUT_S, "late_s": LATE_S}
    if carrier == "tcp":
        async with raw_modbus(script=script) as peer, opened(peer.port, DEVICE, **options) as driver:
            yield driver
        return
    async with rtu_peer(folder / "line", baudrate=1_000_000, script=script) as (line_peer, _):
        assert isinstance(line_peer, RawModbus)
        async with on_line(folder / "line", DEVICE, baudrate=1_000_000, **options) as driver:
            yield driver


@pytest.mark.parametrize("carrier", ["tcp", "rtu"])
@pytest.mark.parametrize("values", [10_000, pytest.param(200_000, marks=pytest.mark.rig)], ids=["short", "rig"])
async def test_f23_late_answers_are_never_taken_for_others(carrier: str, values: int, tmp_path: Path) -> None:
    script, chance = Late(), random.Random(32)
    right = wrong = unread = 0
    async with bench(carrier, tmp_path, script) as driver:
        while right + wrong < values:
            first = chance.randrange(0, REGISTERS, IN_ONE)
            try:
                readings = await driver.read("bg-M01", NAMES[first : first + IN_ONE])
            except (AnswerTimeout, ProtocolViolation):  # an answer later than late_s may be called what it is: of wrong length
                unread += 1
                await asyncio.sleep(0.01)  # as a poller does, which has others to ask
                continue
            found = [reading.value == float(reading.point[1:]) for reading in readings if reading.value is not None]
            right, wrong = right + sum(found), wrong + len(found) - sum(found)
        kinds = dict(driver.traffic.kinds)
    print(f"F23: {wrong} of {right + wrong} values misattributed over {carrier}; {script.late} late answers, counted {kinds}")
    assert wrong == 0
    assert script.late >= values / IN_ONE * LATE_SHARE / 2
    assert unread >= script.late / 2
    assert kinds.get("late answer", 0) >= script.late / 2
