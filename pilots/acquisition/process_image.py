"""The newest and the last kept measurement of every point this process has seen, and counters' last number. [station]"""

from __future__ import annotations

import numpy as np
from django.db import connection

from pilots.acquisition.batch import Batch, Rows
from pilots.acquisition.directory import PointTable
from pilots.domain.columns import NEVER, Ints, Measurements
from pilots.domain.measurement import Measurement
from pilots.domain.moments import moment_of
from pilots.domain.quality import Quality
from pilots.history.arrays import execute, packed
from pilots.models import LatestValue

LONGEST_TEXT = 200
#: Under load a point's row is written at most so often.
#: Less than a second: what is polled each second, a little early now and then, would be written every other time.
WRITE_EVERY_S = 0.8
_COLUMNS = "point_id, value, quality, source_time, received_time, text"
_NEWER = """ON CONFLICT (point_id) DO UPDATE SET value = excluded.value, text = excluded.text, quality = excluded.quality,
source_time = excluded.source_time, received_time = excluded.received_time
WHERE excluded.source_time >= pilots_latestvalue.source_time"""
_POSTGRESQL = f"""INSERT INTO pilots_latestvalue ({_COLUMNS})
SELECT point, nullif(value, 'NaN'), quality,
timestamptz 'epoch' + source_us * interval '1 us', timestamptz 'epoch' + received_us * interval '1 us', text
FROM unnest(%s::bigint[], %s::float8[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[])
AS newest (point, value, quality, source_us, received_us, text) {_NEWER}"""
_SQLITE = f"INSERT INTO pilots_latestvalue ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s) {_NEWER}"


class ProcessImage:
    """In memory, so that ingest asks the database for nothing but the write. Used by the writer thread; reads are safe."""

    def __init__(self) -> None:
        self.points = PointTable()
        #: By the points' slots.
        self.latest = self.kept = self.counted = Measurements.none_yet(0)
        #: Whether a value by hand stands there: what the field sends meanwhile goes to the history only.
        self.by_hand = np.zeros(0, dtype=bool)
        #: Whether its value may prove a set-point: who notes the write looks for it in the database.
        self.awaited = np.zeros(0, dtype=bool)
        self._written_s = np.zeros(0)
        self._owed = np.zeros(0, dtype=bool)

    def load(self, points: PointTable) -> None:
        """The image is what the database holds of these points."""
        self.follow(points)
        columns = ("point_id", "value", "quality", "source_time", "received_time", "text")
        stored = {
            points.by_id[key].slot: Measurement(value, Quality.unpack(quality), source, received, text)
            for key, value, quality, source, received, text in LatestValue.objects.values_list(*columns).iterator(chunk_size=2000)
            if key in points.by_id
        }
        slots, newest = np.array(list(stored), dtype=np.int64), Measurements.of(list(stored.values()))
        self.latest.put(slots, newest)
        self.counted.put(slots, newest)

    def follow(self, points: PointTable) -> None:
        """The image is of these points: what it knows of them stays, others leave it."""
        if points is self.points:
            return
        old = self.points.by_id
        stay = [(old[entry.id].slot, entry.slot) for entry in points.entries if entry.id in old]
        before, after = np.array(stay, dtype=np.int64).reshape(-1, 2).T
        latest, kept, counted = (Measurements.none_yet(len(points.entries)) for _ in range(3))
        latest.put(after, self.latest.take(before))
        kept.put(after, self.kept.take(before))
        counted.put(after, self.counted.take(before))
        owed, written_s = np.zeros(len(points.entries), dtype=bool), np.full(len(points.entries), -np.inf)
        owed[after], written_s[after] = self._owed[before], self._written_s[before]
        self.points, self.latest, self.kept, self.counted = points, latest, kept, counted
        self._owed, self._written_s = owed, written_s
        self.by_hand = np.zeros(len(points.entries), dtype=bool)
        self.awaited = np.zeros(len(points.entries), dtype=bool)

    def newest(self, point_id: int) -> Measurement | None:
        """None when this process has seen none."""
        entry = self.points.by_id.get(point_id)
        if entry is None or self.latest.source_us[entry.slot] == NEVER:
            return None
        return self.latest.at(entry.slot)

    def owed(self, but: Ints) -> Rows:
        """The newest of points whose rows in the database are behind, `but` for these slots."""
        owed = self._owed.copy()
        owed[but] = False
        slots = np.flatnonzero(owed)
        return Rows(self.points, slots, self.latest.take(slots))

    def forgive(self) -> Rows:
        """Nothing is owed any more; returns what was."""
        slots = np.flatnonzero(self._owed)
        self._owed[:] = False
        return Rows(self.points, slots, self.latest.take(slots))

    def due(self, rows: Rows, now_s: float) -> Rows:
        """Those of the rows that the database must have now even under load.

        Its history holds what a crash would cost the others, up to their deadband; words it does not hold, and a proof that comes
        once is looked for here.
        """
        rested = now_s - self._written_s[rows.slots] >= WRITE_EVERY_S
        return rows.take(rested | self.awaited[rows.slots] | (rows.measurements.text != None))  # noqa: E711  element by element

    def update(self, batch: Batch, now_s: float) -> None:
        """After the commit: memory follows."""
        self.latest.put(batch.latest.slots, batch.latest.measurements)
        self.kept.put(batch.kept.slots, batch.kept.measurements)
        self.counted.put(batch.counted.slots, batch.counted.measurements)
        self._owed[batch.latest.slots] = True
        self._owed[batch.written.slots] = False
        self._written_s[batch.written.slots] = now_s


def write_latest_values(rows: Rows) -> None:
    """One statement: every point's row is the newest by source time. Keys sorted, so that writers never deadlock."""
    if not len(rows):
        return
    order = np.argsort(rows.slots)
    ids, values = rows.ids[order], rows.measurements.take(order)
    texts = [None if text is None else text[:LONGEST_TEXT] for text in values.text.tolist()]
    if connection.vendor == "postgresql":
        columns = (ids, values.value, values.quality, values.source_us, values.received_us)
        execute(_POSTGRESQL, [*map(packed, columns), _text_array(texts)])
        return
    times = _sqlite_times(values.source_us), _sqlite_times(values.received_us)
    rows_of = zip(ids.tolist(), values.value.tolist(), values.quality.tolist(), *times, texts, strict=True)
    with connection.cursor() as cursor:
        cursor.executemany(_SQLITE, list(rows_of))


def _text_array(texts: list[str | None]) -> str | None:
    """None where there is no text at all: unnest fills up with NULL."""
    if not any(text is not None for text in texts):
        return None
    return "{" + ",".join("NULL" if text is None else _quoted(text) for text in texts) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _sqlite_times(us: Ints) -> list[str | None]:
    adapt = connection.ops.adapt_datetimefield_value
    words = {moment: adapt(moment_of(moment)) for moment in set(us.tolist())}
    return [words[moment] for moment in us.tolist()]
