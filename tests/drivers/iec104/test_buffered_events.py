"""What a station kept while nobody listened: thousands of events with old times arrive whole, in order, once committed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from pilots.drivers.iec60870.asdu import Asdu, InformationObject
from tests.drivers.iec104.peers import PATIENCE_S, Store, opened, raw_station, receive_number

EVENTS, EACH = 1000, 4
START = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # the night of a change to summer time: the wire does not notice


def event(number: int) -> InformationObject:
    """Half an hour passes with every hundred."""
    time = START + timedelta(seconds=18 * number, milliseconds=number % 1000)
    return InformationObject(701, float(number), 0, time)


async def test_a_thousand_old_events_arrive_in_order_with_their_own_times_and_are_acknowledged_after_their_commit() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, clock_sync=False) as driver:
        store.gate.clear()
        for first in range(0, EVENTS, EACH):
            station.send(Asdu(36, 3, 1, tuple(event(number) for number in range(first, first + EACH))))
        await store.wait_for("active_power")
        acknowledged = 0
        while (frame := await station.frame_within(0.1)) is not None:
            acknowledged = receive_number(frame)
        assert acknowledged == 0  # nothing is committed yet

        store.gate.set()
        async with asyncio.timeout(PATIENCE_S):
            while acknowledged < EVENTS // EACH - driver.parameters.w:
                acknowledged = receive_number(await station.frame())
        readings = await store.wait_for("active_power", EVENTS)

    assert [reading.value for reading in readings] == [float(number) for number in range(EVENTS)]
    assert [reading.source_time for reading in readings] == [event(number).time for number in range(EVENTS)]
    assert readings[-1].source_time == START + timedelta(seconds=18 * 999, milliseconds=999)


async def test_events_of_several_types_keep_their_order_in_each() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, clock_sync=False):
        for number in range(300):
            switched = InformationObject(703, number % 2, 0, START + timedelta(milliseconds=number))
            station.send(Asdu(30, 3, 1, (switched,)), Asdu(36, 3, 1, (event(number),)))

        trips, powers = await store.wait_for("trip", 300), await store.wait_for("active_power", 300)

    assert [reading.value for reading in trips] == [number % 2 for number in range(300)]
    assert [reading.value for reading in powers] == [float(number) for number in range(300)]
