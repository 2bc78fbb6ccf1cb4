"""The diagram as a table: the same devices, values, positions and links, for who reads or hears better than sees. [operation]"""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from pilots.domain.supply import Part, sections_of
from pilots.domain.topology import GUEST_KINDS, NODE_KINDS, DeviceKind, DeviceSpec, LinkSpec
from pilots.models import Role
from pilots.ui.access import requires
from pilots.ui.quantities import shown_number
from pilots.ui.single_line import EXTRAS, limit_w
from pilots.ui.topology import Topology, topology_of
from pilots.ui.views import pilot_of
from pilots.ui.words import KIND_NAMES, direction_role


@requires(Role.VIEWER)
@require_safe
@gzip_page
def diagram_table(request: HttpRequest, **_route: str) -> HttpResponse:
    """A part of the pilot page; its frames fill it like the picture."""
    pilot = pilot_of(request)
    topology = topology_of(pilot)
    sections = _sections(topology)
    context = {
        "pilot": pilot,
        "rows": [_row(topology, device, depth, sections) for device, depth in _walk(topology)],
        "links": [_link(link) for link in topology.links],
    }
    return render(request, "pilots/diagram_table.html", context)


def _walk(topology: Topology, parent: str = "", depth: int = 0) -> list[tuple[DeviceSpec, int]]:
    """From the grid outwards, each with its distance."""
    found = []
    for device in topology.children(parent):
        found += [(device, depth), *_walk(topology, device.id, depth + 1)]
    return found


def _row(topology: Topology, device: DeviceSpec, depth: int, sections: dict[str, str]) -> dict[str, Any]:
    own = topology.points.get(device.id, {})
    limit = limit_w(device)
    return {
        "device": device,
        "kind": KIND_NAMES[device.kind],
        "depth": range(depth),
        "section": sections.get(device.id, ""),
        "position": f"{device.id}/position" if device.kind is DeviceKind.SWITCH and "position" in own else "",
        "positions": json.dumps({"0": _("in between"), "1": _("open"), "2": _("closed"), "3": _("bad position")}),
        "power": topology.power(device),
        "role": direction_role(device.kind),
        "limit": "" if limit is None else shown_number(limit, "W"),
        "extras": [(f"{device.id}/{point}", own[point]) for point in EXTRAS.get(device.kind, ()) if point in own],
    }


def _sections(topology: Topology) -> dict[str, str]:
    """The section each device stands in."""
    parts = [Part(device.id, device.kind, device.parent, device.measured_by) for device in topology.devices]
    known = sections_of(parts, topology.points)
    found: dict[str, str] = {}
    for device, depth in _walk(topology):
        if device.kind in NODE_KINDS | GUEST_KINDS:
            continue
        above = topology.by_id.get(device.parent)
        if depth == 0 or above is None:
            found[device.id] = device.id if device.id in known else "?"
        else:
            found[device.id] = f"{above.id}/" if above.kind is DeviceKind.SWITCH else found.get(above.id, "?")
    return found


def _link(link: LinkSpec) -> dict[str, str]:
    key = f"{link.letter}|{link.ends[0]}|{link.ends[1]}"
    return {
        "letter": link.letter.replace("'", "′"),
        "ends": " – ".join(link.ends),
        "key": key,
        "how": f"{link.protocol}, {link.medium}",
    }
