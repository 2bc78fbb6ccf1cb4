"""A declared pilot becomes rows: all or nothing, and twice is once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import F, Model

from pilots.catalogue.alarm_rules import put_default_rules
from pilots.catalogue.link_points import put_link_points
from pilots.catalogue.loader import resolve_points
from pilots.catalogue.points import CAPABILITY_RULES
from pilots.domain.errors import CatalogueError
from pilots.domain.fallback import POINTS, FallbackError, check_plan
from pilots.domain.interlock import references
from pilots.domain.point import Capability, PointSpec
from pilots.domain.profile import Profile
from pilots.domain.topology import DeviceSpec, PilotSpec, Way
from pilots.models import Connection, Device, Link, Pilot, Point, PointTest, Schedule, Setpoint

M = TypeVar("M", bound=Model)
_RULES = {"min_interval_s", "default", *CAPABILITY_RULES}


@dataclass(slots=True)
class Commissioned:
    """What a file changed: rows created, changed and removed."""

    created: int = 0
    changed: int = 0
    removed: int = 0

    @property
    def any(self) -> bool:
        return bool(self.created or self.changed or self.removed)


@transaction.atomic
def commission_pilot(spec: PilotSpec, profiles: dict[str, Profile]) -> Commissioned:
    """The rows of this pilot are what the file says; history, set-points and states stay.

    Raises CatalogueError when a device that set-points refer to would disappear, or an interlock needs a point that is none.
    """
    done = Commissioned()
    pilot = _put(done, Pilot, {"code": spec.code}, _pilot_columns(spec))
    connections = {c.name: _put(done, Connection, {"name": c.name}, _connection_columns(pilot, c)) for c in spec.connections}
    devices = {d.id: _put(done, Device, {"code": d.id}, _device_columns(pilot, d, connections, profiles)) for d in spec.devices}
    for device in spec.devices:
        relatives = {"parent": devices.get(device.parent), "measured_by": devices.get(device.measured_by)}
        _put(done, Device, {"code": device.id}, relatives)
    _put_points(done, spec, devices, profiles)
    _put_links(done, pilot, spec, devices, connections)
    _remove_absent(done, pilot, spec)
    done.changed += put_link_points(pilot)
    done.changed += put_default_rules(pilot)
    check_interlocks(pilot)
    for row in devices.values():
        check_fallback(row)
    if done.any:
        note_change(pilot)
    return done


def note_change(pilot: Pilot) -> None:
    """Gateways and pages notice within seconds that this pilot's configuration changed."""
    Pilot.objects.filter(pk=pilot.pk).update(revision=F("revision") + 1)


def check_fallback(device: Device) -> None:
    """The plan it declares can be carried out by its points. Raises CatalogueError."""
    if not device.fallback:
        return
    try:
        check_plan(device.fallback, {point.name: point.spec for point in device.points.filter(name__in=POINTS)})
    except FallbackError as error:
        raise CatalogueError(f"{device.code}: {error}", field="fallback") from error


def check_interlocks(pilot: Pilot) -> None:
    """Every point of another device that an interlock of this pilot needs is there. Raises CatalogueError naming it."""
    held = Point.objects.filter(device__pilot=pilot, capability__interlock__isnull=False).select_related("device")
    known = None
    for point in held:
        known = known or set(_point_names(pilot))
        for name in sorted(missing_references(point, known)):
            raise CatalogueError(f"{point}: the interlock needs {name}, which is no point of this pilot", field="interlock")


def missing_references(point: Point, known: Collection[str] | None = None) -> set[str]:
    """What its interlock needs of other devices and their pilot has not. Raises InterlockError when it cannot be read."""
    capability = point.spec.capability
    needed = references(capability.interlock) if capability is not None and capability.interlock else frozenset()
    elsewhere = {name for name in needed if "/" in name}
    if not elsewhere:
        return set()
    return elsewhere - set(known if known is not None else _point_names(point.device.pilot))


def _point_names(pilot: Pilot) -> Iterator[str]:
    for device, name in Point.objects.filter(device__pilot=pilot).values_list("device__code", "name"):
        yield f"{device}/{name}"


def _put(done: Commissioned, model: type[M], key: dict[str, Any], columns: dict[str, Any]) -> M:
    row = model._default_manager.filter(**key).first()
    if row is None:
        done.created += 1
        row = model(**key, **columns)
        row.full_clean(exclude=["parent", "measured_by"])
        row.save(force_insert=True)
        return row
    changes = {name: value for name, value in columns.items() if getattr(row, name) != value}
    if changes:
        done.changed += 1
        for name, value in changes.items():
            setattr(row, name, value)
        row.save(update_fields=list(changes))
    return row


def _pilot_columns(spec: PilotSpec) -> dict[str, Any]:
    names = ("name", "country", "time_zone", "latitude", "longitude", "summary", "operator", "source")
    # What the file does not say stays as an administrator set it.
    heartbeat = {} if spec.heartbeat_s is None else {"heartbeat_s": spec.heartbeat_s}
    return {name: getattr(spec, name) for name in names} | heartbeat


