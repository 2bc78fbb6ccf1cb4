"""The real product as real processes in a folder of its own: one process, or one per role on PostgreSQL and Redis."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import psycopg

from invade_scada.ports import read_ports
from tests.journeys.api import Api

ROOT = Path(__file__).resolve().parents[2]
PILOTS = ROOT / "pilots" / "catalogue" / "pilots"
CODES = ("bg", "es", "nl", "no", "de")
ROLES = ("web", "field", "worker", "beat")
MODES = ("embedded", "production")
PASSWORD = "admin-pass-of-the-journeys"
#: Generous, because the machine that runs the tests may be small and busy; no promise of the product hangs on it.
START_S = 90.0
T = TypeVar("T")


def wait_for(condition: Callable[[], T], within_s: float, what: str, *, story: Callable[[], str] = str) -> T:
    """The first true answer of `condition`; its last answer and `story` stand in the failure."""
    until = time.monotonic() + within_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > until:
            raise AssertionError(f"within {within_s:g} s not: {what}; last answer {answer!r}\n{story()}")
        time.sleep(0.2)


@dataclass(slots=True)
class Child:
    """One process of the installation; it leads a process group so that nothing of it survives."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """kill -9, at once and without a word."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def terminate(self, within_s: float = 10.0) -> float:
        """Seconds from SIGTERM to the end; killed if it does not end in time."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return time.monotonic() - started

    def tail(self, lines: int = 25) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Installation:
    """Starts, breaks and mends an installation; `api` speaks to it with every scope."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.mode, self.folder, self.data = mode, folder, folder / "data"
        self.data.mkdir(parents=True)
        self.children: dict[str, Child] = {}
        base = random.randrange(20_000, 30_000, 200)
        self.environment = os.environ | {
            "INVADE_DATA_DIR": str(self.data),
            "INVADE_PORT": str(base),
            "INVADE_OCPP_PORT": str(base + 10),
            "INVADE_SIM_PORT": str(base + 20),
            "INVADE_ADMIN_PASSWORD": PASSWORD,
            "INVADE_LOG_LEVEL": "INFO",
            "INVADE_WEBHOOK_NETWORKS": "127.0.0.0/8",
            "PYTHONUNBUFFERED": "1",
        }
        for name in ("DATABASE_URL", "REDIS_URL", "INVADE_PLATFORM_URL", "INVADE_SECRET_KEY", "DJANGO_ALLOW_ASYNC_UNSAFE"):
            self.environment.pop(name, None)
        self._drop: Callable[[], object] = str
        if mode == "production":
            self._use_servers()
        self.ready_at = 0.0
        self._api: Api | None = None

    def _use_servers(self) -> None:
        parts = urlsplit(os.environ["TEST_DATABASE_URL"])
        name = f"journey_{uuid4().hex[:12]}"
        self.environment["DATABASE_URL"] = urlunsplit(parts._replace(path=f"/{name}"))
        self.environment["REDIS_URL"] = os.environ["TEST_REDIS_URL"].removesuffix("/0") + "/1"

        def run(statement: str) -> None:
            with psycopg.connect(urlunsplit(parts), autocommit=True) as connection:
                connection.execute(statement)  # type: ignore[call-overload]

        run(f'CREATE DATABASE "{name}"')
        self._drop = lambda: run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    # Life

    @property
    def servers(self) -> tuple[str, ...]:
        """The processes of the product, without the simulators'."""
        return ROLES if self.mode == "production" else ("all",)

    @property
    def field(self) -> str:
        """The process that owns the field connections."""
        return "field" if self.mode == "production" else "all"

    @property
    def web(self) -> str:
        return "web" if self.mode == "production" else "all"

    def start(self) -> None:
        """Commissioned from the five files of the catalogue, running, and read once on every connection."""
        self.manage("migrate", "--verbosity", "0")
        self.manage("commission", *(str(path) for path in sorted(PILOTS.glob("*.yaml"))))
        self.start_simulators()
        for server in self.servers:
            self.start_server(server)
        self.wait_ready()

    def wait_ready(self) -> None:
        wait_for(lambda: self.readiness() == 200, START_S, "ready", story=self.story)
        self.ready_at = time.time()

    def readiness(self) -> int:
        """The status of /readyz; 0 while nobody answers."""
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False, timeout=5.0).status_code
        except (httpx.HTTPError, KeyError):
            return 0

    def start_server(self, name: str) -> Child:
        return self.spawn(name, "run_scada", "--role", name)

    def start_simulators(self, *pilots: str) -> Child:
        return self.spawn("simulators", "simulate", *pilots)

    def spawn(self, name: str, *arguments: str) -> Child:
        """`manage.py` with these arguments as a child that is waited for by nobody."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            command = [sys.executable, "manage.py", *arguments]
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.children[name] = Child(name, process, log)
        return self.children[name]

    def manage(self, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """`manage.py` with these arguments, run to its end."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode != 0) == fails, f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def stop(self) -> None:
        """Nothing of it is left but its folder."""
        for child in self.children.values():
            if child.process.poll() is None:
                child.process.terminate()
        for child in self.children.values():
            try:
                child.process.wait(8)
            except subprocess.TimeoutExpired:
                child.kill()
        if self._api is not None:
            self._api.close()
        self._drop()

    def story(self) -> str:
        """What every process said last, for the failure message."""
        return "\n".join(f"--- {child.name} ({child.process.poll()})\n{child.tail()}" for child in self.children.values())

    # What it says

    @property
    def ports(self) -> dict[str, int]:
        return read_ports(self.data)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['web']}"

    @property
    def api(self) -> Api:
        if self._api is None:
            self._api = Api(lambda: self.url, self.token("journeys", "read,control,ingest"))
        return self._api

    def token(self, name: str, scopes: str, *more: str) -> str:
        done = self.manage("create_token", name, "--scope", scopes, *(more or ("--pilot", "all")))
        return done.stdout.splitlines()[-1]

    def until(self, condition: Callable[[], T], within_s: float, what: str) -> T:
        return wait_for(condition, within_s, what, story=self.story)

    def ledger(self, name: str) -> list[dict[str, Any]]:
        """`writes` at the simulated devices, or what the simulated `platform` accepted."""
        path = self.data / "ledger" / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def secrets(self) -> dict[str, Any]:
        form: dict[str, Any] = json.loads((self.data / "simulator_secrets.json").read_text())
        return form
