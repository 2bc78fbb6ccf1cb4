r"""Samples as CSV beside `psql \copy`. [bench]"""

from __future__ import annotations

import os
import subprocess
import time
from datetime import timedelta
from zoneinfo import ZoneInfo

from pilots.history.selectors import stream_samples
from pilots.models import Point
from pilots.ui.sample_csv import csv_lines
from tests.bench import plant
from tests.bench.figures import Goal, note, report
from tests.bench.history import fill

POINTS, SECONDS, ROUNDS = 12, 86_400, 3
ROWS = POINTS * SECONDS


def main() -> None:
    note("export: filling")
    start, ids = fill(POINTS, SECONDS)
    end, points = start + timedelta(days=1), list(Point.objects.filter(pk__in=ids).select_related("device"))
    zone, rounds = ZoneInfo("Europe/Madrid"), []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        # Written away chunk by chunk, as a streaming answer does.
        lines = sum(chunk.count("\n") for chunk in csv_lines(points, stream_samples(points, start, end), zone))
        ours = time.perf_counter()
        assert lines == ROWS + 1, lines
        _psql(ids)
        rounds.append((ROWS / (ours - begun), ROWS / (time.perf_counter() - ours)))
    report("export.csv_rows_s", "rows/s", r"psql \copy csv", rounds, Goal("ratio", ">=", 0.7))


def _psql(ids: list[int]) -> None:
    rows = f"SELECT point, source_time, value, quality FROM sample WHERE point IN ({', '.join(map(str, ids))})"
    query = rf"\copy ({rows} ORDER BY source_time, point) TO '{os.devnull}' CSV"
    subprocess.run([plant.psql(), "-q", plant.database_url(), "-c", query], check=True)
