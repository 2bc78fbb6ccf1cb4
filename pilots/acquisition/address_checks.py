"""Whether the driver of a point's connection could use its address, and whose address it is. [station]"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointSpec
from pilots.domain.topology import Protocol
from pilots.drivers.base import DeviceTarget
from pilots.drivers.iec60870.routes import RouteTable
from pilots.drivers.iec61850 import names
from pilots.drivers.modbus.plan import compile_plan, place_of
from pilots.drivers.modbus.sunspec import is_relative
from pilots.models import Point

MODBUS = (Protocol.MODBUS_TCP, Protocol.MODBUS_RTU)
IEC60870 = (Protocol.IEC104, Protocol.IEC101)
_MAX_REGISTER = 0xFFFF
#: Registers that a write to a point sets beside its own, and how many each takes at most.
_BESIDE = {"enable": 1, "reversion_register": 2, "reversion_offset": 2}


def check_point_address(point: Point) -> None:
    """The driver finds the point. Raises CatalogueError with field `address`. Without a connection nothing is known."""
    device, connection = point.device, point.device.connection
    if connection is None or not isinstance(device.address, dict) or not isinstance(connection.options, dict):
        return  # what is wrong with the device is said at the device
    try:
        if connection.protocol in MODBUS and point.address:
            _check_modbus(point)
        elif connection.protocol in IEC60870:
            _check_iec60870(point)
        elif connection.protocol == Protocol.IEC61850 and "ref" in point.address:
            names.place_of(_target(point), point.spec)
    except (ValueError, TypeError, KeyError) as error:
        raise CatalogueError(str(error), field="address") from error
    except CatalogueError as error:
        raise CatalogueError(str(error).removeprefix(f"{error.field}: "), field="address") from error


def _check_modbus(point: Point) -> None:
    spec, device = point.spec, point.device
    options = {**device.profile_options, **(device.connection.options if device.connection else {})}
    for span in compile_plan([spec], options).spans:
        if not 0 <= span.start <= _MAX_REGISTER + 1 - span.count:
            raise ValueError(f"registers {span.start} to {span.start + span.count - 1} are outside 0 to {_MAX_REGISTER}")


def _check_iec60870(point: Point) -> None:
    RouteTable([_target(point)], 1)


def _target(point: Point) -> DeviceTarget:
    return DeviceTarget(id=point.device.code, address=point.device.address, points={point.name: point.spec})


def occupied_by(protocol: Protocol, devices: Iterable[DeviceTarget], asked: DeviceTarget, spec: PointSpec) -> str:
    """The set-point or command of `devices`, as device/point, that writing `spec` at `asked` would touch; empty: none.

    Raises CatalogueError, field `address`, where the driver could not use the address or nobody can tell what stands there.
    """
    wanted = _places(protocol, asked, spec)
    for device in devices:
        for point in device.points.values():
            if not point.kind.writable:
                continue
            if wanted & _places(protocol, device, point):
                return f"{device.id}/{point.name}"
            if protocol in MODBUS and _unit(device) == _unit(asked) and is_relative(point) != is_relative(spec):
                words = f"where {device.id}/{point.name} stands is known to the device alone: give"
                raise CatalogueError(f"{words} {'model and offset' if is_relative(point) else 'a register'}", field="address")
    return ""


def _places(protocol: Protocol, device: DeviceTarget, spec: PointSpec) -> set[tuple[object, ...]]:
    """What a write to this point sets: registers of a unit, an object of a common address, a data object, else the address."""
    try:
        if protocol in MODBUS:
            return _registers(device, spec)
        if protocol in IEC60870:
            table = RouteTable([device], int(device.options.get("ca", 1)))
            route = table.route(device.id, spec)
            return {(route.common_address, route.object_address)}
        if protocol == Protocol.IEC61850:
            return {(names.place_of(device, spec).data_object,)}
    except (ValueError, TypeError, KeyError) as error:
        raise CatalogueError(str(error), field="address") from error
    except CatalogueError as error:
        raise CatalogueError(str(error).removeprefix(f"{error.field}: "), field="address") from error
    return {(device.id, repr(sorted(spec.address.items())))}


def _registers(device: DeviceTarget, spec: PointSpec) -> set[tuple[object, ...]]:
    """By unit and, where they count from a SunSpec model's beginning, by model."""
    own, address = place_of(spec, device.options), spec.address
    where = (_unit(device), address["model"], address.get("nth", 1)) if is_relative(spec) else (_unit(device),)
    registers: set[tuple[object, ...]] = {(*where, own.table, own.start + index) for index in range(own.length)}
    for name, length in _BESIDE.items():
        start = _register(address.get(name))
        if start is not None:
            registers |= {(*where, "holding", start + index) for index in range(length)}
    return registers


def _unit(device: DeviceTarget) -> int:
    return int(device.address.get("unit", 1))


def _register(declared: Any) -> int | None:
    if isinstance(declared, Mapping):
        declared = declared.get("register", declared.get("offset"))
    return None if declared is None else int(declared)
