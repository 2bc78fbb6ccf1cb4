"""Every Celery task: fetch, call a service, handle retry. Values and set-points never travel through here."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta

from celery import shared_task
from django.conf import settings

from pilots.api import idempotency
from pilots.audit.verification import verify_trail
from pilots.control import expiry, fallbacks, groups, stepping
from pilots.exports import jobs as exports
from pilots.history import forecasts, rollups
from pilots.history import services as history
from pilots.northbound import services as northbound
from pilots.notifications.sending import forget_deliveries
from pilots.notifications.services import notify as notify_contacts

OWNER = f"{socket.gethostname()}:{os.getpid()}"


@shared_task
def forward_outbox() -> int:
    """What waits for INVADE is offered to it; the next beat is the retry."""
    return northbound.forward_outbox(owner=OWNER, now=datetime.now(UTC))


@shared_task
def expire_setpoints() -> int:
    """Set-points whose time is over, or whose group was aborted, have their end."""
    now = datetime.now(UTC)
    return expiry.expire_setpoints(now=now) + groups.finish_aborts(now=now)


@shared_task
def run_schedules() -> int:
    """Steps of schedules that are due have their set-point."""
    return stepping.run_schedules(now=datetime.now(UTC))


@shared_task
def run_fallbacks() -> int:
    """Fallback plans that are due are in force, the others are not."""
    return fallbacks.run_fallbacks(now=datetime.now(UTC))


@shared_task
def notify() -> int:
    """Alarms that a rule tells have been told; the next beat is the retry."""
    return notify_contacts(now=datetime.now(UTC))


@shared_task
def maintain_history() -> int:
    """Partitions stand ready for the coming week, samples, forecasts and notifications beyond their retention are gone."""
    now = datetime.now(UTC)
    kept_since = now - timedelta(days=settings.HISTORY_DAYS)
    history.ensure_partitions(now)
    forget_deliveries(now=now)
    forecasts.forget_forecasts(now - timedelta(days=settings.FORECAST_DAYS))
    rollups.forget_rollups(samples_before=kept_since, rollups_before=now - timedelta(days=settings.ROLLUP_DAYS))
    return history.forget_samples(kept_since)


@shared_task
def roll_up() -> int:
    """Hours that settled, and those in which samples came late, are rolled up."""
    now = datetime.now(UTC)
    return rollups.roll_up(now=now, kept_since=now - timedelta(days=settings.HISTORY_DAYS))


@shared_task
def run_exports() -> int:
    """Exports that wait are written; a worker that was lost with one is made up for by the next beat."""
    return exports.run_exports()


@shared_task
def forget_exports() -> int:
    """Files of exports beyond their day are gone."""
    return exports.forget_exports(datetime.now(UTC))


@shared_task
def forget_old_keys() -> int:
    """Idempotency keys older than 48 h are gone."""
    return idempotency.forget_old_keys()


@shared_task
def verify_audit(*, full: bool = True) -> str:
    """The audit trail is proved, all of it or what came since its newest anchor, and anchored; returns the fault, if any."""
    return verify_trail(now=datetime.now(UTC), full=full).fault
