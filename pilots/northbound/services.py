"""Empties the outbox towards the platform: in order per pilot, at least once. [towards enterprise]"""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from invade_scada.ports import read_ports
from pilots.audit.services import record_event
from pilots.domain.errors import PlatformDown, PlatformRefused
from pilots.models import OutboxMessage, OutboxState, Pilot
from pilots.models.leases import HeldLease, take_lease
from pilots.northbound.client import InvadeClient
from pilots.northbound.exchanges import exchange, note_exchange
from pilots.northbound.messages import rfc3339, written_values
from pilots.northbound.setpoint_events import events_wait, forward_events

log = logging.getLogger(__name__)

LEASE_S = 20.0
PAGE = 50
RUN_S = 10.0


def platform_address() -> tuple[str, str] | None:
    """Base URL and token of the platform: from the settings, else our simulator's; None when there is no platform."""
    if settings.PLATFORM_URL:
        return settings.PLATFORM_URL.rstrip("/") + "/", settings.PLATFORM_TOKEN
    port = read_ports(settings.DATA_DIR).get("platform")
    secrets = settings.DATA_DIR / "simulator_secrets.json"
    if port is None or not secrets.exists():
        return None
    return f"http://127.0.0.1:{port}/", json.loads(secrets.read_text())["platform_push"]


def forward_outbox(*, owner: str, now: datetime) -> int:
    """What waits and is due has been offered to the platform; returns how many messages it took."""
    address, due = platform_address(), _due(now)
    if address is None or not (due or events_wait()):
        return 0
    # One forwarder at a time keeps every pilot's order. The lease is left to run on: the next beat is here in a second.
    lease = take_lease("outbox", owner, ttl_s=LEASE_S, now=now)
    if lease is None:
        return 0
    with InvadeClient(*address) as client:
        # Events first: they are few, and somebody waits for them.
        told = forward_events(client, lease, now)
        return told + sum(_forward_pilot(client, state, lease) for state in due)


def _due(now: datetime) -> list[OutboxState]:
    waiting = OutboxMessage.objects.filter(pilot=OuterRef("pilot"), refused_at=None)
    due = Q(retry_at=None) | Q(retry_at__lte=now)
    # Whoever waits longest comes first, so that one pilot's backlog never starves another.
    longest = F("accepted_at").asc(nulls_first=True)
    return list(OutboxState.objects.filter(due, Exists(waiting)).select_related("pilot").order_by(longest))


def _forward_pilot(client: InvadeClient, state: OutboxState, lease: HeldLease) -> int:
    accepted, started = 0, time.monotonic()
    while time.monotonic() - started < RUN_S and lease.usable:
        waiting = OutboxMessage.objects.filter(pilot=state.pilot, refused_at=None).order_by("epoch", "sequence")
        page = list(waiting[:PAGE])
        if not page:
            break
        done = _offer(client, state, page, lease)
        accepted += done
        if done < len(page):
            break
    return accepted


def _offer(client: InvadeClient, state: OutboxState, page: list[OutboxMessage], lease: HeldLease) -> int:
    """Offers a page in order; stops at the first message the platform cannot take now. Returns how many are done."""
    done: list[OutboxMessage] = []
    trouble = ""
    for message in page:
        if not lease.usable:
            break
        try:
            _post(client, state, message, again=not done and state.attempts > 0)
            done.append(message)
        except PlatformRefused as error:
            _set_aside(message, str(error))
            done.append(message)
        except PlatformDown as error:
            trouble = str(error)
            break
    with transaction.atomic():
        OutboxMessage.objects.filter(pk__in=[message.pk for message in done], refused_at=None).delete()
        note_exchange(state, accepted=bool(done), sequence=done[-1].sequence if done else None, trouble=trouble)
    return len(done)


def _post(client: InvadeClient, state: OutboxState, message: OutboxMessage, *, again: bool) -> None:
    """The platform has the message. Raises as `post_measurements` does."""
    key = message_key(state.pilot.code, message)
    exchange(client.post_measurements, state, _body(state.pilot, message), key=key, again=again)


def message_key(pilot: str, message: OutboxMessage) -> str:
    """The message's Idempotency-Key: the same at every try."""
    return f"{settings.INSTALLATION}:{pilot}:{message.epoch}:{message.sequence}"


def _body(pilot: Pilot, message: OutboxMessage) -> bytes:
    # `sent_at` is the message's birth, so that every try of it has the same body under the same key.
    head = {"pilot": pilot.code, "epoch": message.epoch, "sequence": message.sequence, "sent_at": rfc3339(message.created_at)}
    return (json.dumps(head)[:-1] + ', "values": ' + written_values(message.values_json) + "}").encode()


def _set_aside(message: OutboxMessage, reason: str) -> None:
    """A message the platform will never take is kept apart for an engineer; the ones behind it go on."""
    log.error("outbox message %s set aside: %s", message.pk, reason)
    OutboxMessage.objects.filter(pk=message.pk).update(refused_at=datetime.now(UTC), refusal=reason[:300])


@transaction.atomic
def offer_again(messages: QuerySet[OutboxMessage], *, actor: str, now: datetime) -> int:
    """Those of the messages that were set aside wait for their turn again, under their old keys; returns how many."""
    refused = list(messages.exclude(refused_at=None).select_related("pilot"))
    OutboxMessage.objects.filter(pk__in=[message.pk for message in refused]).update(refused_at=None, refusal="")
    for message in refused:
        record_event(
            at=now,
            actor=actor,
            action="offer message again",
            pilot=message.pilot.code,
            subject=str(message),
            details={"refusal": message.refusal},
        )
    return len(refused)
