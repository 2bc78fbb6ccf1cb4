"""Modbus RTU over serial lines (pseudo terminals with line time) and over TCP, against a responder of our own."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import struct
import time
import tty
from pathlib import Path
from typing import Any

import pytest

from pilots.domain.errors import AnswerTimeout, DeviceRefused, FieldError, LinkDown, ProtocolViolation
from pilots.domain.point import PointKind
from pilots.drivers.modbus import ModbusRtuDriver
from pilots.simulators.serial_line import QUIET, Disturbance
from tests.drivers.builders import Committed, make_device, make_point, make_target
from tests.drivers.modbus_benches import FLOATS, SETPOINT, carried_rtu_peer, on_line, peer_with_floats, rtu_peer
from tests.drivers.raw_modbus import Request, with_crc
from tests.waiting import stalls


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "line"


async def test_every_table_is_read_and_written_over_a_serial_line(path: Path) -> None:
    points = (
        *FLOATS,
        SETPOINT,
        make_point("limit", register=14, type="uint16", table="input"),
        make_point("mode", PointKind.SETPOINT, register=42, write_function=6),
        make_point("relay", PointKind.COMMAND, register=3, table="coil"),
        make_point("door", PointKind.STATUS, register=3, table="discrete"),
    )
    async with rtu_peer(path, registers=peer_with_floats()) as (peer, _):
        async with on_line(path, make_device(*points, holes="forbidden")) as driver:
            await driver.write("bg-M01", "p_set", -70000)
            await driver.write("bg-M01", "mode", 4)
            await driver.write("bg-M01", "relay", 1)
            found = {r.point: r.value for r in await driver.read("bg-M01", [point.name for point in points])}
            assert found == {"a": 1.5, "b": -2.25, "p_set": -70000, "limit": 0xC010, "mode": 4, "relay": 1, "door": 1}
            assert {request.function for request in peer.asked} == {1, 2, 3, 4, 5, 6, 16}
            assert driver.traffic.violations == 0 and driver.traffic.sent == driver.traffic.received


async def test_a_unit_behind_an_exception_is_refused_in_words(path: Path) -> None:
    async with rtu_peer(path), on_line(path, make_device(*FLOATS)) as driver:
        with pytest.raises(DeviceRefused, match="exception 2, illegal data address"):
            await driver.read("bg-M01", ["a"])


async def test_line_time_does_not_count_as_the_units_time(path: Path) -> None:
    """At 1200 Bd question and answer of 100 registers take 213 bytes of 10 bits: 1.78 s."""
    points = [make_point(f"r{at}", register=at) for at in range(100)]
    async with rtu_peer(path, baudrate=1200, registers={at: at for at in range(100)}):
        async with on_line(path, make_device(*points), baudrate=1200, timeout_s=1.6) as driver:
            started = time.monotonic()
            readings = await driver.read("bg-M01", [point.name for point in points])
            assert time.monotonic() - started > 1.6
            assert [reading.value for reading in readings] == list(range(100))


async def test_an_adapter_that_hears_itself_is_recognised(path: Path) -> None:
    mode = make_point("mode", PointKind.SETPOINT, register=70, write_function=6)
    async with rtu_peer(path, registers=peer_with_floats()) as (_, line):
        line.disturb(Disturbance(echo=True))
        async with on_line(path, make_device(*FLOATS, SETPOINT, mode)) as driver:
            for _ in range(3):
                assert [r.value for r in await driver.read("bg-M01", ["a", "b"])] == [1.5, -2.25]
            await driver.write("bg-M01", "p_set", 7)
            await driver.write("bg-M01", "mode", 7)
            assert driver.traffic.violations == 0
            assert driver.traffic.kinds["echo"] == driver.traffic.sent


async def test_a_known_echo_is_never_taken_for_the_confirmation_of_a_write(path: Path) -> None:
    mode = make_point("mode", PointKind.SETPOINT, register=70, write_function=6)

    async def silence(request: Request) -> None:
        return None

    async with rtu_peer(path, script=silence) as (_, line):
        line.disturb(Disturbance(echo=True))
        async with on_line(path, make_device(mode), local_echo=True, timeout_s=0.05) as driver:
            with pytest.raises(AnswerTimeout):
                await driver.write("bg-M01", "mode", 7)


async def test_noise_around_the_answer_is_skipped(path: Path) -> None:
    async with rtu_peer(path, registers=peer_with_floats()) as (peer, line):

        async def script(request: Request) -> bytes:
            return b"\xff\x02\x83" + peer.answer(request) + b"\x00"

        peer.script = script
        async with on_line(path, make_device(*FLOATS)) as driver:
            for _ in range(3):
                line.interject(b"\x55\xaa\x02")
                await asyncio.sleep(0.1)  # the responder too needs silence to forget it
                assert [r.value for r in await driver.read("bg-M01", ["a", "b"])] == [1.5, -2.25]
            assert driver.traffic.kinds["noise"] >= 3


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda frame: frame[:-1] + bytes([frame[-1] ^ 1]), "crc"),
        (lambda frame: frame[:-3], "truncated"),
        (lambda frame: frame[:5] + b"\x99" + frame[5:], "crc"),
    ],
)
async def test_a_damaged_answer_is_a_counted_violation_and_no_value(path: Path, spoil: Any, kind: str) -> None:
    async with rtu_peer(path, registers=peer_with_floats()) as (_, line):
        line.spoil = spoil
        async with on_line(path, make_device(*FLOATS)) as driver:
            with pytest.raises(ProtocolViolation, match=f"unit 1 came damaged .{kind}"):
                await driver.read("bg-M01", ["a"])
            assert driver.traffic.kinds == {kind: 1}
            line.spoil = None
            (reading,) = await driver.read("bg-M01", ["a"])
            assert reading.value == 1.5


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda r: r.frame(bytes([3, 4]) + bytes(4), unit=9), "wrong unit"),
        (lambda r: r.frame(bytes([4, 4]) + bytes(4)), "wrong function"),
        (lambda r: r.frame(bytes([3, 6]) + bytes(6)), "wrong length"),
    ],
)
async def test_an_answer_to_something_else_is_waited_past(path: Path, answer: Any, kind: str) -> None:
    async with rtu_peer(path, registers=peer_with_floats()) as (peer, _):

        async def script(request: Request) -> bytes:
            return bytes(answer(request)) + (peer.answer(request) if len(peer.asked) > 1 else b"")

        peer.script = script
        async with on_line(path, make_device(*FLOATS), timeout_s=0.3, late_s=0) as driver:
            with pytest.raises(ProtocolViolation, match=kind):
                await driver.read("bg-M01", ["a"])
            await asyncio.sleep(max(0.0, driver._opened().late_for_s(1)))
            (reading,) = await driver.read("bg-M01", ["a"])
            assert reading.value == 1.5
            assert set(driver.traffic.kinds) == {kind}


async def test_another_masters_talk_with_other_units_costs_nothing(path: Path) -> None:
    async with rtu_peer(path, registers=peer_with_floats()) as (peer, line):

        async def script(request: Request) -> bytes:
            line.interject(with_crc(bytes.fromhex("07 03 0000 0002")) + with_crc(bytes.fromhex("07 03 04 00000000")))
            await asyncio.sleep(0.02)
            return peer.answer(request)

        peer.script = script
        async with on_line(path, make_device(*FLOATS)) as driver:
            (reading,) = await driver.read("bg-M01", ["a"])
            assert reading.value == 1.5
            assert driver.traffic.kinds == {"another master": 1, "wrong unit": 1}


@pytest.mark.parametrize("question", ["01 03 0000 0002", "01 03 0305 0002"])
async def test_when_another_master_asks_our_unit_nobody_knows_whose_answer_comes(path: Path, question: str) -> None:
    async with rtu_peer(path, registers=peer_with_floats()) as (peer, line):

        async def script(request: Request) -> None:
            line.interject(with_crc(bytes.fromhex(question)) + with_crc(bytes.fromhex("01 03 04 41100000")))

        peer.script = script
        async with on_line(path, make_device(*FLOATS), late_s=0.05) as driver:
            with pytest.raises(ProtocolViolation, match="another master asked unit 1"):
                await driver.read("bg-M01", ["a"])
            peer.script = None
            await asyncio.sleep(max(0.0, driver._opened().late_for_s(1)))
            (reading,) = await driver.read("bg-M01", ["a"])
            assert reading.value == 1.5


async def test_no_late_answer_is_taken_for_the_current_one_however_many_values_are_read(path: Path) -> None:
    """Each register holds its own number, and one answer in six comes after its time-out, half of these when nobody waits
    for it any more."""
    count, polls = 120, 84
    source = random.Random(1)
    points = [make_point(f"r{at}", register=at) for at in range(count * polls)]
    names = [[point.name for point in points[at : at + count]] for at in range(0, count * polls, count)]
    seen = wrong = silent = 0
    async with rtu_peer(path, baudrate=4_000_000, registers={at: at for at in range(count * polls)}) as (peer, _):

        async def script(request: Request) -> bytes:
            await asyncio.sleep(source.choice((0.0, 0.0, 0.0, 0.0, 0.0, 0.055, 0.11)))
            return peer.answer(request)

        peer.script = script
        device = make_device(*points)
        async with on_line(path, device, timeout_s=0.04, late_s=0.03, baudrate=4_000_000) as driver:
            for asked in itertools.cycle(names):
                if seen >= 4_000 and silent >= 10 and driver.traffic.kinds.get("late answer", 0) >= 10:
                    break
                driver._health["bg-M01"].note_answer()  # the pause of a dead unit is not what is tried here
                try:
                    readings = await driver.read("bg-M01", asked)
                except FieldError:
                    silent += 1
                    await asyncio.sleep(max(0.0, driver._opened().late_for_s(1)))
                    continue
                seen += len(readings)
                wrong += sum(reading.value != int(reading.point[1:]) for reading in readings)
    assert wrong == 0


async def test_while_a_silent_unit_is_left_alone_the_others_go_on(path: Path) -> None:
    async with rtu_peer(path, registers=peer_with_floats()) as (peer, _):

        async def script(request: Request) -> bytes | None:
            return None if request.unit == 2 else peer.answer(request)

        peer.script = script
        devices = make_device(*FLOATS), make_device(*FLOATS, id="bg-M02", address={"unit": 2})
        async with on_line(path, *devices, timeout_s=1.0, late_s=20.0) as driver:
            with pytest.raises(AnswerTimeout):
                await driver.read("bg-M02", ["a"])
            for _ in range(5):
                assert (await driver.read("bg-M01", ["a"]))[0].value == 1.5
                with pytest.raises(AnswerTimeout, match="its late answer may still come"):
                    await driver.read("bg-M02", ["a"])
            assert [request.unit for request in peer.asked] == [2, 1, 1, 1, 1, 1]
            assert driver.device_up("bg-M02") is None  # only questions that were asked count as missed


async def test_after_a_silence_the_next_question_has_an_answer_of_another_length(path: Path) -> None:
    async with rtu_peer(path, registers=peer_with_floats()) as (peer, _):

        async def script(request: Request) -> bytes | None:
            if len(peer.asked) > 1:
                return peer.answer(request)
            asyncio.get_running_loop().call_later(1.0, answers.append, peer.answer(request))
            return None

        answers: list[bytes] = []
        peer.script = script
        async with on_line(path, make_device(*FLOATS), timeout_s=0.5, late_s=0.01) as driver:
            with pytest.raises(AnswerTimeout):
                await driver.read("bg-M01", ["a"])
            await asyncio.sleep(driver._opened().late_for_s(1))
            assert (await driver.read("bg-M01", ["a"]))[0].value == 1.5
            assert (await driver.read("bg-M01", ["a"]))[0].value == 1.5
        assert [request.count for request in peer.asked] == [2, 1, 2, 2]


async def test_a_command_waits_until_no_late_answer_can_come(path: Path) -> None:
    async with rtu_peer(path, registers={40: 0, 41: 0}) as (peer, _):

        async def script(request: Request) -> bytes | None:
            return None if len(peer.asked) == 1 else peer.answer(request)

        peer.script = script
        async with on_line(path, make_device(SETPOINT), timeout_s=0.5, late_s=0.2) as driver:
            with pytest.raises(AnswerTimeout):
                await driver.read("bg-M01", ["p_set"])
            started = time.monotonic()
            await driver.write("bg-M01", "p_set", 5)
            assert time.monotonic() - started >= 0.2


async def test_after_noise_the_line_is_understood_again_within_a_second(path: Path) -> None:
    async with rtu_peer(path, registers=peer_with_floats()) as (_, line):
        async with on_line(path, make_device(*FLOATS), timeout_s=0.05, late_s=0.05) as driver:

            async def poll() -> list[float | str | None]:
                try:
                    return [reading.value for reading in await driver.read("bg-M01", ["a", "b"])]
                except (AnswerTimeout, ProtocolViolation):
                    await asyncio.sleep(max(0.0, driver._opened().late_for_s(1)))
                    return []

            line.disturb(Disturbance(bursts_per_s=300, garbled=0.02, dropped=0.02))
            during = [await poll() for _ in range(8)]
            line.disturb(QUIET)
            ended = time.monotonic()
            with stalls() as machine:
                while await poll() != [1.5, -2.25]:
                    assert time.monotonic() - ended < 1.0 + machine.seconds
            assert all(values in ([], [1.5, -2.25]) for values in during)
            assert [] in during and driver.traffic.violations > 0
            assert [await poll() for _ in range(3)] == [[1.5, -2.25]] * 3


async def test_noise_is_no_silence_of_the_unit(path: Path) -> None:
    async with rtu_peer(path) as (peer, _):

        async def spoilt(request: Request) -> bytes:
            return peer.answer(request)[:4]

        peer.script = spoilt
        async with on_line(path, make_device(*FLOATS), timeout_s=0.3) as driver:
            for _ in range(6):
                with pytest.raises(ProtocolViolation):
                    await driver.read("bg-M01", ["a"])
            assert len(peer.asked) == 6
            assert driver.device_up("bg-M01") is None


async def test_a_line_that_is_opened_again_owes_no_answer(path: Path) -> None:
    """The next link to it would take a late one for the answer to its own question."""
    async with rtu_peer(path, registers=peer_with_floats()) as (peer, _):

        async def late(request: Request) -> bytes | None:
            if len(peer.asked) > 1:
                return peer.answer(request)
            await asyncio.sleep(0.6)  # after the line was closed
            return request.frame(struct.pack(">BBf", 3, 4, 666.0))

        peer.script = late
        async with on_line(path, make_device(*FLOATS), timeout_s=0.3, late_s=2.0) as driver:
            with pytest.raises(AnswerTimeout):
                await driver.read("bg-M01", ["a"])
        async with on_line(path, make_device(*FLOATS), timeout_s=2.0) as driver:
            assert (await driver.read("bg-M01", ["a"]))[0].value == 1.5


async def test_a_line_that_is_never_quiet_is_not_spoken_on(path: Path) -> None:
    async with rtu_peer(path) as (peer, line):

        async def babble() -> None:
            while True:
                line.interject(b"\x00" * 40)
                await asyncio.sleep(0.001)

        async with on_line(path, make_device(*FLOATS), timeout_s=0.05) as driver:
            babbling = asyncio.create_task(babble())
            await asyncio.sleep(0.02)
            with pytest.raises(ProtocolViolation, match="never quiet"):
                await driver.read("bg-M01", ["a"])
            babbling.cancel()
            assert peer.asked == [] and driver.traffic.kinds["babble"] == 1


async def test_a_line_serves_one_master_of_this_machine(path: Path) -> None:
    async with rtu_peer(path), on_line(path, make_device(*FLOATS)):
        with pytest.raises(LinkDown, match="line"):
            async with on_line(path, make_device(*FLOATS)):
                pass


async def test_an_adapter_that_is_pulled_out_is_a_lost_link(path: Path) -> None:
    async with rtu_peer(path) as (peer, line):

        async def silence(request: Request) -> None:
            await line.close()

        peer.script = silence
        async with on_line(path, make_device(*FLOATS), timeout_s=30) as driver:
            async with asyncio.timeout(30):
                with pytest.raises(AnswerTimeout, match="broke"):
                    await driver.read("bg-M01", ["a"])
                await driver.closed.wait()
            with pytest.raises(LinkDown):
                await driver.read("bg-M01", ["a"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"baudrate": "fast"}, "baudrate: a number"),
        ({"parity": "even"}, "parity: N, E or O, not even"),
        ({"stopbits": 3}, "stopbits"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"local_echo": "auto"}, "local_echo"),
    ],
)
async def test_an_option_that_cannot_be_is_named(path: Path, options: dict[str, Any], words: str) -> None:
    async with rtu_peer(path):
        with pytest.raises(LinkDown, match=words):
            async with on_line(path, make_device(*FLOATS), **options):
                pass


async def test_a_pseudo_terminal_that_knows_no_parity_is_opened_again_and_again() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    try:
        for _ in range(3):
            async with on_line(os.ttyname(slave), make_device(*FLOATS), parity="E", baudrate=19200) as driver:
                assert not driver.closed.is_set()
    finally:
        os.close(slave)
        os.close(master)


async def test_a_line_that_is_not_there_is_link_down_in_words(path: Path) -> None:
    with pytest.raises(LinkDown, match=str(path)):
        async with on_line(path, make_device(*FLOATS)):
            pass


@pytest.mark.parametrize("unit", [0, 248, "three", None])
async def test_a_unit_no_serial_line_has_is_refused_by_name(path: Path, unit: Any) -> None:
    async with rtu_peer(path) as (peer, _), on_line(path, make_device(*FLOATS, address={"unit": unit})) as driver:
        with pytest.raises(DeviceRefused, match=f"bg-M01: unit is a whole number from 1 to 247, not {unit}"):
            await driver.read("bg-M01", ["a"])
        assert peer.asked == []


async def test_rtu_carried_by_tcp_is_read_and_probed() -> None:
    async with carried_rtu_peer(registers=peer_with_floats()) as peer:
        driver = ModbusRtuDriver(make_target(peer.port, make_device(*FLOATS), timeout_s=0.5), Committed())
        assert await driver.probe() == [
            f"TCP connection to 127.0.0.1:{peer.port} opened",
            "bg-M01 (unit 1) answered: a = 1.5",
        ]
        await driver.open()
        assert [r.value for r in await driver.read("bg-M01", ["a", "b"])] == [1.5, -2.25]
        assert driver.traffic.violations == 0
        await driver.close()


async def test_the_frame_log_of_a_line_reads_as_words(path: Path) -> None:
    async with rtu_peer(path, registers=peer_with_floats()), on_line(path, make_device(*FLOATS)) as driver:
        await driver.read("bg-M01", ["a"])
        words = [driver.describe(frame.raw) for frame in driver.traffic.log.frames()]
    assert words == ["→ unit 1 read holding 10 ×2", f"← unit 1 holding {struct.pack('>f', 1.5).hex(' ', -2)}"]
