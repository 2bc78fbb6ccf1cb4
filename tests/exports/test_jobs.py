"""An export as a job: progress, cancelling, lost workers, full disks, and the end of its file."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from pilots import tasks
from pilots.domain.export import ExportFormat
from pilots.exports import files, jobs
from pilots.exports.services import MOST_OPEN, ExportRefused, cancel_export
from pilots.exports.writers import WRITERS
from pilots.history.selectors import Samples, stream_samples
from pilots.models import AuditEvent, ExportJob
from tests.conftest import Battery
from tests.exports.conftest import ask, keep, lines, written

pytestmark = pytest.mark.django_db
START = datetime(2026, 6, 1, tzinfo=UTC)
END = START + timedelta(minutes=10)


@pytest.fixture
def pages(battery: Battery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes of seconds, read a hundred rows at a time."""
    keep(battery.power, START, [float(place) for place in range(600)])
    monkeypatch.setattr(jobs, "stream_samples", lambda *window: stream_samples(*window, page=100))


def at_the_second_page(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any], shape: str = "csv_long") -> None:
    """While the file is being written `act` happens, between its first page and its second."""
    write = WRITERS[ExportFormat(shape)]

    def interrupted(pages: Iterable[Samples]) -> Iterator[Samples]:
        for number, page in enumerate(pages):
            yield page
            if number == 0:
                act()

    monkeypatch.setitem(WRITERS, ExportFormat(shape), lambda path, content, pages: write(path, content, interrupted(pages)))


def test_a_job_that_is_done_has_rows_size_checksum_and_manifest(battery: Battery, pages: None) -> None:
    job = ask(battery, START, END)
    assert job.state == "queued"
    content = written(job).read_bytes()
    assert (job.state, job.rows, job.percent, job.size) == ("done", 600, 100, len(content))
    assert job.sha256 == job.manifest["sha256"] == hashlib.sha256(content).hexdigest()
    assert job.manifest["rows"] == 600
    assert job.manifest["version"] == "0.1.0"
    assert job.manifest["requested_by"] == "ana"
    assert "positive" in job.manifest["sign"]
    assert job.expires_at is not None and job.finished_at is not None
    assert job.expires_at - job.finished_at == timedelta(days=7)


