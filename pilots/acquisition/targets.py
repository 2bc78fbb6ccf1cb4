"""From rows to driver targets: which connections exist, grouped by what must be leased together, and their ways. [station]"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson
from django.conf import settings
from django.db.models import Count, JSONField, QuerySet, Sum, TextField
from django.db.models.functions import Cast

from invade_scada.ports import claim_port, read_ports, serial_path
from pilots.domain.errors import LinkDown
from pilots.domain.point import PointSpec
from pilots.domain.topology import Protocol, Way
from pilots.drivers.base import DeviceTarget, Target
from pilots.drivers.registry import DRIVERS
from pilots.models import Connection, Device, Pilot, Point

_COLUMNS = ("pk", "name", "protocol", "host", "port", "serial_line", "backups", "simulated", "enabled", "options")
_DEVICE = ("code", "connection", "profile_options", "address", "key_sha256", "nameplate")
#: What a point's specification is made of; the text of JSON columns is compared, not parsed.
_POINT = [field.name for field in Point._meta.fields if field.name not in ("id", "device")]
_POINT_JSON = {field.name for field in Point._meta.fields if isinstance(field, JSONField)}
_SERIAL = (Protocol.MODBUS_RTU, Protocol.IEC101)


@dataclass(frozen=True, slots=True)
class Plan:
    """One supervisor's work: the connections of one lease resource and everything behind them.

    `ways` lead to the same devices, the configured one first; `targets` are the drivers' view of each, its endpoint as
    configured. `fingerprint` changes with any configuration that the running connection depends on.
    """

    resource: str
    connections: Mapping[str, int]  # name -> key
    simulated: bool
    ways: tuple[Way, ...]
    targets: tuple[Target, ...]
    fingerprint: str

    @property
    def protocol(self) -> Protocol:
        return self.ways[0].protocol

    @property
    def target(self) -> Target:
        return self.targets[0]


def read_plans() -> Iterator[Plan]:
    """Every enabled connection that a driver of ours must hold, as it is configured now; one by one, as most are not kept."""
    enabled = Connection.objects.filter(enabled=True, protocol__in=list(DRIVERS)).only(*_COLUMNS)
    devices: dict[int, list[Device]] = defaultdict(list)
    for device in Device.objects.filter(connection__in=enabled).only(*_DEVICE):
        devices[device.connection_id or 0].append(device)
    points = _points(Point.objects.filter(device__connection__in=enabled))
    groups: dict[str, list[Connection]] = defaultdict(list)
    for connection in enabled.order_by("pk"):
        groups[_resource(connection)].append(connection)
    return (_plan(resource, connections, devices, points) for resource, connections in groups.items())


def read_plan(connection: Connection) -> Plan:
    """What a supervisor of this connection alone would work from, enabled or not. Not for `push`."""
    points = _points(Point.objects.filter(device__connection=connection))
    return _plan(_resource(connection), [connection], {connection.pk: list(connection.devices.all())}, points)


class PlanBook:
    """The plans as they are configured now, built anew only when something they depend on has changed."""

    def __init__(self) -> None:
        self._plans: list[Plan] = []
        self._basis = b""

    def read(self) -> list[Plan]:
        basis = _basis()
        if basis != self._basis:
            known = {plan.resource: plan for plan in self._plans}
            # A plan that stays is the one its supervisor holds, not a copy.
            self._plans = [_unless_changed(known.get(plan.resource), plan) for plan in read_plans()]
            self._basis = basis
        return self._plans


def _basis() -> bytes:
    """Changes with whatever plans are made of; thousands of rows are looked at, none is kept."""
    seen = hashlib.sha256(repr(Pilot.objects.aggregate(Count("id"), Sum("revision"))).encode())
    connections = Connection.objects.order_by("pk").values_list(*_as_text(_COLUMNS, {"backups", "options"}))
    keys = Device.objects.exclude(key_sha256="").order_by("pk").values_list("pk", "key_sha256")
    for rows in (connections, keys):
        for row in rows.iterator(chunk_size=1000):
            seen.update(repr(row).encode())
    return seen.digest()


def _unless_changed(known: Plan | None, new: Plan) -> Plan:
    return known if known is not None and known.fingerprint == new.fingerprint else new


@dataclass(frozen=True, slots=True)
class PointSet:
    """The points of a device, shared by all devices that have the same."""

    specs: Mapping[str, PointSpec]
    digest: str


def _as_text(columns: Iterable[str], json_columns: Iterable[str]) -> list[Any]:
    return [Cast(name, TextField()) if name in json_columns else name for name in columns]


def _points(rows: QuerySet[Point]) -> dict[int, PointSet]:
    """By device. A profile's thousand devices have their points once, and are read one after the other: a plan of 100,000
    points must fit in memory, while it is made too."""
    columns = rows.order_by("device", "name").values_list("device", *_as_text(_POINT, _POINT_JSON))
    specs: dict[tuple[Any, ...], PointSpec] = {}
    sets: dict[tuple[tuple[Any, ...], ...], PointSet] = {}
    found: dict[int, PointSet] = {}
    for device, of_device in groupby(columns.iterator(chunk_size=1000), key=itemgetter(0)):
        key = tuple(row[1:] for row in of_device)
        if key not in sets:
            own = [specs.get(row) or specs.setdefault(row, _spec(row)) for row in key]
            sets[key] = PointSet({spec.name: spec for spec in own}, hashlib.sha256(repr(key).encode()).hexdigest())
        found[device] = sets[key]
    return found


def _spec(columns: tuple[Any, ...]) -> PointSpec:
    form = dict(zip(_POINT, columns, strict=True))
    return Point(**{n: json.loads(v) if n in _POINT_JSON and v is not None else v for n, v in form.items()}).spec


def _resource(connection: Connection) -> str:
    # Charge points of all pilots come to one listener: its connections share port, process and lease.
    if DRIVERS[Protocol(connection.protocol)].listener:
        return f"listener:{connection.protocol}:{connection.port or ''}"
    return f"connection:{connection.name}"


def _plan(
    resource: str, connections: list[Connection], devices: Mapping[int, list[Device]], points: Mapping[int, PointSet]
) -> Plan:
    first = connections[0]
    ways = (_first_way(first), *(_backup(form, first) for form in first.backups if len(connections) == 1))
    own = [(device, c) for c in connections for device in devices.get(c.pk, ())]
    targets = tuple(
        Target(
            name=first.name if len(connections) == 1 else resource,
            host=way.host,
            port=way.port or 0,
            serial_line=way.serial_line,
            options=way.options,
            devices=tuple(_device(d, c.options if index == 0 else way.options, points.get(d.pk)) for d, c in own),
        )
        for index, way in enumerate(ways)
    )
    facts = [(c.name, c.protocol, c.host, c.port, c.serial_line, c.backups, c.simulated, c.options) for c in connections]
    rows = [(d.id, d.address, d.options, d.nameplate) for d in targets[0].devices]
    digests = [points[d.pk].digest for d, _ in own if d.pk in points]
    fingerprint = hashlib.sha256(orjson.dumps([facts, rows, digests], default=str)).hexdigest()
    return Plan(
        resource=resource,
        connections={c.name: c.pk for c in connections},
        simulated=first.simulated,
        ways=ways,
        targets=targets,
        fingerprint=fingerprint,
    )


def _first_way(row: Connection) -> Way:
    protocol = Protocol(row.protocol)
    return Way(protocol=protocol, host=row.host, port=row.port, serial_line=row.serial_line, options=row.options)


def _backup(form: Mapping[str, Any], row: Connection) -> Way:
    """A backup of the same protocol has the first way's options where it says nothing else; another starts from none."""
    protocol = Protocol(form["protocol"])
    inherited = row.options if protocol == row.protocol else {}
    return Way(
        protocol=protocol,
        host=form.get("host") or "127.0.0.1",
        port=form.get("port"),
        serial_line=form.get("serial_line") or "",
        options={**inherited, **(form.get("options") or {})},
    )


