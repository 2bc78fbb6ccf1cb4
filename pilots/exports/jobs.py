"""The worker's side of an export: taken, written a page at a time, kept or given up; and the end of old files. [operation]

A process writes one export at a time, so that its other threads stay free for what is urgent. Whoever writes looks at the row
with each page: it tells how far he is, and an answer of no rows tells that the job was cancelled or is another's now. One whose
writer shows no sign of life for a minute is taken again, from its beginning.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from pilots.domain.export import ExportFailure, ExportFormat, ExportState, Resolution
from pilots.domain.moments import moment_of
from pilots.exports import files
from pilots.exports.rolled import rolled_pages
from pilots.exports.tables import Content
from pilots.exports.writers import WRITERS
from pilots.history.selectors import Samples, stream_samples
from pilots.models import ExportJob, Point
from pilots.northbound.messages import rfc3339

log = logging.getLogger(__name__)
LOST_AFTER = timedelta(seconds=60)
MOST_ATTEMPTS = 3
#: What no row of the table knows any more goes after so long.
ORPHANED_AFTER = timedelta(hours=1)


class Withdrawn(Exception):
    """The job was cancelled, or is another's now."""


class PointGone(Exception):
    """A point of the job is no more."""


class _Desk:
    """What this process writes at the moment."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.job: ExportJob | None = None


_DESK = _Desk()


def run_exports() -> int:
    """Every export that waits has been written, by this process or another; how many were by this one.

    While this process is busy with one, that one has shown a sign of life.
    """
    if not _DESK.lock.acquire(blocking=False):
        job = _DESK.job
        if job is not None:
            _mine(job).update(seen_at=timezone.now())
        return 0
    try:
        written = 0
        while (job := take_next(timezone.now())) is not None:
            _DESK.job = job
            write_export(job)
            written += 1
        return written
    finally:
        _DESK.job = None
        _DESK.lock.release()


def take_next(now: datetime) -> ExportJob | None:
    """The oldest job that waits or was lost, now this process's; None when there is none."""
    lost = Q(state=ExportState.RUNNING, seen_at__lt=now - LOST_AFTER)
    for job in ExportJob.objects.filter(Q(state=ExportState.QUEUED) | lost).order_by("requested_at")[:100]:
        as_seen = ExportJob.objects.filter(pk=job.pk, state=job.state, attempt=job.attempt, seen_at=job.seen_at)
        if job.attempt >= MOST_ATTEMPTS:
            as_seen.update(state=ExportState.FAILED, failure=ExportFailure.WORKER_LOST, finished_at=now)
            files.remove_partials(job)
            continue
        begun = {"started_at": now, "seen_at": now, "done_until": job.start, "rows": 0}
        if as_seen.update(state=ExportState.RUNNING, attempt=job.attempt + 1, **begun):
            files.remove_partials(job)
            return ExportJob.objects.select_related("pilot").get(pk=job.pk)
    return None


def write_export(job: ExportJob) -> None:
    """The job is done, or has failed with its reason, or was somebody else's in the meantime; nothing partial is left."""
    try:
        _write(job)
    except Withdrawn:
        log.info("export %s: cancelled, or taken by another", job.pk)
    except PointGone as gone:
        _fail(job, ExportFailure.POINTS_GONE, str(gone))
    except OSError as error:
        log.exception("export %s", job.pk)
        _fail(job, ExportFailure.DISK_FULL if files.is_full(error) else ExportFailure.FAULT)
    except Exception:
        log.exception("export %s", job.pk)
        _fail(job, ExportFailure.FAULT)
    finally:
        files.remove_partials(job)


def forget_exports(now: datetime) -> int:
    """Files beyond their day are gone, and what belongs to no job that is open or done; how many exports expired."""
    old = ExportJob.objects.filter(state=ExportState.DONE, expires_at__lte=now)
    expired = old.update(state=ExportState.EXPIRED)
    known = set(ExportJob.objects.filter(state=ExportState.DONE).values_list("file", flat=True))
    running = {str(key) for key in ExportJob.objects.filter(state=ExportState.RUNNING).values_list("pk", flat=True)}
    for path in files.ours():
        if path.name not in known and path.name[:36] not in running and _age(path, now) > ORPHANED_AFTER:
            path.unlink(missing_ok=True)
    return expired