def _connection_columns(pilot: Pilot, connection: Any) -> dict[str, Any]:
    columns = {"pilot": pilot, "protocol": connection.protocol.value, "host": connection.host, "port": connection.port}
    columns |= {"serial_line": connection.serial_line, "backups": [_way_form(way) for way in connection.backups]}
    return columns | {"simulated": connection.simulated, "options": dict(connection.options)}


def _way_form(way: Way) -> dict[str, Any]:
    return {**asdict(way), "protocol": way.protocol.value, "options": dict(way.options)}


def _device_columns(
    pilot: Pilot, device: DeviceSpec, connections: dict[str, Connection], profiles: dict[str, Profile]
) -> dict[str, Any]:
    if Device.objects.filter(code=device.id).exclude(pilot=pilot).exists():
        raise CatalogueError(f"{device.id} belongs to another pilot already", field="devices")
    options = dict(profiles[device.profile].options) if device.profile else {}
    return {
        "pilot": pilot,
        "kind": device.kind.value,
        "name": device.name,
        "sgam": device.sgam,
        "connection": connections.get(device.connection),
        "profile": device.profile,
        "profile_options": options,
        "address": dict(device.address),
        "position": device.position,
        "operator": device.operator,
        "nameplate": dict(device.nameplate),
        **({"fallback": dict(device.fallback)} if device.fallback else {}),
    }


def _put_points(done: Commissioned, spec: PilotSpec, devices: dict[str, Device], profiles: dict[str, Profile]) -> None:
    connections = {connection.name: connection for connection in spec.connections}
    for device in spec.devices:
        if device.profile:
            points = resolve_points(device, profiles[device.profile], connections[device.connection])
            put_points(devices[device.id], points, done)


def put_points(device: Device, points: Mapping[str, PointSpec], done: Commissioned | None = None) -> None:
    """The device has these points and no others. Raises CatalogueError when set-points refer to one that would go."""
    done = done or Commissioned()
    existing = {point.name: point for point in device.points.all()}
    new = []
    for name, point in points.items():
        columns = point_columns(point)
        if name not in existing:
            new.append(Point(device=device, name=name, **columns))
        elif any(getattr(existing[name], column) != value for column, value in columns.items()):
            done.changed += 1
            Point.objects.filter(pk=existing[name].pk).update(**columns)
    Point.objects.bulk_create(new)
    done.created += len(new)
    own = Point.objects.filter(device=device, address__link__isnull=True)
    _remove(done, own.exclude(name__in=points), "point")


def point_columns(point: PointSpec) -> dict[str, Any]:
    names = ("unit", "scale", "offset", "sign", "deadband", "period_s", "max_interval_s", "low", "high", "feedback")
    columns: dict[str, Any] = {name: getattr(point, name) for name in names}
    columns |= {"kind": point.kind.value, "address": dict(point.address), "capability": _capability_form(point.capability)}
    return columns | {"labels": {str(code): label for code, label in point.labels.items()}}


def _capability_form(capability: Capability | None) -> dict[str, Any] | None:
    """As the row keeps it: rules that are not declared stay out."""
    if capability is None:
        return None
    plain = asdict(Capability(minimum=0, maximum=0))
    form = {key: value for key, value in asdict(capability).items() if key not in _RULES or value != plain[key]}
    return form | {"modes": list(capability.modes)}


def _put_links(
    done: Commissioned, pilot: Pilot, spec: PilotSpec, devices: dict[str, Device], connections: dict[str, Connection]
) -> None:
    wanted = set()
    for link in spec.links:
        a, b = (devices[end] for end in link.ends)
        columns: dict[str, Any] = {"protocol": link.protocol, "medium": link.medium, "sgam": link.sgam, "role": link.role.value}
        columns |= {"connection": connections.get(link.connection), "alternatives": link.alternatives, "source": link.source}
        row = _put(done, Link, {"pilot": pilot, "letter": link.letter, "end_a": a, "end_b": b}, columns)
        wanted.add(row.pk)
    _remove(done, Link.objects.filter(pilot=pilot).exclude(pk__in=wanted), "link")


def _remove_absent(done: Commissioned, pilot: Pilot, spec: PilotSpec) -> None:
    gone = Device.objects.filter(pilot=pilot).exclude(code__in=[device.id for device in spec.devices])
    gone.update(parent=None, measured_by=None)
    Device.objects.filter(pilot=pilot, parent__in=gone).update(parent=None)
    _remove(done, gone, "device")
    _remove(done, Connection.objects.filter(pilot=pilot).exclude(name__in=[c.name for c in spec.connections]), "connection")


def _remove(done: Commissioned, rows: Any, what: str) -> None:
    names = list(map(str, rows))
    if not names:
        return
    column = {"point": "point", "device": "point__device"}.get(what)
    for record, kept in (("set-points", Setpoint), ("schedules", Schedule), ("point tests", PointTest)):
        if column is not None and kept._default_manager.filter(**{f"{column}__in": list(rows)}).exists():
            listed = ", ".join(names[:5])
            raise CatalogueError(f"the file no longer names {what} {listed}, but its {record} are kept", field=f"{what}s")
    done.removed += len(names)
    rows.delete()
