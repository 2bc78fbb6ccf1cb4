"""The page of exports: asked for in a form, followed in a list, cancelled, downloaded. [operation]"""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.audit.services import audited
from pilots.domain.export import ExportFormat, ExportState, Resolution
from pilots.exports import files, services
from pilots.exports.selectors import exports_of, failure_words, sees_all
from pilots.exports.services import ExportRefused
from pilots.models import ExportJob, User
from pilots.ui.access import signed_in
from pilots.ui.export_form import form_of, format_words, resolution_words, wish_of
from pilots.ui.time_zones import zone_of
from pilots.ui.words import page_words

ROWS = 50


@signed_in
@require_safe
def exports_page(request: HttpRequest) -> HttpResponse:
    """The form, filled from the address (`pilot`, `points`, `start`, `end`), and the list."""
    return _page(request, request.GET)


@signed_in
@require_safe
def export_rows(request: HttpRequest) -> HttpResponse:
    """The list once more, for a page that follows a running one."""
    return render(request, "pilots/export_rows.html", _listed(_user(request)))


@signed_in
@require_POST
def create_export(request: HttpRequest) -> HttpResponse:
    """The export waits for a worker; a refusal comes back with the form as it was sent."""
    user, now = _user(request), timezone.now()
    pilot = user.visible_pilots().filter(code=request.POST.get("pilot", "")).first()
    if pilot is None:
        raise Http404
    try:
        services.ask_for_export(wish_of(pilot, request.POST), by=user.get_username(), user=user, now=now)
    except ExportRefused as refusal:
        return _page(request, request.POST, refusal)
    return HttpResponseRedirect(f"{reverse('exports')}?pilot={pilot.code}")


@signed_in
@require_POST
def cancel_export(request: HttpRequest, export_id: UUID) -> HttpResponse:
    """Stopped, unless it has ended in the meantime, which the list shows."""
    user = _user(request)
    try:
        services.cancel_export(_job(user, export_id), by=user.get_username(), now=timezone.now())
    except ExportRefused as refusal:
        return _page(request, QueryDict(), refusal)
    return HttpResponseRedirect(reverse("exports"))


@signed_in
@require_safe
def download_export(request: HttpRequest, export_id: UUID) -> HttpResponseBase:
    """The file; who took it stands in the audit trail."""
    user = _user(request)
    job = _job(user, export_id)
    path = files.file_of(job)
    if path is None:
        return _page(request, QueryDict(), ExportRefused(_("There is no file: ask for the export again.")))
    with audited():
        services.note(job, "download export", by=user.get_username(), now=timezone.now())
    return files.download(job, path)


@signed_in
@require_safe
def export_manifest(request: HttpRequest, export_id: UUID) -> HttpResponse:
    """Who asked for what and when, and how the file can be checked."""
    job = _job(_user(request), export_id)
    if not job.manifest:
        raise Http404
    response = JsonResponse(job.manifest, json_dumps_params={"indent": 2, "ensure_ascii": False})
    response["Content-Disposition"] = f'attachment; filename="{job.pilot.code}-{job.start:%Y%m%dT%H%MZ}-manifest.json"'
    return response


def _page(request: HttpRequest, given: QueryDict, refusal: ExportRefused | None = None) -> HttpResponse:
    user, now = _user(request), timezone.now()
    pilots = list(user.visible_pilots())
    pilot = next((each for each in pilots if each.code == given.get("pilot")), pilots[0] if pilots else None)
    context: dict[str, Any] = {"page": "exports", "pilots": pilots, "chosen": pilot, "refusal": refusal, "words": page_words()}
    context |= _listed(user) | ({"form": form_of(pilot, given, now, zone_of(user, pilot))} if pilot is not None else {})
    return render(request, "pilots/exports.html", context, status=400 if refusal else 200)


def _listed(user: User) -> dict[str, Any]:
    jobs = list(exports_of(user)[: ROWS + 1])
    return {"rows": [_row(job) for job in jobs[:ROWS]], "has_more": len(jobs) > ROWS, "sees_all": sees_all(user)}


def _row(job: ExportJob) -> dict[str, Any]:
    zone, state = ZoneInfo(job.zone), ExportState(job.state)
    more = len(job.points) - 1
    return {
        "job": job,
        "state": state_words()[state],
        "is_open": state.is_open,
        "is_done": state is ExportState.DONE,
        "points": job.points[0] + (_(" and %(n)d more") % {"n": more} if more else ""),
        "start": job.start.astimezone(zone),
        "end": job.end.astimezone(zone),
        "format": format_words()[ExportFormat(job.format)],
        "resolution": resolution_words()[Resolution(job.resolution)],
        "size": filesizeformat(job.size) if job.size is not None else "",
        "failure": failure_words(job),
    }


def state_words() -> dict[ExportState, str]:
    return {
        ExportState.QUEUED: _("waits for a worker"),
        ExportState.RUNNING: _("is being written"),
        ExportState.DONE: _("done"),
        ExportState.FAILED: _("failed"),
        ExportState.CANCELLED: _("cancelled"),
        ExportState.EXPIRED: _("expired: its file is gone"),
    }


def _job(user: User, key: UUID) -> ExportJob:
    return get_object_or_404(exports_of(user), pk=key)


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)
