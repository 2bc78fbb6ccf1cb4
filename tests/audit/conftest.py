"""What the tests of the audit trail share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from pilots.audit.services import record_event

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.fixture
def data_dir(tmp_path: Path, settings: object) -> Path:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    return tmp_path


@pytest.fixture
def write(db: None) -> Callable[[int], None]:
    """Adds so many rows to the trail, linked as a commit links them."""

    def add(count: int) -> None:
        for number in range(count):
            at = NOW + timedelta(seconds=number)
            deed = {"actor": f"ana{number}", "action": "test", "pilot": "es", "subject": f"es-STO{number:02}"}
            record_event(at=at, reason=f"because {number}", details={"value": number + 0.5}, **deed)
        connection.check_constraints()

    return add
