"""The overview and the pilot page: parse, ask the selectors, render."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from pilots.models import Device, Role
from pilots.ui.access import requires, signed_in
from pilots.ui.topology import topology_of


@signed_in
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "pilots/overview.html", {"page": "overview"})


@requires(Role.VIEWER)
@require_safe
def pilot_page(request: HttpRequest, code: str) -> HttpResponse:
    pilot = request.pilot  # type: ignore[attr-defined]
    return render(request, "pilots/pilot.html", {"page": "pilot", "pilot": pilot, "topology": topology_of(pilot)})


@requires(Role.VIEWER)
@require_safe
def faceplate(request: HttpRequest, code: str, device: str) -> HttpResponse:
    row = Device.objects.filter(pilot=request.pilot, code=device).first()  # type: ignore[attr-defined]
    if row is None:
        raise Http404
    return render(request, "pilots/faceplate.html", {"device": row})
