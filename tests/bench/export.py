r"""Samples as CSV beside `psql \copy`. [bench]"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import time
from datetime import timedelta

from pilots.history.selectors import stream_samples
from pilots.models import Point
from pilots.northbound.messages import rfc3339
from tests.bench import plant
from tests.bench.figures import Goal, note, report
from tests.bench.history import fill

POINTS, SECONDS, ROUNDS = 10, 10_000, 3
ROWS = POINTS * SECONDS


def main() -> None:
    note("export: filling")
    start, ids = fill(POINTS, SECONDS)
    end, points = start + timedelta(days=1), list(Point.objects.filter(pk__in=ids))
    rounds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        lines = _csv(points, start, end)
        ours = time.perf_counter()
        assert lines == ROWS, lines
        _psql(ids)
        rounds.append((ROWS / (ours - begun), ROWS / (time.perf_counter() - ours)))
    report("export.csv_rows_s", "rows/s", r"psql \copy csv", rounds, Goal("ratio", ">=", 0.7))


def _csv(points: list[Point], start: object, end: object) -> int:
    """The rows of an export, written away chunk by chunk as a streaming answer does."""
    names, written = {point.pk: point.name for point in points}, 0
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in stream_samples(points, start, end):  # type: ignore[arg-type]
        writer.writerow([names[row.point_id], rfc3339(row.source_time), row.value, row.quality.validity.name])
        written += 1
        if written % 2000 == 0:
            buffer.seek(0)
            buffer.truncate()
    return written


def _psql(ids: list[int]) -> None:
    rows = f"SELECT point, source_time, value, quality FROM sample WHERE point IN ({', '.join(map(str, ids))})"
    query = rf"\copy ({rows} ORDER BY source_time, point) TO '{os.devnull}' CSV"
    subprocess.run([plant.psql(), "-q", plant.database_url(), "-c", query], check=True)