def _device(device: Device, options: Mapping[str, Any], points: PointSet | None) -> DeviceTarget:
    merged = {**device.profile_options, **options, "key_sha256": device.key_sha256}
    specs = {} if points is None else points.specs
    return DeviceTarget(id=device.code, address=device.address, points=specs, options=merged, nameplate=device.nameplate)


def resolve_endpoint(plan: Plan, way: int = 0) -> Target:
    """The target of a way with the place to connect to, or to listen on, as it is now.

    Raises LinkDown when our simulator of it has not started: it claims a port, or makes a serial line, under the
    connection's name (a backup's n-th under `name/n`, and `name.n` as a serial line).
    """
    target, declared = plan.targets[way], plan.ways[way]
    if declared.serial_line or declared.port is not None:
        return target
    if DRIVERS[declared.protocol].listener:
        port = claim_port(settings.DATA_DIR, "ocpp", settings.OCPP_PORT, settings.OCPP_HOST)
        return replace(target, host=settings.OCPP_HOST, port=port)
    (name,) = plan.connections
    if declared.protocol in _SERIAL and plan.simulated:
        line = serial_path(settings.DATA_DIR, f"{name}.{way}" if way else name)
        if not line.exists():
            raise LinkDown(f"No serial line is configured for {name}, and no simulator has made one.")
        return replace(target, serial_line=str(line))
    found = read_ports(settings.DATA_DIR).get(f"{name}/{way}" if way else name)
    if found is None:
        raise LinkDown(f"No port is configured for {name}, and no simulator has claimed one.")
    return replace(target, port=found)
