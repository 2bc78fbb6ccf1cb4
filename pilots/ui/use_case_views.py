"""The use cases of D7.1 section 4 against the devices of a pilot: what is there, live and good, and what is missing in words."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from pilots.catalogue.conformity import DeviceConformity, conformity
from pilots.exports.sample_csv import harmless
from pilots.models import Device, Role
from pilots.ui.access import requires
from pilots.ui.use_case_rows import device_use_cases
from pilots.ui.views import pilot_of

COLUMNS = ("use_case", "device", "kind", "item", "direction", "required", "points", "point", "present", "live", "good", "remark")


@requires(Role.VIEWER)
@require_safe
def use_cases_page(request: HttpRequest, **_route: str) -> HttpResponse:
    pilot = pilot_of(request)
    found = conformity(Device.objects.filter(pilot=pilot), timezone.now())
    cases = list(dict.fromkeys(one.use_case.id for one in found))
    groups = [_group([one for one in found if one.use_case.id == case]) for case in cases]
    lacking = sum(bool(one.missing) for one in found)
    context = {"page": "use_cases", "pilot": pilot, "groups": groups, "lacking": lacking}
    return render(request, "pilots/use_cases.html", context)


@requires(Role.VIEWER)
@require_safe
def use_cases_export(request: HttpRequest, **_route: str) -> HttpResponse:
    """One exchanged item of one device a row."""
    pilot = pilot_of(request)
    response = HttpResponse(
        conformity_csv(conformity(Device.objects.filter(pilot=pilot), timezone.now())), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{pilot.code}-use-cases.csv"'
    return response


def conformity_csv(found: Iterable[DeviceConformity]) -> str:
    """Header and rows; empty where a question does not arise."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for one in found:
        for state in one.items:
            item = state.item
            about = [one.use_case.id, harmless(one.device.code), one.device.kind, item.text, item.direction.value]
            stands = [_yes(bool(state.point)), _yes(state.live), _yes(state.good), item.remark]
            writer.writerow([*about, _yes(item.required), " ".join(item.points), state.point, *stands])
    return out.getvalue()


def _yes(answer: bool | None) -> str:
    return "" if answer is None else "yes" if answer else "no"


def _group(found: list[DeviceConformity]) -> dict[str, Any]:
    case = found[0].use_case
    met = sum(not one.missing for one in found)
    return {"case": case, "rows": device_use_cases(found), "devices": len(found), "met": met}
