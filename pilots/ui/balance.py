"""The balance of a pilot, kind by kind: what uses, what generates, what comes from the grid. [process]

Each power is counted once: a device within another counted one (a boiler in its hotel) is not counted again, and a device
without a reading of its own is counted as missing, so that no sum looks whole when it is not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.utils.translation import gettext as _

from pilots.domain.topology import DeviceKind, DeviceSpec
from pilots.ui.layout import WIDTH, arrange
from pilots.ui.topology import Topology, infeed_references
from pilots.ui.words import direction_role

K = DeviceKind
#: The kinds at the ends of the network, in the order of their lines.
KINDS = (K.HOUSEHOLD, K.HOTEL, K.BOILER, K.CHARGE_POINT, K.STORAGE_UNIT, K.GENERATING_UNIT)
#: Width of the panel with its margin, px: it stands above the busbar where the head leaves that much free.
PANEL_WIDTH = 268


@dataclass(frozen=True, slots=True)
class Line:
    """One kind: references to add up, blank-separated, and how many of its devices have none."""

    title: str
    references: str
    unmeasured: int
    role: str


def balance_lines(topology: Topology) -> list[Line]:
    """The kinds there are, then the infeed; empty where nothing is measured at the infeed."""
    infeed = infeed_references(topology)
    if not infeed:
        return []
    counted = [device for device in topology.devices if device.kind in KINDS and not _inside_another(topology, device)]
    # One meter that stands for devices of two kinds says nothing of either.
    kinds_of = Counter(reference for reference, _kind in {(topology.power(device), device.kind) for device in counted})
    lines = [_line(topology, kind, [each for each in counted if each.kind is kind], kinds_of) for kind in KINDS]
    grid = Line(_("Grid"), " ".join(infeed), 0, "infeed")
    return [line for line in lines if line is not None] + [grid]


def has_room(topology: Topology) -> bool:
    """Whether the corner above the busbar, right of the head, is free for the panel."""
    right = [place.text.x + place.text.width for place in arrange(topology, 0).places if place.role == "head"]
    return max(right, default=WIDTH) + PANEL_WIDTH <= WIDTH


def _inside_another(topology: Topology, device: DeviceSpec) -> bool:
    above = topology.by_id.get(device.parent)
    while above is not None:
        if above.kind in KINDS and topology.power(above):
            return True
        above = topology.by_id.get(above.parent)
    return False


def _line(topology: Topology, kind: DeviceKind, devices: list[DeviceSpec], kinds_of: Counter[str]) -> Line | None:
    if not devices:
        return None
    found = [topology.power(device) for device in devices]
    own = sorted({reference for reference in found if reference and kinds_of[reference] == 1})
    return Line(_title(kind), " ".join(own), sum(reference not in own for reference in found), direction_role(kind))


def _title(kind: DeviceKind) -> str:
    titles = {
        K.HOUSEHOLD: _("Households"),
        K.HOTEL: _("Hotels"),
        K.BOILER: _("Boilers"),
        K.CHARGE_POINT: _("Charge points"),
        K.STORAGE_UNIT: _("Batteries"),
        K.GENERATING_UNIT: _("PV arrays"),
    }
    return titles[kind]
