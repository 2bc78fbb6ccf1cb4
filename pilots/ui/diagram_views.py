"""The diagram as a table, for who reads or hears better than sees, and as a ladder, for a phone. [operation]"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from pilots.domain.supply import Part, sections_of
from pilots.domain.topology import GUEST_KINDS, NODE_KINDS, DeviceKind, DeviceSpec, LinkSpec
from pilots.models import Role
from pilots.ui.access import requires
from pilots.ui.balance import balance_lines
from pilots.ui.ladder import Rung, Way, rungs, ways
from pilots.ui.quantities import shown_number
from pilots.ui.single_line import EXTRAS, bar_of, guard_marks, limit_w, link_keys, picture_of
from pilots.ui.topology import Letter, Topology, by_letter, topology_of
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


@requires(Role.VIEWER)
@require_safe
@gzip_page
def diagram_ladder(request: HttpRequest, **_route: str) -> HttpResponse:
    """A part of the pilot page, in the picture's place where the window is narrow."""
    pilot = pilot_of(request)
    topology = topology_of(pilot)
    context = {
        "pilot": pilot,
        "rungs": [_rung(topology, rung) for rung in rungs(topology)],
        "ways": [_way(way) for way in ways(topology)],
        "balance": balance_lines(topology),
    }
    return render(request, "pilots/diagram_ladder.html", context)


def _rung(topology: Topology, rung: Rung) -> dict[str, Any]:
    device = rung.device
    letters = [_letter(links) for links in topology.links_at(device.id).values()]
    bar = mark_safe(bar_of(device, topology.power(device)))  # noqa: S308  our own drawing, no input in it
    return _facts(topology, device) | {"rung": rung, "drawing": _drawing(device), "bar": bar, "letters": letters}


def _way(way: Way) -> dict[str, Any]:
    first = next(iter(way.links), None)
    return {
        "way": way,
        "kind": KIND_NAMES[way.device.kind] if way.device else "",
        "drawing": _drawing(way.device) if way.device else "",
        "keys": link_keys(way.links),
        "how": f"{first.protocol}, {first.medium}" if first else "",
        "letters": [_letter(links) for links in by_letter(way.links).values()],
        "indent": range(way.level - 1),
    }


def _letter(links: Iterable[LinkSpec]) -> dict[str, str]:
    first = next(iter(links))
    return {"shown": Letter(first.letter).shown, "first": link_keys([first]), "keys": link_keys(links)}


def _drawing(device: DeviceSpec) -> SafeString:
    return mark_safe(picture_of(device) + guard_marks(18))  # noqa: S308  our own drawing, no input in it


def _walk(topology: Topology, parent: str = "", depth: int = 0) -> list[tuple[DeviceSpec, int]]:
    """From the grid outwards, each with its distance."""
    found = []
    for device in topology.children(parent):
        found += [(device, depth), *_walk(topology, device.id, depth + 1)]
    return found


def _row(topology: Topology, device: DeviceSpec, depth: int, sections: dict[str, str]) -> dict[str, Any]:
    limit = limit_w(device)
    return _facts(topology, device) | {
        "depth": range(depth),
        "section": sections.get(device.id, ""),
        "positions": json.dumps({"0": _("in between"), "1": _("open"), "2": _("closed"), "3": _("bad position")}),
        "limit": "" if limit is None else shown_number(limit, "W"),
    }


def _facts(topology: Topology, device: DeviceSpec) -> dict[str, Any]:
    """What a row of either form tells of a device."""
    own = topology.points.get(device.id, {})
    return {
        "device": device,
        "kind": KIND_NAMES[device.kind],
        "position": f"{device.id}/position" if device.kind is DeviceKind.SWITCH and "position" in own else "",
        "power": topology.power(device),
        "role": direction_role(device.kind),
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
    return {
        "letter": Letter(link.letter).shown,
        "ends": " – ".join(link.ends),
        "key": link_keys([link]),
        "how": f"{link.protocol}, {link.medium}",
    }
