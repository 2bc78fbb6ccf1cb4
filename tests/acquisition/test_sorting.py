"""All rows of a flush at once are judged as if they had come one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pilots.acquisition.batch import Batch, Rows
from pilots.acquisition.directory import PointEntry, PointTable
from pilots.acquisition.process_image import ProcessImage
from pilots.acquisition.sorting import MIN_SAMPLE_INTERVAL_S, add_old, sort
from pilots.domain.columns import Measurements
from pilots.domain.measurement import Measurement
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.quality import GOOD, INVALID, Flag, Quality, Validity

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
DEADBANDS = [0.0, 2.0, 5.0]
Sent = tuple[int, Measurement]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def measured(value: float | None, seconds: float, quality: Quality = GOOD, text: str | None = None) -> Measurement:
    return Measurement(value, quality, at(seconds), at(seconds), text)


def table() -> PointTable:
    specs = [PointSpec(name=f"p{slot}", kind=PointKind.MEASUREMENT, deadband=deadband) for slot, deadband in enumerate(DEADBANDS)]
    return PointTable(
        [
            PointEntry(id=70 + slot, slot=slot, device="es-STO01", pilot="es", pilot_id=1, simulated=False, spec=spec)
            for slot, spec in enumerate(specs)
        ]
    )


def image_of(points: PointTable) -> ProcessImage:
    image = ProcessImage()
    image.follow(points)
    return image


def rows(points: PointTable, sent: Sequence[Sent]) -> Rows:
    slots = np.array([slot for slot, _ in sent], dtype=np.int64)
    return Rows(points, slots, Measurements.of([measurement for _, measurement in sent]))


def listed(found: Rows) -> list[Sent]:
    return [(slot, found.measurements.at(row)) for row, slot in enumerate(found.slots.tolist())]


def flush(image: ProcessImage, sent: Sequence[Sent]) -> Batch:
    batch = sort(rows(image.points, sent), image)
    batch.written = batch.latest
    image.update(batch, 0.0)
    return batch


@dataclass
class OneByOne:
    """The rule of architecture.md for one measurement after the other."""

    newest: dict[int, Measurement] = field(default_factory=dict)
    kept: dict[int, Measurement] = field(default_factory=dict)
    samples: list[tuple[int, Measurement, bool]] = field(default_factory=list)
    late: int = 0
    repeated: int = 0

    def take(self, slot: int, new: Measurement) -> None:
        newest, kept = self.newest.get(slot), self.kept.get(slot)
        if newest is not None and new.source_time < newest.source_time:
            self.late += 1
            self.samples.append((slot, new, True))
            return
        self.newest[slot] = new
        if newest is not None and replace(new, received_time=newest.received_time) == newest:
            self.repeated += 1
        elif kept is None or self.differs(slot, new, kept):
            self.kept[slot] = new
            self.samples.append((slot, new, newest is None or newest.source_time == new.source_time))

    def differs(self, slot: int, new: Measurement, kept: Measurement) -> bool:
        if (new.quality, new.text, new.value is None) != (kept.quality, kept.text, kept.value is None):
            return True
        if new.value is not None and kept.value is not None and abs(new.value - kept.value) > DEADBANDS[slot]:
            return True
        return (new.source_time - kept.source_time).total_seconds() >= MIN_SAMPLE_INTERVAL_S


#: Point, seconds after the value before, and what was measured.
Steps = st.tuples(
    st.integers(0, len(DEADBANDS) - 1),
    st.sampled_from([0, 1, 1, 1, 5, 40, -3]),
    st.none() | st.integers(0, 8).map(float),
    st.sampled_from([GOOD, GOOD, GOOD, INVALID, Quality(Validity.QUESTIONABLE, flags=Flag.OLD)]),
    st.sampled_from([None, None, None, None, "a", "b"]),
)
Flushes = st.lists(st.lists(Steps, max_size=25), max_size=4)


@given(Flushes)
def test_a_flush_is_judged_as_if_its_values_had_come_one_by_one(flushes: list[list[Any]]) -> None:
    image, one_by_one = image_of(table()), OneByOne()
    late = repeated = seconds = 0
    for steps in flushes:
        one_by_one.samples, sent = [], []
        for slot, step, value, quality, text in steps:
            seconds += step
            sent.append((slot, measured(value, seconds, quality, text)))
            one_by_one.take(*sent[-1])
        batch = flush(image, sent)
        doubtful = batch.doubtful.tolist()
        samples = [(*sample, doubt) for sample, doubt in zip(listed(batch.samples), doubtful, strict=True)]
        assert samples == sorted(one_by_one.samples, key=lambda sample: sample[0])
        assert dict(listed(batch.latest)).items() <= one_by_one.newest.items()
        late, repeated = late + batch.late, repeated + batch.repeated
    assert (late, repeated) == (one_by_one.late, one_by_one.repeated)
    known = {slot: image.newest(entry.id) for slot, entry in enumerate(image.points.entries)}
    assert {slot: newest for slot, newest in known.items() if newest is not None} == one_by_one.newest


def test_the_newest_of_a_point_is_found_by_its_key() -> None:
    batch = flush(image_of(table()), [(1, measured(1.0, 0)), (1, measured(2.0, 1))])
    assert (list(batch.latest), batch.latest[71], batch.latest.get(70)) == ([71], measured(2.0, 1), None)


def test_a_mark_is_moot_where_the_point_is_renewed_in_the_same_flush() -> None:
    image = image_of(table())
    flush(image, [(0, measured(1.0, 0)), (1, measured(1.0, 0))])
    batch = sort(rows(image.points, [(0, measured(2.0, 5))]), image)
    old = measured(1.0, 0, Quality(Validity.QUESTIONABLE, flags=Flag.OLD))
    add_old(batch, {70: old, 71: old, 99: old}, image, at(60))
    assert dict(listed(batch.latest)) == {0: measured(2.0, 5), 1: old}
    assert listed(batch.samples)[-1] == (1, replace(old, source_time=at(60), received_time=at(60)))
    assert len(batch.samples) == len(batch.doubtful) == 2


def test_what_is_known_of_a_point_stays_when_the_configuration_changes() -> None:
    image = image_of(table())
    flush(image, [(0, measured(1.0, 0)), (2, measured(3.0, 0))])
    entries = [replace(entry, slot=slot) for slot, entry in enumerate(image.points.entries[1:])]
    image.follow(PointTable(entries))
    assert (image.newest(70), image.newest(71), image.newest(72)) == (None, None, measured(3.0, 0))
