"""A pilot with a battery, a folder for the files, and a way to have an export written."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from pilots.domain.export import ExportFormat, Resolution
from pilots.exports import files, jobs
from pilots.exports.services import ExportWish, ask_for_export
from pilots.models import ExportJob, Point
from tests.builders import new_sample, record_samples
from tests.conftest import Battery


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.EXPORT_DIR = tmp_path / "exports"
    return tmp_path / "exports"


def keep(point: Point, start: datetime, values: list[float | None], *, step_s: float = 1, quality: int = 0) -> None:
    """A sample each `step_s` seconds, received 40 ms later."""
    moments = [start + timedelta(seconds=step_s * place) for place in range(len(values))]
    late = timedelta(milliseconds=40)
    record_samples(
        [
            new_sample(point.pk, source_time=at, received_time=at + late, value=value, quality=quality)
            for at, value in zip(moments, values, strict=True)
        ]
    )


def ask(battery: Battery, start: datetime, end: datetime, shape: str = "csv_long", resolution: str = "raw", **more: Any) -> Any:
    """The job, asked for at `now`: when the window has ended, unless told otherwise."""
    now = more.pop("now", max(end, timezone.now()))
    wish: dict[str, Any] = {"pilot": battery.pilot, "points": [battery.power], "zone": "Europe/Madrid"} | more
    wish |= {"start": start, "end": end, "resolution": Resolution(resolution), "format": ExportFormat(shape)}
    return ask_for_export(ExportWish(**wish), by="ana", user=None, now=now)


def written(job: ExportJob) -> Path:
    """The file of the job, once a worker has been by."""
    jobs.run_exports()
    job.refresh_from_db()
    path = files.file_of(job)
    assert path is not None, (job.state, job.failure, job.detail)
    return path


def lines(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))
