"""Testing a connection for an engineer: what works, what does not and what to try. Reads only. [station]

A connection the gateway holds is not opened a second time: many devices serve one client, and a second one would throw
the first out. What the far end says is not repeated, and a port that does not open always gets the same sentence.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Max, Q

from invade_scada.ports import read_ports
from pilots.acquisition.targets import Plan, read_plan, resolve_endpoint
from pilots.acquisition.ways import words_of
from pilots.domain.errors import (
    AnswerTimeout,
    CatalogueError,
    DeviceRefused,
    FieldError,
    LinkDown,
    PilotsError,
    ProtocolViolation,
)
from pilots.domain.measurement import RawReading
from pilots.domain.topology import LinkState, Protocol
from pilots.drivers.base import Target
from pilots.drivers.registry import DRIVERS
from pilots.models import Connection, Device, LatestValue, Lease, Scope, ServiceToken

LONGEST_S = 10.0
JUST_NOW_S = 30.0
STATION_SILENT_S = 900.0
_HELD = (LinkState.UP, LinkState.DEGRADED)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How a test went: the steps that succeeded, what failed, what to try."""

    good: bool
    steps: tuple[str, ...] = ()
    failure: str = ""
    advice: str = ""

    @property
    def words(self) -> str:
        return " ".join(_sentence(part) for part in (*self.steps, self.failure, self.advice) if part)


def probe_connection(connection: Connection, *, now: datetime) -> ProbeResult:
    """The connection was tested, for at most ten seconds."""
    if connection.protocol == Protocol.PUSH:
        return _probe_push(connection, now)
    if DRIVERS[Protocol(connection.protocol)].listener:
        return _probe_listener(connection, now)
    if connection.enabled and connection.state in _HELD and _is_held(connection, now):
        return _tell_held(connection, now)
    return _probe_dialled(connection)


def _probe_dialled(connection: Connection) -> ProbeResult:
    """Every way of the connection, one after the other: a backup that nobody tries is none."""
    plan = read_plan(connection)
    if not plan.target.devices:
        advice = "Give a device this connection and its address."
        return ProbeResult(False, failure="No device uses this connection", advice=advice)
    if len(plan.ways) == 1:
        return _probe_way(plan, 0)
    results = [_probe_way(plan, index) for index in range(len(plan.ways))]
    steps = tuple(f"{words_of(plan.ways, index)}: {result.words}" for index, result in enumerate(results))
    return ProbeResult(all(result.good for result in results), steps)


def _probe_way(plan: Plan, way: int) -> ProbeResult:
    try:
        target = resolve_endpoint(plan, way)
    except LinkDown as error:
        advice = "Start the simulators (run_scada --demo), or enter a place: host and port, or a serial line."
        return ProbeResult(False, failure=str(error), advice=advice)
    try:
        return ProbeResult(True, tuple(_run_probe(plan.ways[way].protocol, target)))
    except Exception as error:  # noqa: BLE001  an engineer's test never ends in a server error
        return _tell_failure(target, error)


def _run_probe(protocol: Protocol, target: Target) -> list[str]:
    """Runs the driver's probe in a loop and thread of its own: the caller may be inside a loop already."""
    outcome: list[list[str] | BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(_probe(protocol, target)))
        except BaseException as error:  # noqa: BLE001  handed to the caller's thread
            outcome.append(error)

    thread = threading.Thread(target=run, name="probe", daemon=True)
    thread.start()
    thread.join(LONGEST_S + 2.0)
    if not outcome:
        raise TimeoutError
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


async def _probe(protocol: Protocol, target: Target) -> list[str]:
    driver = DRIVERS[protocol](target, _discard)
    try:
        async with asyncio.timeout(LONGEST_S):
            return await driver.probe()
    finally:
        await driver.close()


async def _discard(device_id: str, readings: Sequence[RawReading]) -> None:
    """What arrives during a test is no measurement of the plant's."""


def _tell_failure(target: Target, error: Exception) -> ProbeResult:
    if isinstance(error, LinkDown):
        return ProbeResult(False, failure=f"{target.place} gave us no connection", advice=_reach_advice(target))
    opened = (f"{target.place} opened",)
    if isinstance(error, TimeoutError):
        failure = f"{target.place} did not finish the test within {LONGEST_S:g} s"
        return ProbeResult(False, failure=failure, advice=_ADVICE[AnswerTimeout])
    if isinstance(error, CatalogueError):
        advice = "Correct this option or address."
        return ProbeResult(False, failure=f"The configuration cannot be used: {error}", advice=advice)
    kind = next((kind for kind in _ADVICE if isinstance(error, kind)), None)
    if kind is None or not isinstance(error, FieldError):
        said = str(error) if isinstance(error, PilotsError) else type(error).__name__
        return ProbeResult(False, failure=f"The test could not be carried out: {said}", advice="Check the points' addresses.")
    return ProbeResult(False, opened, str(error), _serial_advice(target, kind) or _ADVICE[kind])


def _reach_advice(target: Target) -> str:
    if target.serial_line:
        return "Check the device file, that the service may open it, and that no other program holds it."
    if "tls" in target.options:
        return "Check the address, that the device expects TLS there, and that both ends trust each other's certificate."
    return "Check the address, that the device is on, and that no firewall or other client holds the port."


