"""What a pilot file must satisfy beyond its schema; every refusal names file, line and field. [zone: none, configuration]"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from pilots.catalogue.includes import serves
from pilots.catalogue.points import point_places, resolve_points
from pilots.catalogue.yaml_lines import Document
from pilots.domain.errors import CatalogueError
from pilots.domain.fallback import FallbackError, plan_of
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, DeviceKind, DeviceSpec, LinkRole, PilotSpec, Protocol, Way

#: What a device's address says per protocol: key -> (type, least, most).
_ADDRESS: dict[Protocol, dict[str, tuple[type, int, int]]] = {
    Protocol.MODBUS_TCP: {"unit": (int, 0, 255)},
    Protocol.MODBUS_RTU: {"unit": (int, 1, 247)},
    Protocol.IEC104: {"ca": (int, 1, 65534), "ioa": (int, 0, 16_777_215), "link": (int, 0, 65535)},  # of its 101 backup
    Protocol.IEC101: {"ca": (int, 1, 65534), "ioa": (int, 0, 16_777_215), "link": (int, 0, 65535)},
    Protocol.IEC61850: {"ied": (str, 1, 64)},
    Protocol.OCPP16: {"identity": (str, 1, 48), "connector": (int, 1, 255)},
    Protocol.PUSH: {"pusher": (str, 1, 64)},
}
#: What may be left out of it.
_OPTIONAL = {"pusher", "ied", "link"}
#: Protocols whose connection we open ourselves.
DIALLED = (Protocol.MODBUS_TCP, Protocol.MODBUS_RTU, Protocol.IEC104, Protocol.IEC101, Protocol.IEC61850)
#: Protocols that run on a serial line too.
SERIAL = (Protocol.MODBUS_RTU, Protocol.IEC101)


def check_pilot(document: Document, pilot: PilotSpec, profiles: Mapping[str, Profile]) -> None:
    """The pilot hangs together. `profiles` holds every profile its devices name. Raises CatalogueError."""
    _check_time_zone(document, pilot)
    connections = _unique_connections(document, pilot)
    devices = _unique_devices(document, pilot)
    for index, device in enumerate(pilot.devices):
        _check_relations(document, index, device, devices)
        _check_connection(document, index, device, connections, profiles)
        _check_fallback(document, index, device)
    _check_no_cycle(document, pilot, devices)
    _check_places(document, pilot, connections, profiles)
    _check_links(document, devices, connections)


def _check_time_zone(document: Document, pilot: PilotSpec) -> None:
    try:
        ZoneInfo(pilot.time_zone)
    except (KeyError, ValueError, OSError) as error:
        raise document.error(f"unknown time zone {pilot.time_zone!r}", "time_zone") from error


def _unique_connections(document: Document, pilot: PilotSpec) -> dict[str, ConnectionSpec]:
    known: dict[str, ConnectionSpec] = {}
    for index, connection in enumerate(pilot.connections):
        if connection.name in known:
            raise document.error(f"connection {connection.name} stands here twice", "connections", index, "name")
        _check_ways(document, index, connection)
        known[connection.name] = connection
    return known


def _check_ways(document: Document, index: int, connection: ConnectionSpec) -> None:
    fault = way_fault(connection, simulated=connection.simulated)
    if fault is not None:
        raise document.error(fault[1], "connections", index, fault[0])
    for number, way in enumerate(connection.backups):
        fault = way_fault(way, simulated=connection.simulated)
        if fault is None and not serves(connection.protocol, way.protocol):
            fault = "protocol", f"{way.protocol} carries other addresses than {connection.protocol}"
        if fault is not None:
            raise document.error(fault[1], "connections", index, "backups", number, fault[0])


def way_fault(way: Way, *, simulated: bool) -> tuple[str, str] | None:
    """What keeps a way from being dialled: the field and a sentence; None when nothing does."""
    if way.serial_line and way.protocol not in SERIAL:
        return "serial_line", f"{way.protocol} does not run on a serial line"
    if way.protocol not in DIALLED or simulated or way.port is not None or way.serial_line:
        return None
    if way.protocol in SERIAL:
        return "serial_line", "a connection to a real device needs a serial_line, or host and port of a serial device server"
    return "port", "a connection to a real device needs a port and its host"


def _unique_devices(document: Document, pilot: PilotSpec) -> dict[str, DeviceSpec]:
    known: dict[str, DeviceSpec] = {}
    for index, device in enumerate(pilot.devices):
        if device.id in known:
            raise document.error(f"device {device.id} stands here twice", "devices", index, "id")
        if not device.id.startswith(f"{pilot.code}-"):
            raise document.error(f"device id {device.id} does not start with {pilot.code}-", "devices", index, "id")
        known[device.id] = device
    return known


def _check_relations(document: Document, index: int, device: DeviceSpec, devices: Mapping[str, DeviceSpec]) -> None:
    for field, other in (("parent", device.parent), ("measured_by", device.measured_by)):
        if other and other not in devices:
            raise document.error(f"{other!r} is no device of this pilot", "devices", index, field)
        if other == device.id:
            raise document.error("a device cannot be its own", "devices", index, field)


def _check_fallback(document: Document, index: int, device: DeviceSpec) -> None:
    """It can be read; whether the device's points can do it is told at commissioning."""
    try:
        plan_of(device.fallback)
    except FallbackError as error:
        raise document.error(str(error), "devices", index, "fallback") from error


