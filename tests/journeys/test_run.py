"""`make run`: one command in a fresh folder, and its end."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.journeys.installation import START_S, Installation

STOP_S = 5.0


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Installation]:
    """An installation in which nothing has run yet."""
    installation = Installation(tmp_path / "fresh", "embedded")
    # As in a service manager's log: what is said must not wait in a buffer until the end.
    del installation.environment["INVADE_ADMIN_PASSWORD"], installation.environment["PYTHONUNBUFFERED"]
    yield installation
    installation.stop()


def test_one_command_brings_the_demo_with_a_password_and_one_signal_ends_all_of_it(fresh: Installation) -> None:
    wanted = int(fresh.environment["INVADE_PORT"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", wanted))
        taken.listen()
        child = fresh.spawn("demo", "run_scada", "--demo")
        early = fresh.until(lambda: "web" in fresh.ports and _answer(fresh), START_S, "an answer of /readyz")
        fresh.wait_ready()
    if early.status_code == 503:
        assert early.json()["waiting_for"]
    assert fresh.ports["web"] != wanted
    said = child.log.read_text()
    assert f"http://127.0.0.1:{fresh.ports['web']}/" in said
    assert re.search(r"admin with the password \S{16}", said)
    assert (fresh.data / "simulator_secrets.json").stat().st_mode & 0o077 == 0
    assert httpx.get(fresh.url + "/", trust_env=False).status_code in (302, 403)
    family = psutil.Process(child.process.pid).children(recursive=True)
    assert family
    assert child.terminate() < STOP_S
    psutil.wait_procs(family, timeout=1)
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def _answer(installation: Installation) -> httpx.Response | None:
    try:
        return httpx.get(f"{installation.url}/readyz", trust_env=False)
    except httpx.HTTPError:
        return None
