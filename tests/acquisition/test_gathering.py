"""From what senders put to columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pilots.acquisition.batch import Entry
from pilots.acquisition.directory import PointEntry, PointTable
from pilots.acquisition.gathering import gather
from pilots.domain.measurement import RawReading, normalise
from pilots.domain.moments import microseconds
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.quality import GOOD, INVALID

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
SPECS = [PointSpec(name=name, kind=PointKind.MEASUREMENT, scale=scale) for name, scale in (("a", 1.0), ("b", 10.0))]
POINTS = PointTable(
    [
        PointEntry(id=7 + slot, slot=slot, device="es-M1", pilot="es", pilot_id=1, simulated=slot == 1, spec=spec)
        for slot, spec in enumerate(SPECS)
    ]
)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_readings_keep_their_own_quality_and_time() -> None:
    alike = [RawReading("a", 1.0), RawReading("b", 2.0)]
    different = [RawReading("b", 3.0, INVALID, ago(1)), RawReading("a", 4.0, GOOD, None), RawReading("a", None, INVALID, ago(2))]
    entries = [Entry("es-M1", readings, microseconds(NOW)) for readings in (alike, different, alike)]
    rows = gather(entries, POINTS)
    sent = [*alike, *different, *alike]
    assert rows.ids.tolist() == [7 if reading.point == "a" else 8 for reading in sent]
    assert [rows.measurements.at(row) for row in range(len(sent))] == [
        normalise(reading, SPECS["ab".index(reading.point)], received=NOW, simulated=reading.point == "b") for reading in sent
    ]


def test_what_nobody_knows_is_left_out() -> None:
    readings = [RawReading("a", 1.0), RawReading("c", 2.0), RawReading("b", 3.0)]
    entries = [Entry(device, readings, microseconds(NOW)) for device in ("es-M1", "es-M2")]
    assert gather(entries, POINTS).measurements.value.tolist() == [1.0, 30.0]
    assert len(gather(entries, PointTable())) == len(gather([], POINTS)) == 0
