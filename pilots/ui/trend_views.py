"""The history page: a choice of points, their figure, their export."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from pilots.models import Role
from pilots.ui.access import requires


@requires(Role.VIEWER)
@require_safe
def trends_page(request: HttpRequest, code: str) -> HttpResponse:
    return render(request, "pilots/trends.html", {"page": "trends", "pilot": request.pilot})  # type: ignore[attr-defined]


@requires(Role.VIEWER)
@require_safe
def trends_data(request: HttpRequest, code: str) -> HttpResponse:
    return JsonResponse({})


@requires(Role.VIEWER)
@require_safe
def trends_export(request: HttpRequest, code: str) -> HttpResponse:
    return HttpResponse("", content_type="text/csv")
