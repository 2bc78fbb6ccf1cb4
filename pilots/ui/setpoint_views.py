"""Set-points from the page: parse and call `pilots.control`; operators only."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from pilots.models import Role
from pilots.ui.access import requires


@requires(Role.OPERATOR)
@require_POST
def create_setpoint(request: HttpRequest, code: str) -> HttpResponse:
    return JsonResponse({})


@requires(Role.OPERATOR)
@require_POST
def cancel_setpoint(request: HttpRequest, code: str, setpoint_id: UUID) -> HttpResponse:
    return JsonResponse({})
