"""Where points stand: references as IEC 61850-7-2 writes them, names as MMS does. [zone: field]

`LD0/MMXU1.TotW.mag.f` with functional constraint MX is item `MMXU1$MX$TotW$mag$f` of domain `<IED name>LD0`
(IEC 61850-8-1, 7.3). A profile leaves the IED's name out: it belongs to the one device, not to its model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointSpec
from pilots.drivers.base import DeviceTarget
from pilots.drivers.iec61850.mms import Name

#: Functional constraints a point may have (IEC 61850-7-2, 5.4.2): status, measured, settings, control, configuration, ...
CONSTRAINTS = frozenset({"ST", "MX", "SP", "SV", "CF", "DC", "SG", "SE", "SR", "OR", "BL", "EX", "CO"})
CONTROL = "CO"
SETTINGS = frozenset({"SP", "SE", "SV", "CF", "DC"})
_REFERENCE = re.compile(r"[A-Za-z0-9_]{1,64}/[A-Za-z0-9_]+(\.[A-Za-z][A-Za-z0-9_]*)+")


@dataclass(frozen=True, slots=True)
class Place:
    """One point of one device and its full MMS name; `name` of a control is the data object's (`CSWI1$CO$Pos`)."""

    device_id: str
    spec: PointSpec
    name: Name
    constraint: str

    @property
    def data_object(self) -> Name:
        """The data object that holds it: `MMXU1$MX$TotW`."""
        return Name(self.name.domain, "$".join(self.name.item.split("$")[:3]))

    @property
    def steps(self) -> tuple[str, ...]:
        """From the data object down to it: ("mag", "f")."""
        return tuple(self.name.item.split("$")[3:])


def places_of(devices: Sequence[DeviceTarget]) -> dict[tuple[str, str], Place]:
    """Every point that has a reference, by device and point. Raises CatalogueError."""
    return {(place.device_id, place.spec.name): place for device in devices for place in _places(device)}


def place_of(device: DeviceTarget, spec: PointSpec) -> Place:
    """The place of a point, configured or not. Raises CatalogueError naming what is wrong with its address."""
    where = f"{device.id}/{spec.name}"
    reference, constraint = spec.address.get("ref"), str(spec.address.get("fc", _constraint(spec)))
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        raise CatalogueError(f"{reference!r} is no reference like LD0/MMXU1.TotW.mag.f", field=where)
    if constraint not in CONSTRAINTS:
        raise CatalogueError(f"{constraint!r} is no functional constraint ({', '.join(sorted(CONSTRAINTS))})", field=where)
    return Place(device.id, spec, mms_name(prefix_of(device.address), reference, constraint), constraint)


def prefix_of(address: Mapping[str, Any]) -> str:
    """The IED's name before each logical device; a device that names its domains otherwise has none."""
    return str(address.get("ied", ""))


def mms_name(prefix: str, reference: str, constraint: str) -> Name:
    """A reference's name on the wire.

    >>> str(mms_name("ES1", "LD0/MMXU1.TotW.mag.f", "MX"))
    'ES1LD0/MMXU1$MX$TotW$mag$f'
    """
    domain, _, rest = reference.partition("/")
    node, *path = rest.split(".")
    return Name(prefix + domain, "$".join((node, constraint, *path)))


def reference_of(name: Name) -> tuple[str, str]:
    """A name of the wire as reference and functional constraint.

    >>> reference_of(Name("ES1LD0", "MMXU1$MX$TotW$mag$f"))
    ('ES1LD0/MMXU1.TotW.mag.f', 'MX')
    """
    node, constraint, *path = [*name.item.split("$"), ""]
    return f"{name.domain}/{'.'.join((node, *path[:-1]))}", constraint


def _constraint(spec: PointSpec) -> str:
    return {"measurement": "MX", "setpoint": CONTROL, "command": CONTROL, "nameplate": "DC"}.get(spec.kind, "ST")


def _places(device: DeviceTarget) -> Iterator[Place]:
    for spec in device.points.values():
        if "ref" in spec.address:  # nameplate values and the like come from elsewhere
            yield place_of(device, spec)
