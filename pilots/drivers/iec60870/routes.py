"""Which point an information object belongs to, and where a point's command goes. [zone: field]

A device stands at a common address with a base object address; a point adds its offset. One object address may carry
several types (13 on interrogation, 36 spontaneously): they are one point, unless several points declare the same address
with different types, or with different bits of one word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget
from pilots.drivers.iec60870.asdu import IEC104_SIZES, Sizes
from pilots.drivers.iec60870.elements import COMMANDS, COUNTERS, MONITOR_BASE, TIMED_COMMAND_OFFSET, TIMED_COMMANDS
from pilots.drivers.iec60870.words import PULSES

DEFAULT_COMMAND = {PointKind.SETPOINT: 50, PointKind.COMMAND: 45}
#: Bits of a word that a point may stand for: of a bitstring (7), of sixteen packed single points (20).
WORDS = {7: 32, 20: 16}
_WITHOUT_SELECT = 51  # C_BO_NA_1 has no qualifier at all
_LAST_SWITCHING = 47  # 45-47 have a QU of five bits, 48-50 a QL of seven


class Taker(NamedTuple):
    """Who wants an object's value; with `bit`, only that bit of it."""

    device_id: str
    point: str
    bit: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One point's place: `bases` are the monitor types (without time tag) it declares; none means any.

    `qualifier` is what a command's qualifier octet holds beside the S/E bit.
    """

    device_id: str
    spec: PointSpec
    common_address: int
    object_address: int
    bases: frozenset[int] = frozenset()
    bit: int | None = None
    command_type: int | None = None
    select: bool = False
    qualifier: int = 0

    @property
    def only_commands(self) -> bool:
        return self.command_type is not None and not self.bases


class RouteTable:
    """All routes of a connection. Raises CatalogueError that names the point whose address is wrong."""

    def __init__(self, devices: Sequence[DeviceTarget], default_common_address: int, sizes: Sizes = IEC104_SIZES) -> None:
        self._devices = {device.id: device for device in devices}
        self._default, self._sizes = default_common_address, sizes
        self._places: dict[int, dict[int, list[Route]]] = {}
        named = {_integer(device.address.get("ca", default_common_address), device.id) for device in devices}
        self.wants_counters = False
        for device in devices:
            for spec in device.points.values():
                if "ioa" in spec.address:  # nameplate values and the like come from elsewhere
                    route = self.route(device.id, spec)
                    self._places.setdefault(route.common_address, {}).setdefault(route.object_address, []).append(route)
                    self.wants_counters = self.wants_counters or COUNTERS in route.bases
        self.common_addresses = sorted(named | set(self._places)) or [default_common_address]

    def route(self, device_id: str, spec: PointSpec) -> Route:
        """The place of a point of that device, configured or not. Raises CatalogueError."""
        device = self._devices[device_id]
        where, address = f"{device_id}/{spec.name}", spec.address
        common_address = _integer(address.get("ca", device.address.get("ca", self._default)), where)
        object_address = _integer(device.address.get("ioa", 0), where) + _integer(address.get("ioa"), where)
        highest, stations = self._sizes.highest_object_address, self._sizes.broadcast
        if not (0 < common_address < stations and 0 < object_address <= highest):
            wrong = f"CA {common_address}, IOA {object_address} is outside 1..{stations - 1}, 1..{highest}"
            raise CatalogueError(wrong, field=where)
        bit = _bit(address, where)
        bases = _bases(address.get("type"), where) or (frozenset(WORDS) if bit is not None else frozenset())
        return Route(
            device_id=device_id,
            spec=spec,
            common_address=common_address,
            object_address=object_address,
            bases=bases,
            bit=bit,
            **_command(spec, where),
        )

    def knows(self, common_address: int) -> bool:
        return common_address in self._places

    def takers(self, common_address: int, base: int, object_address: int) -> tuple[Taker, ...]:
        """Who wants what stands there in a type of that base; empty: nobody."""
        routes = self._places.get(common_address, {}).get(object_address, [])
        return tuple(Taker(route.device_id, route.spec.name, route.bit) for route in _choose(routes, base))


def _choose(routes: list[Route], base: int) -> list[Route]:
    """Those that declare the type; else the only monitored one; else, where nothing is monitored, the only one."""
    declared = [route for route in routes if base in route.bases]
    if declared:
        return declared
    whole = [route for route in routes if route.bit is None]
    monitored = [route for route in whole if not route.only_commands] or whole
    return monitored if len(monitored) == 1 else [route for route in monitored if not route.bases and not route.only_commands]


def _bases(declared: Any, where: str) -> frozenset[int]:
    if declared is None:
        return frozenset()
    types = [_integer(one, where) for one in (declared if isinstance(declared, (list, tuple)) else [declared])]
    unknown = [one for one in types if one not in MONITOR_BASE]
    if unknown:
        raise CatalogueError(f"type {unknown[0]} is no monitor type of this driver", field=where)
    return _shared(frozenset(MONITOR_BASE[one] for one in types))


@lru_cache(maxsize=256)
def _shared(bases: frozenset[int]) -> frozenset[int]:
    """The same set for equal ones: a thousand stations have few kinds of points."""
    return bases


def _bit(address: Mapping[str, Any], where: str) -> int | None:
    if "bit" not in address:
        return None
    bit = _integer(address["bit"], where)
    width = min(WORDS.get(base, 0) for base in _bases(address.get("type"), where) or frozenset(WORDS))
    if not 0 <= bit < width:
        raise CatalogueError(f"bit {bit}: a type 7 has bits 0..31, a type 20 bits 0..15, others none", field=where)
    return bit


def _command(spec: PointSpec, where: str) -> dict[str, Any]:
    """The command half of a route."""
    address = spec.address
    declared = address.get("command_type", DEFAULT_COMMAND.get(spec.kind))
    if declared is None:
        return {}
    command_type = _integer(declared, where)
    if command_type not in COMMANDS | TIMED_COMMANDS:
        raise CatalogueError(f"type {command_type} is no command type", field=where)
    base = command_type - TIMED_COMMAND_OFFSET if command_type in TIMED_COMMANDS else command_type
    select = bool(address.get("select", False))
    if select and base == _WITHOUT_SELECT:
        raise CatalogueError(f"type {command_type} has no select", field=where)
    return {"command_type": command_type, "select": select, "qualifier": _qualifier(address.get("qualifier", 0), base, where)}


def _qualifier(declared: Any, base: int, where: str) -> int:
    """QU in bits 2-6 of a switching command, QL in bits 0-6 of a set-point."""
    number = _integer(PULSES.get(str(declared), declared), where)
    highest = 0 if base == _WITHOUT_SELECT else 31 if base <= _LAST_SWITCHING else 127
    if not 0 <= number <= highest:
        raise CatalogueError(f"qualifier {declared} is outside {', '.join(PULSES)} and 0..{highest}", field=where)
    return number << 2 if base <= _LAST_SWITCHING else number


def _integer(value: Any, where: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise CatalogueError(f"{value!r} is no whole number", field=where) from None
