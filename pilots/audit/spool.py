"""Audit rows that the database could not take: a file that is only added to, on the disk before the deed. [all zones]

Only what gives a device back is done without the trail (`services.audited_or_spooled`). Its rows wait in `audit-spool.jsonl`
of the data folder of the process that did it, a JSON object a line, and go into the chain when the trail can be written again.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings

from pilots.domain.chain import plain

log = logging.getLogger(__name__)


def spool_file() -> Path:
    return Path(settings.DATA_DIR) / "audit-spool.jsonl"


def is_empty() -> bool:
    """Whether nothing waits; asked each second, so it costs one look at the folder."""
    try:
        return spool_file().stat().st_size == 0
    except FileNotFoundError:
        return True


def append(forms: Sequence[Mapping[str, Any]]) -> None:
    """The rows are safe from a power cut, each with a mark of its own. Raises OSError, and the deed must not happen."""
    lines = [json.dumps({"spooled": uuid4().hex, **plain(form)}) + "\n" for form in forms]
    with locked() as file:
        # A line that a power cut tore off must not swallow the next one.
        torn = os.fstat(file).st_size > 0 and os.pread(file, 1, os.fstat(file).st_size - 1) != b"\n"
        os.write(file, ("\n" * torn + "".join(lines)).encode())
        os.fsync(file)


def rows(file: int) -> list[dict[str, Any]]:
    """What waits in the open file, oldest first; a torn line is none, for its deed was never done."""
    found = []
    for line in os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace").splitlines():
        try:
            found.append(dict(json.loads(line)))
        except (ValueError, TypeError):
            log.warning("%s: a line is no audit row: %.80r", spool_file().name, line)
    return found


@contextmanager
def locked() -> Iterator[int]:
    """The file, for one process at a time."""
    file = os.open(spool_file(), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)
