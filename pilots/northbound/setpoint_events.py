"""What became of the platform's set-points, told to it: every transition, at least once, in order. [towards enterprise]

The event's own row is the outbox: it commits with its transition and takes no number, so that a set-point never waits for the
lock that numbers the measurements. Transitions of one set-point follow one another by their row's UPDATE, so their keys rise in
order; those of different set-points have no order to keep.
"""

from __future__ import annotations

import logging
from datetime import datetime

import orjson
from django.conf import settings
from django.db.models import QuerySet

from pilots.domain.errors import PlatformDown, PlatformRefused
from pilots.models import Forwarding, OutboxState, SetpointEvent
from pilots.models.leases import HeldLease
from pilots.northbound.client import InvadeClient
from pilots.northbound.exchanges import exchange, note_exchange
from pilots.northbound.messages import rfc3339

log = logging.getLogger(__name__)
PAGE = 200


def waiting_events() -> QuerySet[SetpointEvent]:
    """Transitions that the platform has not been told."""
    return SetpointEvent.objects.filter(forwarding=Forwarding.WAITING)


def events_wait() -> bool:
    """Whether anything is to be told; asked each second."""
    return waiting_events().exists()


def forward_events(client: InvadeClient, lease: HeldLease, now: datetime) -> int:
    """A page of what waits for each pilot has been told, as far as the platform takes it; returns how many events."""
    pilots = waiting_events().order_by().values_list("setpoint__point__device__pilot", flat=True).distinct()
    states = [OutboxState.objects.select_related("pilot").get_or_create(pilot_id=pilot)[0] for pilot in pilots]
    return sum(_tell(client, state, lease) for state in states if state.retry_at is None or state.retry_at <= now)


def _tell(client: InvadeClient, state: OutboxState, lease: HeldLease) -> int:
    told, trouble = 0, ""
    for event in _page(state):
        if not lease.usable:
            break
        try:
            again = told == 0 and state.attempts > 0
            exchange(client.post_setpoint_event, state, event_body(event), key=event_key(event), again=again)
            event.forwarding = Forwarding.TOLD
        except PlatformRefused as error:
            log.error("event %s of set-point %s is refused: %s", event.pk, event.setpoint_id, error)
            event.forwarding = Forwarding.REFUSED
        except PlatformDown as error:
            trouble = str(error)
            break
        # At once: after a crash only the one under way is told again, under the same key.
        event.save(update_fields=["forwarding"])
        told += 1
    note_exchange(state, accepted=told > 0, trouble=trouble)
    return told


def _page(state: OutboxState) -> list[SetpointEvent]:
    waiting = waiting_events().filter(setpoint__point__device__pilot=state.pilot_id)
    return list(waiting.select_related("setpoint__point__device__pilot").order_by("pk")[:PAGE])


def event_key(event: SetpointEvent) -> str:
    """The event's Idempotency-Key: the same at every try."""
    return f"{settings.INSTALLATION}:{event.setpoint.point.device.pilot.code}:setpoint-event:{event.pk}"


def event_body(event: SetpointEvent) -> bytes:
    """The event as the platform gets it (docs/api.md): the same bytes at every try."""
    setpoint = event.setpoint
    device = setpoint.point.device
    form = {
        "event": event.pk,
        "setpoint": str(setpoint.pk),
        "pilot": device.pilot.code,
        "device": device.code,
        "point": setpoint.point.name,
        "value": setpoint.value,
        "unit": setpoint.unit,
        "correlation_id": setpoint.correlation_id,
        "sequence": setpoint.sequence,
        "state": event.state,
        "at": rfc3339(event.at),
        "actor": event.actor,
        "code": event.code,
        "reason": event.reason,
        "raw": event.raw,
    }
    return orjson.dumps(form)
