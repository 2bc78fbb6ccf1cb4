"""Every test of this folder starts without memory of stations, and closes links without long patience."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pilots.drivers.iec101 import commits
from tests.drivers.iec101.peers import forgetting


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(commits, "CLOSE_PATIENCE_S", 0.2)
    with forgetting():
        yield
