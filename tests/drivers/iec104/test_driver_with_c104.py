# No `from __future__ import annotations` here: c104 checks the annotations of its callbacks and wants the types themselves.
"""The driver against c104's server: interrogation, spontaneous values with time tags, commands, select before operate."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

os.environ["TZ"] = "UTC"  # c104 reads and writes time tags in the zone of the process
time.tzset()

import c104  # noqa: E402
import pytest  # noqa: E402

from pilots.domain.errors import DeviceRefused  # noqa: E402
from pilots.domain.point import PointKind, PointSpec  # noqa: E402
from pilots.domain.quality import Flag, Validity  # noqa: E402
from pilots.drivers.base import DeviceTarget  # noqa: E402
from pilots.drivers.iec104 import Iec104Driver  # noqa: E402
from tests.drivers.iec104.peers import PATIENCE_S, POINTS, Store, make_target  # noqa: E402


class C104Station:
    """A battery at CA 1, base 700, as c104 serves it; `accept` says how it answers commands."""

    def __init__(self, security: c104.TransportSecurity | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.accept = True
        self.log: list[tuple[int, object, bool]] = []
        self.server = c104.Server(ip="127.0.0.1", port=self.port, tick_rate_ms=50, transport_security=security)
        self.power = self._add(701, c104.Type.M_ME_TF_1)
        self.position = self._add(702, c104.Type.M_DP_TB_1)
        self.power.info = c104.ShortInfo(actual=50.5)
        self.position.info = c104.DoubleInfo(state=c104.Double.ON)
        self.p_set = self._add(711, c104.Type.C_SE_NC_1)
        self.position_cmd = self._add(712, c104.Type.C_DC_NA_1, c104.CommandMode.SELECT_AND_EXECUTE)
        for point in (self.p_set, self.position_cmd):
            point.on_receive(callable=self.on_command)

    def _add(self, address: int, kind: c104.Type, mode: c104.CommandMode = c104.CommandMode.DIRECT) -> c104.Point:
        station = self.server.get_station(common_address=1) or self.server.add_station(common_address=1)
        assert station is not None
        point = station.add_point(io_address=address, type=kind, command_mode=mode)
        assert point is not None
        return point

    def on_command(self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
        # A callback that raises would be unregistered for good: nothing here can.
        self.log.append((point.io_address, point.value, message.is_select_command))
        return c104.ResponseState.SUCCESS if self.accept else c104.ResponseState.FAILURE


@contextlib.asynccontextmanager
async def c104_station(security: c104.TransportSecurity | None = None) -> AsyncIterator[C104Station]:
    station = C104Station(security)
    station.server.start()
    try:
        yield station
    finally:
        await asyncio.to_thread(station.server.stop)


@contextlib.asynccontextmanager
async def connected(station: C104Station, store: Store) -> AsyncIterator[Iec104Driver]:
    with_unknown = POINTS | {
        "unknown": PointSpec(name="unknown", kind=PointKind.SETPOINT, address={"ioa": 99, "command_type": 50})
    }
    device = DeviceTarget(id="es-STO01", address={"ca": 1, "ioa": 700}, points=with_unknown)
    driver = Iec104Driver(make_target(station.port, devices=(device,)), store.sink)
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


async def test_the_interrogation_brings_values_of_c104() -> None:
    store = Store()
    async with c104_station() as station, connected(station, store):
        assert (await store.wait_for("active_power"))[0].value == 50.5
        assert (await store.wait_for("position"))[0].value == 2


async def test_spontaneous_values_of_c104_carry_time_and_quality() -> None:
    store = Store()
    async with c104_station() as station, connected(station, store):
        await store.wait_for("active_power")
        tag = datetime(2026, 7, 1, 3, 4, 1, 500_000, UTC)
        station.power.info = c104.ShortInfo(actual=-20.25, quality=c104.Quality.Invalid, recorded_at=tag)
        assert station.power.transmit(cause=c104.Cot.SPONTANEOUS)

        reading = next(reading for reading in reversed(await store.wait_for("active_power", 2)) if reading.source_time == tag)

        assert reading.value == -20.25
        assert reading.quality.validity is Validity.INVALID
        assert Flag.CLOCK_UNSYNCED not in reading.quality.flags


async def test_a_set_point_is_confirmed_by_c104() -> None:
    async with c104_station() as station, connected(station, Store()) as driver:
        assert (await driver.write("es-STO01", "p_set", 125.0)).raw == "ACT_CON COT 7 P/N 0"
        assert station.log == [(711, 12.5, False)]


async def test_a_double_command_is_selected_and_executed_at_c104() -> None:
    async with c104_station() as station, connected(station, Store()) as driver:
        result = await driver.write("es-STO01", "position_cmd", 2)

        assert result.raw == "select ACT_CON COT 7 P/N 0; execute ACT_CON COT 7 P/N 0"
        assert station.log[-1][:2] == (712, c104.Double.ON)
        async with asyncio.timeout(PATIENCE_S):
            while station.position_cmd.selected_by:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("point", ["p_set", "unknown"])
async def test_what_c104_refuses_is_a_refusal(point: str) -> None:
    async with c104_station() as station, connected(station, Store()) as driver:
        station.accept = False

        with pytest.raises(DeviceRefused):
            await driver.write("es-STO01", point, 10.0)
        assert driver.traffic.refused == 1


async def test_the_probe_counts_the_objects_of_c104() -> None:
    async with c104_station() as station:
        steps = await Iec104Driver(make_target(station.port), Store().sink).probe()

        assert steps[:2] == [f"TCP {station.port} opens", "STARTDT confirmed"]
        assert steps[2] == "interrogation answered with 2 objects"


async def test_the_end_of_the_server_closes_the_driver() -> None:
    async with c104_station() as station, connected(station, Store()) as driver:
        await asyncio.to_thread(station.server.stop)

        await asyncio.wait_for(driver.closed.wait(), PATIENCE_S)
        assert driver.failure is not None