def _write(job: ExportJob) -> None:
    content = _content(job)
    files.check_room()
    pages = _pages(job, content)
    rows = WRITERS[ExportFormat(job.format)](files.partial(job), content, _followed(job, pages))
    _told(job, rows=rows)
    path, size, sha256 = files.keep(job)
    now = timezone.now()
    result: dict[str, Any] = {"rows": rows, "size": size, "sha256": sha256, "file": path.name}
    manifest = content.about | {"file": path.name, "rows": rows, "size": size, "sha256": sha256, "finished_at": rfc3339(now)}
    ends = {"state": ExportState.DONE, "finished_at": now, "expires_at": now + timedelta(days=settings.EXPORT_DAYS)}
    if not _mine(job).update(**result, **ends, manifest=manifest, done_until=job.end):
        path.unlink(missing_ok=True)
        raise Withdrawn


def _pages(job: ExportJob, content: Content) -> Iterator[Samples]:
    if content.is_raw:
        return stream_samples(content.points, job.start, job.end)
    end = min(job.end, job.requested_at)  # the last value holds no longer than anybody knew
    return rolled_pages(content.points, job.start, end, Resolution(job.resolution), content.zone)


def _followed(job: ExportJob, pages: Iterable[Samples]) -> Iterator[Samples]:
    """The pages, each told before it is written. Raises Withdrawn, or OSError when the disk has no room for more."""
    rows = 0
    for page in pages:
        files.check_room()
        rows += len(page)
        _told(job, rows=rows, done_until=moment_of(int(page["time"][-1])))
        yield page


def _told(job: ExportJob, **progress: Any) -> None:
    if not _mine(job).update(seen_at=timezone.now(), **progress):
        raise Withdrawn


def _fail(job: ExportJob, failure: ExportFailure, detail: str = "") -> None:
    _mine(job).update(state=ExportState.FAILED, failure=failure, detail=detail[:200], finished_at=timezone.now())


def _mine(job: ExportJob) -> Any:
    return ExportJob.objects.filter(pk=job.pk, state=ExportState.RUNNING, attempt=job.attempt)


def _content(job: ExportJob) -> Content:
    codes = {reference.partition("/")[0] for reference in job.points}
    rows = Point.objects.filter(device__pilot=job.pilot, device__code__in=codes).select_related("device")
    known = {f"{point.device.code}/{point.name}": point for point in rows}
    for reference in job.points:
        if reference not in known:
            raise PointGone(reference)
    points = [known[reference] for reference in job.points]
    return Content(points, ZoneInfo(job.zone), job.resolution == Resolution.RAW, _about(job, points))


def _about(job: ExportJob, points: list[Point]) -> dict[str, Any]:
    """What the manifest says before anything is written."""
    return {
        "product": "INVADE SCADA",
        "version": product_version(),
        "export": str(job.pk),
        "requested_by": job.requested_by,
        "requested_at": rfc3339(job.requested_at),
        "pilot": job.pilot.code,
        "start": rfc3339(job.start),
        "end": rfc3339(job.end),
        "zone": job.zone,
        "resolution": job.resolution,
        "format": job.format,
        "sign": "load convention: consumption and charging are positive, generation and discharging negative",
        "points": [
            {"point": f"{job.pilot.code}/{reference}", "unit": point.unit, "kind": point.kind, "quantity": point.name}
            for reference, point in zip(job.points, points, strict=True)
        ],
    }


@cache
def product_version() -> str:
    """The newest heading of CHANGELOG.md, the version's one source."""
    lines = (settings.BASE_DIR / "CHANGELOG.md").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("## "))


def _age(path: Path, now: datetime) -> timedelta:
    return timedelta(seconds=now.timestamp() - path.stat().st_mtime)