def test_progress_is_told_with_each_page(battery: Battery, pages: None, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ask(battery, START, END)
    seen: list[tuple[int, int]] = []

    def look() -> None:
        job.refresh_from_db()
        seen.append((job.rows, job.percent))

    at_the_second_page(monkeypatch, look)
    written(job)
    # The first window is a minute; the last sample in it is of its 59th second.
    assert seen == [(60, 9)]


@pytest.mark.parametrize("shape", list(ExportFormat))
def test_a_running_export_is_cancelled_and_leaves_nothing(
    battery: Battery, pages: None, monkeypatch: pytest.MonkeyPatch, folder: Path, shape: str
) -> None:
    job = ask(battery, START, END, shape)
    at_the_second_page(monkeypatch, lambda: cancel_export(job, by="ana", now=timezone.now()), shape)
    jobs.run_exports()
    job.refresh_from_db()
    assert (job.state, job.file) == ("cancelled", "")
    assert list(folder.iterdir()) == []
    with pytest.raises(ExportRefused, match="ended already"):
        cancel_export(job, by="ana", now=timezone.now())


def test_a_waiting_export_is_cancelled_before_it_begins(battery: Battery) -> None:
    job = cancel_export(ask(battery, START, END), by="ana", now=timezone.now())
    assert jobs.run_exports() == 0
    assert job.state == "cancelled"


def test_an_export_whose_worker_died_is_written_by_the_next(battery: Battery, pages: None, folder: Path) -> None:
    job = ask(battery, START, END)
    lost = jobs.take_next(timezone.now())
    assert lost is not None
    files.partial(lost).write_text("half a fi")
    assert jobs.run_exports() == 0  # it may still be alive
    ExportJob.objects.update(seen_at=timezone.now() - timedelta(seconds=61))
    assert len(lines(written(job))) == 601
    assert job.attempt == 2
    assert [path.name for path in folder.iterdir()] == [job.file]


def test_a_slow_worker_whose_job_was_taken_stops_and_changes_nothing(
    battery: Battery, pages: None, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    job = ask(battery, START, END)

    def take_over() -> None:
        monkeypatch.undo()
        ExportJob.objects.update(seen_at=timezone.now() - timedelta(seconds=61))
        other = jobs.take_next(timezone.now())
        assert other is not None
        jobs.write_export(other)

    monkeypatch.setattr(jobs, "stream_samples", lambda *window: stream_samples(*window, page=100))
    directory = files.folder()
    at_the_second_page(monkeypatch, take_over)
    jobs.run_exports()
    job.refresh_from_db()
    assert (job.state, job.attempt) == ("done", 2)
    assert hashlib.sha256((directory / job.file).read_bytes()).hexdigest() == job.sha256


def test_one_that_loses_three_workers_has_failed(battery: Battery) -> None:
    job = ask(battery, START, END)
    for _ in range(3):
        assert jobs.take_next(timezone.now()) is not None
        ExportJob.objects.update(seen_at=timezone.now() - timedelta(seconds=61))
    assert jobs.run_exports() == 0
    job.refresh_from_db()
    assert (job.state, job.failure) == ("failed", "worker_lost")


def test_while_one_is_written_the_beat_shows_a_sign_of_life_and_begins_no_other(battery: Battery, pages: None) -> None:
    job = ask(battery, START, END)
    taken = jobs.take_next(timezone.now())
    long_ago = timezone.now() - timedelta(seconds=59)
    ExportJob.objects.update(seen_at=long_ago)
    desk = jobs._Desk()
    desk.job = taken
    with pytest.MonkeyPatch.context() as patch, desk.lock:
        patch.setattr(jobs, "_DESK", desk)
        assert tasks.run_exports.apply().get() == 0
    job.refresh_from_db()
    assert job.seen_at is not None and job.seen_at > long_ago + timedelta(seconds=50)


def no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("how", ["write", "room"])
def test_a_full_disk_is_told_and_nothing_partial_is_left(
    battery: Battery, pages: None, monkeypatch: pytest.MonkeyPatch, folder: Path, how: str
) -> None:
    job = ask(battery, START, END)
    if how == "write":
        at_the_second_page(monkeypatch, no_space)
    else:
        at_the_second_page(monkeypatch, lambda: monkeypatch.setattr(files, "ROOM_KEPT", 1 << 60))
    jobs.run_exports()
    job.refresh_from_db()
    assert (job.state, job.failure) == ("failed", "disk_full")
    assert list(folder.iterdir()) == []


def test_a_fault_is_told_without_a_traceback_and_the_next_export_is_written(
    battery: Battery, pages: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, well = ask(battery, START, END, "xlsx"), ask(battery, START, END)
    at_the_second_page(monkeypatch, lambda: {}["none"], "xlsx")
    written(well)
    broken.refresh_from_db()
    assert (broken.state, broken.failure) == ("failed", "fault")
    assert "KeyError" in caplog.text


def test_a_point_that_is_gone_is_named(battery: Battery) -> None:
    job = ask(battery, START, END)
    battery.power.delete()
    jobs.run_exports()
    job.refresh_from_db()
    assert (job.state, job.failure, job.detail) == ("failed", "points_gone", "es-STO01/active_power")


def test_a_window_without_values_is_a_file_without_rows(battery: Battery) -> None:
    job = ask(battery, START, END)
    assert len(lines(written(job))) == 1
    assert job.rows == 0


def test_files_go_after_their_days_and_what_nobody_knows_goes_too(battery: Battery, pages: None, folder: Path) -> None:
    job, kept = ask(battery, START, END), ask(battery, START, END)
    path, kept_path = written(job), written(kept)
    orphan = folder / f"{job.pk}-9.part"
    foreign = folder / "notes.txt"
    for each in (orphan, foreign):
        each.write_text("left")
        os.utime(each, (0, 0))
    for each in (path, kept_path):
        os.utime(each, (0, 0))
    ExportJob.objects.filter(pk=job.pk).update(expires_at=timezone.now())
    assert tasks.forget_exports.apply().get() == 1
    job.refresh_from_db()
    assert job.state == "expired"
    assert sorted(each.name for each in folder.iterdir()) == sorted([kept_path.name, "notes.txt"])
    assert files.file_of(job) is None


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"points": []}, "points"),
        ({"end": START}, "end"),
        ({"start": datetime(1999, 1, 1, tzinfo=UTC)}, "start"),
        ({"end": datetime(2300, 1, 1, tzinfo=UTC)}, "end"),
        ({"zone": "Asia/Tokyo"}, "zone"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(battery: Battery, wish: dict[str, Any], field: str) -> None:
    with pytest.raises(ExportRefused) as refusal:
        ask(battery, **({"start": START, "end": END, "now": timezone.now()} | wish))
    assert refusal.value.field == field
    assert not ExportJob.objects.exists()


def test_nobody_has_more_open_than_twenty(battery: Battery) -> None:
    for _ in range(MOST_OPEN):
        ask(battery, START, END)
    with pytest.raises(ExportRefused, match="20 of your exports are open"):
        ask(battery, START, END)


def test_asking_and_cancelling_stand_in_the_audit_trail(battery: Battery) -> None:
    job = ask(battery, START, END)
    cancel_export(job, by="ana", now=timezone.now())
    rows = AuditEvent.objects.filter(subject=f"export {job.pk}").order_by("pk").values_list("actor", "action", "pilot")
    assert list(rows) == [("ana", "ask for export", "es"), ("ana", "cancel export", "es")]


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_write_the_same(battery: Battery, pages: None) -> None:
    """Each thread is a worker with a connection of its own; both look at the same moment."""
    job = ask(battery, START, END)
    at_once, taken = threading.Barrier(2), []

    def work() -> None:
        at_once.wait(10)
        try:
            taken.append(jobs.take_next(timezone.now()))
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(found is None for found in taken) == [False, True]
    job.refresh_from_db()
    assert (job.state, job.attempt) == ("running", 1)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sample")
