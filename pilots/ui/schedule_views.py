"""Schedules on pages: the list, one with its curve and steps, a new one by form; operators make and cancel them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from csp.decorators import csp_update
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.control import schedules
from pilots.control.schedule_records import step_records, with_plant
from pilots.domain.errors import SetpointRejected
from pilots.domain.schedule import RESOLUTIONS, ScheduleState
from pilots.domain.setpoint import Issuer, RejectCode
from pilots.models import Pilot, Point, Role, Schedule, User
from pilots.ui.access import requires
from pilots.ui.plotly_files import plotly_version, style_hashes
from pilots.ui.quantities import point_name, shown_number, shown_unit
from pilots.ui.schedule_chart import schedule_figure
from pilots.ui.schedule_form import read_form
from pilots.ui.time_zones import page_zone, zone_named, zone_now
from pilots.ui.views import pilot_of
from pilots.ui.words import page_words, resolution_words, schedule_state_words, step_words

SHOWN = 200
_OPEN = [ScheduleState.RUNNING, ScheduleState.ACCEPTED, ScheduleState.DRAFT]
#: Of the form, what a refusal may stand at.
_FIELDS = ("point", "start", "resolution", "values", "on_expiry", "fallback_value")


@requires(Role.VIEWER)
@require_safe
def schedules_page(request: HttpRequest, **_route: str) -> HttpResponse:
    """Those in force, waiting and drafted first, then the newest of the others."""
    pilot = pilot_of(request)
    own = with_plant(Schedule.objects.filter(point__device__pilot=pilot))
    rows = [*own.filter(state__in=_OPEN).order_by("start"), *own.exclude(state__in=_OPEN)[:SHOWN]]
    return render(request, "pilots/schedules.html", _frame(request) | {"rows": [_row(schedule) for schedule in rows]})


@requires(Role.VIEWER)
@require_safe
def schedule_page(request: HttpRequest, schedule_id: UUID, **_route: str) -> HttpResponse:
    """Plotly writes two style sheets of its own: their hashes are allowed here too."""
    update = {"style-src": list(style_hashes()), "img-src": ["blob:"]}
    response: HttpResponse = csp_update(update)(lambda asked: _schedule_page(asked, schedule_id))(request)  # type: ignore[assignment]
    return response


def _schedule_page(request: HttpRequest, schedule_id: UUID) -> HttpResponse:
    schedule, now = _schedule(request, schedule_id), timezone.now()
    more: dict[str, Any] = {"row": _row(schedule), "steps": _steps(schedule, now), "version": _version(schedule)}
    more |= {"plotly_version": plotly_version(), "open": schedule.state in _OPEN, "draft": schedule.state == ScheduleState.DRAFT}
    return render(request, "pilots/schedule.html", _frame(request) | more | {"words": page_words()})


@requires(Role.VIEWER)
@require_safe
def schedule_data(request: HttpRequest, schedule_id: UUID, **_route: str) -> JsonResponse:
    """The figure and what became of each step."""
    schedule, now = _schedule(request, schedule_id), timezone.now()
    form = {"figure": schedule_figure(schedule, page_zone(), now), "steps": _steps(schedule, now), "version": _version(schedule)}
    return JsonResponse(form)


@requires(Role.OPERATOR)
@require_safe
def new_schedule(request: HttpRequest, **_route: str) -> HttpResponse:
    quarter = timedelta(minutes=15)
    now = timezone.localtime()
    start = (now + quarter).replace(minute=(now + quarter).minute // 15 * 15, second=0, microsecond=0)
    given = {"start": f"{start:%Y-%m-%dT%H:%M}", "zone": page_zone().key, "resolution": "PT15M", "on_expiry": "release"}
    return _form(request, given | {"point": request.GET.get("point", "")})


@requires(Role.OPERATOR)
@require_POST
def create_schedule(request: HttpRequest, **_route: str) -> HttpResponse:
    """On to its page, or 422 with the form as it was sent and the sentence at its field."""
    user = cast(User, request.user)
    try:
        form = read_form(pilot_of(request), request.POST.dict())
        schedule = schedules.create_schedule(
            point=form.point,
            curve=form.curve,
            unit=form.point.unit,
            issuer=Issuer.OPERATOR,
            requested_by=user.get_username(),
            user=user,
            reason=form.reason,
            draft=form.draft,
            now=timezone.now(),
        )
    except SetpointRejected as refusal:
        return _form(request, request.POST.dict(), refusal, 503 if refusal.code == RejectCode.AUDIT_UNAVAILABLE else 422)
    return _to(schedule)


@requires(Role.OPERATOR)
@require_POST
def accept_schedule(request: HttpRequest, schedule_id: UUID, **_route: str) -> HttpResponse:
    schedule = _schedule(request, schedule_id)
    return _done(lambda: schedules.accept_schedule(schedule, actor=_name(request), now=timezone.now()))


@requires(Role.OPERATOR)
@require_POST
def cancel_schedule(request: HttpRequest, schedule_id: UUID, **_route: str) -> HttpResponse:
    schedule, reason = _schedule(request, schedule_id), request.POST.get("reason", "")[:300].replace("\0", "")
    return _done(lambda: schedules.cancel_schedule(schedule, actor=_name(request), reason=reason, now=timezone.now()))


def _done(act: Callable[[], object]) -> HttpResponse:
    """204, or 409 with the sentence."""
    try:
        act()
    except SetpointRejected as refusal:
        return JsonResponse({"code": refusal.code, "reason": refusal.reason, "field": refusal.field}, status=409)
    return HttpResponse(status=204)


def _frame(request: HttpRequest) -> dict[str, Any]:
    pilot = pilot_of(request)
    may_operate = cast(User, request.user).has_role(Role.OPERATOR, pilot)
    return {"page": "schedules", "pilot": pilot, "may_operate": may_operate}


def _schedule(request: HttpRequest, schedule_id: UUID) -> Schedule:
    found = with_plant(Schedule.objects.filter(pk=schedule_id, point__device__pilot=pilot_of(request))).first()
    if found is None:
        raise Http404
    return found


def _row(schedule: Schedule) -> dict[str, Any]:
    zone, device = page_zone(), schedule.point.device
    values = [value for value in schedule.values if value is not None]
    return {
        "schedule": schedule,
        "device": device.code,
        "point": point_name(schedule.point.name),
        "state": schedule_state_words()[schedule.state],
        "start": f"{schedule.start.astimezone(zone):%Y-%m-%d %H:%M}",
        "end": f"{schedule.end.astimezone(zone):%Y-%m-%d %H:%M}",
        "steps": len(schedule.values),
        "fallback": shown_number(schedule.fallback_value or 0.0, schedule.unit),
        "resolution": resolution_words()[schedule.resolution_s],
        "range": _("%(low)s to %(high)s")
        % {"low": shown_number(min(values), schedule.unit), "high": shown_number(max(values), schedule.unit)},
        "received": f"{schedule.received_at.astimezone(zone):%Y-%m-%d %H:%M}",
    }


def _steps(schedule: Schedule, now: datetime) -> list[dict[str, Any]]:
    zone, words, curve = page_zone(), step_words(), schedule.curve
    current = curve.number_at(now) if schedule.state in _OPEN else -1
    return [
        {
            "number": step["number"],
            "shown": step["number"] + 1,
            "begins": f"{curve.begin_of(step['number']).astimezone(zone):%a %H:%M}",
            "value": "–" if step["value"] is None else shown_number(step["value"], schedule.unit),
            "words": words["in_force"] if step["active"] else words.get(step["state"], step["state"]),
            "reason": step["reason"],
            "css": _css(step, current),
        }
        for step in step_records(schedule, now)
    ]


def _css(step: dict[str, Any], current: int) -> str:
    marks = {"rejected": "failed", "failed": "failed", "expired": "failed", "missed": "failed", "unknown": "unsure"}
    place = "now" if step["number"] == current else "past" if step["number"] < current else ""
    return f"{marks.get(step['state'], '')} {place}".strip()


def _form(
    request: HttpRequest, given: dict[str, str], refusal: SetpointRejected | None = None, status: int = 200
) -> HttpResponse:
    pilot, zone = pilot_of(request), zone_named(given["zone"]) if given.get("zone") else page_zone()
    field = "" if refusal is None else refusal.field.partition("[")[0]
    context = {
        "points": _points(pilot),
        "resolutions": [(word, resolution_words()[seconds]) for word, seconds in RESOLUTIONS.items()],
        # Each has its key: where `values` is missing a template finds the method of that name.
        "given": {name: given.get(name, "") for name in (*_FIELDS, "reason")},
        "refusal": refusal,
        "field": field if field in _FIELDS else "",
        # A form that comes back keeps the clock it was filled by.
        "zone": zone.key,
        "zone_named": zone_now(zone, timezone.now()),
    }
    return render(request, "pilots/schedule_form.html", _frame(request) | context, status=status)


def _points(pilot: Pilot) -> list[dict[str, str]]:
    rows = Point.objects.filter(device__pilot=pilot, kind="setpoint", capability__isnull=False).select_related("device")
    return [
        {
            "reference": f"{point.device.code}/{point.name}",
            "label": f"{point.device.code} {point_name(point.name).lower()}, {shown_unit(point.unit)[0]}",
        }
        for point in rows.order_by("device__code", "name")
    ]


def _version(schedule: Schedule) -> str:
    return f"{schedule.revision} {schedule.state}"


def _to(schedule: Schedule) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("schedule", args=[schedule.point.device.pilot.code, schedule.pk]))


def _name(request: HttpRequest) -> str:
    return cast(User, request.user).get_username()
