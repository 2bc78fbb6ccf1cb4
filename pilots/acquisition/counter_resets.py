"""Counters that were set back: a meter was reset or exchanged, or its register rolled over. [station]

The value is kept as it came; who reckons with differences finds in the audit trail where one of them is no consumption.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db import transaction

from pilots.acquisition.batch import Batch
from pilots.acquisition.directory import PointEntry
from pilots.audit.services import record_events
from pilots.domain.errors import AuditUnavailable
from pilots.domain.moments import moment_of

log = logging.getLogger(__name__)
ACTION = "counter_reset"


def note_counter_resets(batch: Batch, *, now: datetime) -> None:
    """The audit trail has each fall of a counter, once the caller's transaction commits; without a trail the values still do."""
    if not len(batch.fallen):
        return
    entries, values = batch.fallen.points.entries, batch.fallen.measurements
    columns = (batch.fallen.slots.tolist(), batch.fallen_from.tolist(), values.value.tolist(), values.source_us.tolist())
    events = [_event(entries[slot], *figures, now=now) for slot, *figures in zip(*columns, strict=True)]
    try:
        with transaction.atomic():
            record_events(events)
    except AuditUnavailable as error:
        log.error("%d counters were set back: %s", len(events), error)


def _event(entry: PointEntry, before: float, after: float, source_us: int, *, now: datetime) -> dict[str, Any]:
    details = {"before": before, "after": after, "unit": entry.spec.unit, "source_time": moment_of(source_us).isoformat()}
    subject = f"{entry.pilot}/{entry.reference}"
    return {"at": now, "actor": "ingest", "action": ACTION, "pilot": entry.pilot, "subject": subject, "details": details}
