"""The overview and the pilot page: parse, ask the selectors, render."""

from __future__ import annotations

from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.utils import timezone
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from pilots.domain.topology import DeviceKind
from pilots.models import Device, Pilot, Role, User
from pilots.ui.access import public, requires, rights_of, signed_in
from pilots.ui.balance import balance_lines, has_room
from pilots.ui.faceplates import faceplate_context
from pilots.ui.group_form import group_pilots
from pilots.ui.pilot_map import map_of
from pilots.ui.single_line import drawing_of
from pilots.ui.topology import Letter, Topology, infeed_references, letters, topology_of
from pilots.ui.totals import totals_of
from pilots.ui.words import page_words


def pilot_of(request: HttpRequest) -> Pilot:
    """The pilot that the access check found for this request."""
    return cast(Pilot, request.pilot)  # type: ignore[attr-defined]


@signed_in
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    pilots = list(user.visible_pilots())
    context = {
        "page": "overview",
        "rows": [_overview_row(pilot, topology_of(pilot)) for pilot in pilots],
        "map": map_of(pilots),
        "totals": totals_of(pilots, timezone.now()),
        "words": page_words(),
    }
    return render(request, "pilots/overview.html", context)


def _overview_row(pilot: Pilot, topology: Topology) -> dict[str, Any]:
    storages = [device for device in topology.devices if device.kind is DeviceKind.STORAGE_UNIT]
    charges = [
        # The share of a battery in the pilot's state of charge is its capacity.
        f"{device.id}/soc={device.nameplate.get('capacity_wh', 1)}"
        for device in storages
        if "soc" in topology.points.get(device.id, ())
    ]
    return {
        "pilot": pilot,
        "infeed": " ".join(infeed_references(topology)),
        "storages": " ".join(charges),
        "storage_power": " ".join(topology.sum_of([DeviceKind.STORAGE_UNIT])),
        "letters": [Letter(letter) for letter in letters(topology)],
    }


@signed_in
@require_safe
def totals(request: HttpRequest) -> JsonResponse:
    """What the overview's frames cannot tell: set-points in force and messages waiting for the platform."""
    return JsonResponse(totals_of(cast(User, request.user).visible_pilots(), timezone.now()))


@signed_in
@require_safe
def overview_map(request: HttpRequest) -> HttpResponse:
    """The map once more, with each pilot's alarms, for a page that has heard of a change."""
    return render(request, "pilots/overview_map.html", {"map": map_of(list(cast(User, request.user).visible_pilots()))})


@public
@require_safe
def favicon(_request: HttpRequest) -> HttpResponseRedirect:
    """For browsers that ask for this address whatever a page says (the API's, a CSV's)."""
    return HttpResponseRedirect(static("icon.svg"))


@requires(Role.VIEWER)
@require_safe
@gzip_page
def pilot_page(request: HttpRequest, **_route: str) -> HttpResponse:
    pilot = pilot_of(request)
    topology = topology_of(pilot)
    context = {
        "page": "pilot",
        "pilot": pilot,
        "drawing": drawing_of(topology),
        "balance": balance_lines(topology) if has_room(topology) else [],
        "first_device": "" if cast(User, request.user).is_kiosk else _first_device(topology),
        "may_group": pilot in group_pilots(rights_of(request), [pilot]),
        "words": page_words(),
    }
    return render(request, "pilots/pilot.html", context)


def _first_device(topology: Topology) -> str:
    """The device whose faceplate opens with the page: the first battery that takes a set-point, else the first that does."""
    takers = [device for device in topology.devices if {"p_set", "p_limit"} & topology.points.get(device.id, {}).keys()]
    takers.sort(key=lambda device: (device.kind is not DeviceKind.STORAGE_UNIT, device.parent not in _heads(topology), device.id))
    return takers[0].id if takers else ""


def _heads(topology: Topology) -> set[str]:
    return {device.id for device in topology.devices if device.kind is DeviceKind.TRANSFORMER}


@requires(Role.VIEWER)
@require_safe
@gzip_page
def faceplate(request: HttpRequest, device: str, **_route: str) -> HttpResponse:
    pilot = pilot_of(request)
    row = Device.objects.filter(pilot=pilot, code=device).select_related("connection", "measured_by").first()
    if row is None:
        raise Http404
    context = faceplate_context(row, pilot, cast(User, request.user), timezone.now())
    return render(request, "pilots/faceplate.html", context)
