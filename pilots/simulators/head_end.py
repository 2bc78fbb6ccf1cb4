"""Head-end systems that push measurements into the API by HTTP JSON. [zone: operation, simulated]

[D7.1 3.1.3 b, 3.1.4 c, 3.1.5 g]

Home automation clouds, smart meters, the CPO's metering and the weather source: each pusher has a token of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from pilots.domain.point import PointKind, PointSpec
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, DeviceSpec, PilotSpec, Protocol
from pilots.simulators.ledger import stamp
from pilots.simulators.noise import generator
from pilots.simulators.plant import Plant

log = logging.getLogger(__name__)

PUSH_S = 5.0
KEPT_MESSAGES = 2000
#: The receiver refuses a `sent_at` more than 60 s off its clock, so an old message gets a new one when it is sent again.
RENEW_SENT_AT = timedelta(seconds=20)
TRY_LATER = (401, 403, 408, 429)
GOOD = {"validity": "good", "source": "simulated", "flags": []}
MISSING = {"validity": "invalid", "source": "simulated", "flags": ["not_available"]}


@dataclass(slots=True)
class Message:
    """One measurement message on its way; its key stays the same however often it is sent."""

    body: dict[str, Any]
    sent_at: datetime
    key: str = field(default_factory=lambda: str(uuid.uuid4()))


def pushers_of(pilot: PilotSpec) -> dict[str, list[DeviceSpec]]:
    """The devices each pusher carries: those of push connections, by the pusher their address names."""
    connections = {connection.name: connection for connection in pilot.connections if connection.protocol is Protocol.PUSH}
    found: dict[str, list[DeviceSpec]] = {}
    for device in pilot.devices:
        connection = connections.get(device.connection)
        if connection is not None and connection.simulated:
            found.setdefault(_pusher(device, connection), []).append(device)
    return found


def _pusher(device: DeviceSpec, connection: ConnectionSpec) -> str:
    known = connection.options.get("pushers") or [connection.name]
    return str(device.address.get("pusher") or (device.id if device.id in known else known[0]))


class HeadEnd:
    """One pusher. `base_url()` gives the API's root (".../api/v1") or None while its place is unknown."""

    def __init__(
        self,
        plant: Plant,
        name: str,
        devices: list[DeviceSpec],
        profiles: Mapping[str, Profile],
        *,
        base_url: Callable[[], str | None],
        token: Callable[[], str | None],
        period_s: float = PUSH_S,
        seed: int = 0,
    ) -> None:
        self.plant, self.name, self.period_s = plant, name, period_s
        self.base_url, self.token = base_url, token
        self.queue: deque[Message] = deque(maxlen=KEPT_MESSAGES)
        self._points = [
            (device.id, spec)
            for device in devices
            if device.profile in profiles
            for spec in profiles[device.profile].points.values()
            if spec.kind not in (PointKind.SETPOINT, PointKind.COMMAND)
        ]
        self._epoch = int(datetime.now(UTC).timestamp())
        self._sequence = 0
        self._phase = generator(seed, name, "phase").random()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Measures and sends until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._measure())
            group.create_task(self._send())

    async def _measure(self) -> None:
        # Pushers of one pilot are spread over the period, as they would be without a common clock.
        await asyncio.sleep(1.0 + self._phase * self.period_s / 2)
        while True:
            self.collect(datetime.now(UTC))
            await asyncio.sleep(self.period_s)

    def collect(self, now: datetime) -> None:
        """One more message waits; beyond KEPT_MESSAGES the oldest is lost, as in the real device's memory."""
        self._sequence += 1
        body = {
            "pilot": self.plant.pilot.code,
            "epoch": self._epoch,
            "sequence": self._sequence,
            "sent_at": stamp(now),
            "values": list(self._values(now)),
        }
        self.queue.append(Message(body, now))
        self._wake.set()

    def _values(self, now: datetime) -> Iterator[dict[str, Any]]:
        for device_id, spec in self._points:
            value = self.plant.read(device_id, spec.name)
            moment = stamp(self.plant.own_time(device_id, now))
            row = {"device": device_id, "point": spec.name, "t": moment, "resolution": None, "agg": "last"}
            yield {**row, **_value(value, spec)}

    async def _send(self) -> None:
        wait_s = 0.0
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            while True:
                while self.queue:
                    delivered = await self._deliver(client, self.queue[0])
                    wait_s = 0.0 if delivered else min(5.0, max(0.5, 2 * wait_s))
                    await asyncio.sleep(wait_s)
                self._wake.clear()
                await self._wake.wait()

    async def _deliver(self, client: httpx.AsyncClient, message: Message) -> bool:
        """Whether the message is off the queue: taken, or refused for good."""
        url, token = self.base_url(), self.token()
        if url is None or token is None:
            return False
        now = datetime.now(UTC)
        if now - message.sent_at > RENEW_SENT_AT:
            message.sent_at, message.body["sent_at"] = now, stamp(now)
        headers = {
            "Authorization": f"Bearer {token}", "Idempotency-Key": message.key, "Content-Type": "application/json",
        }  # fmt: skip
        try:
            answer = await client.post(f"{url}/measurements", content=json.dumps(message.body).encode(), headers=headers)
        except httpx.HTTPError as error:
            log.debug("%s: %s", self.name, error)
            return False
        if answer.status_code >= 500 or answer.status_code in TRY_LATER or "idempotency_in_progress" in answer.text:
            return False
        # Any other 409: a first try arrived and only its answer was lost; any other 4xx would be refused again.
        if answer.status_code >= 400 and answer.status_code != 409:
            log.warning("%s: message refused with %s: %s", self.name, answer.status_code, answer.text[:300])
        if self.queue and self.queue[0] is message:
            self.queue.popleft()
        return True


def _value(value: float | str | None, spec: PointSpec) -> dict[str, Any]:
    if spec.kind is PointKind.TEXT:
        return {"text": value if isinstance(value, str) else "", "unit": "", "quality": GOOD}
    if not isinstance(value, int | float):
        return {"value": None, "unit": spec.unit, "quality": MISSING}
    return {"value": round(float(value), 6), "unit": spec.unit, "quality": GOOD}
