"""A simulated OCPP 1.6J charge point with one connector. [zone: field, simulated] [D7.1 3.1.3 e, 3.1.4 e, 3.1.2 e']

Transaction messages (start, stop, meter values of a transaction) are kept while the central system is away and sent again
in order with their old timestamps (OCPP 1.6 edition 2, 3.7); everything else is sent only while connected.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ocpp.v16 import call
from ocpp.v16.enums import ChargePointErrorCode, ChargePointStatus, Reason
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from pilots.simulators.charging_profiles import ProfileStore
from pilots.simulators.ledger import Ledger, stamp
from pilots.simulators.noise import generator
from pilots.simulators.plant import Plant, Refused
from pilots.simulators.station_calls import StationCalls

log = logging.getLogger(__name__)

METER_S = 5.0
TICK_S = 1.0
RECONNECT_MAX_S = 5.0
HEARTBEAT_S = 60.0
KEPT_MESSAGES = 5000


@dataclass(slots=True)
class Transaction:
    """One charge: its number is known once the central system has answered the start."""

    id_tag: str
    started: datetime
    meter_start: int
    id: int | None = None


class ChargePoint:
    """One station, across its connections. `endpoint()` gives host and port or None while nobody listens; `key()` its key."""

    def __init__(
        self,
        plant: Plant,
        device_id: str,
        identity: str,
        *,
        connector: int = 1,
        endpoint: Callable[[], tuple[str, int] | None],
        key: Callable[[], str | None],
        ledger: Ledger,
        seed: int = 0,
        meter_s: float = METER_S,
    ) -> None:
        self.plant, self.device_id, self.identity, self.connector = plant, device_id, identity, connector
        self.charger = plant.charger(device_id)
        self.endpoint, self.key, self.ledger, self.meter_s = endpoint, key, ledger, meter_s
        self.told_limit_w: float | None = None
        self.profiles = ProfileStore()
        self.transaction: Transaction | None = None
        self.queue: deque[tuple[Transaction, Callable[[Transaction], Any]]] = deque(maxlen=KEPT_MESSAGES)
        self.calls: StationCalls | None = None
        self.heartbeat_s = HEARTBEAT_S
        self._booted = False
        self._reported = ""
        self._random: random.Random = generator(seed, identity, "ocpp")
        self._wake = asyncio.Event()
        self._errands: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """The station lives until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._live())
            group.create_task(self._stay_connected())

    # -- the station's own life, connected or not

    async def _live(self) -> None:
        until_meter = self._random.uniform(0.5, self.meter_s)
        while True:
            await asyncio.sleep(TICK_S)
            self.apply_limit()
            self._follow_car()
            until_meter -= TICK_S
            if until_meter <= 0:
                until_meter += self.meter_s
                self._measure()
            if self.calls is not None and self.charger.state != self._reported:
                self.errand(self.send_status())

    def apply_limit(self) -> None:
        """The plant obeys the profiles in force now."""
        limit = self.profiles.limit_w(self.connector, datetime.now(UTC), charging=self.transaction is not None)
        if limit is None:
            self.plant.release(self.device_id, "p_limit")
            return
        with contextlib.suppress(Refused):
            self.plant.write(self.device_id, "p_limit", max(0.0, limit))

    def restart(self) -> None:
        """The station has lost its memory of the central system: it boots again at its next connection."""
        self._booted = False

    def clock(self) -> datetime:
        """What the station's own clock shows."""
        return self.plant.own_time(self.device_id, datetime.now(UTC))

    def _follow_car(self) -> None:
        charger, transaction = self.charger, self.transaction
        charging = charger.car is not None and charger.authorised
        if transaction is not None and (not charging or transaction.id_tag != charger.id_tag):
            self._stop(transaction, Reason.remote if charger.stopped else Reason.ev_disconnected)
        elif transaction is None and charging:
            self._start()

    def _start(self) -> None:
        transaction = Transaction(self.charger.id_tag, self.clock(), self.meter_wh())
        self.transaction = transaction
        begin = call.StartTransaction(
            connector_id=self.connector,
            id_tag=transaction.id_tag,
            meter_start=transaction.meter_start,
            timestamp=stamp(transaction.started),
        )
        self._keep(transaction, lambda _: begin)

    def _stop(self, transaction: Transaction, reason: Reason) -> None:
        moment, meter = stamp(self.clock()), self.meter_wh()
        self._keep(
            transaction,
            lambda t: call.StopTransaction(
                meter_stop=meter, timestamp=moment, transaction_id=t.id or 0, reason=reason, id_tag=t.id_tag
            ),
        )
        self.transaction = None
        self.profiles.end_transaction()
        self.charger.session_id = ""

    def _keep(self, transaction: Transaction, message: Callable[[Transaction], Any]) -> None:
        self.queue.append((transaction, message))
        self._wake.set()

    def _measure(self) -> None:
        """Meter values: part of the transaction while one runs, else only for who listens now."""
        values, transaction = self.meter_value("Sample.Periodic"), self.transaction
        if transaction is not None:
            self._keep(
                transaction,
                lambda t: call.MeterValues(connector_id=self.connector, meter_value=[values], transaction_id=t.id or 0),
            )
        elif self.calls is not None:
            self.errand(self._send(call.MeterValues(connector_id=self.connector, meter_value=[values])))

    def meter_wh(self) -> int:
        return int(_number(self.plant.read(self.device_id, "energy_import")))

    def meter_value(self, context: str) -> dict[str, Any]:
        """One OCPP MeterValue of this moment."""
        read, charger = self.plant.read, self.charger
        power = float(read(self.device_id, "active_power") or 0.0)
        samples = [
            _sample("Power.Active.Import", max(power, 0.0), "W", context),
            _sample("Energy.Active.Import.Register", self.meter_wh(), "Wh", context),
            _sample("Voltage", read(self.device_id, "voltage"), "V", context),
            _sample("Current.Import", max(_number(read(self.device_id, f"current_l{n}")) for n in (1, 2, 3)), "A", context),
            _sample("Power.Offered", read(self.device_id, "charging_power_max"), "W", context),
        ]
        for phase in ("L1", "L2", "L3"):
            amperes = read(self.device_id, f"current_{phase.lower()}")
            samples.append({**_sample("Current.Import", amperes, "A", context), "phase": phase})
        if charger.v2g:
            samples.append(_sample("Power.Active.Export", max(-power, 0.0), "W", context))
            if charger.car is not None:
                samples.append(_sample("SoC", 100.0 * charger.car.soc, "Percent", context))
        return {"timestamp": stamp(self.clock()), "sampled_value": samples}

    # -- the connection

    async def _stay_connected(self) -> None:
        while True:
            # Jitter also before the first try: forty stations of one street never ring at the same moment.
            await asyncio.sleep(self._random.uniform(0.0, 1.0 if not self._booted else RECONNECT_MAX_S))
            place = self.endpoint()
            if place is None:
                continue
            try:
                await self._visit(*place)
            except (OSError, InvalidHandshake, InvalidURI, ConnectionClosed, TimeoutError) as error:
                log.debug("%s: %s", self.identity, error)
                await asyncio.sleep(self._random.uniform(0.5, RECONNECT_MAX_S / 2))

    async def _visit(self, host: str, port: int) -> None:
        """One connection, until it is lost. Raises what the library raises."""
        headers = {}
        key = self.key()
        if key is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{self.identity}:{key}".encode()).decode()
        url = f"ws://{host}:{port}/ocpp/{self.identity}"
        async with connect(
            url, subprotocols=[Subprotocol("ocpp1.6")], additional_headers=headers, compression=None, ping_interval=30,
            open_timeout=5, close_timeout=1, proxy=None,
        ) as socket:  # fmt: skip
            calls = StationCalls(self, socket)
            listening = asyncio.create_task(calls.start())
            working = asyncio.create_task(self._work(calls))
            try:
                done, _ = await asyncio.wait({listening, working}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                self.calls = None
                for task in (listening, working, *self._errands):
                    task.cancel()
                await asyncio.gather(listening, working, *self._errands, return_exceptions=True)

    async def _work(self, calls: StationCalls) -> None:
        """Boot once, tell the states, then the kept messages in order and heartbeats between them."""
        if not self._booted:
            await self.boot(calls)
        self.calls = calls
        await self.send_status(connector=0)
        await self.send_status()
        last = asyncio.get_running_loop().time()
        while True:
            while self.queue:
                await self._send_oldest(calls)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 5.0)
            now = asyncio.get_running_loop().time()
            if now - last >= self.heartbeat_s:
                last = now
                await calls.call(call.Heartbeat())

    async def boot(self, calls: StationCalls) -> None:
        answer = await calls.call(
            call.BootNotification(
                charge_point_vendor="INVADE", charge_point_model="Simulated 1.6J", charge_point_serial_number=self.identity[:25]
            )
        )
        while answer is None or answer.status != "Accepted":
            await asyncio.sleep(min(float(answer.interval), 30.0) if answer is not None else 5.0)
            answer = await calls.call(call.BootNotification(charge_point_vendor="INVADE", charge_point_model="Simulated 1.6J"))
        self.heartbeat_s = float(answer.interval) or HEARTBEAT_S
        self._booted = True

    async def _send_oldest(self, calls: StationCalls) -> None:
        """The head of the queue is sent and answered; it stays there when the connection breaks first."""
        transaction, message = self.queue[0]
        payload = message(transaction)
        answer = await calls.call(payload, skip_schema_validation=isinstance(payload, call.MeterValues))
        if isinstance(payload, call.StartTransaction) and answer is not None:
            transaction.id = int(answer.transaction_id)
            if transaction is self.transaction:
                self.charger.session_id = str(transaction.id)
        if self.queue and self.queue[0][1] is message:
            self.queue.popleft()

    async def send_status(self, connector: int | None = None) -> None:
        """StatusNotification of the connector, or of the whole station (0)."""
        state = self.charger.state
        if connector is None:
            self._reported = state
        elif self.charger.available and not self.charger.out_of_order:
            state = "Available"
        await self._send(
            call.StatusNotification(
                connector_id=self.connector if connector is None else connector,
                error_code=ChargePointErrorCode.ground_failure if state == "Faulted" else ChargePointErrorCode.no_error,
                status=ChargePointStatus(state),
                timestamp=stamp(self.clock()),
            )
        )

    async def send_meter_values(self) -> None:
        """For TriggerMessage: once the plant has had a step to obey what came just before."""
        await asyncio.sleep(0.5)
        transaction = self.transaction
        number = transaction.id if transaction is not None else None
        values = [self.meter_value("Trigger")]
        await self._send(call.MeterValues(connector_id=self.connector, meter_value=values, transaction_id=number))

    async def _send(self, payload: Any) -> None:
        if self.calls is not None:
            await self.calls.call(payload, skip_schema_validation=isinstance(payload, call.MeterValues))

    def errand(self, work: Any) -> None:
        """Run beside the reader: a call inside a handler would wait for an answer nobody reads."""

        async def guarded() -> None:
            with contextlib.suppress(OSError, ConnectionClosed, TimeoutError):
                await work

        task = asyncio.create_task(guarded())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)


def _number(value: float | str | None) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _sample(measurand: str, value: float | str | None, unit: str, context: str) -> dict[str, Any]:
    number = f"{_number(value):.1f}" if unit != "Wh" else f"{_number(value):.0f}"
    return {"value": number, "context": context, "measurand": measurand, "unit": unit}
