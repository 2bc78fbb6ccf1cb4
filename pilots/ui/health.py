"""`/healthz`, `/readyz` and `/metrics`: for supervisors and Prometheus, not for people."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from django.db import DatabaseError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from pilots.audit.selectors import head, last_verification
from pilots.domain.topology import LinkState, Protocol
from pilots.models import Connection, Lease, OutboxMessage, Scope, ServiceToken, Setpoint
from pilots.northbound.setpoint_events import waiting_events
from pilots.ui.access import public

REQUIRED_ROLES = ("web", "field", "worker", "beat")
LOOPBACK = ("127.0.0.1", "::1")


@public
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while this process answers."""
    return JsonResponse({"status": "up"})


@public
def readyz(request: HttpRequest) -> HttpResponse:
    """200 once every role is up and every reachable connection has been read, else 503 with what is missing."""
    try:
        missing = [*_missing_roles(datetime.now(UTC)), *_unread_connections()]
    except DatabaseError:
        missing = ["the database"]
    answer = JsonResponse({"status": "waiting" if missing else "ready", "waiting_for": missing}, status=503 if missing else 200)
    # Waiting is an answer, not an error of ours: Django would log each probe as one.
    answer._has_been_logged = True  # type: ignore[attr-defined]
    return answer


def _missing_roles(now: datetime) -> list[str]:
    live = Lease.objects.filter(resource__startswith="role:", until__gt=now).values_list("resource", flat=True)
    up = {resource.split(":")[1] for resource in live}
    return [f"role {role}" for role in REQUIRED_ROLES if role not in up]


def _unread_connections() -> list[str]:
    asked = Connection.objects.filter(enabled=True).exclude(protocol=Protocol.PUSH)
    waiting = asked.filter(state=LinkState.UNKNOWN) | asked.filter(state=LinkState.UP, last_frame_at=None)
    return [f"connection {name}" for name in waiting.values_list("name", flat=True)]


@public
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text, from loopback or with a token of scope read; anybody else gets 403."""
    if not _is_local(request) and not _has_token(request):
        return HttpResponse("metrics are for loopback or a token of scope read\n", status=403, content_type="text/plain")
    lines = [f"{name} {value}" for name, value in _gauges()]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4")


def _is_local(request: HttpRequest) -> bool:
    # Behind a reverse proxy on this machine everybody comes from loopback; the proxy says that it forwards.
    forwarded = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    return request.META.get("REMOTE_ADDR") in LOOPBACK and not forwarded


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    digest = hashlib.sha256(token.encode()).hexdigest()
    row = ServiceToken.objects.filter(sha256=digest).first() if scheme == "Bearer" else None
    return row is not None and row.is_live(datetime.now(UTC)) and Scope.READ in row.scopes


def _gauges() -> list[tuple[str, float]]:
    gauges: list[tuple[str, float]] = [("invade_outbox_messages", OutboxMessage.objects.filter(refused_at=None).count())]
    gauges.append(("invade_setpoint_events_waiting", waiting_events().count()))
    gauges.append(("invade_outbox_set_aside", OutboxMessage.objects.exclude(refused_at=None).count()))
    for state, count in Setpoint.objects.values_list("state").annotate(Count("pk")):
        gauges.append((f'invade_setpoints{{state="{state}"}}', count))
    gauges += _audit_gauges()
    for connection in Connection.objects.all():
        labels = f'{{connection="{connection.name}"}}'
        gauges.append((f"invade_connection_up{labels}", int(connection.state == LinkState.UP)))
        gauges += [
            (f"invade_connection_{name}{labels}", value)
            for name, value in connection.statistics.items()
            if isinstance(value, int | float)
        ]
    return gauges


def _audit_gauges() -> list[tuple[str, float]]:
    gauges: list[tuple[str, float]] = [("invade_audit_rows", head()[0])]
    verdict = last_verification()
    if verdict is not None:
        gauges.append(("invade_audit_intact", int(not verdict.fault)))
        gauges.append(("invade_audit_verified_rows", verdict.number))
        gauges.append(("invade_audit_verified_timestamp_seconds", verdict.at.timestamp()))
    return gauges


urlpatterns = [path("healthz", healthz), path("readyz", readyz), path("metrics", metrics)]
