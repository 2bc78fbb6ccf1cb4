"""Loaded by pytest before the settings: tests never touch the installation beside them."""

from __future__ import annotations

import os
import tempfile

import hypothesis

os.environ.setdefault("INVADE_DATA_DIR", tempfile.mkdtemp(prefix="invade-test-"))
os.environ.setdefault("INVADE_LOG_LEVEL", "WARNING")
os.environ.pop("REDIS_URL", None)
# The c104 peer writes the process's local time on the wire.
os.environ["TZ"] = "UTC"
# Playwright's synchronous interface keeps a loop in the test's thread.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
# A machine that stands still is no fault of what is tested.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("house")
