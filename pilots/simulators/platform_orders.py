"""The simulated platform's set-points: a small loop that orders, follows and notes the outcome. [zone: enterprise, simulated]

Message and states: our own API (set-points of the northbound contract).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from pilots.simulators.ledger import Ledger, stamp

log = logging.getLogger(__name__)

EVERY_S = 45.0
FIRST_AFTER_S = 20.0
ASK_EVERY_S = 1.0
FOLLOW_S = 60.0
VALID = timedelta(minutes=2)
TERMINAL = {"executed", "rejected", "expired", "failed", "cancelled"}
OUTCOMES = "platform_setpoints.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What the platform wants of one point (W)."""

    device: str
    point: str
    value: float
    mode: str
    service: str


ORDERS = (
    Order(device="bg-STO01", point="p_set", value=30000.0, mode="absolute", service="test"),
    Order(device="nl-EVSE41", point="p_limit", value=7000.0, mode="limit", service="congestion"),
    Order(device="bg-STO01", point="p_set", value=-30000.0, mode="absolute", service="test"),
    Order(device="nl-EVSE41", point="p_limit", value=9000.0, mode="limit", service="congestion"),
)


class Orders:
    """Sends one order after the other to our API and records how each ended."""

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
        known = set(devices)
        self.orders = [order for order in ORDERS if order.device in known]
        self._ledger = Ledger(ledger_folder / OUTCOMES)

    async def run(self) -> None:
        """Until cancelled."""
        if not self.orders:
            return
        await asyncio.sleep(self.first_after_s)
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            for order in itertools.cycle(self.orders):
                try:
                    await self.place(client, order)
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    log.debug("order for %s: %s", order.device, error)
                await asyncio.sleep(self.every_s)

    async def place(self, client: httpx.AsyncClient, order: Order) -> str | None:
        """The state in which the set-point ended; None when it could not even be handed over."""
        url, token = self.base_url(), self.token()
        if url is None or token is None:
            return None
        body = _body(order)
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": body["id"]}
        answer = await client.post(f"{url}/setpoints", json=body, headers=headers)
        if answer.status_code != 202:
            self._note(order, body, state="refused", code=str(answer.status_code))
            return None
        record = await self._follow(client, url, str(answer.json().get("id", body["id"])), headers)
        self._note(order, body, state=str(record.get("state")), code=str(record.get("code") or ""))
        return str(record.get("state"))

    async def _follow(self, client: httpx.AsyncClient, url: str, number: str, headers: dict[str, str]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        until = loop.time() + FOLLOW_S
        record: dict[str, Any] = {}
        while loop.time() < until:
            answer = await client.get(f"{url}/setpoints/{number}", headers={"Authorization": headers["Authorization"]})
            if answer.status_code == 200:
                record = answer.json()
                if record.get("state") in TERMINAL:
                    break
            await asyncio.sleep(ASK_EVERY_S)
        return record

    def _note(self, order: Order, body: dict[str, Any], *, state: str, code: str) -> None:
        self._ledger.write(id=body["id"], device=order.device, point=order.point, value=order.value, state=state, code=code)


def _body(order: Order) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "id": str(uuid.uuid4()),
        "device": order.device,
        "point": order.point,
        "value": order.value,
        "unit": "W",
        "mode": order.mode,
        "valid_from": stamp(now),
        "valid_until": stamp(now + VALID),
        "priority": 5,
        "service": order.service,
        "on_expiry": "release",
        "issued_at": stamp(now),
        "issuer": "simulated INVADE platform",
        "correlation_id": str(uuid.uuid4()),
    }
