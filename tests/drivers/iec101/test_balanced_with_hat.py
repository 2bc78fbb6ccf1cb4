"""The balanced link against hat-drivers: both ends speak when they like."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hat.drivers import serial
from hat.drivers.iec60870 import link

from pilots.domain.errors import AnswerTimeout, DeviceRefused
from pilots.drivers.iec101 import Iec101Driver, ft12
from pilots.simulators.serial_line import Disturbance, LineSettings, SerialLine
from tests.drivers.iec101.peers import FAST, PATIENT, HatStation, Store, ended, make_target, opened, stamped, until, utc

BALANCED = {"mode": "balanced"}


@contextlib.asynccontextmanager
async def hat_pair(
    folder: Path,
    settings: LineSettings = FAST,
    *,
    address_size: link.AddressSize = link.AddressSize.ONE,
    half_duplex: bool = False,
    **options: Any,
) -> AsyncIterator[tuple[SerialLine, HatStation, link.BalancedLink]]:
    """A line with a balanced station of hat-drivers at its far end, at link address 1 and common address 10."""
    station = HatStation(1)
    options = {"response_timeout": 0.3, "send_retry_count": 10, **options}
    async with SerialLine(folder / "line", settings, equipment_file=True, half_duplex=half_duplex) as line:
        far = await link.create_balanced_link(
            line.equipment_path, address_size, baudrate=115200, parity=serial.Parity.EVEN, silent_interval=0.0
        )
        address = 0 if address_size is link.AddressSize.ZERO else 1
        task = asyncio.create_task(station.serve(far.open_connection(link.Direction.B_TO_A, address, **options)))
        try:
            yield line, station, far
        finally:
            await far.async_close()
            await ended(task)


def sent_functions(driver: Iec101Driver, *, primary: bool) -> list[int]:
    frames = [frame.raw for frame in driver.traffic.log.frames() if frame.sent]
    controls = [raw[1] if raw[0] == ft12.FIXED else raw[4] for raw in frames if len(raw) > 1]
    return [control & ft12.FUNCTION for control in controls if bool(control & ft12.PRM) is primary]


async def test_values_and_commands_pass_in_both_directions(tmp_path: Path) -> None:
    store = Store()
    async with hat_pair(tmp_path) as (line, station, _):
        async with opened(
            make_target(serial_line=line.path, options={**BALANCED, **PATIENT, "clock_sync": True}), store.sink
        ) as driver:
            await store.wait_for("energy", 1)
            assert station.clock is not None
            await station.tell(*(station.measured(float(value), time=stamped(utc())) for value in range(10)))
            await store.wait_for("active_power", 11)
            assert store.values("active_power")[-10:] == [float(value) for value in range(10)]
            assert (await driver.write("es-STO01", "p_set", 1000.0)).raw
            station.mode = "refuse"
            with pytest.raises(DeviceRefused):
                await driver.write("es-STO01", "position_cmd", 1.0)
            assert driver.traffic.kinds == {}


async def test_a_frame_is_confirmed_only_after_its_commit_and_its_repetitions_are_stored_once(tmp_path: Path) -> None:
    store = Store()
    async with hat_pair(tmp_path) as (line, station, _):
        async with opened(make_target(serial_line=line.path, options=BALANCED), store.sink) as driver:
            await store.wait_for("energy", 1)
            store.gate.clear()
            confirmed = sent_functions(driver, primary=False).count(ft12.ACK)
            telling = asyncio.create_task(station.tell(station.measured(77.0)))
            await until(lambda: 77.0 in store.values("active_power"))
            await asyncio.sleep(0.7)  # hat-drivers repeats after 0.3 s
            assert sent_functions(driver, primary=False).count(ft12.ACK) == confirmed
            assert not telling.done()
            store.gate.set()
            await asyncio.wait_for(telling, 30)
            await station.tell(station.measured(78.0))
            await until(lambda: 78.0 in store.values("active_power"))
            assert store.values("active_power").count(77.0) == 1


async def test_a_silent_line_is_tested_and_a_dead_one_noticed(tmp_path: Path) -> None:
    store = Store()
    options = {**BALANCED, "test_interval_s": 0.2, "retries": 1}
    async with hat_pair(tmp_path, status_delay=60.0) as (line, _, far):
        async with opened(make_target(serial_line=line.path, options=options), store.sink) as driver:
            await store.wait_for("energy", 1)
            await until(lambda: ft12.TEST_LINK in sent_functions(driver, primary=True))
            await asyncio.sleep(0.5)
            assert not driver.closed.is_set()
            await far.async_close()
            await asyncio.wait_for(driver.closed.wait(), 30)
            assert isinstance(driver.failure, AnswerTimeout)


async def test_when_both_ends_speak_at_once_both_are_heard_in_the_end(tmp_path: Path) -> None:
    """A collision spoils both frames; each end repeats, we after a pause of random length."""
    store, slow = Store(), LineSettings(baudrate=19200)
    async with hat_pair(tmp_path, slow, half_duplex=True, response_timeout=0.2) as (line, station, _):
        options = {**BALANCED, "baudrate": 19200, "ack_timeout_s": 0.2, "retries": 10, "command_timeout_s": 5.0}
        async with opened(make_target(serial_line=line.path, options=options), store.sink) as driver:
            await store.wait_for("energy", 1)
            for value in range(2):
                telling = asyncio.create_task(station.tell(station.measured(float(value))))
                assert (await driver.write("es-STO01", "p_set", 10.0 * value)).raw
                await asyncio.wait_for(telling, 30)
            await until(lambda: 1.0 in store.values("active_power"))
            assert [value for value in store.values("active_power") if value != 50.0] == [0.0, 1.0]
            assert [command.command.value.value for command in station.commands] == [0.0, 1.0]
            assert driver.traffic.retries > 0 or driver.traffic.violations > 0  # they did collide


@pytest.mark.parametrize("noise", [Disturbance(garbled=0.01), Disturbance(bursts_per_s=20.0), Disturbance(echo=True)])
async def test_values_come_over_a_disturbed_line(tmp_path: Path, noise: Disturbance) -> None:
    store = Store()
    async with hat_pair(tmp_path) as (line, station, _):
        options = {**BALANCED, "retries": 10}
        async with opened(make_target(serial_line=line.path, options=options), store.sink) as driver:
            await store.wait_for("energy", 1)
            line.disturb(noise)
            await asyncio.wait_for(station.tell(*(station.measured(float(value)) for value in range(15))), 20)
            await until(lambda: 14.0 in store.values("active_power"))
            assert [value for value in store.values("active_power") if value != 50.0] == [float(value) for value in range(15)]
            assert not driver.closed.is_set()


async def test_a_station_that_resets_our_link_again_has_started_anew_and_is_interrogated(tmp_path: Path) -> None:
    store = Store()
    async with hat_pair(tmp_path) as (line, station, far):
        async with opened(make_target(serial_line=line.path, options=BALANCED), store.sink) as driver:
            await store.wait_for("energy", 1)
            asked = station.interrogations
            assert station.connection is not None
            await station.connection.async_close()
            opening = far.open_connection(link.Direction.B_TO_A, 1, response_timeout=0.3)
            again = asyncio.create_task(station.serve(opening))
            await until(lambda: station.interrogations > asked)
            assert not driver.closed.is_set()
            await ended(again)


async def test_without_link_addresses(tmp_path: Path) -> None:
    store = Store()
    async with hat_pair(tmp_path, address_size=link.AddressSize.ZERO) as (line, _, _far):
        options = {**BALANCED, "link_address_size": 0}
        async with opened(make_target(serial_line=line.path, options=options), store.sink) as driver:
            await store.wait_for("energy", 1)
            assert (await driver.write("es-STO01", "p_set", 1000.0)).raw


async def test_line_settings_do_not_matter_to_a_pty(tmp_path: Path) -> None:
    """The same pair at another speed: what the options say is what the line's time is reckoned with."""
    store, station = Store(), HatStation(1)
    async with SerialLine(tmp_path / "line", LineSettings(baudrate=9600, parity="N"), equipment_file=True) as line:
        far = await link.create_balanced_link(line.equipment_path, link.AddressSize.ONE, baudrate=9600, silent_interval=0.0)
        task = asyncio.create_task(station.serve(far.open_connection(link.Direction.B_TO_A, 1, response_timeout=1.0)))
        options = {**BALANCED, "baudrate": 9600, "parity": "N", **PATIENT}
        try:
            async with opened(make_target(serial_line=line.path, options=options), store.sink) as driver:
                await store.wait_for("position", 1)
                assert driver.traffic.timeouts == 0
        finally:
            await far.async_close()
            await ended(task)
