"""The newest and the last kept measurement of every point this process has seen. [station]"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import connection

from pilots.acquisition.directory import Directory
from pilots.domain.measurement import Measurement
from pilots.domain.quality import Quality
from pilots.models import LatestValue

_COLUMNS = "point_id, value, text, quality, source_time, received_time"
_NEWER = """ON CONFLICT (point_id) DO UPDATE SET value = excluded.value, text = excluded.text, quality = excluded.quality,
source_time = excluded.source_time, received_time = excluded.received_time
WHERE excluded.source_time >= pilots_latestvalue.source_time"""
_POSTGRESQL = f"""INSERT INTO pilots_latestvalue ({_COLUMNS})
SELECT * FROM unnest(%s::bigint[], %s::float8[], %s::text[], %s::smallint[], %s::timestamptz[], %s::timestamptz[]) {_NEWER}"""
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
    rows = [
        (point_id, m.value, None if m.text is None else m.text[:200], m.quality.pack(), m.source_time, m.received_time)
        for point_id, m in sorted(latest.items())
    ]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_POSTGRESQL, [list(column) for column in zip(*rows, strict=True)])
        else:
            adapt = connection.ops.adapt_datetimefield_value
            cursor.executemany(_SQLITE, [(*row[:4], adapt(row[4]), adapt(row[5])) for row in rows])


def _measurement(row: LatestValue) -> Measurement:
    return Measurement(row.value, Quality.unpack(row.quality), row.source_time, row.received_time, row.text)
