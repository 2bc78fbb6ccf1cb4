"""Decides for each measurement of a flush what it is: newer, late, repeated or old data, and whether history keeps it. [station]

All rows at once, sorted by point and, within a point, by arrival: each is compared with the one before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from pilots.acquisition.batch import Batch, Rows
from pilots.acquisition.process_image import ProcessImage
from pilots.domain.columns import NEVER, Bools, Ints, Measurements, is_significant, same
from pilots.domain.measurement import Measurement
from pilots.domain.moments import microseconds
from pilots.domain.quality import Source, Validity

#: One sample at least so often, however still the value.
MIN_SAMPLE_INTERVAL_S = 60.0
_VALIDITY_BITS = 3
_SOURCE_BITS, _SUBSTITUTED = 7 << 2, Source.SUBSTITUTED << 2


def sort(arrived: Rows, image: ProcessImage) -> Batch:
    """The batch of these measurements, which stand in the order they came."""
    rows = arrived.take(np.argsort(arrived.slots, kind="stable"))
    held = held_back(rows, image)
    batch = _sorted(rows.take(~held), image)
    if held.any():
        _add_held(batch, rows.take(held), image)
    return batch


def held_back(rows: Rows, image: ProcessImage) -> Bools:
    """Which of the rows the field sent for points where a value by hand stands."""
    held: Bools = image.by_hand[rows.slots] & (rows.measurements.quality & _SOURCE_BITS != _SUBSTITUTED)
    return held


def _sorted(rows: Rows, image: ProcessImage) -> Batch:
    # Source time decides: a late spontaneous report goes to history only, never over a newer value.
    late = _late(rows, image.latest)
    on_time = rows.take(~late)
    before = _before(on_time, image.latest)
    # A repeated one is no news for the history, but renewed: pages must not let it grow old.
    repeated = same(on_time.measurements, before)
    keep = ~repeated
    keep[keep] = _worth_keeping(on_time.take(keep), image.kept)
    kept = on_time.take(keep)
    sampled, doubtful = late.copy(), late.copy()
    sampled[~late] = keep
    doubtful[~late] = (before.source_us == NEVER) | (before.source_us == on_time.measurements.source_us)
    counted = on_time.take(_are_counters_numbers(on_time) & ~image.by_hand[on_time.slots])
    number_before = _before(counted, image.counted)
    fell = _fell(counted, number_before)
    return Batch(
        latest=on_time.take(_last(on_time.slots)),
        kept=kept.take(_last(kept.slots)),
        samples=rows.take(sampled),
        doubtful=doubtful[sampled],
        late=int(late.sum()),
        repeated=int(repeated.sum()),
        counted=counted.take(_last(counted.slots)),
        fallen=counted.take(fell),
        fallen_from=number_before.value[fell],
    )


def _add_held(batch: Batch, held: Rows, image: ProcessImage) -> None:
    """What the field says of points where a value by hand stands: samples of their own, and nothing else."""
    kept = held.take(_worth_keeping(held, image.kept))
    batch.samples = batch.samples.joined(kept)
    batch.doubtful = np.concatenate([batch.doubtful, np.ones(len(kept), dtype=bool)])
    last = kept.take(_last(kept.slots))
    batch.kept = batch.kept.joined(last.take(~np.isin(last.slots, batch.kept.slots)))


def add_old(batch: Batch, marked: Mapping[int, Measurement], image: ProcessImage, now: datetime) -> None:
    """The marked values are old, unless their point was renewed since the mark or a value by hand stands there."""
    points, renewed = image.points, set(batch.latest.slots.tolist())
    old = {}
    for point_id, measurement in marked.items():
        entry = points.by_id.get(point_id)
        if entry is None or entry.slot in renewed or image.by_hand[entry.slot]:
            continue
        if image.latest.received_us[entry.slot] <= microseconds(measurement.received_time):
            old[entry.slot] = measurement
    rows = Rows(points, np.array(list(old), dtype=np.int64), Measurements.of(list(old.values())))
    # In history the mark stands at the moment the value became old: until then it held.
    moment = np.full(len(old), microseconds(now))
    samples = Rows(points, rows.slots, rows.measurements._replace(source_us=moment, received_us=moment))
    batch.latest, batch.kept, batch.samples = batch.latest.joined(rows), batch.kept.joined(rows), batch.samples.joined(samples)
    batch.doubtful = np.concatenate([batch.doubtful, np.zeros(len(old), dtype=bool)])


def _late(rows: Rows, latest: Measurements) -> Bools:
    """Whether a newer measurement of its point was there before each."""
    stamps, known, first = rows.measurements.source_us, latest.source_us[rows.slots], _first(rows.slots)
    late = stamps < np.where(first, known, np.roll(stamps, 1))
    if late.any():
        newest = NEVER
        for row, (begins, start, stamp) in enumerate(zip(first.tolist(), known.tolist(), stamps.tolist(), strict=True)):
            newest = start if begins else newest
            late[row] = stamp < newest
            newest = max(newest, stamp)
    return late


def _worth_keeping(rows: Rows, kept: Measurements) -> Bools:
    """Which of the rows, each of which differs from the one before it, are samples."""
    values, deadband = rows.measurements, rows.points.rules.deadband[rows.slots]
    differs_from_before = is_significant(values, _before(rows, kept), deadband=deadband, min_interval_s=MIN_SAMPLE_INTERVAL_S)
    if differs_from_before.all():
        return differs_from_before
    last_kept = kept.take(rows.slots)
    differs_from_kept = is_significant(values, last_kept, deadband=deadband, min_interval_s=MIN_SAMPLE_INTERVAL_S)
    starts = np.flatnonzero(_first(rows.slots))
    all_are = np.logical_and.reduceat(differs_from_before, starts)
    none_is = ~np.logical_or.reduceat(differs_from_kept, starts)
    ends = np.append(starts[1:], len(rows))
    keep = np.repeat(all_are, ends - starts)
    # Where only some rows of a point are, each has to be compared with the last one that is.
    for point in np.flatnonzero(~(all_are | none_is)).tolist():
        span = slice(starts[point], ends[point])
        keep[span] = _one_by_one(values.take(span), last_kept.take(span), float(deadband[starts[point]]))
    return keep


def _one_by_one(values: Measurements, kept: Measurements, deadband: float) -> list[bool]:
    last = next(kept.rows())
    keep = []
    for value in values.rows():
        keep.append(bool(is_significant(value, last, deadband=deadband, min_interval_s=MIN_SAMPLE_INTERVAL_S)))
        last = value if keep[-1] else last
    return keep


def _are_counters_numbers(rows: Rows) -> Bools:
    values = rows.measurements
    valid = ~values.missing & (values.quality & _VALIDITY_BITS != Validity.INVALID)
    numbers: Bools = valid & rows.points.rules.accumulates[rows.slots]
    return numbers


def _fell(counted: Rows, before: Measurements) -> Bools:
    """Whether a counter is lower than it was before, by more than its deadband."""
    values, deadband = counted.measurements, counted.points.rules.deadband[counted.slots]
    fell: Bools = (values.value < before.value - deadband) & (values.source_us > before.source_us)
    return fell


def _before(rows: Rows, known: Measurements) -> Measurements:
    """The row before each of the same point; of a point's first, what was known of it."""
    before, first = rows.measurements.take(np.arange(-1, len(rows) - 1)), np.flatnonzero(_first(rows.slots))
    before.put(first, known.take(rows.slots[first]))
    return before


def _first(slots: Ints) -> Bools:
    """Where another point begins."""
    first = np.ones(slots.size, dtype=bool)
    first[1:] = slots[1:] != slots[:-1]
    return first


def _last(slots: Ints) -> Bools:
    """Where a point ends."""
    return np.roll(_first(slots), -1)
