"""Whether the driver of a point's connection could use its address. [station]"""

from __future__ import annotations

from pilots.domain.errors import CatalogueError
from pilots.domain.topology import Protocol
from pilots.drivers.base import DeviceTarget
from pilots.drivers.iec104.routes import RouteTable
from pilots.drivers.modbus.plan import compile_plan
from pilots.models import Point

_MAX_REGISTER = 0xFFFF


def check_point_address(point: Point) -> None:
    """The driver finds the point. Raises CatalogueError with field `address`. Without a connection nothing is known."""
    device, connection = point.device, point.device.connection
    if connection is None or not isinstance(device.address, dict) or not isinstance(connection.options, dict):
        return  # what is wrong with the device is said at the device
    try:
        if connection.protocol == Protocol.MODBUS_TCP and point.address:
            _check_modbus(point)
        elif connection.protocol == Protocol.IEC104:
            _check_iec104(point)
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


def _check_iec104(point: Point) -> None:
    device = point.device
    target = DeviceTarget(id=device.code, address=device.address, points={point.name: point.spec})
    RouteTable([target], 1)
