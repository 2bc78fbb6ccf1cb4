"""A pilot's devices, links and point names as plain objects: what is drawn and summed on a page. [all zones]"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from pilots.domain.topology import DeviceKind, DeviceSpec, LinkRole, LinkSpec
from pilots.models import Device, Link, Pilot, Point


@dataclass(frozen=True, eq=False)
class Topology:
    """`points` gives each device's points with their units, by device id. Each is itself alone, so that its picture is kept."""

    code: str
    devices: tuple[DeviceSpec, ...]
    links: tuple[LinkSpec, ...] = ()
    points: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def by_id(self) -> dict[str, DeviceSpec]:
        return {device.id: device for device in self.devices}

    @cached_property
    def _children(self) -> dict[str, list[DeviceSpec]]:
        found: dict[str, list[DeviceSpec]] = {}
        for device in sorted(self.devices, key=lambda each: (each.position, each.id)):
            found.setdefault(device.parent if device.parent in self.by_id else "", []).append(device)
        return found

    def children(self, device_id: str) -> list[DeviceSpec]:
        """Devices whose next device towards the grid is this one, in drawing order; of "" the roots."""
        return self._children.get(device_id, [])

    def links_at(self, device_id: str) -> dict[str, list[LinkSpec]]:
        """The links that end at the device by their letters."""
        return by_letter([link for link in self.links if device_id in link.ends])

    def measuring(self, device: DeviceSpec, point: str) -> str:
        """Reference `device/point` of what shows `point` for this device: its own, else its meter's; "" without either."""
        for carrier in (device.id, device.measured_by):
            if point in self.points.get(carrier, ()):
                return f"{carrier}/{point}"
        return ""

    def power(self, device: DeviceSpec) -> str:
        """Reference of what shows the device's power: `active_power`, else its own `dc_power` behind an inverter; or ""."""
        return self.measuring(device, "active_power") or (
            f"{device.id}/dc_power" if "dc_power" in self.points.get(device.id, ()) else ""
        )

    def sum_of(self, kinds: Sequence[DeviceKind]) -> list[str]:
        """References whose sum is the power of all devices of these kinds, each once."""
        found = [self.power(device) for device in self.devices if device.kind in kinds]
        return sorted({reference for reference in found if reference})


def topology_of(pilot: Pilot) -> Topology:
    """The topology as it stands in the database: four queries, and none until its configuration changes."""
    return _topology_at(pilot.pk, pilot.code, pilot.revision)


@lru_cache(maxsize=32)
def _topology_at(pilot: int, code: str, _revision: int) -> Topology:
    devices = list(Device.objects.filter(pilot=pilot).select_related("parent", "measured_by", "connection"))
    points: dict[str, dict[str, str]] = {}
    for device, name, unit in Point.objects.filter(device__pilot=pilot).values_list("device__code", "name", "unit"):
        points.setdefault(device, {})[name] = unit
    links = Link.objects.filter(pilot=pilot).select_related("end_a", "end_b", "connection").order_by("letter", "id")
    return Topology(code, tuple(map(_device, devices)), tuple(_link(link) for link in links), points)


def _device(row: Device) -> DeviceSpec:
    return DeviceSpec(
        id=row.code,
        kind=DeviceKind(row.kind),
        sgam=row.sgam,
        name=row.name,
        parent=row.parent.code if row.parent else "",
        profile=row.profile,
        connection=row.connection.name if row.connection else "",
        measured_by=row.measured_by.code if row.measured_by else "",
        position=row.position,
        operator=row.operator,
        nameplate=row.nameplate,
        nudge=(row.nudge_x, row.nudge_y),
    )


def _link(row: Link) -> LinkSpec:
    return LinkSpec(
        letter=row.letter,
        ends=(row.end_a.code, row.end_b.code),
        protocol=row.protocol,
        medium=row.medium,
        sgam=row.sgam,
        role=LinkRole(row.role),
        connection=row.connection.name if row.connection else "",
        alternatives=row.alternatives,
        source=row.source,
    )


def infeed_references(topology: Topology) -> list[str]:
    """References whose sum is the power at the infeed: from each root down, the first measured devices."""
    return [reference for root in topology.children("") for reference in _first_measured(topology, root)]


def _first_measured(topology: Topology, device: DeviceSpec) -> Iterable[str]:
    reference = topology.measuring(device, "active_power")
    if reference:
        return [reference]
    found: list[str] = []
    for child in topology.children(device.id):
        found += [each for each in _first_measured(topology, child) if each not in found]
    return found


def by_letter(links: Sequence[LinkSpec]) -> dict[str, list[LinkSpec]]:
    """The links of each letter, a prime after its plain letter."""
    ordered = sorted({link.letter for link in links}, key=lambda letter: (letter[0], len(letter)))
    return {letter: [link for link in links if link.letter == letter] for letter in ordered}


class Letter(str):
    """A link's letter; `shown` has a true prime."""

    @property
    def shown(self) -> str:
        return self.replace("'", "′")


def letters(topology: Topology) -> list[str]:
    """The letters of the pilot's links, primes after their plain letters."""
    return sorted({link.letter for link in topology.links}, key=lambda letter: (letter.count("'"), letter))
