"""Which point an information object belongs to, and where a point's command goes. [zone: field]

A device stands at a common address with a base object address; a point adds its offset. One object address may carry
several types (13 on interrogation, 36 spontaneously): they are one point, unless several points declare the same address
with different types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget
from pilots.drivers.iec104 import asdu

DEFAULT_COMMAND = {PointKind.SETPOINT: 50, PointKind.COMMAND: 45}
#: (device id, point name) of everyone who wants the object.
Takers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One point's place: `bases` are the monitor types (without time tag) it declares; none means any."""

    device_id: str
    spec: PointSpec
    common_address: int
    object_address: int
    bases: frozenset[int]
    command_type: int | None
    select: bool

    @property
    def only_commands(self) -> bool:
        return self.command_type is not None and not self.bases


class RouteTable:
    """All routes of a connection, resolved once so that one object costs one dictionary look-up."""

    def __init__(self, devices: Sequence[DeviceTarget], default_common_address: int) -> None:
        self._by_point: dict[tuple[str, str], Route] = {}
        for device in devices:
            for route in _routes_of(device, default_common_address):
                self._by_point[route.device_id, route.spec.name] = route
        named = {_integer(device.address.get("ca", default_common_address), device.id) for device in devices}
        self.common_addresses = sorted(named) or [default_common_address]
        self.wants_counters = any(15 in route.bases for route in self._by_point.values())
        self._takers = self._resolve()

    def takers(self, common_address: int, base: int) -> Mapping[int, Takers]:
        """Object address -> takers, for one common address and one base type."""
        return self._takers.get((common_address, base), {})

    def command(self, device_id: str, point: str) -> Route | None:
        """Where the point's command goes; None when it takes none."""
        route = self._by_point.get((device_id, point))
        return route if route is not None and route.command_type is not None else None

    def _resolve(self) -> dict[tuple[int, int], dict[int, Takers]]:
        places: dict[tuple[int, int], list[Route]] = {}
        for route in self._by_point.values():
            places.setdefault((route.common_address, route.object_address), []).append(route)
        takers: dict[tuple[int, int], dict[int, Takers]] = {}
        for (common_address, object_address), routes in places.items():
            for base in set(asdu.MONITOR_BASE.values()):
                chosen = tuple((route.device_id, route.spec.name) for route in _choose(routes, base))
                if chosen:
                    takers.setdefault((common_address, base), {})[object_address] = chosen
        return takers


def _choose(routes: list[Route], base: int) -> list[Route]:
    """Those that declare the type; else the only monitored one; else, where nothing is monitored, the only one."""
    declared = [route for route in routes if base in route.bases]
    if declared:
        return declared
    monitored = [route for route in routes if not route.only_commands] or routes
    return monitored if len(monitored) == 1 else [route for route in monitored if not route.bases and not route.only_commands]


def _routes_of(device: DeviceTarget, default_common_address: int) -> Iterator[Route]:
    common_address = _integer(device.address.get("ca", default_common_address), device.id)
    first = _integer(device.address.get("ioa", 0), device.id)
    for name, spec in device.points.items():
        if "ioa" not in spec.address:
            continue  # nameplate values and the like come from elsewhere
        where = f"{device.id}/{name}"
        object_address = first + _integer(spec.address["ioa"], where)
        if not (0 < common_address < 0xFFFF and 0 < object_address <= 0xFFFFFF):
            raise CatalogueError(f"CA {common_address}, IOA {object_address} is outside 1..65534, 1..16777215", field=where)
        yield Route(
            device_id=device.id,
            spec=spec,
            common_address=common_address,
            object_address=object_address,
            bases=_bases(spec.address.get("type"), where),
            command_type=_command_type(spec, where),
            select=bool(spec.address.get("select", False)),
        )


def _bases(declared: Any, where: str) -> frozenset[int]:
    if declared is None:
        return frozenset()
    types = [_integer(one, where) for one in (declared if isinstance(declared, (list, tuple)) else [declared])]
    unknown = [one for one in types if one not in asdu.MONITOR_BASE]
    if unknown:
        raise CatalogueError(f"type {unknown[0]} is no monitor type of this driver", field=where)
    return frozenset(asdu.MONITOR_BASE[one] for one in types)


def _command_type(spec: PointSpec, where: str) -> int | None:
    declared = spec.address.get("command_type", DEFAULT_COMMAND.get(spec.kind))
    if declared is None:
        return None
    command_type = _integer(declared, where)
    if command_type not in asdu.COMMANDS | asdu.TIMED_COMMANDS:
        raise CatalogueError(f"type {command_type} is no command type", field=where)
    return command_type


def _integer(value: Any, where: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise CatalogueError(f"{value!r} is no whole number", field=where) from None
