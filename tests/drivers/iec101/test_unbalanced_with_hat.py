"""The unbalanced primary against hat-drivers' stations: a serial line, a socat pty, TCP to a serial device server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hat.drivers import iec101

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown
from pilots.domain.quality import Validity
from pilots.drivers.capture import capture
from pilots.drivers.iec101 import Iec101Driver, ft12
from pilots.simulators.serial_line import Disturbance, LineSettings, SerialLine
from pilots.simulators.serial_server import SerialServer
from tests.drivers.iec101.peers import (
    FAST,
    GOOD,
    PATIENT,
    HatStation,
    Store,
    ended,
    hat_line,
    hat_slaves,
    make_target,
    opened,
    stamped,
    until,
    utc,
)


async def test_two_stations_on_one_line_tell_everything_and_then_what_changes(tmp_path: Path) -> None:
    store = Store()
    async with hat_line(tmp_path, 1, 2) as (line, (one, two)):
        one.power, two.power = 11.0, 22.0
        async with opened(make_target(serial_line=line.path, numbers=(1, 2), options=PATIENT), store.sink) as driver:
            for device, power in (("es-STO01", 11.0), ("es-STO02", 22.0)):
                assert (await store.wait_for("active_power", 1, device))[0].value == power
                assert (await store.wait_for("position", 1, device))[0].value == 2
                assert (await store.wait_for("energy", 1, device))[0].value == 1234
            await two.tell(two.measured(23.0, time=stamped(utc())))
            reading = (await store.wait_for("active_power", 2, "es-STO02"))[-1]
            assert (reading.value, reading.source_time) == (23.0, utc())
            assert reading.quality.validity is Validity.GOOD
            assert driver.device_up("es-STO01") and driver.device_up("es-STO02")
            assert driver.traffic.kinds == {}
            assert len(driver.traffic.round_trips_s) > 10


async def test_a_short_time_tag_is_completed_with_our_hour(tmp_path: Path) -> None:
    store = Store()
    async with hat_line(tmp_path) as (line, (one,)):
        async with opened(make_target(serial_line=line.path), store.sink):
            await store.wait_for("active_power", 1)
            stamp = datetime.now(UTC).replace(microsecond=123_000)
            await one.tell(one.measured(7.0, time=stamped(stamp, iec101.TimeSize.THREE)))
            reading = (await store.wait_for("active_power", 2))[-1]
            assert reading.value == 7.0
            assert reading.source_time is not None and abs(reading.source_time - stamp) < timedelta(milliseconds=2)


async def test_the_clock_is_told_before_the_interrogation(tmp_path: Path) -> None:
    store = Store()
    async with hat_line(tmp_path) as (line, (one,)):
        async with opened(make_target(serial_line=line.path, options={"clock_sync": True}), store.sink):
            await store.wait_for("active_power", 1)
            assert one.clock is not None and abs(one.clock - datetime.now(UTC)) < timedelta(seconds=5)


async def test_commands_are_confirmed_refused_and_selected_first(tmp_path: Path) -> None:
    store = Store()
    async with hat_line(tmp_path) as (line, (one,)):
        options = {"command_timeout_s": 0.3}
        async with opened(make_target(serial_line=line.path, options=options), store.sink) as driver:
            assert (await driver.write("es-STO01", "p_set", 1000.0)).raw == "ACT_CON COT 7 P/N 0"
            assert one.commands[-1].command == iec101.FloatingCommand(iec101.FloatingValue(100.0), False)
            await driver.write("es-STO01", "position_cmd", 1.0)
            assert [command.command.select for command in one.commands[-2:]] == [True, False]
            one.mode = "refuse"
            with pytest.raises(DeviceRefused):
                await driver.write("es-STO01", "p_set", 1000.0)
            one.mode = "silent"
            with pytest.raises(AnswerTimeout):
                await driver.write("es-STO01", "p_set", 1000.0)
            assert driver.device_up("es-STO01")


async def test_a_value_that_was_not_stored_comes_again_after_the_line_was_lost(tmp_path: Path) -> None:
    """hat-drivers keeps its last answer as a station must: the FCB did not change, so it is sent again."""
    store, one = Store(), HatStation(1)
    server = SerialServer()
    await server.start("127.0.0.1", 0)
    port = server.port
    try:
        async with hat_slaves(server.path, [one]):
            async with opened(make_target(port=port), store.sink) as driver:
                await store.wait_for("energy", 1)
                store.gate.clear()
                await one.tell(one.measured(77.0))
                await until(lambda: 77.0 in store.values("active_power"))
                server.hang_up()
                await asyncio.wait_for(driver.closed.wait(), 30)
            assert 77.0 not in [reading.value for reading in store.committed]
            store.calls.clear()
            store.gate.set()
            async with opened(make_target(port=port), store.sink):
                await until(lambda: 77.0 in [reading.value for reading in store.committed])
    finally:
        await server.stop()


async def test_it_comes_again_after_tries_that_failed_and_a_station_that_was_away(tmp_path: Path) -> None:
    store = Store()
    async with hat_line(tmp_path) as (line, (one,)):
        target = make_target(serial_line=line.path, options={"retries": 2})
        async with opened(target, store.sink) as driver:
            await store.wait_for("energy", 1)
            store.gate.clear()
            await one.tell(one.measured(77.0))
            await until(lambda: 77.0 in store.values("active_power"))
            line.unplug()
            await asyncio.wait_for(driver.closed.wait(), 30)
        store.calls.clear()
        store.gate.set()
        for failure in (LinkDown, AnswerTimeout):
            with pytest.raises(failure):
                async with opened(target, store.sink):
                    pass
            line.plug()
            line.disturb(Disturbance(silent=True))
        line.disturb(Disturbance())
        async with opened(target, store.sink):
            await until(lambda: 77.0 in [reading.value for reading in store.committed])


async def test_a_station_that_starts_anew_says_so_and_is_interrogated(tmp_path: Path) -> None:
    store = Store()
    async with hat_line(tmp_path) as (line, (one,)):
        async with opened(make_target(serial_line=line.path), store.sink):
            await store.wait_for("energy", 1)
            asked = one.interrogations
            restart = iec101.InitializationMsg(False, 0, 10, False, iec101.InitializationResCause.LOCAL_POWER)
            await one.tell(restart)
            await until(lambda: one.interrogations == asked + 1)


async def test_a_station_that_was_switched_off_is_reset_and_interrogated_when_it_is_back(tmp_path: Path) -> None:
    store, one, two = Store(), HatStation(1), HatStation(2)
    options = {"dead_retry_s": 0.2, "retries": 1}
    async with SerialLine(tmp_path / "line", FAST, equipment_file=True) as line:
        target = make_target(serial_line=line.path, numbers=(1, 2), options=options)
        async with contextlib.AsyncExitStack() as stack:
            slave = await stack.enter_async_context(hat_slaves(line.equipment_path, [one, two]))
            driver = await stack.enter_async_context(opened(target, store.sink))
            await store.wait_for("energy", 2)
            assert two.connection is not None
            await two.connection.async_close()
            await until(lambda: driver.device_up("es-STO02") is False)
            assert driver.device_up("es-STO01") is True
            asked_one, asked_two = one.interrogations, two.interrogations
            back = asyncio.create_task(two.serve(slave.open_connection(2)))
            stack.push_async_callback(ended, back)
            await until(lambda: two.interrogations > asked_two)
            assert driver.device_up("es-STO02") is True
            assert one.interrogations == asked_one


@pytest.mark.parametrize("noise", [Disturbance(garbled=0.01), Disturbance(dropped=0.01), Disturbance(bursts_per_s=20.0)])
async def test_values_come_over_a_noisy_line(tmp_path: Path, noise: Disturbance) -> None:
    store = Store()
    async with hat_line(tmp_path) as (line, (one,)):
        async with opened(make_target(serial_line=line.path, options={"retries": 10}), store.sink) as driver:
            await store.wait_for("energy", 1)
            line.disturb(noise)
            before = len(store.readings("active_power"))
            await one.tell(*(one.measured(float(value)) for value in range(12)))
            await store.wait_for("active_power", before + 12)
            assert store.values("active_power")[before:] == [float(value) for value in range(12)]
            line.disturb(Disturbance())
            await one.tell(one.measured(99.0))
            await asyncio.wait_for(store.wait_for("active_power", before + 13), 1.0)
            assert not driver.closed.is_set()


async def test_an_adapter_that_hears_itself_does_no_harm(tmp_path: Path) -> None:
    store = Store()
    async with hat_line(tmp_path) as (line, (_,)):
        line.disturb(Disturbance(echo=True))
        async with opened(make_target(serial_line=line.path), store.sink) as driver:
            await store.wait_for("energy", 1)
            assert driver.traffic.kinds["echo"] > 5


async def test_the_line_time_of_a_slow_line_is_waited_for(tmp_path: Path) -> None:
    """At 2400 baud an answer of 25 octets takes longer than the time-out says, but it has begun in time."""
    store, one = Store(), HatStation(1)
    async with SerialLine(tmp_path / "line", LineSettings(baudrate=2400), equipment_file=True) as line:
        options = {"baudrate": 2400, "ack_timeout_s": 0.08}
        async with hat_slaves(line.equipment_path, [one]):
            async with opened(make_target(serial_line=line.path, options=options), store.sink) as driver:
                await store.wait_for("position", 1)
                assert driver.traffic.timeouts <= 2  # and not at each answer


async def test_a_device_that_is_unplugged_is_link_down_and_can_be_opened_again(tmp_path: Path) -> None:
    store = Store()
    async with hat_line(tmp_path) as (line, (_,)):
        driver = Iec101Driver(make_target(serial_line=line.path), store.sink)
        await driver.open()
        await store.wait_for("active_power", 1)
        line.unplug()
        await asyncio.wait_for(driver.closed.wait(), 30)
        assert isinstance(driver.failure, LinkDown)
        with pytest.raises(LinkDown):
            await driver.write("es-STO01", "p_set", 1.0)
        with pytest.raises(LinkDown, match="does not open"):
            await driver.open()
        line.plug()
        await driver.open()
        assert (await driver.write("es-STO01", "p_set", 1.0)).raw
        await driver.close()


async def test_a_serial_line_is_opened_by_one_of_us_only(tmp_path: Path) -> None:
    store = Store()
    async with hat_line(tmp_path) as (line, (_,)):
        async with opened(make_target(serial_line=line.path), store.sink):
            with pytest.raises(LinkDown, match="lock"):
                await Iec101Driver(make_target(serial_line=line.path), store.sink).open()


@contextlib.asynccontextmanager
async def socat(folder: Path) -> AsyncIterator[tuple[Path, Path]]:
    ours, theirs = folder / "ours", folder / "theirs"
    process = subprocess.Popen(["socat", f"pty,raw,echo=0,link={ours}", f"pty,raw,echo=0,link={theirs}"])
    try:
        await until(lambda: ours.exists() and theirs.exists())
        yield ours, theirs
    finally:
        process.terminate()
        process.wait()


async def test_over_a_pty_of_socat(tmp_path: Path) -> None:
    store, one = Store(), HatStation(1)
    async with socat(tmp_path) as (ours, theirs), hat_slaves(str(theirs), [one]):
        async with opened(make_target(serial_line=ours), store.sink) as driver:
            await store.wait_for("energy", 1)
            assert (await driver.write("es-STO01", "p_set", 1000.0)).raw


async def test_over_tcp_to_a_serial_device_server() -> None:
    store, one, two = Store(), HatStation(1), HatStation(2)
    server = SerialServer()
    await server.start("127.0.0.1", 0)
    try:
        async with hat_slaves(server.path, [one, two]):
            async with opened(make_target(port=server.port, numbers=(1, 2)), store.sink) as driver:
                await store.wait_for("energy", 1, "es-STO02")
                assert (await driver.write("es-STO01", "p_set", 1000.0)).raw
    finally:
        await server.stop()


@pytest.mark.parametrize("sizes", [(1, 1, 2), (2, 2, 2), (1, 1, 1)])
async def test_other_field_sizes_than_those_of_104(tmp_path: Path, sizes: tuple[int, int, int]) -> None:
    store, one = Store(), HatStation(1, sizes)
    options = dict(zip(("cause_size", "common_address_size", "object_address_size"), sizes, strict=True))
    async with SerialLine(tmp_path / "line", FAST, equipment_file=True) as line:
        async with hat_slaves(line.equipment_path, [one]):
            async with opened(make_target(serial_line=line.path, options=options), store.sink) as driver:
                await store.wait_for("energy", 1)
                assert (await driver.write("es-STO01", "p_set", 1000.0)).raw


async def test_tshark_reads_our_frames_without_a_warning(tmp_path: Path) -> None:
    store = Store()
    async with hat_line(tmp_path) as (line, (one,)):
        async with opened(make_target(serial_line=line.path, options={"clock_sync": True}), store.sink) as driver:
            await store.wait_for("energy", 1)
            await driver.write("es-STO01", "p_set", 1000.0)
            await driver.write("es-STO01", "position_cmd", 1.0)
            await one.tell(one.measured(7.0, time=stamped(utc())))
            await store.wait_for("active_power", 2)
    frames = driver.traffic.log.frames()
    path = tmp_path / "line.pcap"
    path.write_bytes(capture(frames, port=2405))
    sizes = {"linkaddr_len": "1 octet", "cot_len": "2 octet", "asdu_addr_len": "2 octet", "asdu_ioa_len": "3 octet"}
    options = [word for name, size in sizes.items() for word in ("-o", f"iec60870_101.{name}:{size}")]
    decode_as = f"tcp.port==2405,{driver.dissector}"
    command = ["tshark", "-r", str(path), "-d", decode_as, *options, "-T", "fields", "-e", "frame.protocols", "-e", "_ws.expert"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    rows = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()
    assert len(rows) == len(frames) > 20
    assert all(":iec60870_101" in row for row in rows)
    assert sum("iec60870_asdu" in row for row in rows) >= 10
    assert not any(row.split("\t")[1:] != [""] for row in rows)
    assert all(frame.raw[0] in (ft12.FIXED, ft12.VARIABLE, ft12.SINGLE_ACK) for frame in frames)


async def test_a_line_that_is_open_and_idle_costs_little(tmp_path: Path) -> None:
    store = Store()
    async with hat_line(tmp_path) as (line, (one,)):
        options = {"poll_class2_s": 1.0}
        async with opened(make_target(serial_line=line.path, options=options), store.sink) as driver:
            await store.wait_for("energy", 1)
            sent = driver.traffic.sent
            await asyncio.sleep(0.5)
            assert driver.traffic.sent - sent <= 3
            assert one.measured(1.0).data.quality == GOOD
