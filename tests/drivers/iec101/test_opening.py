"""What an engineer is told: options and addresses that are wrong, lines that stay silent, ends that do not fit."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hat.drivers import serial
from hat.drivers.iec60870 import link

from pilots.domain.errors import AnswerTimeout, CatalogueError, LinkDown, ProtocolViolation
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget, Target
from pilots.drivers.iec101 import Iec101Driver, ft12
from pilots.drivers.iec101.options import LineOptions, timing
from pilots.simulators.serial_line import SerialLine
from tests.drivers.iec101.faulty import FaultyStation, faulty_line
from tests.drivers.iec101.peers import (
    FAST,
    LINE,
    HatStation,
    Store,
    ended,
    hat_line,
    hat_slaves,
    make_target,
    opened,
    until,
)

IMPATIENT = {"ack_timeout_s": 0.05, "retries": 1}


def driver_of(target: Target) -> Iec101Driver:
    return Iec101Driver(target, Store().sink)


# ---------------------------------------------------------------- options and addresses


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"mode": "both"}, "options.mode"),
        ({"link_address_size": 3}, "options.link_address_size"),
        ({"link_address_size": 0}, "options.link_address_size"),
        ({"cause_size": 3}, "options.cause_size"),
        ({"common_address_size": 0}, "options.common_address_size"),
        ({"object_address_size": 4}, "options.object_address_size"),
        ({"parity": "M"}, "options.parity"),
        ({"baudrate": "fast"}, "options.baudrate"),
        ({"baudrate": 1}, "options"),
        ({"poll_class2_s": 0}, "options"),
        ({"broadcast_clock": "yes"}, "options.broadcast_clock"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(CatalogueError) as wrong:
        driver_of(make_target(port=1, options=options))
    assert wrong.value.field == field


def device(name: str, **address: Any) -> DeviceTarget:
    power = PointSpec(name="active_power", kind=PointKind.MEASUREMENT, unit="W", address={"ioa": 1})
    return DeviceTarget(id=name, address=address, points={"active_power": power})


def target_of(*devices: DeviceTarget, **options: Any) -> Target:
    return Target(name="es-rtu01", host="127.0.0.1", port=1, devices=devices, options={**LINE, **options})


@pytest.mark.parametrize(
    ("devices", "options", "words"),
    [
        ([device("a", link=1, ca=1), device("b", link=2, ca=1)], {}, "b.*link address 1 already"),
        ([device("a", link=255, ca=1)], {}, "a.*outside"),
        ([device("a", link="x", ca=1)], {}, "a.*no whole number"),
        ([device("a", link=1, ca=300)], {"common_address_size": 1}, "a/active_power.*CA 300"),
        ([device("a", link=1, ca=1, ioa=70000)], {"object_address_size": 2}, "a/active_power.*IOA 70001"),
        ([device("a", link=1, ca=1), device("b", link=2, ca=2)], {"mode": "balanced"}, "one station"),
    ],
)
def test_an_address_that_cannot_be_is_named(devices: list[DeviceTarget], options: dict[str, Any], words: str) -> None:
    with pytest.raises(CatalogueError, match=words):
        driver_of(target_of(*devices, **options))


def test_several_common_addresses_share_a_station_and_the_link_address_is_theirs_by_default() -> None:
    driver = driver_of(target_of(device("a", link=3, ca=1), device("b", link=3, ca=2), device("c", ca=7)))
    assert driver._places.stations == {3: [1, 2], 7: [7]}
    assert driver._places.link_of == {"a": 3, "b": 3, "c": 7}
    assert driver.device_up("a") is None  # nobody has asked yet


def test_a_point_at_a_common_address_of_its_own_stands_at_its_devices_station() -> None:
    power = PointSpec(name="active_power", kind=PointKind.MEASUREMENT, unit="W", address={"ioa": 1, "ca": 9})
    odd = DeviceTarget(id="a", address={"link": 3, "ca": 1}, points={"active_power": power})
    assert driver_of(target_of(odd))._places.stations == {3: [1, 9]}


def test_times_follow_from_the_speed_of_the_line() -> None:
    slow, fast = (timing(LineOptions(baudrate=baudrate), serial=True) for baudrate in (1200, 19200))
    assert slow.answer > 2.5 > 1.0 > fast.answer
    assert slow.gap == pytest.approx(33 / 1200)
    assert timing(LineOptions(), serial=False).answer > timing(LineOptions(), serial=True).answer
    assert timing(LineOptions(ack_timeout_s=5.0), serial=False).answer == 5.0


# ---------------------------------------------------------------- lines that do not open


async def test_a_port_that_is_closed_and_a_line_that_is_not_there_are_link_down_in_words(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(LinkDown, match=f"Port {port} .*does not open"):
        await driver_of(make_target(port=port)).open()
    driver = driver_of(make_target(serial_line=tmp_path / "nothing"))
    with pytest.raises(LinkDown, match="nothing does not open"):
        await driver.open()
    assert driver.closed.is_set()


async def test_a_file_that_is_no_serial_line_is_link_down(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LinkDown, match="does not open"):
        await driver_of(make_target(serial_line=tmp_path / "file")).open()


async def test_tls_options_that_are_wrong_are_named() -> None:
    with pytest.raises(CatalogueError, match="tls"):
        await driver_of(make_target(port=1, options={"tls": {"ca": "/nowhere"}})).open()


async def test_a_line_where_nobody_answers_tells_what_to_check(tmp_path: Path) -> None:
    async with SerialLine(tmp_path / "line", FAST) as line:
        with pytest.raises(AnswerTimeout, match="115200 baud, parity E, link_address_size 1"):
            await driver_of(make_target(serial_line=line.path, options=IMPATIENT)).open()


async def test_octets_that_are_no_frames_are_told(tmp_path: Path) -> None:
    quiet = FaultyStation(1)
    quiet.tamper = lambda request, answer: [(0.0, b"\x00\x8f\x33")]
    async with faulty_line(quiet) as line:
        with pytest.raises(ProtocolViolation, match=r"octets came that are no frame. Check baudrate and parity"):
            await driver_of(make_target(port=line.port, options=IMPATIENT)).open()


async def test_answers_with_longer_link_addresses_are_recognised() -> None:
    odd = FaultyStation(1)
    odd.tamper = lambda request, answer: [(0.0, ft12.encode(ft12.STATUS, 1, 2))]
    async with faulty_line(odd) as line:
        with pytest.raises(ProtocolViolation, match="With link_address_size 2 they would be frames"):
            await driver_of(make_target(port=line.port, options=IMPATIENT)).open()


@contextlib.asynccontextmanager
async def balanced_hat(folder: Path) -> AsyncIterator[Path]:
    """A balanced station that tries to reset the link of its other end for ever."""
    async with SerialLine(folder / "line", FAST, equipment_file=True) as line:
        far = await link.create_balanced_link(line.equipment_path, link.AddressSize.ONE, parity=serial.Parity.EVEN)
        opening = asyncio.create_task(far.open_connection(link.Direction.B_TO_A, 1, response_timeout=0.05))
        try:
            yield line.path
        finally:
            await far.async_close()
            await ended(opening)


async def test_an_unbalanced_primary_on_a_balanced_line_is_told_so(tmp_path: Path) -> None:
    async with balanced_hat(tmp_path) as path:
        with pytest.raises(ProtocolViolation, match="whether the line is balanced"):
            await driver_of(make_target(serial_line=path, options=IMPATIENT)).open()


async def test_a_balanced_end_on_an_unbalanced_line_is_told_so(tmp_path: Path) -> None:
    async with hat_line(tmp_path) as (line, _):
        async with opened(make_target(serial_line=line.path, options={"mode": "balanced"}), Store().sink) as driver:
            await asyncio.wait_for(driver.closed.wait(), 30)
            assert isinstance(driver.failure, ProtocolViolation)
            assert "Is the line unbalanced" in str(driver.failure)


# ---------------------------------------------------------------- probing


async def test_a_probe_says_what_succeeded(tmp_path: Path) -> None:
    async with hat_line(tmp_path, 1, 2) as (line, _):
        steps = await driver_of(make_target(serial_line=line.path, numbers=(1, 2))).probe()
        assert steps == [f"{line.path} opens", "2 of 2 stations on the line answer", "interrogation answered with 4 objects"]


async def test_a_probe_with_a_wrong_common_address_names_address_and_sizes() -> None:
    deaf = FaultyStation(1)
    deaf.obeys = False
    async with faulty_line(deaf) as line:
        with pytest.raises(AnswerTimeout, match=r"common address 10 is not answered.*cause_size 2"):
            await driver_of(make_target(port=line.port, options={"command_timeout_s": 0.2})).probe()


async def test_a_probe_with_wrong_sizes_shows_what_came(tmp_path: Path) -> None:
    odd = HatStation(1, (1, 1, 2))
    async with SerialLine(tmp_path / "line", FAST, equipment_file=True) as line:
        async with hat_slaves(line.equipment_path, [odd]):
            probing = asyncio.create_task(driver_of(make_target(serial_line=line.path)).probe())
            await odd.tell(*(odd.measured(float(value)) for value in range(5)))
            with pytest.raises(ProtocolViolation, match="Check cause_size 2"):
                await probing


# ---------------------------------------------------------------- leaving nothing behind


async def test_opening_and_closing_many_times_leaves_no_descriptor_and_no_task(tmp_path: Path) -> None:
    async with hat_line(tmp_path) as (line, _):
        driver = driver_of(make_target(serial_line=line.path))
        await driver.open()
        await driver.close()
        before, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
        for _ in range(5):
            await driver.open()
            await driver.close()
            await driver.close()
        assert len(os.listdir("/proc/self/fd")) == before
        await until(lambda: len(asyncio.all_tasks()) == tasks)
