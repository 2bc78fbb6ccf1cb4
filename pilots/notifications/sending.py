"""Deliveries go out: claimed by one worker, sent outside any transaction, noted, tried again with patience. [operation]"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F

from pilots.models import Delivery, DeliveryState, Way
from pilots.notifications.mail import send_mail
from pilots.notifications.ways import NotDelivered
from pilots.notifications.webhook import post_webhook

log = logging.getLogger(__name__)
#: Waits after each try that failed; after the last there is none.
PATIENCE = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
#: No sending lasts so long: whoever claimed it is gone.
ABANDONED = timedelta(minutes=2)
#: A job ends after so long, that slow receivers do not keep the workers from their other jobs.
LONGEST_S = 20.0
KEPT = timedelta(days=400)
_SENDERS = {Way.MAIL: send_mail, Way.WEBHOOK: post_webhook}


def send_notifications(*, now: datetime) -> int:
    """What is due has been sent or waits for its next try; returns how many were sent."""
    take_back_abandoned(now=now)
    ends, sent = time.monotonic() + LONGEST_S, 0
    due = Delivery.objects.filter(state=DeliveryState.WAITING, next_try_at__lte=now).order_by("next_try_at")
    for key in list(due.values_list("pk", flat=True)[:100]):
        if time.monotonic() > ends:
            break
        sent += _deliver(key, now)
    return sent


def take_back_abandoned(*, now: datetime) -> None:
    """What a worker claimed and never noted goes out once more, and says so; what was repeated already is given up."""
    lost = Delivery.objects.filter(state=DeliveryState.SENDING, claimed_at__lt=now - ABANDONED)
    words = "A worker ended between sending and noting it: nobody knows whether it arrived."
    lost.filter(repeated=True).update(state=DeliveryState.FAILED, finished_at=now, outcome=words)
    lost.filter(repeated=False).update(state=DeliveryState.WAITING, repeated=True, next_try_at=now, outcome=words)


def forget_deliveries(*, now: datetime) -> int:
    """Deliveries long done are gone."""
    done = Delivery.objects.filter(finished_at__lt=now - KEPT)
    return done.delete()[0]


def deliver(delivery: Delivery, *, now: datetime) -> Delivery:
    """One try of this delivery now; returns it as it stands afterwards."""
    _deliver(delivery.pk, now)
    return Delivery.objects.get(pk=delivery.pk)


def _deliver(key: UUID, now: datetime) -> bool:
    waiting = Delivery.objects.filter(pk=key, state=DeliveryState.WAITING)
    if not waiting.update(state=DeliveryState.SENDING, claimed_at=now, attempts=F("attempts") + 1):
        return False  # another worker has it
    delivery = Delivery.objects.select_related("contact").get(pk=key)
    try:
        outcome = _SENDERS[Way(delivery.way)](delivery)
    except NotDelivered as error:
        _note_failure(delivery, error, now)
        return False
    _note(delivery, state=DeliveryState.SENT, finished_at=now, outcome=outcome[:300])
    return True


def _note_failure(delivery: Delivery, error: NotDelivered, now: datetime) -> None:
    outcome = str(error)[:300]
    if error.permanent or delivery.is_test or delivery.attempts > len(PATIENCE):
        _note(delivery, state=DeliveryState.FAILED, finished_at=now, outcome=outcome)
        log.warning("notification %s to %s failed: %s", delivery.pk, delivery.receiver, outcome)
        return
    _note(delivery, state=DeliveryState.WAITING, next_try_at=now + PATIENCE[delivery.attempts - 1], outcome=outcome)


def _note(delivery: Delivery, **columns: object) -> None:
    Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.SENDING).update(**columns)