def _serial_advice(target: Target, kind: type[FieldError]) -> str:
    """On a serial line the line itself is the first suspect."""
    if not target.serial_line or kind is DeviceRefused:
        return ""
    return "Check baud rate, parity and stop bits, the wires A and B, their termination, and the address of the device."


_ADVICE: dict[type[FieldError], str] = {
    AnswerTimeout: "Check unit id, common or link address, and that the device speaks this protocol on this port.",
    ProtocolViolation: "Something else than this protocol answers there: check port and protocol.",
    DeviceRefused: "The device answers but refuses: check the point's address and the device's access list.",
}


def _tell_held(connection: Connection, now: datetime) -> ProbeResult:
    since = "" if connection.state_since is None else f" since {_moment(connection.state_since)}"
    steps = [f"The gateway holds this connection now: {connection.state}{since}"]
    if connection.last_frame_at is not None:
        steps.append(f"the last good frame came {_ago(connection.last_frame_at, now)}")
    steps.append("it was not opened a second time, because many devices serve one client only")
    return ProbeResult(connection.state == LinkState.UP, tuple(steps), failure=connection.last_error)


def _is_held(connection: Connection, now: datetime) -> bool:
    """Whether some gateway owns it or heard it just now; a row alone may be what a dead gateway left."""
    heard = connection.last_frame_at
    leased = Lease.objects.filter(resource=f"connection:{connection.name}", until__gt=now).exists()
    return leased or (heard is not None and (now - heard).total_seconds() < JUST_NOW_S)


def _probe_listener(connection: Connection, now: datetime) -> ProbeResult:
    port = connection.port or read_ports(settings.DATA_DIR).get("ocpp")
    host = connection.host if connection.port else settings.OCPP_HOST
    if port is None or not _is_bound(host, port):
        where = "The charge points' port" if port is None else f"Port {port}"
        advice = "Start a gateway (run_scada --role field)."
        return ProbeResult(False, failure=f"{where} is not open: no gateway listens", advice=advice)
    heard = _stations(connection)
    silent = {name: at for name, at in heard.items() if at is None or (now - at).total_seconds() > STATION_SILENT_S}
    steps = [f"Port {port} is open for charge points, path /ocpp/<identity>"]
    steps.append(f"{len(heard) - len(silent)} of {len(heard)} stations are heard")
    steps += [f"{name} was last heard {_ago(at, now)}" if at else f"{name} was never heard" for name, at in silent.items()]
    advice = "Check the silent stations' server address, identity and key." if silent or not heard else ""
    return ProbeResult(bool(heard) and not silent, tuple(steps), advice=advice)


def _stations(connection: Connection) -> dict[str, datetime | None]:
    """By identity, when each charge point of the connection was last heard."""
    stations: dict[str, list[Device]] = {}
    for device in connection.devices.order_by("code"):
        stations.setdefault(str(device.address.get("identity", device.code)), []).append(device)
    return {identity: _last_received(Q(point__device__in=devices)) for identity, devices in stations.items()}


def _is_bound(host: str, port: int) -> bool:
    if host in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        host = "127.0.0.1"
    try:
        with socket.create_connection((host, port), timeout=2.0):
            return True
    except OSError:
        return False


def _probe_push(connection: Connection, now: datetime) -> ProbeResult:
    heard = _last_received(Q(point__device__connection=connection))
    tokens = ServiceToken.objects.filter(Q(all_pilots=True) | Q(pilots=connection.pilot), revoked_at=None).distinct()
    pushing = [token for token in tokens if Scope.INGEST in token.scopes and token.is_live(now)]
    if not pushing:
        advice = "Make a service token with scope ingest."
        return ProbeResult(False, failure="No live token may push for this pilot", advice=advice)
    used = sorted((token for token in pushing if token.last_used_at), key=lambda token: token.last_used_at or now, reverse=True)
    steps = [f"token {token.name} was last used {_ago(token.last_used_at, now)}" for token in used[:3] if token.last_used_at]
    if heard is None:
        advice = f"Let the head-end post to /api/v1/measurements with one of the tokens {', '.join(t.name for t in pushing[:5])}."
        return ProbeResult(False, tuple(steps), "No message has come for these devices yet", advice)
    steps.insert(0, f"The last message came {_ago(heard, now)} ({_moment(heard)})")
    if _any_fresh(connection, now):
        return ProbeResult(True, tuple(steps))
    return ProbeResult(
        False, tuple(steps), "Every value is older than its source promised", "Look whether the head-end still runs."
    )


def _any_fresh(connection: Connection, now: datetime) -> bool:
    """Whether at least one value of the connection came within its point's promised silence."""
    rows = LatestValue.objects.filter(point__device__connection=connection).select_related("point")
    ages = (((now - row.received_time).total_seconds(), row.point.spec.max_age_s) for row in rows)
    return any(most is None or age <= most for age, most in ages)


def _last_received(rows: Q) -> datetime | None:
    found: datetime | None = LatestValue.objects.filter(rows).aggregate(last=Max("received_time"))["last"]
    return found


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _ago(at: datetime, now: datetime) -> str:
    seconds = max(0, round((now - at).total_seconds()))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"


def _sentence(part: str) -> str:
    """A step as a sentence of its own; a name at its head keeps its letters."""
    head = part.partition(" ")[0]
    return (part if not head.isalpha() else part[:1].upper() + part[1:]).rstrip(".") + "."
