"""Every monitor and command type as c104 (lib60870-C) and hat-drivers encode it: what they say is what we read."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from hat.drivers import iec104

from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.quality import Flag, Quality, Source, Validity
from pilots.drivers.base import DeviceTarget
from pilots.drivers.iec104 import Iec104Driver
from tests.drivers.iec104.peers import Store, make_target
from tests.drivers.iec104.test_driver_with_c104 import c104  # which sets its zone first
from tests.drivers.iec104.test_driver_with_hat import TAG, connected, data_message, hat_station

DEVICE = "es-STO01"
OVERFLOWN = Quality(Validity.QUESTIONABLE, flags=Flag.OVERFLOW)
OLD = Quality(Validity.QUESTIONABLE, flags=Flag.OLD)
WRONG_DURATION = Quality(flags=Flag.INCONSISTENT)
_NAIVE = TAG.replace(tzinfo=None)


def c104_informations() -> dict[int, tuple[Any, float, Quality]]:
    """Type -> what c104 is told, and what we should read. (Its bitstrings lose their quality.)"""
    bad, seconds = c104.Quality.Overflow, c104.UInt16(1500)
    carry = c104.BinaryCounterQuality.Carry
    word = c104.PackedSingle.I0 | c104.PackedSingle.I15
    pairs = {
        (1, 30): (lambda at: c104.SingleInfo(True, c104.Quality.NonTopical, at), 1, OLD),
        (3, 31): (lambda at: c104.DoubleInfo(c104.Double.INTERMEDIATE, c104.Quality.NonTopical, at), 0, OLD),
        (5, 32): (lambda at: c104.StepInfo(c104.Int7(-7), True, bad, at), -7, OVERFLOWN),
        (7, 33): (lambda at: c104.BinaryInfo(c104.Byte32(0xDEADBEEF), c104.Quality(), at), 0xDEADBEEF, Quality()),
        (9, 34): (lambda at: c104.NormalizedInfo(c104.NormalizedFloat(-0.5), bad, at), -0.5, OVERFLOWN),
        (11, 35): (lambda at: c104.ScaledInfo(c104.Int16(-1234), bad, at), -1234, OVERFLOWN),
        (13, 36): (lambda at: c104.ShortInfo(1.25, bad, at), 1.25, OVERFLOWN),
        (15, 37): (lambda at: c104.BinaryCounterInfo(-5, c104.UInt5(3), carry, at), -5, Quality()),
    }
    made: dict[int, tuple[Any, float, Quality]] = {
        20: (c104.StatusAndChanged(word, c104.PackedSingle.I0, bad), 0x8001, OVERFLOWN),
        21: (c104.NormalizedInfo(c104.NormalizedFloat(0.25), c104.Quality()), 0.25, Quality()),
        38: (
            c104.ProtectionEventInfo(c104.EventState.ON, seconds, c104.Quality.ElapsedTimeInvalid, _NAIVE),
            2,
            WRONG_DURATION,
        ),
        39: (c104.ProtectionStartInfo(c104.StartEvents.PhaseL1, seconds, c104.Quality(), _NAIVE), 2, Quality()),
        40: (c104.ProtectionCircuitInfo(c104.OutputCircuits.General, seconds, c104.Quality(), _NAIVE), 1, Quality()),
    }
    for (plain, timed), (make, value, quality) in pairs.items():
        made |= {plain: (make(None), value, quality), timed: (make(_NAIVE), value, quality)}
    return made


def points_of(types: Any) -> DeviceTarget:
    """A point `t<type>` for each type, at 700 + type."""
    names = {f"t{type_id}": {"ioa": type_id} for type_id in types}
    specs = {name: PointSpec(name=name, kind=PointKind.MEASUREMENT, address=address) for name, address in names.items()}
    return DeviceTarget(id=DEVICE, address={"ca": 1, "ioa": 700}, points=specs)


async def test_every_type_that_c104_sends_is_read() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server, informations, store = c104.Server(ip="127.0.0.1", port=port, tick_rate_ms=50), c104_informations(), Store()
    station = server.add_station(common_address=1)
    points = {type_id: station.add_point(io_address=700 + type_id, type=c104.Type(type_id)) for type_id in informations}
    for type_id, (information, _, _) in informations.items():
        points[type_id].info = information
    server.start()
    driver = Iec104Driver(make_target(port, devices=(points_of(informations),)), store.sink)
    try:
        await driver.open()
        await store.wait_for("t36")  # by the interrogation
        for point in points.values():
            assert point.transmit(cause=c104.Cot.SPONTANEOUS)
        await store.wait_for("t21")
        for type_id, (_, value, quality) in informations.items():
            reading = (await store.wait_for(f"t{type_id}"))[-1]
            time = TAG if type_id >= 30 else reading.source_time  # without a tag: none, or the interrogation's
            assert reading == RawReading(f"t{type_id}", value, quality, time), type_id
        assert (await driver.examine(DEVICE, points_of([36]).points["t36"])).reading.value == 1.25
    finally:
        await driver.close()
        await asyncio.to_thread(server.stop)


# hat divides normalised values by 2^15 - 1 where the standard has 2^15 (7.2.6.6): only 0 is the same in both.
GOOD_EVENT = iec104.ProtectionQuality(invalid=False, not_topical=False, substituted=False, blocked=False, time_invalid=True)
STARTS = iec104.ProtectionStartValue(general=True, l1=False, l2=True, l3=False, ie=False, reverse=False)
TRIPS = iec104.ProtectionCommandValue(general=False, l1=True, l2=False, l3=False)
WORD = iec104.StatusValue(value=[True] + 14 * [False] + [True], change=16 * [False])
SUBSTITUTED = iec104.MeasurementQuality(invalid=False, not_topical=False, substituted=True, blocked=False, overflow=False)
IS_SUBSTITUTED = Quality(source=Source.SUBSTITUTED)
COUNTED = iec104.CounterQuality(invalid=True, adjusted=True, overflow=False, sequence=31)


@pytest.mark.parametrize(
    ("data", "timed", "value", "quality"),
    [
        (iec104.StepPositionData(iec104.StepPositionValue(-64, True), SUBSTITUTED), True, -64, IS_SUBSTITUTED),
        (iec104.BitstringData(iec104.BitstringValue(b"\x01\x00\x00\x80"), SUBSTITUTED), True, 0x80000001, IS_SUBSTITUTED),
        (iec104.NormalizedData(iec104.NormalizedValue(0.0), SUBSTITUTED), True, 0.0, IS_SUBSTITUTED),
        (iec104.NormalizedData(iec104.NormalizedValue(0.0), None), False, 0.0, Quality()),
        (iec104.ScaledData(iec104.ScaledValue(-32768), SUBSTITUTED), True, -32768, IS_SUBSTITUTED),
        (iec104.BinaryCounterData(iec104.BinaryCounterValue(7), COUNTED), True, 7, Quality(Validity.INVALID)),
        (iec104.ProtectionData(iec104.ProtectionValue.ON, GOOD_EVENT, 250), True, 2, WRONG_DURATION),
        (iec104.ProtectionStartData(STARTS, GOOD_EVENT, 250), True, 5, WRONG_DURATION),
        (iec104.ProtectionCommandData(TRIPS, GOOD_EVENT, 250), True, 2, WRONG_DURATION),
        (iec104.StatusData(WORD, SUBSTITUTED), False, 0x8001, IS_SUBSTITUTED),
    ],
)
async def test_every_type_that_hat_sends_is_read(data: Any, timed: bool, value: float, quality: Quality) -> None:
    store = Store()
    async with hat_station() as station, connected(station, store, (points_of([1]),)):
        await asyncio.wait_for(station.connected.wait(), 30)
        await station.connection.send([data_message(701, data, TAG if timed else None)])

        (reading,) = await store.wait_for("t1")

    assert reading == RawReading("t1", value, quality, TAG if timed else None)


@pytest.mark.parametrize("time", [False, True])
@pytest.mark.parametrize(
    ("command_type", "value", "wanted"),
    [
        (45, 1, iec104.SingleCommand(iec104.SingleValue.ON, True, 1)),
        (46, 1, iec104.DoubleCommand(iec104.DoubleValue.OFF, True, 1)),
        (47, 2, iec104.RegulatingCommand(iec104.RegulatingValue.HIGHER, True, 1)),
        (48, 0.0, iec104.NormalizedCommand(iec104.NormalizedValue(0.0), True)),
        (49, -77, iec104.ScaledCommand(iec104.ScaledValue(-77), True)),
        (50, 0.1, iec104.FloatingCommand(iec104.FloatingValue(0.10000000149011612), True)),
        (51, 3, iec104.BitstringCommand(iec104.BitstringValue(b"\x03\x00\x00\x00"))),
    ],
)
async def test_hat_understands_every_command(command_type: int, value: float, wanted: Any, time: bool) -> None:
    address: dict[str, Any] = {"ioa": 50, "command_type": command_type}
    if command_type != 51:
        address["select"] = True
    if command_type <= 47:
        address["qualifier"] = "short"
    spec = PointSpec(name="tried", kind=PointKind.COMMAND, address=address)
    async with hat_station() as station, connected(station, Store(), command_time=time) as driver:
        await driver.write_spec(DEVICE, spec, value)
        orders = [message.command for message in station.log]

        assert orders[0] == wanted
        assert (command_type == 51) or [order.select for order in orders] == [True, False]
        assert all((message.time is not None) == time for message in station.log)


async def test_hat_is_asked_for_groups_counters_tests_and_single_objects() -> None:
    seen: list[Any] = []
    async with hat_station() as station:
        answer = station._answer

        async def note(message: Any) -> None:
            seen.append(message)
            await answer(message)

        station._answer = note  # type: ignore[method-assign]
        options = {"groups": {3: 0.05}, "counter_groups": {2: 0.05}, "counter_freeze": "freeze", "test_period_s": 0.05}
        async with connected(station, Store(), command_timeout_s=0.2, **options) as driver:
            examined = await driver.examine(DEVICE, PointSpec(name="p", kind=PointKind.MEASUREMENT, address={"ioa": 1}))
            async with asyncio.timeout(30):
                while not any(isinstance(message, iec104.TestMsg) for message in seen):
                    await asyncio.sleep(0.01)

    assert examined.raw == "M_ME_NC_1 (13) interrogated by station, CA 1: IOA 701 = 50"  # it ignores the read command
    assert any(isinstance(message, iec104.ReadMsg) and message.io_address == 701 for message in seen)
    assert {message.request for message in seen if isinstance(message, iec104.InterrogationMsg)} >= {20, 23}
    counted = {(m.request, m.freeze.name) for m in seen if isinstance(m, iec104.CounterInterrogationMsg)}
    assert counted >= {(5, "FREEZE"), (5, "READ"), (2, "FREEZE"), (2, "READ")}
