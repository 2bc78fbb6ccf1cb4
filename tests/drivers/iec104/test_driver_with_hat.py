"""The driver against hat-drivers' IEC 104 station: interrogation, spontaneous values, commands confirmed and refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hat.drivers import iec104, net

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.quality import Flag, Source, Validity
from pilots.drivers.base import DeviceTarget
from pilots.drivers.iec104 import Iec104Driver
from tests.drivers.iec104.peers import PATIENCE_S, POINTS, Store, make_target

GOOD = iec104.MeasurementQuality(False, False, False, False, False)
COUNTER_GOOD = iec104.CounterQuality(invalid=False, adjusted=False, overflow=False, sequence=0)
TAG = datetime(2026, 7, 1, 3, 4, 1, 500_000, UTC)
ON_REQUEST = {iec104.CommandReqCause.ACTIVATION: iec104.CommandResCause.ACTIVATION_CONFIRMATION}
TERM = iec104.CommandResCause.ACTIVATION_TERMINATION


def data_message(
    address: int, data: Any, time: datetime | None = None, cause: Any = iec104.DataResCause.SPONTANEOUS, common_address: int = 1
) -> iec104.DataMsg:
    stamp = None if time is None else iec104.time_from_datetime(time, invalid=False)
    return iec104.DataMsg(False, 0, common_address, address, data, stamp, cause)


def power(value: float, quality: iec104.MeasurementQuality = GOOD) -> Any:
    return iec104.FloatingData(iec104.FloatingValue(value), quality)


class HatStation:
    """Answers as told: `mode` is confirm, refuse, unknown_address or silent; `log` holds the commands that came."""

    def __init__(self) -> None:
        self.mode = "confirm"
        self.log: list[iec104.CommandMsg] = []
        self.image: list[iec104.DataMsg] = [
            data_message(701, power(50.0), cause=iec104.DataResCause.INTERROGATED_STATION),
            data_message(
                702,
                iec104.DoubleData(iec104.DoubleValue.ON, iec104.IndicationQuality(False, False, False, False)),
                cause=iec104.DataResCause.INTERROGATED_STATION,
            ),
        ]
        self.interrogations = 0
        self.clock: datetime | None = None
        self.server: net.Server
        self.connection: iec104.Connection
        self.connected = asyncio.Event()

    @property
    def port(self) -> int:
        return int(self.server.info.addresses[0].port)

    async def serve(self, connection: iec104.Connection) -> None:
        self.connection = connection
        self.connected.set()
        with contextlib.suppress(ConnectionError):
            while True:
                for message in await connection.receive():
                    await self._answer(message)

    async def _answer(self, message: Any) -> None:
        if isinstance(message, iec104.CommandMsg):
            self.log.append(message)
            await self._answer_command(message)
        elif isinstance(message, iec104.InterrogationMsg):
            self.interrogations += 1
            confirmed = message._replace(cause=ON_REQUEST[message.cause])
            await self.connection.send([confirmed, *self.image, message._replace(cause=TERM)])
        elif isinstance(message, iec104.CounterInterrogationMsg):
            counter = iec104.BinaryCounterData(iec104.BinaryCounterValue(1234), COUNTER_GOOD)
            values = data_message(704, counter, cause=iec104.DataResCause.INTERROGATED_COUNTER)
            await self.connection.send([message._replace(cause=ON_REQUEST[message.cause]), values, message._replace(cause=TERM)])
        elif isinstance(message, iec104.ClockSyncMsg):
            self.clock = iec104.time_to_datetime(message.time)
            await self.connection.send([message._replace(cause=iec104.ClockSyncResCause.ACTIVATION_CONFIRMATION)])

    async def _answer_command(self, message: iec104.CommandMsg) -> None:
        confirmed = message._replace(cause=iec104.CommandResCause.ACTIVATION_CONFIRMATION)
        if self.mode == "confirm":
            done = [] if getattr(message.command, "select", False) else [message._replace(cause=TERM)]
            await self.connection.send([confirmed, *done])
        elif self.mode == "refuse":
            await self.connection.send([confirmed._replace(is_negative_confirm=True)])
        elif self.mode == "unknown_address":
            await self.connection.send([message._replace(cause=iec104.CommandResCause.UNKNOWN_IO_ADDRESS)])


@contextlib.asynccontextmanager
async def hat_station() -> AsyncIterator[HatStation]:
    station = HatStation()
    station.server = await iec104.listen(station.serve, net.TcpAddress("127.0.0.1", 0))
    try:
        yield station
    finally:
        await station.server.async_close()


@contextlib.asynccontextmanager
async def connected(station: HatStation, store: Store, devices: Any = (), **options: Any) -> AsyncIterator[Iec104Driver]:
    driver = Iec104Driver(make_target(station.port, options, devices), store.sink)
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


async def test_the_interrogation_brings_the_image_and_sets_the_clock() -> None:
    store, began = Store(), datetime.now(UTC)
    async with hat_station() as station, connected(station, store) as driver:
        (reading,) = await store.wait_for("active_power")
        (position,) = await store.wait_for("position")

        assert (reading.value, reading.quality.validity) == (50.0, Validity.GOOD)
        assert reading.source_time is not None  # the question's
        assert timedelta(milliseconds=-1) <= reading.source_time - began <= datetime.now(UTC) - began
        assert position.value == 2
        assert station.clock is not None
        assert abs((station.clock.astimezone(UTC) - datetime.now(UTC)).total_seconds()) < PATIENCE_S
        assert driver.device_up("es-STO01") is None


async def test_spontaneous_values_carry_their_own_time_and_quality() -> None:
    store = Store()
    async with hat_station() as station, connected(station, store):
        await store.wait_for("active_power")
        bad = iec104.MeasurementQuality(invalid=False, not_topical=True, substituted=True, blocked=False, overflow=False)
        await station.connection.send([data_message(701, power(51.5, bad), TAG)])

        reading = (await store.wait_for("active_power", 2))[1]

        assert (reading.value, reading.source_time) == (51.5, TAG)
        assert reading.quality.validity is Validity.QUESTIONABLE
        assert reading.quality.source is Source.SUBSTITUTED
        assert reading.quality.flags == Flag.OLD


async def test_several_types_at_one_address_are_one_point() -> None:
    store = Store()
    async with hat_station() as station, connected(station, store):
        await store.wait_for("active_power")
        scaled = iec104.ScaledData(iec104.ScaledValue(-7), GOOD)
        normalised = iec104.NormalizedData(iec104.NormalizedValue(0.5), GOOD)
        await station.connection.send(
            [data_message(701, power(1.0), TAG), data_message(701, scaled), data_message(701, normalised, TAG)]
        )

        readings = await store.wait_for("active_power", 4)

        assert [reading.value for reading in readings] == [50.0, 1.0, -7, 0.5]


async def test_single_points_and_counters_are_read() -> None:
    store = Store()
    async with hat_station() as station, connected(station, store):
        single = iec104.SingleData(iec104.SingleValue.ON, iec104.IndicationQuality(True, False, False, True))
        counter = iec104.BinaryCounterData(iec104.BinaryCounterValue(-5), iec104.CounterQuality(False, True, True, 17))
        (asked,) = await store.wait_for("energy")
        await station.connection.send([data_message(703, single, TAG), data_message(704, counter, TAG)])

        (trip,) = await store.wait_for("trip")
        energy = (await store.wait_for("energy", 2))[1]

        assert asked.value == 1234
        assert (trip.value, trip.quality.validity, trip.quality.flags) == (1, Validity.INVALID, Flag.BLOCKED)
        assert (energy.value, energy.quality.validity, energy.quality.flags) == (-5, Validity.GOOD, Flag.NONE)


async def test_unknown_objects_are_counted_and_do_no_harm() -> None:
    store = Store()
    async with hat_station() as station, connected(station, store) as driver:
        await store.wait_for("active_power")
        strange = [data_message(9999, power(1.0)), data_message(701, power(1.0), common_address=77)]
        await station.connection.send([*strange, data_message(701, power(2.0))])

        assert (await store.wait_for("active_power", 2))[1].value == 2.0
        assert driver.counts["unknown_objects"] == 2


async def test_two_devices_of_one_station_each_get_their_own() -> None:
    store = Store()
    meter = {"active_power": PointSpec(name="active_power", kind=PointKind.MEASUREMENT, address={"ioa": 1})}
    devices = (
        DeviceTarget(id="es-STO01", address={"ca": 1, "ioa": 700}, points=POINTS),
        DeviceTarget(id="es-M01", address={"ca": 2, "ioa": 0}, points=meter),
    )
    async with hat_station() as station, connected(station, store, devices):
        await store.wait_for("active_power", 2)
        await station.connection.send([data_message(1, power(8.0), common_address=2), data_message(701, power(9.0))])
        await store.wait_for("active_power", 4)
        last = {device: readings[-1].value for device, readings in store.calls if readings[-1].point == "active_power"}

        assert last == {"es-M01": 8.0, "es-STO01": 9.0}
        assert station.interrogations == 2  # one for each common address


async def test_a_set_point_is_scaled_sent_and_confirmed() -> None:
    async with hat_station() as station, connected(station, Store()) as driver:
        result = await driver.write("es-STO01", "p_set", -1250.0)

        assert result.raw == "ACT_CON COT 7 P/N 0"
        (command,) = station.log
        assert (command.asdu_address, command.io_address) == (1, 711)
        assert command.command == iec104.FloatingCommand(iec104.FloatingValue(-125.0), select=False)
        assert driver.traffic.round_trips_s


async def test_a_double_command_is_selected_first_then_executed() -> None:
    async with hat_station() as station, connected(station, Store()) as driver:
        result = await driver.write("es-STO01", "position_cmd", 2)

        assert result.raw == "select ACT_CON COT 7 P/N 0; execute ACT_CON COT 7 P/N 0"
        assert [message.command.select for message in station.log] == [True, False]
        assert {message.command.value for message in station.log} == {iec104.DoubleValue.ON}


async def test_a_command_may_carry_a_time() -> None:
    async with hat_station() as station, connected(station, Store(), command_time=True) as driver:
        await driver.write("es-STO01", "p_set", 10.0)

        assert station.log[0].time is not None


async def test_a_negative_confirmation_is_a_refusal() -> None:
    async with hat_station() as station, connected(station, Store()) as driver:
        station.mode = "refuse"

        with pytest.raises(DeviceRefused) as caught:
            await driver.write("es-STO01", "p_set", 10.0)

        assert caught.value.device_code == "ACT_CON COT 7 P/N 1"
        assert driver.traffic.refused == 1


async def test_a_refused_select_is_not_executed() -> None:
    async with hat_station() as station, connected(station, Store()) as driver:
        station.mode = "refuse"

        with pytest.raises(DeviceRefused):
            await driver.write("es-STO01", "position_cmd", 2)

        assert len(station.log) == 1


async def test_an_unknown_object_address_is_a_refusal_with_its_cause() -> None:
    async with hat_station() as station, connected(station, Store()) as driver:
        station.mode = "unknown_address"

        with pytest.raises(DeviceRefused) as caught:
            await driver.write("es-STO01", "p_set", 10.0)

        assert caught.value.device_code == "COT 47 unknown object address"


async def test_no_answer_after_the_command_left_is_a_timeout() -> None:
    async with hat_station() as station, connected(station, Store(), command_timeout_s=0.2) as driver:
        station.mode = "silent"

        with pytest.raises(AnswerTimeout):
            await driver.write("es-STO01", "p_set", 10.0)

        assert len(station.log) == 1
        assert driver.traffic.timeouts == 1


async def test_a_late_answer_does_not_confirm_the_next_command() -> None:
    async with hat_station() as station, connected(station, Store(), command_timeout_s=0.2) as driver:
        station.mode = "silent"
        with pytest.raises(AnswerTimeout):
            await driver.write("es-STO01", "p_set", 10.0)
        second = asyncio.ensure_future(driver.write("es-STO01", "p_set", 20.0))
        await station.connection.send([station.log[0]._replace(cause=iec104.CommandResCause.ACTIVATION_CONFIRMATION)])

        with pytest.raises(AnswerTimeout):
            await second

        assert driver.counts["unexpected_answers"] == 1


async def test_a_loss_while_waiting_for_the_answer_leaves_the_outcome_unknown() -> None:
    async with hat_station() as station, connected(station, Store()) as driver:
        station.mode = "silent"
        writing = asyncio.ensure_future(driver.write("es-STO01", "p_set", 10.0))
        async with asyncio.timeout(PATIENCE_S):
            while not station.log:
                await asyncio.sleep(0.01)
        await station.server.async_close()

        with pytest.raises(AnswerTimeout):
            await writing
        assert driver.closed.is_set()


async def test_after_the_loss_a_write_does_not_leave() -> None:
    async with hat_station() as station, connected(station, Store()) as driver:
        await station.server.async_close()
        await asyncio.wait_for(driver.closed.wait(), PATIENCE_S)

        with pytest.raises(LinkDown):
            await driver.write("es-STO01", "p_set", 10.0)
        assert isinstance(driver.failure, LinkDown)


@pytest.mark.parametrize(("point", "value"), [("p_scaled", 40_000.0), ("p_set", float("nan")), ("position_cmd", 9), ("trip", 1)])
async def test_what_no_command_can_carry_is_refused_before_it_leaves(point: str, value: float) -> None:
    async with hat_station() as station, connected(station, Store()) as driver:
        with pytest.raises(DeviceRefused) as caught:
            await driver.write("es-STO01", point, value)

        assert caught.value.device_code.startswith("not sent")
        assert station.log == []


async def test_the_interrogation_is_repeated_and_follows_a_restart_of_the_station() -> None:
    store = Store()
    async with hat_station() as station, connected(station, store, gi_period_s=0.1):
        await store.wait_for("active_power", 3)
    store = Store()
    async with hat_station() as station, connected(station, store):
        await store.wait_for("active_power", 1)
        await station.connection.send([iec104.InitializationMsg(False, 0, 1, False, iec104.InitializationResCause.LOCAL_POWER)])
        await store.wait_for("active_power", 2)


async def test_a_driver_can_be_opened_again_after_a_loss() -> None:
    store = Store()
    async with hat_station() as station, connected(station, store) as driver:
        await store.wait_for("active_power")
        station.connection.close()
        await asyncio.wait_for(driver.closed.wait(), PATIENCE_S)
        await driver.open()

        await store.wait_for("active_power", 2)
        assert not driver.closed.is_set()


async def test_the_probe_says_its_steps() -> None:
    async with hat_station() as station:
        driver = Iec104Driver(make_target(station.port), Store().sink)

        assert await driver.probe() == [
            f"TCP {station.port} opens",
            "STARTDT confirmed",
            "interrogation answered with 2 objects",
        ]
