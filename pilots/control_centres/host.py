"""Runs the listeners of control centres in a field worker, each by one worker of the installation. [operation]"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from datetime import UTC, datetime
from typing import Any

from celery import bootsteps
from django.db import DatabaseError, close_old_connections

from pilots.control_centres.listener import CentreListener, CentrePlan, plan_of
from pilots.domain.errors import PilotsError
from pilots.domain.topology import LinkState
from pilots.models import ControlCentre
from pilots.models.leases import HeldLease, give_up_lease, take_lease

log = logging.getLogger(__name__)

LEASE_S = 12.0
TEND_EVERY_S = 1.0


class CentreHost:
    """A thread that looks each second which centres are enabled, and holds a lease for each it serves."""

    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"
        self._listeners: dict[str, CentreListener] = {}
        self._leases: dict[str, HeldLease] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="control centres", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Every port is closed and every lease given back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.tend()
            except DatabaseError as error:
                log.warning("control centres wait for the database: %s", error)
            except Exception:  # the outermost loop: one wrong centre must not silence the others
                log.exception("control centres")
            close_old_connections()
            self._stop.wait(TEND_EVERY_S)
        for name in list(self._listeners):
            self._end(name)
        close_old_connections()

    def tend(self) -> None:
        """What is enabled and ours listens; what is not, does not."""
        centres = {centre.name: centre for centre in ControlCentre.objects.filter(enabled=True)}
        for name in set(self._listeners) - set(centres):
            self._end(name)
        for name, centre in centres.items():
            try:
                self._serve(centre)
            except PilotsError as error:
                self._end(name)
                self._show(centre, LinkState.DOWN, str(error))

    def _serve(self, centre: ControlCentre) -> None:
        lease = take_lease(f"control-centre:{centre.name}", self.owner, ttl_s=LEASE_S, now=datetime.now(UTC))
        if lease is None:
            self._end(centre.name)
            return
        self._leases[centre.name] = lease
        plan, running = plan_of(centre), self._listeners.get(centre.name)
        if running is not None and running.plan != plan:
            self._close(centre.name)
            running = None
        if running is None:
            running = self._begin(plan)
        connected = running.station.connected
        self._show(centre, LinkState.UP if connected else LinkState.UNKNOWN, "")

    def _begin(self, plan: CentrePlan) -> CentreListener:
        listener = CentreListener(plan)
        listener.start()
        log.info("control centre %s: listening on %s for %s points", plan.name, listener.station.place, len(plan.objects))
        self._listeners[plan.name] = listener
        return listener

    def _close(self, name: str) -> None:
        listener = self._listeners.pop(name, None)
        if listener is not None:
            listener.stop()

    def _end(self, name: str) -> None:
        self._close(name)
        lease = self._leases.pop(name, None)
        if lease is not None:
            give_up_lease(lease, now=datetime.now(UTC))

    def _show(self, centre: ControlCentre, state: LinkState, error: str) -> None:
        if (centre.state, centre.last_error) != (state, error[:300]):
            log.info("control centre %s: %s %s", centre.name, state, error)
            ControlCentre.objects.filter(pk=centre.pk).update(state=state, last_error=error[:300])


class CentreHostStep(bootsteps.StartStopStep):
    """Starts and stops the host with the Celery worker of queue `field`."""

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        return "field" in {queue.name for queue in parent.app.amqp.queues.consume_from.values()}

    def start(self, parent: Any) -> None:
        parent.control_centres = CentreHost()
        parent.control_centres.start()

    def stop(self, parent: Any) -> None:
        host = getattr(parent, "control_centres", None)
        if host is not None:
            host.stop()
