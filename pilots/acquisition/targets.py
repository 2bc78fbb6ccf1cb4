"""From rows to driver targets: which connections exist, grouped by what must be leased together. [station]"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from django.conf import settings
from django.db.models import Count, Sum

from invade_scada.ports import claim_port, read_ports
from pilots.domain.errors import LinkDown
from pilots.domain.topology import Protocol
from pilots.drivers.base import DeviceTarget, Target
from pilots.drivers.registry import DRIVERS
from pilots.models import Connection, Device, Pilot

_COLUMNS = ("pk", "name", "protocol", "host", "port", "simulated", "enabled", "options")


@dataclass(frozen=True, slots=True)
class Plan:
    """One supervisor's work: the connections of one lease resource and everything behind them.

    `fingerprint` changes with any configuration that the running connection depends on.
    """

    resource: str
    protocol: Protocol
    connections: Mapping[str, int]  # name -> key
    host: str
    port: int | None
    simulated: bool
    target: Target
    fingerprint: str


def read_plans() -> list[Plan]:
    """Every enabled connection that a driver of ours must hold, as it is configured now."""
    groups: dict[str, list[Connection]] = defaultdict(list)
    enabled = Connection.objects.filter(enabled=True).exclude(protocol=Protocol.PUSH)
    for connection in enabled.prefetch_related("devices__points").order_by("pk"):
        groups[_resource(connection)].append(connection)
    return [_plan(resource, connections) for resource, connections in groups.items()]


def read_plan(connection: Connection) -> Plan:
    """What a supervisor of this connection alone would work from, enabled or not. Not for `push`."""
    return _plan(_resource(connection), [connection])


class PlanBook:
    """The plans as they are configured now, built anew only when something they depend on has changed."""

    def __init__(self) -> None:
        self._plans: list[Plan] = []
        self._basis: object = None

    def read(self) -> list[Plan]:
        basis = (
            Pilot.objects.aggregate(Count("id"), Sum("revision")),
            list(Connection.objects.order_by("pk").values_list(*_COLUMNS)),
            list(Device.objects.exclude(key_sha256="").order_by("pk").values_list("pk", "key_sha256")),
        )
        if basis != self._basis:
            self._plans, self._basis = read_plans(), basis
        return self._plans


def _resource(connection: Connection) -> str:
    # Charge points of all pilots come to one listener: its connections share port, process and lease.
    if DRIVERS[Protocol(connection.protocol)].listener:
        return f"listener:{connection.protocol}:{connection.port or ''}"
    return f"connection:{connection.name}"


def _plan(resource: str, connections: list[Connection]) -> Plan:
    first = connections[0]
    devices = tuple(_device(device, c) for c in connections for device in c.devices.all())
    name = first.name if len(connections) == 1 else resource
    target = Target(name=name, host=first.host, port=first.port or 0, devices=devices, options=first.options)
    facts = [(c.name, c.host, c.port, c.simulated, c.options) for c in connections]
    rows = [(d.id, d.address, d.options, {n: repr(p) for n, p in d.points.items()}) for d in devices]
    fingerprint = hashlib.sha256(orjson.dumps([facts, rows], default=str)).hexdigest()
    return Plan(
        resource=resource,
        protocol=Protocol(first.protocol),
        connections={c.name: c.pk for c in connections},
        host=first.host,
        port=first.port,
        simulated=first.simulated,
        target=target,
        fingerprint=fingerprint,
    )


def _device(device: Device, connection: Connection) -> DeviceTarget:
    options = {**device.profile_options, **connection.options, "key_sha256": device.key_sha256}
    points = {point.name: point.spec for point in device.points.all()}
    return DeviceTarget(id=device.code, address=device.address, points=points, options=options, nameplate=device.nameplate)


def resolve_endpoint(plan: Plan) -> tuple[str, int]:
    """Host and port to connect to, or to listen on, now. Raises LinkDown when our simulator has not started."""
    if plan.port is not None:
        return plan.host, plan.port
    if DRIVERS[plan.protocol].listener:
        return settings.OCPP_HOST, claim_port(settings.DATA_DIR, "ocpp", settings.OCPP_PORT, settings.OCPP_HOST)
    (name,) = plan.connections
    port = read_ports(settings.DATA_DIR).get(name)
    if port is None:
        raise LinkDown(f"No port is configured for {name}, and no simulator has claimed one.")
    return plan.host, port
