"""The transactional outbox: what was stored will be delivered, in order, at least once. [towards enterprise]

One row per flush and pilot, written in the flush's own transaction; `sequence` is gapless within the pilot's `epoch`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db.models import F

from pilots.domain.measurement import Measurement
from pilots.models import OutboxMessage, OutboxState, Pilot
from pilots.northbound.messages import rfc3339


@dataclass(frozen=True, slots=True)
class OutgoingValue:
    """One measurement on its way north, named as the platform knows it."""

    pilot: str
    device: str
    point: str
    unit: str
    measurement: Measurement


_pilot_keys: dict[str, int] = {}


def enqueue_measurements(values: Sequence[OutgoingValue], *, now: datetime) -> None:
    """One message per pilot waits once the caller's transaction commits."""
    by_pilot: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for value in values:
        by_pilot[value.pilot].append(_form(value))
    messages = [_message(code, forms, now) for code, forms in sorted(by_pilot.items())]
    OutboxMessage.objects.bulk_create(messages)


def _message(code: str, forms: list[dict[str, Any]], now: datetime) -> OutboxMessage:
    pilot = _pilot_key(code)
    # The row lock of this UPDATE makes the numbers gapless and their order the order of commits.
    if not OutboxState.objects.filter(pilot_id=pilot).update(next_sequence=F("next_sequence") + 1):
        OutboxState.objects.create(pilot_id=pilot, next_sequence=2)
    epoch, following = OutboxState.objects.values_list("epoch", "next_sequence").get(pilot_id=pilot)
    body = orjson.dumps(forms).decode()
    return OutboxMessage(pilot_id=pilot, epoch=epoch, sequence=following - 1, created_at=now, values_json=body)


def _pilot_key(code: str) -> int:
    if code not in _pilot_keys:
        _pilot_keys[code] = Pilot.objects.values_list("pk", flat=True).get(code=code)
    return _pilot_keys[code]


def _form(value: OutgoingValue) -> dict[str, Any]:
    measurement = value.measurement
    form: dict[str, Any] = {"device": value.device, "point": value.point, "t": rfc3339(measurement.source_time)}
    form |= {"received": rfc3339(measurement.received_time), "resolution": None, "agg": "last"}
    form |= {"value": measurement.value, "unit": value.unit, "quality": measurement.quality.as_dict()}
    return form if measurement.text is None else form | {"text": measurement.text}
