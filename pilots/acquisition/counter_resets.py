"""Counters that were set back: a meter was reset or exchanged, or its register rolled over. [station]

The value is kept as it came; who reckons with differences finds in the audit trail where one of them is no consumption.
"""

from __future__ import annotations

from datetime import datetime

from pilots.acquisition.batch import Batch
from pilots.domain.moments import moment_of
from pilots.models import AuditEvent

ACTION = "counter_reset"


def note_counter_resets(batch: Batch, *, now: datetime) -> None:
    """The audit trail has each fall of a counter, once the caller's transaction commits."""
    if not len(batch.fallen):
        return
    entries, values = batch.fallen.points.entries, batch.fallen.measurements
    columns = (batch.fallen.slots.tolist(), batch.fallen_from.tolist(), values.value.tolist(), values.source_us.tolist())
    AuditEvent.objects.bulk_create(
        AuditEvent(
            at=now,
            actor="ingest",
            action=ACTION,
            pilot=entries[slot].pilot,
            subject=f"{entries[slot].pilot}/{entries[slot].reference}",
            details={
                "before": before,
                "after": after,
                "unit": entries[slot].spec.unit,
                "source_time": moment_of(source_us).isoformat(),
            },
        )
        for slot, before, after, source_us in zip(*columns, strict=True)
    )
