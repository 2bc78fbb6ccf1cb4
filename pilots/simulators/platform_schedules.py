"""The simulated platform's day ahead: one schedule that is kept in force over our own API. [zone: enterprise, simulated]"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from pilots.simulators.ledger import Ledger, stamp

log = logging.getLogger(__name__)

DEVICE, POINT = "nl-EVSE42", "p_limit"
#: W, by the hour of UTC: a feeder that is full when people come home.
CEILING_W = [11_000.0] * 15 + [7_000.0, 5_000.0, 4_000.0, 4_000.0, 5_000.0, 7_000.0] + [11_000.0] * 3
STEP = timedelta(minutes=15)
STEPS = 96
EVERY_S = 60.0
FIRST_AFTER_S = 20.0
LEDGER = "platform_schedules.jsonl"


class Schedules:
    """Sees to it that a schedule of ours is open for the device, and notes each that was taken."""

    def __init__(
        self,
        ledger_folder: Path,
        *,
        base_url: Callable[[], str | None],
        token: Callable[[], str | None],
        devices: Iterable[str],
        every_s: float = EVERY_S,
        first_after_s: float = FIRST_AFTER_S,
    ) -> None:
        self.base_url, self.token, self.every_s, self.first_after_s = base_url, token, every_s, first_after_s
        self._known = DEVICE in set(devices)
        self._ledger = Ledger(ledger_folder / LEDGER)

    async def run(self) -> None:
        """Until cancelled."""
        if not self._known:
            return
        await asyncio.sleep(self.first_after_s)
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            while True:
                try:
                    await self.see_to(client, datetime.now(UTC))
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    log.debug("schedule for %s: %s", DEVICE, error)
                await asyncio.sleep(self.every_s)

    async def see_to(self, client: httpx.AsyncClient, now: datetime) -> str | None:
        """The id of the schedule that was taken; None where one is open, or it could not be handed over."""
        url, token = self.base_url(), self.token()
        if url is None or token is None:
            return None
        headers = {"Authorization": f"Bearer {token}"}
        for state in ("accepted", "running"):
            query = {"device": DEVICE, "state": state}
            answer = await client.get(f"{url}/schedules", params=query, headers=headers)
            if answer.status_code != 200 or answer.json()["results"]:
                return None
        body = day_ahead(now)
        answer = await client.post(f"{url}/schedules", json=body, headers=headers | {"Idempotency-Key": body["id"]})
        self._ledger.write(id=body["id"], device=DEVICE, point=POINT, steps=STEPS, status=answer.status_code)
        return str(answer.json()["id"]) if answer.status_code == 201 else None


def day_ahead(now: datetime) -> dict[str, Any]:
    """A day in quarters of an hour, from the running one on."""
    start = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
    return {
        "id": str(uuid.uuid4()),
        "device": DEVICE,
        "point": POINT,
        "unit": "W",
        "mode": "limit",
        "start": stamp(start),
        "resolution": "PT15M",
        "values": [CEILING_W[(start + number * STEP).hour] for number in range(STEPS)],
        "on_expiry": "release",
        "service": "congestion",
        "reason": "day ahead",
        "issued_at": stamp(now),
    }
