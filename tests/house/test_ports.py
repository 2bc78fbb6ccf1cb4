"""Ports of an installation: claimed once, written down, never shared."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from invade_scada.ports import claim_port, read_ports


def free_start() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(min(probe.getsockname()[1], 60_000))


def test_a_claimed_port_can_be_looked_up(tmp_path: Path) -> None:
    port = claim_port(tmp_path, "web", free_start())
    assert read_ports(tmp_path) == {"web": port}


def test_before_the_first_claim_there_is_none(tmp_path: Path) -> None:
    assert read_ports(tmp_path / "nowhere") == {}


def test_a_taken_port_is_skipped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        assert claim_port(tmp_path, "web", wanted) > wanted


def test_claiming_again_gives_the_same_port(tmp_path: Path) -> None:
    start = free_start()
    assert claim_port(tmp_path, "web", start) == claim_port(tmp_path, "web", start)


def test_twenty_listeners_that_claim_together_get_twenty_ports(tmp_path: Path) -> None:
    start = free_start()
    threads = [threading.Thread(target=claim_port, args=(tmp_path, f"rtu{number}", start)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(read_ports(tmp_path).values())) == 20


def test_no_port_beyond_the_last_is_tried(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 65535)), pytest.raises(OSError, match="no free port"):
        claim_port(tmp_path, "web", 65535)