def _check_connection(
    document: Document,
    index: int,
    device: DeviceSpec,
    connections: Mapping[str, ConnectionSpec],
    profiles: Mapping[str, Profile],
) -> None:
    if bool(device.profile) != bool(device.connection):
        raise document.error(
            "profile and connection go together", "devices", index, "profile" if device.profile else "connection"
        )
    if not device.profile:
        return
    if device.connection not in connections:
        raise document.error(f"unknown connection {device.connection!r}", "devices", index, "connection")
    connection, profile = connections[device.connection], profiles[device.profile]
    fault = profile_fault(profile, connection)
    if fault is not None:
        raise document.error(fault, "devices", index, "profile")
    _check_address(document, index, device.address, connection.protocol)
    try:
        resolve_points(device, profile, connection)
    except CatalogueError as error:
        raise document.error(str(error), "devices", index, "nameplate") from error


def _check_address(document: Document, index: int, address: Mapping[str, Any], protocol: Protocol) -> None:
    fault = address_fault(address, protocol)
    if fault is not None:
        key, sentence = fault
        raise document.error(sentence, "devices", index, "address", *([key] if key else []))


def profile_fault(profile: Profile, connection: ConnectionSpec) -> str | None:
    """Why a device on this connection cannot have this profile, as a sentence; None when it can."""
    if not serves(profile.protocol, connection.protocol):
        return f"profile {profile.name} speaks {profile.protocol}, connection {connection.name} {connection.protocol}"
    missing = sorted({spec.feedback for spec in profile.points.values()} - {"", *profile.points})
    if missing:
        return f"profile {profile.name} is a part: include it beside one that has {', '.join(missing)}"
    return None


def address_fault(address: Mapping[str, Any], protocol: Protocol) -> tuple[str, str] | None:
    """What is wrong with a device's address: the part ("" when one is missing) and a sentence; None when nothing is."""
    known = _ADDRESS[protocol]
    for key in address:
        if key not in known:
            return key, f"a {protocol} address has no such part"
    for key, (kind, least, most) in known.items():
        value = address.get(key)
        if value is None:
            if key in _OPTIONAL:
                continue
            return "", f"a {protocol} address needs {key}"
        size = len(value) if isinstance(value, str) else value
        if not isinstance(value, kind) or isinstance(value, bool) or not least <= size <= most:
            return key, f"{value!r} is no {key} ({least} to {most})"
    return None


def _check_no_cycle(document: Document, pilot: PilotSpec, devices: Mapping[str, DeviceSpec]) -> None:
    for index, device in enumerate(pilot.devices):
        seen, parent = {device.id}, device.parent
        while parent:
            if parent in seen:
                raise document.error(f"{parent} is its own ancestor", "devices", index, "parent")
            seen.add(parent)
            parent = devices[parent].parent


def _check_places(
    document: Document, pilot: PilotSpec, connections: Mapping[str, ConnectionSpec], profiles: Mapping[str, Profile]
) -> None:
    """No two devices' points stand at one address: devices may share a unit only when their registers differ."""
    taken: dict[tuple[Any, ...], str] = {}
    for index, device in enumerate(pilot.devices):
        if not device.profile:
            continue
        protocol = connections[device.connection].protocol
        places = point_places(profiles[device.profile].points, protocol, device.address)
        for place, point in places.items():
            owner = taken.setdefault((device.connection, *place), device.id)
            if owner != device.id:
                raise document.error(f"{point} stands at an address of {owner}", "devices", index, "address")


def _check_links(document: Document, devices: Mapping[str, DeviceSpec], connections: Mapping[str, ConnectionSpec]) -> None:
    edges: set[tuple[str, str, str]] = set()
    for index, link in enumerate(document.data.get("links", [])):
        sides = [link[side] if isinstance(link[side], list) else [link[side]] for side in ("from", "to")]
        for side, names in zip(("from", "to"), sides, strict=True):
            for name in names:
                if name not in devices:
                    raise document.error(f"{name!r} is no device of this pilot", "links", index, side)
        for edge in product((link["letter"],), *sides):
            if edge in edges:
                raise document.error(f"the edge {' '.join(edge)} stands here twice", "links", index)
            edges.add(edge)
        ends = [*sides[0], *sides[1]]
        connection = link.get("connection", "")
        if connection and connection not in connections:
            raise document.error(f"unknown connection {connection!r}", "links", index, "connection")
        northbound = any(devices[name].kind is DeviceKind.PLATFORM for name in ends)
        if link["role"] == LinkRole.OURS and not connection and not northbound:
            raise document.error("a link of ours names the connection that carries it", "links", index, "role")
