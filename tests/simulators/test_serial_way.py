"""What can happen to a simulated device's serial line, as its product's end sees it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pymodbus.framer import FramerRTU

from pilots.domain.media import MEDIA
from pilots.domain.topology import Protocol
from pilots.simulators.faults import FaultKind, Faults
from pilots.simulators.serial_line import LineSettings, SerialLine
from pilots.simulators.serial_way import SerialWay
from tests.simulators.test_serial_line import opened, read_exactly
from tests.waiting import timed

NAME = "bg-rtu01/1"
QUESTION = b"\1\3\0\0\0\1"


def answer(unit: int = 1) -> bytes:
    body = bytes([unit, 3, 2, 0, 42])
    return body + FramerRTU.compute_CRC(body).to_bytes(2)


class Bench:
    def __init__(self, faults: Faults, way: SerialWay, device: int) -> None:
        self.faults, self.way, self.device = faults, way, device

    async def start(self, kind: FaultKind, target: str = NAME, **options: float) -> str:
        fault = self.faults.start(kind, target, now=datetime.now(UTC), options=options)
        await asyncio.sleep(0.01)
        return fault.id

    async def ask(self, unit: int = 1, within_s: float = 20.0) -> bytes:
        os.write(self.device, bytes([unit]) + QUESTION[1:])
        return await read_exactly(self.device, 7, within_s)


async def obey(line: SerialLine) -> None:
    with suppress(asyncio.IncompleteReadError):
        while True:
            line.write(answer((await line.reader.readexactly(6))[0]))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    faults = Faults(seed=3)
    way = SerialWay(
        SerialLine(tmp_path / "rtu", LineSettings(baudrate=115200)),
        faults=faults,
        targets=(NAME,),
        protocol=Protocol.MODBUS_RTU,
        units={1: ("bg-PM01",), 2: ("bg-PM02",)},
    )
    await way.start()
    equipment = asyncio.create_task(obey(way.line))
    async with opened(tmp_path / "rtu") as device:
        yield Bench(faults, way, device)
    await way.stop()
    await equipment


async def test_without_fault_every_answer_comes(bench: Bench) -> None:
    for unit in (1, 2, 1):
        assert await bench.ask(unit) == answer(unit)


@pytest.mark.parametrize("kind", [FaultKind.SILENCE, FaultKind.HALF_OPEN, FaultKind.REBOOT])
async def test_no_answer_until_the_fault_ends(bench: Bench, kind: FaultKind) -> None:
    fault = await bench.start(kind)
    assert await bench.ask(within_s=0.1) == b""
    bench.faults.end(fault)
    await asyncio.sleep(0.01)
    assert await bench.ask() == answer()


async def test_one_unit_is_silent_refuses_or_lies_about_itself(bench: Bench) -> None:
    await bench.start(FaultKind.SILENCE, "bg-PM02")
    assert await bench.ask(2, within_s=0.1) == b""
    assert await bench.ask(1) == answer(1)
    await bench.start(FaultKind.EXCEPTION, "bg-PM01", code=6)
    assert (await bench.ask(1, within_s=1.0))[:3] == b"\1\x83\6"
    await bench.start(FaultKind.WRONG_UNIT, "bg-PM01")
    assert (await bench.ask(1, within_s=1.0))[:3] == b"\0\x83\6"


@pytest.mark.parametrize("kind", [FaultKind.GARBAGE, FaultKind.NOISE, FaultKind.WRONG_LENGTH])
async def test_answers_are_spoilt(bench: Bench, kind: FaultKind) -> None:
    await bench.start(kind, share=1.0)
    got = await bench.ask(within_s=1.0)
    assert got and got != answer()


async def test_slowness_delays_and_slows_the_line_down(bench: Bench) -> None:
    await bench.start(FaultKind.SLOWNESS, answer_s=0.2, bytes_per_s=100)
    with timed() as took:
        assert await bench.ask() == answer()
    # 6 bytes there, 7 back, 10 ms each.
    assert took.seconds >= 0.33
    assert took.own_s < 0.8


async def test_refusal_pulls_the_adapter_out(bench: Bench) -> None:
    fault = await bench.start(FaultKind.REFUSE)
    assert not bench.way.line.path.exists()
    with pytest.raises(OSError):
        os.write(bench.device, QUESTION)
    bench.faults.end(fault)
    await asyncio.sleep(0.01)
    async with opened(bench.way.line.path) as device:
        os.write(device, QUESTION)
        assert await read_exactly(device, 7) == answer()


async def test_flapping_comes_and_goes(bench: Bench) -> None:
    await bench.start(FaultKind.FLAPPING, up_s=0.15, down_s=0.15)
    answers = set[bool]()
    async with asyncio.timeout(20):
        while answers != {True, False}:
            answers.add(await bench.ask(within_s=0.04) == answer())


async def test_a_modem_delays_answers_and_dials_first(bench: Bench) -> None:
    bench.way.medium = replace(MEDIA["GSM"], latency_p50_s=0.05, latency_p95_s=0.051, loss=0.0, setup_s=0.2)
    for least_s, most_s in ((0.29, 0.6), (0.09, 0.28)):
        with timed() as took:
            assert await bench.ask() == answer()
        assert took.seconds >= least_s
        assert took.own_s < most_s


async def test_what_a_line_loses_stays_lost(bench: Bench) -> None:
    await bench.start(FaultKind.LOSS, share=0.5)
    answers = set[bytes]()
    async with asyncio.timeout(20.0):  # a spell is a matter of a second
        while len(answers) < 2:
            answers.add(await bench.ask(within_s=0.3))
    assert answers == {b"", answer()}
