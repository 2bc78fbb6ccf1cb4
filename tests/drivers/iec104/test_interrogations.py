"""What the driver asks by itself, against a scripted station: when, in which order, and what follows an odd answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from pilots.drivers.base import DeviceTarget
from pilots.drivers.iec104 import Iec104Driver
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu, InformationObject
from tests.drivers.iec104.peers import PATIENCE_S, POINTS, RawStation, Store, make_target, opened, raw_station

WITHOUT_COUNTERS = {name: spec for name, spec in POINTS.items() if name != "energy"}


async def asked(station: RawStation, count: int) -> list[tuple[int, int]]:
    """Type and first value of the next requests, each answered well."""
    requests = []
    while len(requests) < count:
        frame = await station.frame()
        if frame[0] & 1 == 0:
            request, received = asdu.decode(frame[4:]), (int.from_bytes(frame[:2], "little") >> 1) + 1
            requests.append((request.type_id, int(request.objects[0].value)))
            confirmed, ended = (request._replace(cause=cause) for cause in (asdu.ACTIVATION_CON, asdu.ACTIVATION_TERM))
            station.send(confirmed, ended, received=received)
    return requests


async def test_the_start_is_clock_then_everything_then_counters() -> None:
    async with raw_station() as station, opened(station, Store().sink):
        assert await asked(station, 3) == [(asdu.C_CS, 0), (asdu.C_IC, 20), (asdu.C_CI, 5)]


async def test_the_clock_carries_our_time() -> None:
    async with raw_station() as station, opened(station, Store().sink):
        request = await station.request(asdu.C_CS)

        time = request.objects[0].time
        assert time is not None and abs((datetime.now(UTC) - time).total_seconds()) < PATIENCE_S


async def test_groups_and_counter_groups_are_asked_by_their_own_periods() -> None:
    options = {"groups": {"3": 0.02, "16": 0.3}, "counter_groups": {"2": 0.05}, "clock_sync": False}
    async with raw_station() as station, opened(station, Store().sink, **options):
        requests = await asked(station, 30)

    counted = {request: requests.count(request) for request in requests}
    assert counted[asdu.C_IC, 20] == counted[asdu.C_CI, 5] == 1
    assert counted[asdu.C_IC, 23] > counted[asdu.C_CI, 2] > counted.get((asdu.C_IC, 36), 0)


async def test_a_group_brings_its_objects() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, groups={3: 0.05}):
        await asked(station, 3)
        request = await station.confirmed(asdu.C_IC)
        assert request.objects[0].value == 23
        station.send(Asdu(13, 23, 1, (InformationObject(701, 4.5),)))

        assert (await store.wait_for("active_power"))[0].value == 4.5


async def test_an_event_that_comes_behind_a_slow_interrogation_is_newer_than_its_answer() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, clock_sync=False):
        await station.confirmed(asdu.C_IC)
        happened = datetime.now(UTC)
        station.send(Asdu(13, asdu.INTERROGATED, 1, (InformationObject(701, 4.5),)))
        station.send(Asdu(36, 3, 1, (InformationObject(701, 5.5, time=happened),)))
        interrogated, event = await store.wait_for("active_power", 2)
    assert (interrogated.value, event.value) == (4.5, 5.5)
    assert interrogated.source_time is not None and event.source_time is not None
    assert interrogated.source_time <= event.source_time


async def test_cycles_that_are_late_are_skipped() -> None:
    async with raw_station() as station, opened(station, Store().sink, groups={3: 0.5}, clock_sync=False):
        general = await station.confirmed(asdu.C_IC)
        await asyncio.sleep(1.2)  # and the group would have been due twice
        station.send(general._replace(cause=asdu.ACTIVATION_TERM))
        await station.confirmed(asdu.C_CI, ended=True)
        await station.confirmed(asdu.C_IC, ended=True)

        assert not await station.asks_within(0.1)


async def test_periods_of_clock_and_counters_are_their_own() -> None:
    async with raw_station() as station, opened(station, Store().sink, clock_period_s=0.05, counter_period_s=0.05, gi_period_s=0):
        requests = await asked(station, 9)

    assert requests.count((asdu.C_IC, 20)) == 1
    assert requests.count((asdu.C_CS, 0)) >= 3
    assert requests.count((asdu.C_CI, 5)) >= 3


async def test_counters_may_be_frozen_before_they_are_read() -> None:
    async with raw_station() as station, opened(station, Store().sink, counter_freeze="freeze_reset", clock_sync=False):
        assert await asked(station, 3) == [(asdu.C_IC, 20), (asdu.C_CI, 0x85), (asdu.C_CI, 5)]


async def test_counters_may_be_reset_after_they_are_read() -> None:
    async with raw_station() as station, opened(station, Store().sink, counter_freeze="reset", clock_sync=False):
        assert await asked(station, 3) == [(asdu.C_IC, 20), (asdu.C_CI, 5), (asdu.C_CI, 0xC5)]


async def test_counters_that_were_not_frozen_are_not_reset() -> None:
    async with raw_station() as station, opened(station, Store().sink, counter_freeze="reset", clock_sync=False) as driver:
        await asked(station, 1)
        request = await station.request(asdu.C_CI)
        station.send(request._replace(cause=asdu.ACTIVATION_CON, negative=True))

        assert not await station.asks_within(0.1)
        assert driver.counts["interrogations_failed"] == 1


async def test_the_test_command_is_sent_by_its_period_and_its_silence_is_counted() -> None:
    options = {"test_period_s": 0.05, "command_timeout_s": 0.05, "clock_sync": False}
    async with raw_station() as station, opened(station, Store().sink, **options) as driver:
        await asked(station, 2)
        first = await station.request(asdu.C_TS_TA)
        second = await station.request(asdu.C_TS_TA)
        station.send(second._replace(cause=asdu.ACTIVATION_CON))

        assert (first.objects[0].value, second.objects[0].value) == (1, 2)
        assert first.objects[0].time is not None
        assert driver.counts["interrogations_failed"] == 1


async def test_a_restart_while_an_interrogation_is_under_way_starts_anew_at_once() -> None:
    async with raw_station() as station, opened(station, Store().sink) as driver:
        await station.request(asdu.C_CS)
        await station.confirmed(asdu.C_IC)  # and then the station forgets it
        station.send(Asdu(asdu.M_EI, 4, 1, (InformationObject(0, 0),)))

        assert await asked(station, 2) == [(asdu.C_CS, 0), (asdu.C_IC, 20)]
        assert driver.counts["interrogations_failed"] == 1


async def test_a_failed_interrogation_is_repeated_soon_and_other_things_go_on() -> None:
    async with raw_station() as station, opened(station, Store().sink, gi_period_s=0.1) as driver:
        await station.request(asdu.C_CS)
        request = await station.request(asdu.C_IC)
        station.send(request._replace(cause=46, negative=True))
        await station.confirmed(asdu.C_CI, ended=True)

        again = await station.confirmed(asdu.C_IC, ended=True)
        assert again == request
        assert driver.counts["interrogations_failed"] == 1


async def test_a_slow_line_has_time_as_long_as_objects_come() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, gi_timeout_s=0.2) as driver:
        await station.request(asdu.C_CS)
        request = await station.confirmed(asdu.C_IC)
        for number in range(4):
            await asyncio.sleep(0.1)
            station.send(Asdu(13, 20, 1, (InformationObject(701, float(number)),)))
        station.send(request._replace(cause=asdu.ACTIVATION_TERM))
        await station.request(asdu.C_CI)

        assert driver.counts["interrogations_unterminated"] == 0


async def test_an_interrogation_of_another_master_ends_none_of_ours() -> None:
    async with raw_station() as station, opened(station, Store().sink, originator=3, gi_timeout_s=0.2) as driver:
        await station.request(asdu.C_CS)
        request = await station.request(asdu.C_IC)
        station.send(request._replace(cause=asdu.ACTIVATION_CON, originator=9, negative=True))
        station.send(request._replace(cause=asdu.ACTIVATION_CON))
        station.send(request._replace(cause=asdu.ACTIVATION_TERM, originator=9))
        await station.request(asdu.C_CI)

        assert (driver.counts["unexpected_answers"], driver.counts["interrogations_unterminated"]) == (1, 1)


async def test_stations_of_one_connection_are_interrogated_one_after_the_other() -> None:
    devices = tuple(DeviceTarget(id=f"d{ca}", address={"ca": ca, "ioa": 700}, points=WITHOUT_COUNTERS) for ca in (1, 2))
    async with raw_station() as station:
        driver = Iec104Driver(make_target(station.port, {"clock_sync": False}, devices), Store().sink)
        opening = asyncio.ensure_future(driver.open())
        await station.started()
        await opening
        first = await station.confirmed(asdu.C_IC)
        assert not await station.asks_within(0.1)
        station.send(first._replace(cause=asdu.ACTIVATION_TERM))
        second = await station.request(asdu.C_IC)

        assert (first.common_address, second.common_address) == (1, 2)
        station.hang_up()
        await driver.close()


async def test_values_with_odd_causes_are_counted_and_not_stored() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink) as driver:
        for cause, negative in ((7, False), (47, False), (3, True), (13, False)):
            station.send(Asdu(13, cause, 1, (InformationObject(701, 1.0),), negative=negative))
        for cause in (1, 2, 3, 5, 11, 12, 20, 36, 37, 41):
            station.send(Asdu(13, cause, 1, (InformationObject(701, float(cause)),)))

        readings = await store.wait_for("active_power", 10)

        assert [reading.value for reading in readings] == [1, 2, 3, 5, 11, 12, 20, 36, 37, 41]
        assert driver.counts["odd_causes"] == 4
