"""A pilot in the Smart Grid Architecture Model: its devices and links by domain, zone and layer (D7.1 2.1, SG-CG/RA 2012)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from pilots.catalogue.loader import load_use_cases
from pilots.domain.topology import DeviceKind, DeviceSpec
from pilots.models import Device, Link, Pilot, Point, Role
from pilots.ui.access import requires
from pilots.ui.filters import BadFilter, choice
from pilots.ui.sgam_drawing import draw_plane
from pilots.ui.single_line_symbols import symbol
from pilots.ui.topology import Letter, topology_of
from pilots.ui.views import pilot_of
from pilots.ui.words import KIND_NAMES, page_words

DOMAINS = {
    "1": gettext_lazy("Generation"),
    "2": gettext_lazy("Transmission"),
    "3": gettext_lazy("Distribution"),
    "4": gettext_lazy("Distributed resources"),
    "5": gettext_lazy("Customer premises"),
}
#: From the market down to the process, as the model is drawn.
ZONES = {
    "f": gettext_lazy("Market"),
    "e": gettext_lazy("Enterprise"),
    "d": gettext_lazy("Operation"),
    "c": gettext_lazy("Station"),
    "b": gettext_lazy("Field"),
    "a": gettext_lazy("Process"),
}
LAYERS = {
    "component": gettext_lazy("Component"),
    "communication": gettext_lazy("Communication"),
    "information": gettext_lazy("Information"),
    "function": gettext_lazy("Function"),
    "business": gettext_lazy("Business"),
}
_PLACE = re.compile(r"[A-Z]\.([1-5])\.([a-f])")
#: Which functions of ours stand in which zone (docs/architecture.md).
OUR_FUNCTIONS = {
    "b": gettext_lazy("measure and carry out set-points"),
    "c": gettext_lazy("acquire, qualify and store values"),
    "d": gettext_lazy("supervise, alarm, command"),
    "e": gettext_lazy("exchange with the INVADE platform"),
}


@requires(Role.VIEWER)
@require_safe
def sgam_page(request: HttpRequest, **_route: str) -> HttpResponse:
    """`layer` chooses; the component layer first."""
    pilot, refusal, layer = pilot_of(request), "", "component"
    try:
        layer = choice(request.GET.get("layer", ""), LAYERS, _("layer")) or layer
    except BadFilter as error:
        refusal = str(error)
    places = _places(pilot)
    context = {
        "page": "sgam",
        "pilot": pilot,
        "refusal": refusal,
        "layer": layer,
        "layers": list(LAYERS.items()),
        "domains": [{"name": name, "vacant": not any(place[0] == key for place in places)} for key, name in DOMAINS.items()],
        "rows": _rows(layer, places, pilot) if places else [],
        "elsewhere": places.get(("", ""), []),
        "plane": _plane(pilot, layer),
        "words": page_words(),
    }
    return render(request, "pilots/sgam.html", context, status=400 if refusal else 200)


def _plane(pilot: Pilot, layer: str) -> str:
    """The drawing; empty where no link joins two places."""
    topology = topology_of(pilot)
    places: dict[tuple[str, str], list[DeviceSpec]] = {}
    for device in sorted(topology.devices, key=lambda each: (each.kind, each.id)):
        if match := _PLACE.fullmatch(device.sgam):
            places.setdefault((match[1], match[2]), []).append(device)
    if not places or not topology.links:
        return ""
    return mark_safe(draw_plane(topology, places, DOMAINS, ZONES, layer))  # noqa: S308  every text is escaped by `tag`


def _places(pilot: Pilot) -> dict[tuple[str, str], list[Device]]:
    """Devices by domain and zone; those without an address under ("", "")."""
    found: dict[tuple[str, str], list[Device]] = {}
    for device in Device.objects.filter(pilot=pilot).order_by("kind", "code"):
        match = _PLACE.fullmatch(device.sgam)
        found.setdefault((match[1], match[2]) if match else ("", ""), []).append(device)
    return found


def _rows(layer: str, places: dict[tuple[str, str], list[Device]], pilot: Pilot) -> list[dict[str, Any]]:
    """Each zone with the cells of its domains; every cell holds entries of the layer."""
    fill = _FILLERS[layer](pilot)
    rows = []
    for zone, name in ZONES.items():
        cells = [
            {"domain": label, "address": f"{domain}.{zone}", "entries": fill(places.get((domain, zone), []), zone)}
            for domain, label in DOMAINS.items()
        ]
        rows.append({"zone": zone, "name": name, "cells": cells, "empty": not any(cell["entries"] for cell in cells)})
    return rows


class _Components:
    """Devices by kind, each to be opened."""

    def __init__(self, pilot: Pilot) -> None:
        pass

    def __call__(self, devices: list[Device], _zone: str) -> list[dict[str, Any]]:
        return [{"kind": name, "symbol": drawn, "devices": own, "count": len(own)} for name, drawn, own in _by_kind(devices)]


class _Communication:
    """The links that begin at these devices, by letter, protocol and far zone, with their live state."""

    def __init__(self, pilot: Pilot) -> None:
        links = Link.objects.filter(pilot=pilot).select_related("end_a", "end_b").order_by("letter", "id")
        self._links: dict[int, list[Link]] = {}
        for link in links:
            self._links.setdefault(link.end_a_id, []).append(link)

    def __call__(self, devices: list[Device], _zone: str) -> list[dict[str, Any]]:
        groups: dict[tuple[str, ...], list[Link]] = {}
        for link in (link for device in devices for link in self._links.get(device.pk, [])):
            groups.setdefault((link.letter, link.protocol, link.medium, link.end_b.sgam), []).append(link)
        return [_link_entry(links) for links in groups.values()]


class _Information:
    """What these devices measure and take, as the quantities of their points."""

    def __init__(self, pilot: Pilot) -> None:
        self._points: dict[int, dict[bool, set[str]]] = {}
        names = Point.objects.filter(device__pilot=pilot).values_list("device_id", "name", "kind", "address")
        for device, name, kind, address in names:
            if "link" not in address:
                self._points.setdefault(device, {}).setdefault(kind in ("setpoint", "command"), set()).add(name)

    def __call__(self, devices: list[Device], _zone: str) -> list[dict[str, Any]]:
        entries = []
        for name, drawn, own in _by_kind(devices):
            told = [self._points.get(device.pk, {}) for device in own]
            measured, taken = (sorted(set().union(*(each.get(side, set()) for each in told))) for side in (False, True))
            if measured or taken:
                entries.append({"kind": name, "symbol": drawn, "count": len(own), "measured": measured, "taken": taken})
        return entries


class _Functions:
    """The use cases that these devices serve, and what of ours stands in the zone."""

    def __init__(self, pilot: Pilot) -> None:
        self._cases = list(load_use_cases().values())

    def __call__(self, devices: list[Device], zone: str) -> list[dict[str, Any]]:
        kinds = {DeviceKind(device.kind) for device in devices}
        cases = [{"case": case} for case in self._cases if kinds & set(case.kinds)]
        ours = [{"text": OUR_FUNCTIONS[zone]}] if devices and zone in OUR_FUNCTIONS else []
        return [*cases, *ours]


class _Business:
    """Who answers for these devices."""

    def __init__(self, pilot: Pilot) -> None:
        self._operator = pilot.operator

    def __call__(self, devices: list[Device], _zone: str) -> list[dict[str, Any]]:
        owners = sorted({device.operator or self._operator for device in devices} - {""})
        return [
            {"owner": owner, "count": sum((device.operator or self._operator) == owner for device in devices)} for owner in owners
        ]


_FILLERS: dict[str, Any] = {
    "component": _Components,
    "communication": _Communication,
    "information": _Information,
    "function": _Functions,
    "business": _Business,
}


def _by_kind(devices: Iterable[Device]) -> list[tuple[Any, str, list[Device]]]:
    groups: dict[str, list[Device]] = {}
    for device in devices:
        groups.setdefault(device.kind, []).append(device)
    return [
        (KIND_NAMES[DeviceKind(kind)], mark_safe(symbol(DeviceKind(kind), "")), own)  # noqa: S308  our own drawing
        for kind, own in groups.items()
    ]


def _link_entry(links: list[Link]) -> dict[str, Any]:
    first = links[0]
    match = _PLACE.fullmatch(first.end_b.sgam)
    far = f"{match[1]}.{match[2]}" if match else ""
    return {
        "letter": Letter(first.letter),
        "keys": " ".join(f"{link.letter}|{link.end_a.code}|{link.end_b.code}" for link in links),
        "link": f"{first.letter}|{first.end_a.code}|{first.end_b.code}",
        "count": len(links),
        "to": first.end_b.code if len(links) == 1 else far or first.end_b.code,
        "far": far,
        "protocol": first.protocol,
        "medium": first.medium,
        "sgam": first.sgam,
    }
