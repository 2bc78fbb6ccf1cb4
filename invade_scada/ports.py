"""Which TCP port every listener of this installation has: one small file in the data folder.

Ports asked for may be taken, so each listener claims a free one and writes it down; everyone else looks it up at each
connect. Free of Django, because the simulators use it too.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PORTS_FILE = "ports.json"


def read_ports(data_dir: Path) -> dict[str, int]:
    """Every recorded listener of this installation by name; empty before the first."""
    try:
        return {str(name): int(port) for name, port in json.loads((data_dir / PORTS_FILE).read_text()).items()}
    except FileNotFoundError:
        return {}


def claim_port(data_dir: Path, name: str, wanted: int, host: str = "127.0.0.1") -> int:
    """The first free port from `wanted` on, recorded under `name`. Raises OSError when none of 500 is free."""
    with _locked(data_dir):
        ports = read_ports(data_dir)
        # Ports promised to other listeners count as taken even while their owner is down.
        promised = {port for other, port in ports.items() if other != name}
        ports[name] = next(port for port in _free_ports(host, wanted) if port not in promised)
        _write(data_dir, ports)
        return ports[name]


def _free_ports(host: str, wanted: int) -> Iterator[int]:
    for port in range(wanted, min(wanted + 500, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
        yield port
    raise OSError(f"no free port on {host} from {wanted} on")


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with open(data_dir / ".ports.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(data_dir: Path, ports: dict[str, int]) -> None:
    draft = data_dir / (PORTS_FILE + ".new")
    draft.write_text(json.dumps(ports, indent=1, sort_keys=True) + "\n")
    os.replace(draft, data_dir / PORTS_FILE)


def serial_path(data_dir: Path, name: str) -> Path:
    """Where the simulator of a serial line named `name` puts its device file (a link to a pseudo terminal)."""
    return data_dir / "serial" / name
