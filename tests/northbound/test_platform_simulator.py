"""Our outbox against the simulated INVADE platform."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from pilots.models import OutboxMessage
from pilots.northbound.services import forward_outbox
from pilots.simulators.platform import Platform
from tests.builders import make_pilot, queue_messages


def _queue_and_forward() -> int:
    pilot, now = make_pilot(), datetime.now(UTC)
    queue_messages(pilot, *map(float, range(5)), now=now)
    return forward_outbox(owner="forwarder", now=now)


@pytest.mark.django_db(transaction=True)
async def test_the_simulated_platform_takes_everything_without_a_gap(tmp_path: Path, settings: Any) -> None:
    platform = Platform(tmp_path, token=lambda: "secret")
    port = await platform.start("127.0.0.1", 0)
    settings.PLATFORM_URL, settings.PLATFORM_TOKEN = f"http://127.0.0.1:{port}/", "secret"
    try:
        taken = await asyncio.wait_for(sync_to_async(_queue_and_forward)(), 20)
    finally:
        await platform.stop()
    assert taken == 5
    assert platform.state()["sequences"] == [{"pilot": "es", "epoch": 1, "last_sequence": 5, "missing": 0}]
    assert not await OutboxMessage.objects.aexists()
