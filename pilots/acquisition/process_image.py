"""The newest and the last kept measurement of every point this process has seen. [station]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from django.db import connection

from pilots.acquisition.directory import Directory
from pilots.domain.measurement import Measurement
from pilots.domain.quality import Quality
from pilots.history.services import microseconds
from pilots.models import LatestValue

LONGEST_TEXT = 200
_COLUMNS = "point_id, value, text, quality, source_time, received_time"
_NEWER = """ON CONFLICT (point_id) DO UPDATE SET value = excluded.value, text = excluded.text, quality = excluded.quality,
source_time = excluded.source_time, received_time = excluded.received_time
WHERE excluded.source_time >= pilots_latestvalue.source_time"""
_POSTGRESQL = f"""INSERT INTO pilots_latestvalue ({_COLUMNS})
SELECT point, value, text, quality,
timestamptz 'epoch' + source_us * interval '1 us', timestamptz 'epoch' + received_us * interval '1 us'
FROM unnest(%s::bigint[], %s::float8[], %s::text[], %s::smallint[], %s::bigint[], %s::bigint[])
AS newest (point, value, text, quality, source_us, received_us) {_NEWER}"""
_SQLITE = f"INSERT INTO pilots_latestvalue ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s) {_NEWER}"


class ProcessImage:
    """In memory, so that ingest asks the database for nothing but the write. Used by the writer thread; reads are safe."""

    def __init__(self) -> None:
        self._newest: dict[int, Measurement] = {}
        self._kept: dict[int, Measurement] = {}

    def load(self) -> None:
        """The image is what the database holds."""
        self._newest = {row.point_id: _measurement(row) for row in LatestValue.objects.iterator(chunk_size=2000)}

    def newest(self, point_id: int) -> Measurement | None:
        return self._newest.get(point_id)

    def kept(self, point_id: int) -> Measurement | None:
        """The measurement of the newest sample this process kept."""
        return self._kept.get(point_id)

    def update(self, latest: Mapping[int, Measurement], kept: Mapping[int, Measurement]) -> None:
        self._newest.update(latest)
        self._kept.update(kept)

    def forget_unknown(self, directory: Directory) -> None:
        """Points that were deleted leave the image."""
        for image in (self._newest, self._kept):
            for point_id in [known for known in image if directory.point(known) is None]:
                del image[point_id]


def write_latest_values(latest: Mapping[int, Measurement]) -> None:
    """One statement: every point's row is the newest by source time. Ids sorted, so that writers never deadlock."""
    if not latest:
        return
    newest = sorted(latest.items(), key=itemgetter(0))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_POSTGRESQL, _arrays(newest))
        else:
            adapt = connection.ops.adapt_datetimefield_value
            rows = [(key, m.value, _text(m), m.quality.pack(), adapt(m.source_time), adapt(m.received_time)) for key, m in newest]
            cursor.executemany(_SQLITE, rows)


def _arrays(newest: Sequence[tuple[int, Measurement]]) -> list[str]:
    """The columns as array literals (PostgreSQL manual, 8.15.2): psycopg would spend 20 µs a row on the same lists."""
    measurements = [measurement for _, measurement in newest]
    columns = (
        [str(point_id) for point_id, _ in newest],
        ["NULL" if m.value is None else repr(float(m.value)) for m in measurements],
        ["NULL" if m.text is None else _quoted(m.text[:LONGEST_TEXT]) for m in measurements],
        [str(m.quality.pack()) for m in measurements],
        [str(microseconds(m.source_time)) for m in measurements],
        [str(microseconds(m.received_time)) for m in measurements],
    )
    return ["{" + ",".join(column) + "}" for column in columns]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(measurement: Measurement) -> str | None:
    return None if measurement.text is None else measurement.text[:LONGEST_TEXT]


def _measurement(row: LatestValue) -> Measurement:
    return Measurement(row.value, Quality.unpack(row.quality), row.source_time, row.received_time, row.text)
