"""Commissioning from an SCL file: what an IEC 61850 device offers, by our names, as a device profile. Engineers."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.catalogue.scl import Scl, parse_scl
from pilots.catalogue.scl_proposals import Proposal, profile_text, propose
from pilots.domain.errors import CatalogueError
from pilots.models import Role
from pilots.ui.access import requires
from pilots.ui.commissioning_views import commissioning_parts
from pilots.ui.views import pilot_of
from pilots.ui.words import page_words

MAX_BYTES = 5 * 1024 * 1024
PROFILE_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


@requires(Role.ENGINEER)
@require_safe
def scl_page(request: HttpRequest, **_route: str) -> HttpResponse:
    pilot = pilot_of(request)
    context = {"page": "commissioning", "part": "scl", "parts": commissioning_parts(pilot), "pilot": pilot}
    return render(request, "pilots/commissioning/scl.html", context | {"words": page_words()})


@requires(Role.ENGINEER)
@require_POST
def scl_proposals(request: HttpRequest, **_route: str) -> JsonResponse:
    """The devices of the file, where they are reached, and what the chosen one offers."""
    try:
        scl, proposals = _read(request)
    except CatalogueError as error:
        return _refusal(error)
    chosen = request.POST.get("ied") or next(iter(scl.ieds), "")
    endpoints = [f"{each.host}:{each.port}" for each in scl.endpoints(scl.ied(chosen))]
    rows = [
        {
            "point": each.point,
            "ref": each.ref,
            "fc": each.address.get("fc", ""),
            "kind": each.kind.value,
            "unit": each.unit,
            "known": each.known,
            "report": each.report,
            "remark": each.remark,
        }
        for each in proposals
    ]
    return JsonResponse({"ieds": scl.ieds, "ied": chosen, "endpoints": endpoints, "proposals": rows})


@requires(Role.ENGINEER)
@require_POST
def scl_profile(request: HttpRequest, **_route: str) -> HttpResponse:
    """The chosen points as a profile's YAML, to be named in a pilot file."""
    name, wanted = request.POST.get("name", ""), set(request.POST.getlist("point"))
    try:
        if not PROFILE_NAME.fullmatch(name):
            raise CatalogueError(_("A profile's name has small letters, digits and -."), field="name")
        scl, proposals = _read(request)
        chosen = [each for each in proposals if each.point in wanted]
        if not chosen:
            raise CatalogueError(_("Choose at least one point."), field="point")
    except CatalogueError as error:
        return _refusal(error)
    text = profile_text(chosen, name=name, source=f"SCL file {scl.file}")
    response = HttpResponse(text, content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.yaml"'
    return response


def _read(request: HttpRequest) -> tuple[Scl, list[Proposal]]:
    upload = request.FILES.get("file")
    if upload is None or isinstance(upload, list):
        raise CatalogueError(_("Choose a file first."), field="file")
    if (upload.size or 0) > MAX_BYTES:
        raise CatalogueError(_("The file has more than %s MB.") % (MAX_BYTES // 1024 // 1024), field="file")
    scl = parse_scl(upload.read(), str(upload)[:100])
    return scl, propose(scl, request.POST.get("ied") or next(iter(scl.ieds), ""))


def _refusal(error: CatalogueError) -> JsonResponse:
    form: dict[str, Any] = {"code": "refused", "reason": str(error), "field": error.field}
    return JsonResponse(form, status=422)
