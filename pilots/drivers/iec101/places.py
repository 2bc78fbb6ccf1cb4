"""Where the devices of a connection stand: at which link address, at which common address. [zone: field]

Source: IEC 60870-5-101:2003, 6.1 and 7.2.4: one link address may carry several common addresses, never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilots.domain.errors import CatalogueError
from pilots.drivers.base import DeviceTarget, Target
from pilots.drivers.iec101.options import LineOptions


class Places:
    """`stations`: link address -> its common addresses; `link_of`: device id -> its link address."""

    def __init__(self, target: Target, options: LineOptions, default_common_address: int) -> None:
        """Raises CatalogueError naming the device whose link address is wrong or contradicts another's."""
        self.stations: dict[int, list[int]] = {}
        self.link_of: dict[str, int] = {}
        owner: dict[int, int] = {}
        for device in target.devices:
            common_addresses = _common_addresses(device, default_common_address)
            link_address = self.link_of[device.id] = _link_address(device, options, common_addresses[0])
            for common_address in common_addresses:
                other = owner.setdefault(common_address, link_address)
                if other != link_address:
                    raise CatalogueError(f"common address {common_address} is at link address {other} already", field=device.id)
                carried = self.stations.setdefault(link_address, [])
                if common_address not in carried:
                    carried.append(common_address)
        if not self.stations:
            self.stations = {default_common_address if options.link_address_size else 0: [default_common_address]}
        if options.balanced and len(self.stations) > 1:
            raise CatalogueError("a balanced line has one station at its other end", field="options.mode")


def _common_addresses(device: DeviceTarget, default: int) -> list[int]:
    """The device's own first, then those that single points name."""
    own = _whole(device.address, "ca", default, device.id)
    return [own, *(_whole(spec.address, "ca", own, f"{device.id}/{name}") for name, spec in device.points.items())]


def _link_address(device: DeviceTarget, options: LineOptions, common_address: int) -> int:
    """As declared; else the same as the common address, as is usual."""
    if options.link_address_size == 0:
        return 0
    address = _whole(device.address, "link", common_address, device.id)
    everyone = (1 << 8 * options.link_address_size) - 1
    if not 0 <= address < everyone:
        raise CatalogueError(f"link address {address} is outside 0..{everyone - 1} (link_address_size)", field=device.id)
    return address


def _whole(address: Mapping[str, Any], key: str, default: int, where: str) -> int:
    try:
        return int(address.get(key, default))
    except (TypeError, ValueError):
        raise CatalogueError(f"{key}: {address[key]!r} is no whole number", field=where) from None
