"""Faults of what dials in: charge points that refuse, fail, restart or tell the wrong time, and pushers whose clock is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ocpp.v16.enums import ChargingProfileStatus

from pilots.catalogue.loader import profiles_of
from pilots.simulators.faults import FaultKind
from pilots.simulators.head_end import HeadEnd, pushers_of
from tests.simulators.peers import eventually, pilot, plant_of
from tests.simulators.test_charge_point import STATION, Rig, station


def start(rig: Rig, kind: FaultKind, **options: float) -> str:
    return rig.plant.mishaps.faults.start(kind, STATION, now=datetime.now(UTC), options=options).id


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[Rig]:
    async with station(folder) as rig, rig.listening():
        await eventually(lambda: rig.said("StatusNotification"))
        yield rig


async def test_a_station_that_refuses_rejects_every_profile(tmp_path: Path) -> None:
    async with connected(tmp_path) as rig:
        fault = start(rig, FaultKind.EXCEPTION)
        assert await rig.limit(7000.0) == ChargingProfileStatus.rejected
        rig.plant.mishaps.faults.end(fault)
        assert await rig.limit(7000.0) == ChargingProfileStatus.accepted


async def test_a_station_out_of_order_says_so_with_an_error_code(tmp_path: Path) -> None:
    async with connected(tmp_path) as rig:
        start(rig, FaultKind.OUT_OF_ORDER)
        told = await eventually(lambda: [each for each in rig.said("StatusNotification") if each["status"] == "Faulted"])
        assert told[0]["error_code"] == "GroundFailure"


async def test_a_restarted_station_boots_again(tmp_path: Path) -> None:
    async with station(tmp_path) as rig:
        async with rig.listening():
            await eventually(lambda: rig.said("BootNotification"))
        rig.station.restart()
        async with rig.listening():
            await eventually(lambda: len(rig.said("BootNotification")) == 2, within_s=15)


async def test_a_station_with_a_wrong_clock_stamps_its_values_with_it(tmp_path: Path) -> None:
    async with connected(tmp_path) as rig:
        start(rig, FaultKind.CLOCK_SKEW, seconds=3600)
        soon = datetime.now(UTC) + timedelta(minutes=50)

        def skewed() -> bool:
            stamps = [value["timestamp"] for each in rig.said("MeterValues") for value in each["meter_value"]]
            return any(datetime.fromisoformat(each) > soon for each in stamps)

        await eventually(skewed)


def test_a_pushed_value_carries_its_devices_wrong_clock_and_the_message_the_right_one() -> None:
    spec, plant = pilot("bg"), plant_of("bg")
    ((name, devices),) = pushers_of(spec).items()
    head_end = HeadEnd(plant, name, devices, profiles_of(spec), base_url=lambda: None, token=lambda: None)
    now = datetime(2018, 6, 1, 12, tzinfo=UTC)
    plant.mishaps.faults.start(FaultKind.CLOCK_SKEW, devices[0].id, now=now)
    head_end.collect(now)
    body = head_end.queue[0].body
    assert body["sent_at"].startswith("2018-06-01T12:00:00")
    assert {row["t"][:19] for row in body["values"]} == {"2018-06-01T12:01:30"}
