"""`python -m tests.bench [ONLY]` under tests/with_servers.py: every part in a process and on a database of its own.

A readable line per figure while it runs; the last line of stdout is the path of a JSON file with all of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.bench.figures import Figure

PARTS = ["field", "field_104", "field_scale", "ingest", "control", "audit", "live", "news", "history", "export", "pages"]
#: On a busy machine; alone a part takes well under a minute, `news` and `pages` two.
PART_TIMEOUT_S = 180.0
#: Their processes speak with each other as in production; the others are measured without Redis, or name it themselves.
WITH_REDIS = ["control"]


def main(arguments: list[str]) -> int:
    wanted = arguments or PARTS
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    url = os.environ.get("TEST_DATABASE_URL", "")
    if not url or not os.environ.get("TEST_REDIS_URL"):
        print("start it with `make bench`: it needs a PostgreSQL and a Redis of its own", file=sys.stderr)
        return 2
    _make_tables(url)
    figures: list[Figure] = []
    failed = [part for part in wanted if not _run(part, url, figures)]
    for part in failed:
        print(f"{part}: did not end well")
    print(_write(figures))
    return 1 if failed else 0


def _make_tables(url: str) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, check=True, env=os.environ | {"DATABASE_URL": url})


def _run(part: str, url: str, figures: list[Figure]) -> bool:
    """One part's figures are printed and added. False when it failed or took too long."""
    folder = Path(os.environ.get("INVADE_DATA_DIR", ".cache")) / f"bench-{part}"
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"DATABASE_URL": _copy_database(url, part), "INVADE_DATA_DIR": str(folder.resolve())}
    environment |= {"INVADE_LOG_LEVEL": "WARNING", "DJANGO_SETTINGS_MODULE": "invade_scada.settings"}
    environment.pop("REDIS_URL", None)
    if part in WITH_REDIS:
        environment["REDIS_URL"] = os.environ["TEST_REDIS_URL"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.part", part],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    guard = threading.Timer(PART_TIMEOUT_S, _end, [process])
    guard.start()
    try:
        for line in process.stdout:
            figure = Figure(**json.loads(line))
            figures.append(figure)
            print(figure.line(), flush=True)
        return process.wait() == 0
    finally:
        guard.cancel()
        _end(process)
        process.wait()


def _end(process: subprocess.Popen[str]) -> None:
    """With its peers, which hold our pipe."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _copy_database(url: str, part: str) -> str:
    """A fresh database with all tables, so that parts do not weigh on each other."""
    parts = urlsplit(url)
    template = parts.path.strip("/")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS bench_{part}")  # type: ignore[arg-type]
    with psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE bench_{part} TEMPLATE {template}")  # type: ignore[arg-type]
    return urlunsplit(parts._replace(path=f"/bench_{part}"))


def _write(figures: list[Figure]) -> Path:
    path = Path(".cache").resolve() / f"bench-{time.strftime('%Y%m%dT%H%M%S')}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
