r"""The history as files, beside `psql \copy` of the same rows; what it costs in memory, and when a stream begins. [bench]"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
from asgiref.sync import async_to_sync
from django.test import AsyncRequestFactory

from pilots.exports.sample_csv import csv_lines
from pilots.exports.tables import Content
from pilots.exports.writers import write_csv_long, write_parquet
from pilots.history.selectors import stream_samples
from pilots.models import Point
from pilots.ui.trend_views import trends_export
from tests.bench import plant
from tests.bench.figures import Goal, note, report
from tests.bench.history import fill

POINTS, SECONDS, ROUNDS = 12, 86_400, 3
ROWS = POINTS * SECONDS
MIB = 1 << 20


def main() -> None:
    note("export: filling")
    start, ids = fill(POINTS, SECONDS)
    end, points = start + timedelta(days=1), list(Point.objects.filter(pk__in=ids).select_related("device__pilot"))
    content = Content(points, ZoneInfo("Europe/Madrid"), is_raw=True, about={})
    note("export: first byte")
    report_first_byte(points, start)
    note("export: memory")
    report_memory(content, start, end)
    note("export: rows a second")
    report_speed(content, start, end)


def report_speed(content: Content, start: datetime, end: datetime) -> None:
    ways: dict[str, tuple[Callable[[], object], float]] = {
        "export.csv_rows_s": (lambda: _lines(content, start, end), 0.7),
        "export.parquet": (lambda: _written(write_parquet, content, start, end), 0.5),
    }
    for name, (way, goal) in ways.items():
        rounds = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            way()
            ours = time.perf_counter()
            _psql([point.pk for point in content.points])
            rounds.append((ROWS / (ours - begun), ROWS / (time.perf_counter() - ours)))
        report(name, "rows/s", r"psql \copy csv", rounds, Goal("ratio", ">=", goal))


def report_memory(content: Content, start: datetime, end: datetime) -> None:
    """The larger of CSV and Parquet, above what the process had before."""
    rounds = []
    for _ in range(ROUNDS):
        with _peak() as csv:
            _written(write_csv_long, content, start, end)
        with _peak() as parquet:
            _written(write_parquet, content, start, end)
        rounds.append((max(csv[0], parquet[0]) / MIB, min(csv[0], parquet[0]) / MIB))
    report("export.peak_memory", "MiB above before", "MiB, the other of CSV and Parquet", rounds, Goal("value", "<=", 128))


def report_first_byte(points: list[Point], start: datetime) -> None:
    """From the question to the first sample's line of the trends page's CSV; beside it the head's line."""
    rounds = [_first_bytes(points, start) for _ in range(ROUNDS)]
    report("export.first_byte_ms", "ms to the first sample", "ms to the head", rounds, Goal("value", "<=", 100))


def _first_bytes(points: list[Point], start: datetime) -> tuple[float, float]:
    names = ",".join(f"{point.device.code}/{point.name}" for point in points)
    window = {"points": names, "from": start.isoformat(), "to": (start + timedelta(days=1)).isoformat()}
    request = AsyncRequestFactory().get("/", window)
    request.pilot = points[0].device.pilot  # type: ignore[attr-defined]
    begun = time.perf_counter()
    response = trends_export(request)
    stamps: list[float] = []

    async def begin() -> None:
        async for _ in response.streaming_content:  # type: ignore[union-attr]
            stamps.append(1000 * (time.perf_counter() - begun))
            if len(stamps) == 2:
                return

    async_to_sync(begin)()
    return stamps[1], stamps[0]


def _lines(content: Content, start: datetime, end: datetime) -> None:
    # Written away chunk by chunk, as a streaming answer does.
    lines = csv_lines(content.points, stream_samples(content.points, start, end), content.zone)
    found = sum(chunk.count("\n") for chunk in lines)
    assert found == ROWS + 1, found


def _written(write: Callable[..., int], content: Content, start: datetime, end: datetime) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = write(Path(folder) / "export", content, stream_samples(content.points, start, end))
    assert rows == ROWS, rows


@contextmanager
def _peak() -> Iterator[list[int]]:
    """Filled with the most that this process's memory grew meanwhile, looked at each 2 ms."""
    process, ended = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    grown = [0]

    def watch() -> None:
        while not ended.wait(0.002):
            grown[0] = max(grown[0], process.memory_info().rss - before)

    watching = threading.Thread(target=watch)
    watching.start()
    yield grown
    ended.set()
    watching.join()


def _psql(ids: list[int]) -> None:
    rows = f"SELECT point, source_time, value, quality FROM sample WHERE point IN ({', '.join(map(str, ids))})"
    query = rf"\copy ({rows} ORDER BY source_time, point) TO '{os.devnull}' CSV"
    subprocess.run([plant.psql(), "-q", plant.database_url(), "-c", query], check=True)
