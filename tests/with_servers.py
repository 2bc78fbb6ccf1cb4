"""Runs a command with a PostgreSQL and a Redis of its own on free ports, and a data folder that goes away afterwards.

    python tests/with_servers.py [--bare | --sqlite] -- COMMAND...

The command finds DATABASE_URL (PostgreSQL, or SQLite with --sqlite), TEST_DATABASE_URL and TEST_REDIS_URL. `--bare` starts
no server. A server that cannot start fails the run: nothing is skipped silently.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


def main(arguments: list[str]) -> int:
    split = arguments.index("--")
    options, command = arguments[:split], arguments[split + 1 :]
    folder = Path(tempfile.mkdtemp(prefix="invade-test-"))
    folder.chmod(0o755)
    environment = os.environ | {"INVADE_DATA_DIR": str(folder / "data")}
    environment.pop("REDIS_URL", None)
    environment.pop("DATABASE_URL", None)
    stops: list[Callable[[], object]] = []
    try:
        if "--bare" not in options:
            environment["TEST_DATABASE_URL"] = start_postgresql(folder, stops)
            environment["TEST_REDIS_URL"] = start_redis(folder, stops)
            if "--sqlite" not in options:
                environment["DATABASE_URL"] = environment["TEST_DATABASE_URL"]
        return run(command, environment)
    finally:
        for stop in reversed(stops):
            stop()
        shutil.rmtree(folder, ignore_errors=True)


def run(command: list[str], environment: dict[str, str]) -> int:
    process = subprocess.Popen(command, env=environment)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the command got it too and ends by itself


def start_postgresql(folder: Path, stops: list[Callable[[], object]]) -> str:
    """A cluster of its own; as root it runs as the user `postgres`, because PostgreSQL refuses to run as root."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    data, port = folder / "postgresql", free_port()
    data.mkdir()
    as_postgres: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(data, "postgres", "postgres")
        as_postgres = ["runuser", "-u", "postgres", "--"]
    must([*as_postgres, str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "invade", "--no-sync"])
    settings = f"-p {port} -k {data} -h 127.0.0.1 -c synchronous_commit=on -c fsync=off -c max_connections=200"
    control = [*as_postgres, str(binaries / "pg_ctl"), "-D", str(data)]
    must([*control, "-w", "-l", str(data / "log"), "-o", settings, "start"])
    stops.append(lambda: subprocess.run([*control, "-m", "immediate", "stop"], capture_output=True, check=False))
    must([str(binaries / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "invade", "invade"])
    return f"postgres://invade@127.0.0.1:{port}/invade"


def start_redis(folder: Path, stops: list[Callable[[], object]]) -> str:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    stops.append(process.kill)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return f"redis://127.0.0.1:{port}/0"
        time.sleep(0.1)
    raise SystemExit("redis-server did not start")


def must(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
