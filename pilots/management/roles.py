"""Starts and stops the roles of one process in the right order. [all zones]

Embedded mode is production with every role in one process: Daphne in the main thread, the Celery worker (which hosts the
field gateway) and beat in threads beside it.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from celery.beat import Service
from celery.worker import WorkController
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from invade_scada.celery import app
from invade_scada.ports import claim_port
from pilots.acquisition.gateway import FieldGateway, gateway
from pilots.acquisition.ingest import ingest
from pilots.control_centres.host import CentreHostStep
from pilots.live.hub import hub
from pilots.management import first_run
from pilots.models.leases import take_lease

log = logging.getLogger(__name__)
ROLES = ("web", "field", "worker", "beat")
HEARTBEAT_S = 3.0
HEARTBEAT_TTL_S = 10.0
STOP_WITHIN_S = 4.0


class Installation:
    """The roles of this process. `run` returns after SIGTERM or Ctrl-C."""

    def __init__(self, *, roles: list[str], demo: bool, say: Callable[[str], Any]) -> None:
        self.roles, self.demo, self.say = roles, demo, say
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"
        self.stopping = threading.Event()
        self.worker: WorkController | None = None
        self.beat: Service | None = None
        self.simulators: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Everything starts, serves and ends within five seconds of the signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._prepare()
        spare_the_collector()
        share_the_lock()
        hub(settings.REDIS_URL)
        self._start_celery()
        threading.Thread(target=self._beat_the_heart, name="heartbeat", daemon=True).start()
        try:
            if "web" in self.roles:
                self._serve()
            else:
                self.say(f"{', '.join(self.roles)}: running")
                self.stopping.wait()
        finally:
            self._stop()

    def _prepare(self) -> None:
        if self.roles == list(ROLES):
            first_run.prepare_database()
        self._wait_for_tables()
        if self.demo:
            first_run.prepare_pilots()
            first_run.prepare_simulators()
        password = first_run.prepare_admin() if "web" in self.roles else None
        if "web" in self.roles:
            self.port = claim_port(settings.DATA_DIR, "web", settings.WEB_PORT, settings.WEB_HOST)
            self.say(f"INVADE SCADA: http://{_shown(settings.WEB_HOST)}:{self.port}/")
            if password is not None:
                self.say(f"Sign in as admin with the password {password} (shown this once).")
        if self.demo:
            self.simulators = subprocess.Popen([sys.executable, "manage.py", "simulate"], cwd=settings.BASE_DIR)

    def _wait_for_tables(self) -> None:
        told = False
        while not self.stopping.is_set() and not tables_stand():
            if not told:
                log.warning("waiting for the database; `manage.py migrate` makes its tables")
                told = True
            time.sleep(0.5)

    def _start_celery(self) -> None:
        queues = [queue for role, queue in (("field", "field"), ("worker", "default")) if role in self.roles]
        if "field" in self.roles:
            app.steps["worker"].add(FieldGateway)
            app.steps["worker"].add(CentreHostStep)
        if queues:
            self.worker = WorkController(
                app=app,
                hostname=f"{'-'.join(queues)}@{socket.gethostname()}.{os.getpid()}",
                pool_cls="threads",
                concurrency=4,
                queues=queues,
                without_mingle=True,
                without_gossip=True,
                without_heartbeat=True,
            )
            threading.Thread(target=self.worker.start, name="celery", daemon=True).start()
        if "beat" in self.roles:
            self.beat = Service(app, max_interval=1, scheduler_cls=app.conf.beat_scheduler)
            threading.Thread(target=self.beat.start, name="beat", daemon=True).start()

    def _serve(self) -> None:
        # Imported here: it installs the Twisted reactor, which only the web role needs.
        from daphne.server import Server

        from invade_scada.asgi import application
        from pilots.live.sockets import write_at_once

        ingest()
        write_at_once()
        endpoint = f"tcp:port={self.port}:interface={settings.WEB_HOST.replace(':', chr(92) + ':')}"
        server = Server(application, endpoints=[endpoint], signal_handlers=False, server_name="INVADE SCADA")
        threading.Thread(target=self._stop_server, args=[server], name="stopper", daemon=True).start()
        server.run()

    def _stop_server(self, server: Any) -> None:
        from twisted.internet import reactor

        self.stopping.wait()
        reactor.callFromThread(server.stop)

    def _on_signal(self, *_: object) -> None:
        self.stopping.set()

    def _stop(self) -> None:
        self.stopping.set()
        if self.simulators is not None:
            self.simulators.terminate()
        if self.beat is not None:
            self.beat.stop()
        # One bound for all of it: each waits for what the others have left.
        ends = time.monotonic() + STOP_WITHIN_S
        found = gateway()
        if found is not None:
            found.stop(STOP_WITHIN_S - 1.0)
        ingest().stop(max(0.5, ends - time.monotonic()))
        hub(settings.REDIS_URL).close()
        if self.simulators is not None:
            try:
                self.simulators.wait(max(0.1, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.simulators.kill()
        logging.shutdown()
        # Celery's worker thread may sit in a blocking read of its broker; nothing of ours is left to lose.
        os._exit(0)

    def _beat_the_heart(self) -> None:
        while not self.stopping.is_set():
            try:
                with transaction.atomic():
                    for role in filter(self._is_well, self.roles):
                        take_lease(f"role:{role}:{self.owner}", self.owner, ttl_s=HEARTBEAT_TTL_S, now=datetime.now(UTC))
            except DatabaseError as error:
                log.warning("heartbeat: %s", error)
            close_old_connections()
            self.stopping.wait(HEARTBEAT_S)

    def _is_well(self, role: str) -> bool:
        if role == "field":
            found = gateway()
            return found is not None and found.tended_at is not None and (datetime.now(UTC) - found.tended_at).seconds < 10
        return True


def spare_the_collector() -> None:
    """What was imported is looked at no more, and values by the thousand no longer set the collector off at each poll."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def share_the_lock() -> None:
    """The loop and the writer get the interpreter from threads that compute a query within half a millisecond, not five.

    A flush asks for it some forty times; with many set-points under way it took half a second instead of ten milliseconds.
    """
    sys.setswitchinterval(0.0005)


def tables_stand() -> bool:
    """Whether the database answers and has every migration."""
    try:
        executor = MigrationExecutor(connection)
        return not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return False
    finally:
        close_old_connections()


def _shown(host: str) -> str:
    return "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104  shown, not bound
