"""The training page: faults in the simulated field. Parse, ask the simulation, write the audit trail, render."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.models import User
from pilots.simulators.control_client import SimulatorAway, SimulatorControl
from pilots.simulators.faults import OPTIONS, FaultKind, FaultRefused
from pilots.ui.access import signed_in
from pilots.ui.training import Scene, kind_choices, note_deed, points_of, scene_of, simulator, training_pilots
from pilots.ui.training_words import DURATIONS


@signed_in
@require_safe
def training_page(request: HttpRequest) -> HttpResponse:
    return _page(request, _codes(request))


@signed_in
@require_safe
def training_field(request: HttpRequest) -> HttpResponse:
    """The left half alone, for the page that keeps itself fresh; 503 while the simulation does not answer."""
    codes, at = _codes(request), request.GET.get("at", "")
    try:
        scene = scene_of(simulator(), codes)
    except SimulatorAway:
        return HttpResponse(status=503)
    return render(request, "pilots/training_field.html", {"scene": scene, "at": at, "place": scene.place(at)})


@signed_in
@require_POST
def start_fault(request: HttpRequest) -> HttpResponse:
    form, codes = request.POST, _codes(request)

    def deed(control: SimulatorControl) -> None:
        target = form.get("target", "")
        place = scene_of(control, codes).place(target)
        if place is None:
            raise FaultRefused(_("Nothing simulated is called %(name)s.") % {"name": target})
        kind = form.get("kind", "")
        if kind not in place["kinds"]:
            raise FaultRefused(_("Choose what shall go wrong."))
        fault = control.start(
            kind,
            target,
            lasts_s=_number(form, "lasts_s"),
            options=_options(form, FaultKind(kind)),
            point=form.get("point", "") if kind == FaultKind.STUCK_VALUE else "",
        )
        note_deed("start fault", fault, actor=_name(request), now=timezone.now(), reason=form.get("reason", ""))

    return _done(request, codes, deed)


@signed_in
@require_POST
def end_fault(request: HttpRequest) -> HttpResponse:
    """The fault of the form's `id` is over; without one all that this person may end."""
    codes, wanted = _codes(request), request.POST.get("id", "")

    def deed(control: SimulatorControl) -> None:
        for fault in scene_of(control, codes).faults:
            if wanted in ("", fault["id"]):
                _end(request, control, fault["id"])

    return _done(request, codes, deed)


@signed_in
@require_POST
def switch_media(request: HttpRequest) -> HttpResponse:
    form, codes = request.POST, _codes(request)

    def deed(control: SimulatorControl) -> None:
        name, on = form.get("connection", ""), form.get("on") == "1"
        place = scene_of(control, codes).place(name)
        if place is None:
            raise FaultRefused(_("Nothing simulated is called %(name)s.") % {"name": name})
        control.set_media(name, on)
        what = {"kind": "media", "target": name, "pilot": place["pilot"]}
        note_deed("media on" if on else "media off", what, actor=_name(request), now=timezone.now())

    return _done(request, codes, deed)


def _end(request: HttpRequest, control: SimulatorControl, fault_id: str) -> None:
    try:
        ended = control.end(fault_id)
    except KeyError:
        return  # its time was up a moment before the click
    for fault in ended:
        note_deed("end fault", fault, actor=_name(request), now=timezone.now())


def _done(request: HttpRequest, codes: set[str], deed: Callable[[SimulatorControl], None]) -> HttpResponse:
    """Back to the page once the deed is done; the page with the reason when it was refused."""
    try:
        deed(simulator())
    except (FaultRefused, SimulatorAway) as refusal:
        return _page(request, codes, refusal=str(refusal), status=422)
    at = request.POST.get("at") or request.POST.get("target", "")
    return HttpResponseRedirect(reverse("training") + (f"?{urlencode({'at': at})}" if at else ""))


def _page(request: HttpRequest, codes: set[str], *, refusal: str = "", status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {"page": "training", "refusal": refusal, "words": {"training": _script_words()}}
    try:
        scene = scene_of(simulator(), codes)
    except SimulatorAway:
        return render(request, "pilots/training.html", context, status=status if refusal else 200)
    at = request.GET.get("at") or request.POST.get("target") or request.POST.get("at") or ""
    return render(request, "pilots/training.html", {**context, **_chosen(scene, at)}, status=status)


def _chosen(scene: Scene, at: str) -> dict[str, Any]:
    """The place whose faults stand in the right half: the one asked for, else the first."""
    first = scene.connections[0]["name"] if scene.connections else ""
    place = scene.place(at) or scene.place(first)
    found: dict[str, Any] = {"scene": scene, "place": place, "at": place["name"] if place else "", "durations": DURATIONS}
    if place is not None:
        found |= {"kinds": kind_choices(place), "points": points_of(place["name"])}
    return found


def _script_words() -> dict[str, Any]:
    return {
        "start": _("%s at %s, %s"),
        "choose": _("Choose what shall go wrong"),
    }


def _codes(request: HttpRequest) -> set[str]:
    """Codes of the pilots where this person trains. Raises PermissionDenied when there is none."""
    codes = {pilot.code for pilot in training_pilots(cast(User, request.user))}
    if not codes:
        raise PermissionDenied(_("Faults are started by engineers and installers of a pilot."))
    return codes


def _name(request: HttpRequest) -> str:
    return cast(User, request.user).get_username()


def _options(form: QueryDict, kind: FaultKind) -> dict[str, float]:
    """The figures of the chosen kind; an empty one keeps its default. Raises FaultRefused."""
    given = {name: _number(form, f"{kind}.{name}") for name in OPTIONS.get(kind, {})}
    return {name: value for name, value in given.items() if value is not None}


def _number(form: QueryDict, name: str) -> float | None:
    raw = form.get(name, "").strip().replace(",", ".").replace("−", "-")
    if not raw:
        return None
    try:
        number = float(raw)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise FaultRefused(_("%(field)s must be a number.") % {"field": name})
    return number
