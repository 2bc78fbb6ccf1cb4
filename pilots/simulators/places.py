"""Where faults can hit a simulated pilot: its connections, their ways, its devices. [zones: field to operation, simulated]"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pilots.domain.media import Medium, medium_of
from pilots.domain.topology import ConnectionSpec, DeviceSpec, PilotSpec, Protocol, Way
from pilots.simulators.faults import Place, Reach
from pilots.simulators.head_end import pushers_of

_POLLED_BY_UNIT = frozenset({Protocol.MODBUS_TCP, Protocol.MODBUS_RTU})


def way_name(connection: ConnectionSpec, number: int) -> str:
    """The name of a connection's way: its own, with `/<number>` behind it for a backup (1 is the first)."""
    return f"{connection.name}/{number}" if number else connection.name


def ways_of(connection: ConnectionSpec) -> list[Way]:
    """The ways to a connection's equipment, the first one first. A backup whose place is declared is not simulated."""
    return [connection, *(way for way in connection.backups if way.port is None and not way.serial_line)]


def places_of(pilot: PilotSpec) -> list[Place]:
    """Every simulated connection with its backup ways and devices."""
    found: dict[str, Place] = {}
    for connection in pilot.connections:
        if connection.simulated:
            for place in _places(pilot, connection):
                found.setdefault(place.name, place)
    return list(found.values())


def _places(pilot: PilotSpec, connection: ConnectionSpec) -> Iterator[Place]:
    for number, way in enumerate(ways_of(connection)):
        yield Place(
            name=way_name(connection, number),
            pilot=pilot.code,
            protocol=way.protocol,
            reach=Reach.LINE,
            connection=connection.name if number else "",
            serial=is_serial(way),
        )
    pushers = pushers_of(pilot) if connection.protocol is Protocol.PUSH else {}
    for name, devices in pushers.items():
        if devices[0].connection == connection.name:
            yield _device_place(pilot, connection, _device(pilot, name) or devices[0], name, Reach.LINE)
    for device in devices_of(pilot, connection):
        yield _device_place(pilot, connection, device, device.id, _reach(connection))


def _device_place(pilot: PilotSpec, connection: ConnectionSpec, device: DeviceSpec, name: str, reach: Reach) -> Place:
    return Place(
        name=name,
        pilot=pilot.code,
        protocol=connection.protocol,
        reach=reach,
        label=device.name,
        connection=connection.name,
        device_kind=device.kind,
    )


def _reach(connection: ConnectionSpec) -> Reach:
    if connection.protocol is Protocol.OCPP16:
        return Reach.LINE
    return Reach.UNIT if connection.protocol in _POLLED_BY_UNIT else Reach.VALUES


def _device(pilot: PilotSpec, name: str) -> DeviceSpec | None:
    return next((device for device in pilot.devices if device.id == name), None)


def devices_of(pilot: PilotSpec, connection: ConnectionSpec) -> list[DeviceSpec]:
    """The devices that a connection carries."""
    return [device for device in pilot.devices if device.connection == connection.name]


def is_serial(way: Way) -> bool:
    """Whether the simulator serves this way on a serial line."""
    return way.protocol in (Protocol.MODBUS_RTU, Protocol.IEC101)


def units_of(pilot: PilotSpec, connection: ConnectionSpec) -> dict[int, tuple[str, ...]]:
    """The devices behind a connection by their unit; empty where its frames do not name one."""
    found: dict[int, tuple[str, ...]] = {}
    if connection.protocol in _POLLED_BY_UNIT:
        for device in devices_of(pilot, connection):
            unit = int(device.address.get("unit", 1))
            found[unit] = (*found.get(unit, ()), device.id)
    return found


def names_of(pilot: PilotSpec) -> dict[str, tuple[str, ...]]:
    """Under which names a fault may mean each device, the nearest first: itself, its pusher, its connection."""
    names = {device.id: tuple(name for name in (device.id, device.connection) if name) for device in pilot.devices}
    for pusher, devices in pushers_of(pilot).items():
        for device in devices:
            names[device.id] = tuple(dict.fromkeys((device.id, pusher, device.connection)))
    return names


def medium_of_connection(pilot: PilotSpec, connection: str) -> Medium | None:
    """What the first of a connection's links is made of; None when none says so."""
    words = (link.medium for link in pilot.links if link.connection == connection)
    return next((medium for word in words if (medium := medium_of(word)) is not None), None)


def unheard(places: Mapping[str, Place]) -> frozenset[str]:
    """Devices that are silenced by their values, because their frames are somebody else's."""
    return frozenset(name for name, place in places.items() if place.reach is Reach.VALUES)
