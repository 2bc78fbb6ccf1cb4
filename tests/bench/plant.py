"""The plant the bench runs on, and the product itself as a process whose CPU can be read."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import psutil
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connections

from invade_scada.ports import read_ports
from pilots.models import Connection, Device, Pilot, Point, Role, RoleGrant, User
from tests.bench.plain import free_port

POINTS = 50
#: Names of a polled device's points, in the order of their registers; the first carries the gateway's stamp.
NAMES = [f"p{index:02d}" for index in range(POINTS)]


def make_meters(
    devices: int, *, connections: int = 1, port: int | None = None, period_s: float = 1.0, points: int = POINTS
) -> Pilot:
    """A pilot `es` whose meters have so many float registers each, spread over so many Modbus connections."""
    pilot = Pilot.objects.create(code="es", name="Bench", country="ES", latitude=41.6, longitude=2.3)
    lines = [
        Connection.objects.create(
            pilot=pilot, name=f"es-gw{index:02d}", protocol="modbus_tcp", host="127.0.0.1", port=port or 502
        )
        for index in range(connections)
    ]
    meters = [
        Device(
            pilot=pilot,
            code=f"es-M{index:04d}",
            kind="meter",
            connection=lines[index % connections],
            address={"unit": 1 + index % 240},
        )
        for index in range(devices)
    ]
    Device.objects.bulk_create(meters)
    Point.objects.bulk_create(
        Point(
            device=meter,
            name=name,
            kind="measurement",
            unit="W",
            period_s=period_s,
            address={"register": 2 * index, "type": "float32"},
        )
        for meter in meters
        for index, name in enumerate(NAMES[:points])
    )
    return pilot


def session_cookie() -> str:
    """The Cookie header of an operator who has logged in."""
    user, _ = User.objects.get_or_create(username="bench")
    RoleGrant.objects.get_or_create(user=user, role=Role.OPERATOR, pilot=None)
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


@dataclass(slots=True)
class Product:
    """A running installation."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def websocket(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/pilots/es/"

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """User and system seconds of all its threads."""
        return cpu_s(self.process.pid)


def cpu_s(pid: int) -> float:
    """User and system seconds of a process."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@contextmanager
def product(role: str = "all", *options: str, **environment: str) -> Iterator[Product]:
    """`manage.py run_scada` on this part's database and data folder; what serves pages answers on its port."""
    log = Path(settings.DATA_DIR) / "product.log"
    command = [sys.executable, "manage.py", "run_scada", "--role", role, *options]
    variables = os.environ | {"INVADE_PORT": str(free_port()), "INVADE_ADMIN_PASSWORD": "not used by the bench"} | environment
    with open(log, "wb") as file:
        process = subprocess.Popen(command, env=variables, stdout=file, stderr=file)
        try:
            yield Product(_wait_for_port(process, log) if role in ("all", "web") else 0, process)
        finally:
            process.terminate()
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        port = read_ports(settings.DATA_DIR).get("web")
        with socket.socket() as probe:
            if port is not None and probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.1)
    raise RuntimeError(f"the product did not start:\n{log.read_text()[-4000:]}")


def database_url() -> str:
    """The part's PostgreSQL for psycopg and psql."""
    return os.environ["DATABASE_URL"]


def psql() -> str:
    """The client of the installed server."""
    return shutil.which("psql") or str(sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1])


def close_connections() -> None:
    """This process gives its database connections back."""
    connections.close_all()
