"""The transactional outbox: what was stored will be delivered, in order, at least once. [towards enterprise]

One row per flush and pilot, written in the flush's own transaction; `sequence` is gapless within the pilot's `epoch`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
from django.db import IntegrityError, transaction
from django.db.models import F

from pilots.domain.measurement import Measurement
from pilots.domain.quality import Quality
from pilots.models import OutboxMessage, OutboxState
from pilots.northbound.messages import rfc3339


@dataclass(frozen=True, slots=True)
class OutgoingValue:
    """One measurement on its way north, named as the platform knows it; `pilot` is the database's key."""

    pilot: int
    device: str
    point: str
    unit: str
    measurement: Measurement


def enqueue_measurements(values: Sequence[OutgoingValue], *, now: datetime) -> None:
    """One message per pilot waits once the caller's transaction commits."""
    by_pilot: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for value in values:
        by_pilot[value.pilot].append(_form(value))
    messages = [_message(pilot, forms, now) for pilot, forms in sorted(by_pilot.items())]
    OutboxMessage.objects.bulk_create(messages)


def _message(pilot: int, forms: list[dict[str, Any]], now: datetime) -> OutboxMessage:
    # The row lock of this UPDATE makes the numbers gapless and their order the order of commits.
    if not OutboxState.objects.filter(pilot_id=pilot).update(next_sequence=F("next_sequence") + 1):
        _begin_numbering(pilot)
    epoch, following = OutboxState.objects.values_list("epoch", "next_sequence").get(pilot_id=pilot)
    body = orjson.dumps(forms).decode()
    return OutboxMessage(pilot_id=pilot, epoch=epoch, sequence=following - 1, created_at=now, values_json=body)


def _begin_numbering(pilot: int) -> None:
    """The pilot's first message: two writers may meet here, and only one makes the row."""
    try:
        with transaction.atomic():
            OutboxState.objects.create(pilot_id=pilot, next_sequence=2)
    except IntegrityError:
        if not OutboxState.objects.filter(pilot_id=pilot).update(next_sequence=F("next_sequence") + 1):
            raise


def _form(value: OutgoingValue) -> dict[str, Any]:
    measurement = value.measurement
    form: dict[str, Any] = {
        "device": value.device,
        "point": value.point,
        "t": rfc3339(measurement.source_time),
        "received": rfc3339(measurement.received_time),
        "resolution": None,
        "agg": "last",
        "value": measurement.value,
        "unit": value.unit,
        "quality": _quality_form(measurement.quality.pack()),
    }
    return form if measurement.text is None else form | {"text": measurement.text}


@lru_cache(maxsize=1024)
def _quality_form(packed: int) -> dict[str, object]:
    # Few qualities, many values; the form is only ever encoded.
    return Quality.unpack(packed).as_dict()
