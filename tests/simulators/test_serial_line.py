"""Serial lines: a device file at one end, a stream or a device file at the other, line time between them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import serial

from pilots.simulators.serial_line import QUIET, Disturbance, LineSettings, SerialLine
from tests.waiting import timed

FAST = LineSettings(baudrate=115200, parity="N")


@asynccontextmanager
async def opened(path: Path | str) -> AsyncIterator[int]:
    """The file descriptor of a device file."""
    device = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        yield device
    finally:
        os.close(device)


async def read_exactly(device: int, count: int, within_s: float = 20.0) -> bytes:
    """`count` bytes of a device file; fewer if they do not come in time."""
    loop = asyncio.get_running_loop()
    got, ready = bytearray(), asyncio.Event()
    loop.add_reader(device, ready.set)
    try:
        async with asyncio.timeout(within_s):
            while len(got) < count:
                await ready.wait()
                ready.clear()
                with suppress(BlockingIOError):
                    got += os.read(device, count - len(got))
    except TimeoutError:
        pass
    finally:
        loop.remove_reader(device)
    return bytes(got)


async def heard(line: SerialLine, count: int) -> bytes:
    """The next bytes at the equipment's end."""
    return await asyncio.wait_for(line.reader.readexactly(count), 20.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serial" / "rtu"


async def test_bytes_take_the_time_of_the_line_both_ways(path: Path) -> None:
    async with SerialLine(path, LineSettings(baudrate=9600, parity="E")) as line, opened(path) as device:
        message = bytes(range(114))
        with timed() as there:
            os.write(device, message)
            assert await heard(line, 114) == message
        with timed() as back:
            line.write(message)
            assert await read_exactly(device, 114) == message
    # 114 bytes of 11 bits at 9600 Bd: 130.6 ms; a busy machine may add to it, nothing may take from it.
    for took in (there, back):
        assert took.seconds >= 0.125
        assert took.own_s < 0.4


async def test_the_first_byte_does_not_wait_for_the_last(path: Path) -> None:
    async with SerialLine(path, LineSettings(baudrate=9600)) as line, opened(path) as device:
        os.write(device, bytes(2000))
        with timed() as took:
            first = await line.reader.read(2000)
        # All of them take 2.1 s.
        assert took.own_s < 1.0
        assert len(first) < 2000


async def test_the_device_file_is_raw_and_has_no_echo(path: Path) -> None:
    every_byte = bytes(range(256))
    async with SerialLine(path, FAST) as line, opened(path) as device:
        os.write(device, every_byte)
        assert await heard(line, 256) == every_byte
        assert await read_exactly(device, 1, within_s=0.1) == b""
        line.write(every_byte)
        assert await read_exactly(device, 256) == every_byte


async def test_a_library_may_open_either_end_with_its_own_settings(path: Path) -> None:
    async with SerialLine(path, FAST, equipment_file=True) as line:
        ours = serial.Serial(str(path), 115200, parity="E", timeout=2)
        theirs = serial.Serial(line.equipment_path, 115200, parity="E", timeout=2)
        with ours, theirs:
            ours.write(b"question")
            assert await asyncio.to_thread(theirs.read, 8) == b"question"
            theirs.write(b"answer")
            assert await asyncio.to_thread(ours.read, 6) == b"answer"


async def test_the_device_file_may_be_closed_and_opened_again(path: Path) -> None:
    async with SerialLine(path, FAST) as line:
        for attempt in (b"one", b"two"):
            async with opened(path) as device:
                os.write(device, attempt)
                assert await heard(line, 3) == attempt


async def test_a_library_may_open_an_end_again_and_again_with_parity(path: Path) -> None:
    async with SerialLine(path, FAST, equipment_file=True) as line:
        for end in (path, line.equipment_path, path, line.equipment_path):
            serial.Serial(str(end), 19200, parity="E", timeout=0).close()
            await asyncio.sleep(0.06)


async def test_a_closed_line_leaves_no_device_file_and_ends_the_reading(path: Path) -> None:
    line = SerialLine(path, FAST)
    await line.open()
    async with opened(path) as device:
        await line.close()
        await line.close()
        assert not path.exists() and not path.is_symlink()
        with pytest.raises(OSError):
            os.write(device, b"gone")
    assert await line.reader.read() == b""


@pytest.mark.parametrize("equipment_file", [False, True])
async def test_an_unplugged_adapter_takes_the_device_file_with_it_and_the_equipment_lives_on(
    path: Path, equipment_file: bool
) -> None:
    async with SerialLine(path, FAST, equipment_file=equipment_file) as line:
        async with opened(path) as device:
            line.unplug()
            assert not path.is_symlink()
            with pytest.raises(OSError):
                os.write(device, b"gone")
        line.write(b"into the void")
        await asyncio.sleep(0.01)
        line.plug()
        async with opened(path) as device:
            line.write(b"back")
            assert await read_exactly(device, 4) == b"back"


async def test_a_line_opens_over_what_a_killed_simulator_left(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to("/dev/pts/none")
    async with SerialLine(path, FAST), opened(path):
        pass


async def test_a_silent_line_carries_nothing_until_it_is_mended(path: Path) -> None:
    async with SerialLine(path, FAST) as line, opened(path) as device:
        line.disturb(Disturbance(silent=True))
        line.write(b"lost")
        assert await read_exactly(device, 1, within_s=0.05) == b""
        line.disturb(QUIET)
        line.write(b"heard")
        assert await read_exactly(device, 5) == b"heard"


async def test_an_echo_comes_back_to_its_sender(path: Path) -> None:
    async with SerialLine(path, FAST) as line, opened(path) as device:
        line.disturb(Disturbance(echo=True))
        os.write(device, b"hello")
        assert await read_exactly(device, 5) == b"hello"
        assert await heard(line, 5) == b"hello"


async def test_noise_drops_and_garbles_about_as_many_bytes_as_told_and_repeats(path: Path) -> None:
    async def worn() -> bytes:
        async with SerialLine(path, LineSettings(baudrate=4_000_000), seed=7) as line, opened(path) as device:
            line.disturb(Disturbance(dropped=0.1, garbled=0.05))
            line.write(bytes(3000))
            return await read_exactly(device, 3000, within_s=1.0)

    first = await worn()
    assert 2600 < len(first) < 2800
    assert 90 < sum(byte != 0 for byte in first) < 190
    assert await worn() == first


async def test_bursts_come_out_of_nowhere_and_both_ends_hear_them(path: Path) -> None:
    async with SerialLine(path, FAST, seed=3) as line, opened(path) as device:
        line.disturb(Disturbance(bursts_per_s=200))
        got = await read_exactly(device, 8)
        line.disturb(QUIET)
        assert len(got) == 8
        assert (await line.reader.read(8))[:4] == got[:4]


async def test_two_who_speak_at_once_garble_each_other_on_a_half_duplex_line(path: Path) -> None:
    def differing(sent: bytes, got: bytes) -> int:
        return sum(a != b for a, b in zip(sent, got, strict=True))

    ours, theirs = bytes(100), bytes([255]) * 100
    for half_duplex, spoilt in ((True, True), (False, False)):
        async with SerialLine(path, LineSettings(), half_duplex=half_duplex) as line, opened(path) as device:
            line.write(theirs)
            os.write(device, ours)
            got = await read_exactly(device, 100)
            assert (differing(theirs, got) > 20) is spoilt
            assert (differing(ours, await heard(line, 100)) > 20) is spoilt
            line.write(b"alone again")
            assert await read_exactly(device, 11) == b"alone again"


async def test_a_stranger_on_the_line_is_heard_at_both_ends(path: Path) -> None:
    async with SerialLine(path, FAST) as line, opened(path) as device:
        line.interject(b"other master")
        assert await read_exactly(device, 12) == b"other master"
        assert await heard(line, 12) == b"other master"


@pytest.mark.parametrize(("lag", "least_s"), [(lambda message: 0.2, 0.2), (None, 0.0)])
async def test_a_lag_delays_the_answer(path: Path, lag: Callable[[bytes], float] | None, least_s: float) -> None:
    async with SerialLine(path, FAST) as line, opened(path) as device:
        line.lag = lag
        with timed() as took:
            line.write(b"late")
            assert await read_exactly(device, 4) == b"late"
        assert took.seconds >= least_s
        assert took.own_s < least_s + 0.15


async def test_a_full_line_stops_the_sender_instead_of_growing(path: Path) -> None:
    async with SerialLine(path, LineSettings(baudrate=9600)) as line, opened(path) as device:
        taken = 0
        with suppress(BlockingIOError):
            while taken < 1_000_000:
                taken += os.write(device, bytes(512))
                await asyncio.sleep(0)
        assert 4096 <= taken < 50_000
        assert len(await heard(line, 500)) == 500


async def test_nobody_listening_loses_bytes_not_the_line(path: Path) -> None:
    async with SerialLine(path, LineSettings(baudrate=8_000_000)) as line, opened(path) as device:
        line.write(bytes(20_000))
        await asyncio.sleep(0.1)
        while await read_exactly(device, 4096, within_s=0.05):
            pass
        line.write(b"still here")
        assert await read_exactly(device, 10) == b"still here"
