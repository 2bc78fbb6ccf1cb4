"""The Celery application: hosts the pollers (queue `field`) and carries the jobs (queue `default`)."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "invade_scada.settings")

app = Celery("invade_scada")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["pilots"])
# In embedded mode worker and beat run in threads, where Celery would fall back to its default AMQP application.
app.set_default()
