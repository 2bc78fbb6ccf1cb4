"""Celery's jobs, called as the worker calls them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings

from invade_scada.celery import app
from pilots import tasks
from pilots.history.selectors import read_samples
from pilots.models import IdempotencyKey, Point
from tests.builders import new_sample, record_samples
from tests.conftest import Battery

pytestmark = pytest.mark.django_db


def test_every_scheduled_job_exists() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(app.tasks)


def test_a_job_without_work_does_nothing() -> None:
    assert [tasks.forward_outbox.apply().get(), tasks.expire_setpoints.apply().get()] == [0, 0]


def test_the_history_is_kept_within_its_bounds(battery: Battery) -> None:
    now = datetime.now(UTC)
    moments = [now - timedelta(days=settings.HISTORY_DAYS + 2), now]
    record_samples([new_sample(battery.power.pk, source_time=m, received_time=m, value=1.0, quality=0) for m in moments])
    tasks.maintain_history.apply().get()
    assert [row.source_time for row in _all(battery.power)] == moments[1:]


def test_old_idempotency_keys_are_forgotten() -> None:
    moments = [datetime.now(UTC) - timedelta(hours=hours) for hours in (49, 47)]
    for moment in moments:
        IdempotencyKey.objects.create(source="invade", key=str(moment), body_sha256="0" * 64, created_at=moment)
    tasks.forget_old_keys.apply().get()
    assert [row.created_at for row in IdempotencyKey.objects.all()] == moments[1:]


def _all(point: Point) -> list[object]:
    end = datetime.now(UTC) + timedelta(days=1)
    return list(read_samples([point], end - timedelta(days=9999), end, limit=10))
