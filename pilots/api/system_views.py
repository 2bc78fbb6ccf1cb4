"""What the API says about itself: capabilities, clock, health."""

from __future__ import annotations

from typing import ClassVar

from django.db import connection
from django.db.models import Q
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from pilots.api import paging, schema, shapes
from pilots.api.base import ApiView
from pilots.api.message import MAX_VALUES
from pilots.api.permissions import ANY_SCOPE
from pilots.api.records import guard_record
from pilots.api.renderers import MAX_BODY
from pilots.api.setpoint_body import SERVICES
from pilots.control.guards import switched_off
from pilots.domain.guards import MAX_CLOCK_SKEW
from pilots.northbound.messages import rfc3339

RESOLUTIONS = ["PT1M", "PT15M", "PT1H", "P1D"]
AGGREGATES = ["mean", "min", "max", "last"]


class AnybodyView(ApiView):
    """For every client, whatever its scopes."""

    scopes: ClassVar[dict[str, str]] = {"GET": ANY_SCOPE}


class ApiCapabilities(AnybodyView):
    @extend_schema(operation_id="get_capabilities", responses=schema.one(shapes.ApiCapabilities))
    def get(self, request: Request) -> Response:
        """What this API offers to this client."""
        limits = {
            "page": paging.MAX_LIMIT,
            "values_per_message": MAX_VALUES,
            "body_bytes": MAX_BODY,
            "requests_per_s": 20,
            "clock_skew_s": int(MAX_CLOCK_SKEW.total_seconds()),
            "idempotency_hours": 48,
        }
        pilots = self.client(request).pilots
        form = {
            "version": "1",
            "bindings": ["json"],
            "pilots": list(pilots.values_list("code", flat=True)),
            "resolutions": RESOLUTIONS,
            "aggregates": AGGREGATES,
            "limits": limits,
            "services": SERVICES,
            "setpoint_kinds": ["setpoint", "command"],
            "modes": ["absolute", "limit"],
            "commands_off": [
                guard_record(switch) | {"pilot": switch.pilot.code if switch.pilot else None}
                for switch in switched_off().filter(Q(pilot=None) | Q(pilot__in=pilots))
            ],
        }
        return Response(form)


class Clock(AnybodyView):
    @extend_schema(operation_id="get_clock", responses=schema.one(shapes.Clock))
    def get(self, request: Request) -> Response:
        """Our clock: `issued_at` and `sent_at` must not be further from it than the tolerance."""
        return Response({"now": rfc3339(timezone.now()), "tolerance_s": int(MAX_CLOCK_SKEW.total_seconds())})


class Health(AnybodyView):
    @extend_schema(operation_id="get_health", responses=schema.one(shapes.Health))
    def get(self, request: Request) -> Response:
        """The API answers and its database too."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return Response({"status": "up", "now": rfc3339(timezone.now())})
