"""The folder of the exports: room, names, checksums, and the way of a file to whoever asked for it. [operation]"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import StreamingHttpResponse

from pilots.domain.export import ExportFormat
from pilots.models import ExportJob

#: The rest of the disk belongs to the database and to what others write.
ROOM_KEPT = 256 * 1024 * 1024
CHUNK = 256 * 1024
CONTENT_TYPES = {
    ExportFormat.CSV_LONG: "text/csv; charset=utf-8",
    ExportFormat.CSV_WIDE: "text/csv; charset=utf-8",
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}


def folder() -> Path:
    """Where the files are; made when missing."""
    path = Path(settings.EXPORT_DIR)
    path.mkdir(parents=True, exist_ok=True)
    return path


def check_room() -> None:
    """Raises OSError (no space left) when the disk would be left with too little."""
    if shutil.disk_usage(folder()).free < ROOM_KEPT:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def ours() -> list[Path]:
    """Every file in the folder that an export made: others' files there are left alone."""
    return [path for path in folder().iterdir() if re.match(r"[0-9a-f-]{36}-\d+\.", path.name)]


def partial(job: ExportJob) -> Path:
    """Where this attempt of the job writes."""
    return folder() / f"{job.pk}-{job.attempt}.part"


def remove_partials(job: ExportJob) -> None:
    """What any attempt of the job began is gone."""
    for path in folder().glob(f"{job.pk}-*.part"):
        path.unlink(missing_ok=True)


def keep(job: ExportJob) -> tuple[Path, int, str]:
    """The written file under its lasting name, on the disk: path, size, SHA-256."""
    written = partial(job)
    with written.open("rb") as file:
        os.fsync(file.fileno())
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    path = folder() / f"{job.pk}-{job.attempt}.{ExportFormat(job.format).suffix}"
    written.rename(path)
    return path, path.stat().st_size, sha256


def file_of(job: ExportJob) -> Path | None:
    """The file of a job that is done, None when it is not there."""
    path = folder() / job.file
    return path if job.file and path.is_file() else None


def download(job: ExportJob, path: Path) -> StreamingHttpResponse:
    """The file in chunks, with its size and its checksum as ETag."""
    shape = ExportFormat(job.format)
    response = StreamingHttpResponse(_chunks(path.open("rb")), content_type=CONTENT_TYPES[shape])
    name = f"{job.pilot.code}-{job.start:%Y%m%dT%H%MZ}-{job.end:%Y%m%dT%H%MZ}.{shape.suffix}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Content-Length"] = str(path.stat().st_size)
    # Said in so many words, so that nobody compresses on the way what is large and mostly packed already.
    response["Content-Encoding"] = "identity"
    response["ETag"] = f'"{job.sha256}"'
    return response


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    """Read in a worker thread: a slow disk must not hold up the live frames."""
    read = sync_to_async(file.read, thread_sensitive=False)
    with file:
        while chunk := await read(CHUNK):
            yield chunk
