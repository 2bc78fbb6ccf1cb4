"""From octets to readings: quality, time, bits, and the way in bulk beside the way object by object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.quality import Flag, Source, Validity
from pilots.drivers.base import DeviceTarget
from pilots.drivers.iec60870 import asdu, monitoring
from pilots.drivers.iec60870.asdu import IEC104_SIZES, Asdu, InformationObject, Sizes
from pilots.drivers.iec60870.elements import KINDS, MONITOR_BASE
from pilots.drivers.iec60870.monitoring import Monitoring, Received
from pilots.drivers.iec60870.routes import RouteTable
from pilots.drivers.iec60870.times import SHORT
from tests.drivers.iec60870.strategies import ALL_SIZES, RECEIVED, asdus

pytestmark = pytest.mark.usefixtures("way")
TIME = datetime(2026, 7, 1, 3, 4, 1, 500_000, UTC)
Readings = dict[str, list[RawReading]]


@pytest.fixture(scope="module", params=[0, 10**6], ids=["columns", "objects"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every rule holds for a flood and for a single object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitoring, "LEAST_COLUMNS", request.param)
        yield


class Bench:
    """Points a, b at CA 1, IOA 1, 2 of device d, point c at IOA 3 of device e, unless told otherwise."""

    def __init__(self, *devices: DeviceTarget, sizes: Sizes = IEC104_SIZES) -> None:
        self.sizes, self.counts = sizes, Counter[str]()
        self.routes = RouteTable(devices or (device("d", a={"ioa": 1}, b={"ioa": 2}), device("e", c={"ioa": 3})), 1, sizes)
        self.monitoring = Monitoring(self.routes, sizes, self.counts)

    def sort(self, *units: Asdu, at: datetime | None = None) -> Readings:
        batch = []
        for unit in units:
            its_at = RECEIVED if KINDS[unit.type_id].tag == SHORT else at
            batch.append(Received(asdu.encode(unit, self.sizes), its_at))
        return {device: list(readings) for device, readings in self.monitoring.sort(batch).items()}


def device(name: str, **addresses: dict[str, Any]) -> DeviceTarget:
    points = {point: PointSpec(name=point, kind=PointKind.MEASUREMENT, address=address) for point, address in addresses.items()}
    return DeviceTarget(id=name, address={"ca": 1}, points=points)


def one(type_id: int, value: float = 1, qualifier: int = 0, time: datetime | None = None) -> Asdu:
    return Asdu(type_id, 3, 1, (InformationObject(1, value, qualifier, time),))


def objects_only(bench: Bench, unit: Asdu) -> Readings:
    """The same ASDU sorted object by object."""
    readings: Readings = {}
    for item in unit.objects:
        for device_id, point, bit in bench.routes.takers(unit.common_address, MONITOR_BASE[unit.type_id], item.address):
            readings.setdefault(device_id, []).append(monitoring.reading_of(point, unit.type_id, item, bit))
    return readings


@settings(deadline=None)
@given(st.data(), ALL_SIZES)
def test_in_bulk_and_object_by_object_the_same_is_read(data: st.DataObject, sizes: Sizes) -> None:
    devices = (device("d", a={"ioa": 1}, b={"ioa": 2}), device("e", c={"ioa": 3}, d={"ioa": 4, "bit": 2}, e={"ioa": 5}))
    bench = Bench(*devices, sizes=sizes)
    for drawn in data.draw(st.lists(asdus(sizes, sorted(MONITOR_BASE)), min_size=2, max_size=4)):
        near = tuple(
            item._replace(address=1 + (number if drawn.sequence else item.address % 7))
            for number, item in enumerate(drawn.objects)
        )
        unit = drawn._replace(common_address=1, objects=near)
        wanted = sum(1 for item in near if bench.routes.takers(1, MONITOR_BASE[unit.type_id], item.address))
        for _ in range(2):  # the second time every address is known
            before = bench.counts["unknown_objects"]
            assert bench.sort(unit) == objects_only(bench, unit)
            assert bench.counts["unknown_objects"] - before == len(near) - wanted


@pytest.mark.parametrize(
    ("type_id", "octet", "validity", "source", "flags"),
    [
        (13, 0x00, Validity.GOOD, Source.PROCESS, Flag.NONE),
        (13, 0x80, Validity.INVALID, Source.PROCESS, Flag.NONE),
        (13, 0x40, Validity.QUESTIONABLE, Source.PROCESS, Flag.OLD),
        (36, 0x20, Validity.GOOD, Source.SUBSTITUTED, Flag.NONE),
        (9, 0x10, Validity.QUESTIONABLE, Source.PROCESS, Flag.BLOCKED),
        (11, 0x01, Validity.QUESTIONABLE, Source.PROCESS, Flag.OVERFLOW),
        (5, 0x101, Validity.QUESTIONABLE, Source.PROCESS, Flag.OVERFLOW),
        (30, 0xF0, Validity.INVALID, Source.SUBSTITUTED, Flag.BLOCKED | Flag.OLD),
        (3, 0x40, Validity.QUESTIONABLE, Source.PROCESS, Flag.OLD),
        (37, 0x7F, Validity.GOOD, Source.PROCESS, Flag.NONE),
        (15, 0x80, Validity.INVALID, Source.PROCESS, Flag.NONE),
        (38, 0x08, Validity.GOOD, Source.PROCESS, Flag.INCONSISTENT),
        (40, 0x90, Validity.INVALID, Source.PROCESS, Flag.BLOCKED),
        (20, 0x01, Validity.QUESTIONABLE, Source.PROCESS, Flag.OVERFLOW),
        (21, 0x00, Validity.GOOD, Source.PROCESS, Flag.NONE),
    ],
)
def test_every_quality_bit_arrives(type_id: int, octet: int, validity: Validity, source: Source, flags: Flag) -> None:
    bench = Bench()
    unit = one(type_id, 0, octet, TIME if type_id >= 30 else None)
    for _ in range(2):
        quality = bench.sort(unit)["d"][0].quality

        assert (quality.validity, quality.source, quality.flags) == (validity, source, flags)


@pytest.mark.parametrize("type_id", [36, 30, 35, 37, 38, 14, 2])
def test_a_value_whose_clock_is_invalid_stays_as_good_as_it_was(type_id: int) -> None:
    bench = Bench()
    for _ in range(2):
        (reading,) = bench.sort(one(type_id))["d"]

        assert (reading.source_time, reading.quality.validity, reading.quality.flags) == (
            None,
            Validity.GOOD,
            Flag.CLOCK_UNSYNCED,
        )


def test_what_one_device_says_stays_in_its_order() -> None:
    sizes = ((36, 30, TIME, 64), (36, 2, TIME, 32), (13, 1, None, 64), (36, 40, TIME, 128), (9, 1, None, 64), (11, 25, None, 1))
    units = [
        Asdu(
            type_id,
            3,
            1,
            tuple(InformationObject(1 + number % 3, number / step, number % 2, time) for number in range(size)),
        )
        for type_id, size, time, step in sizes
    ]
    together = Bench().sort(*units)
    singly: Readings = {}
    for unit in units:
        for device_id, readings in objects_only(Bench(), unit).items():
            singly.setdefault(device_id, []).extend(readings)

    assert together == singly


def test_one_invalid_tag_does_not_touch_its_neighbours() -> None:
    bench = Bench()
    unit = Asdu(36, 3, 1, (InformationObject(1, 1.0, 0, TIME), InformationObject(2, 2.0, 0x80, None)))
    bench.sort(unit)
    first, second = bench.sort(unit)["d"]

    assert (first.source_time, first.quality.flags) == (TIME, Flag.NONE)
    assert (second.source_time, second.quality.flags) == (None, Flag.CLOCK_UNSYNCED)


def test_bits_of_one_word_are_points_of_their_own() -> None:
    bench = Bench(device("d", lamp={"ioa": 1, "type": 20, "bit": 3}, door={"ioa": 1, "type": 20, "bit": 15}))

    readings = bench.sort(one(20, 0x8000, 0x40))["d"]

    assert [(reading.point, reading.value) for reading in readings] == [("lamp", 0), ("door", 1)]
    assert all(reading.quality.flags is Flag.OLD for reading in readings)


def test_a_bit_of_a_bitstring_is_a_point() -> None:
    bench = Bench(device("d", alarm={"ioa": 1, "type": 33, "bit": 31}))
    for _ in range(2):
        assert bench.sort(one(33, 0x80000000, 0, TIME))["d"] == [RawReading("alarm", 1, source_time=TIME)]


def test_carried_and_adjusted_counters_are_counted() -> None:
    bench = Bench()
    bench.sort(one(37, 5, 0x21, TIME))
    bench.sort(one(15, 5, 0x60))

    assert (bench.counts["counters_carried"], bench.counts["counters_adjusted"]) == (2, 1)


def test_a_station_that_nobody_configured_is_counted_and_not_remembered() -> None:
    bench = Bench()
    for common_address in range(2, 50):
        assert bench.sort(one(13)._replace(common_address=common_address)) == {}

    assert bench.counts["unknown_objects"] == 48
    assert len(bench.monitoring._streams) == 0


def test_a_station_that_invents_addresses_does_not_fill_our_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "MOST_PLACES", 10)
    bench = Bench()
    for ioa in range(100, 200):
        bench.sort(Asdu(13, 3, 1, (InformationObject(ioa, 1.0),)))

    (stream,) = bench.monitoring._streams.values()
    assert len(stream.places) <= 10
    assert bench.sort(one(13, 7.0))["d"][0].value == 7.0


def test_what_has_no_time_of_its_own_is_as_old_as_the_question_that_brought_it() -> None:
    bench = Bench()
    interrogated = Asdu(13, asdu.INTERROGATED, 1, (InformationObject(1, 5.0),))
    for _ in range(2):  # object by object where the address comes for the first time, then in columns
        assert [reading.source_time for reading in bench.sort(interrogated, at=TIME)["d"]] == [TIME]
        assert [reading.source_time for reading in bench.sort(one(13), at=None)["d"]] == [None]
