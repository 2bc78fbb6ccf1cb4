"""Old data: values that were not renewed in time become questionable, and that is news like any other. [station]

IEC 60870-5-101 7.2.6.3 NT, IEC 61850-7-3 oldData. Readers age values by themselves too (`domain.quality.aged`), because a
gateway that is gone marks nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db.models import F, Min, QuerySet
from django.db.models.functions import Coalesce

from pilots.acquisition.batch import IngestFull
from pilots.acquisition.ingest import Ingest
from pilots.domain.measurement import Measurement
from pilots.domain.quality import Flag, Quality
from pilots.models import LatestValue

OLD_BIT = int(Flag.OLD) << 5


def mark_old_data(ingest: Ingest, now: datetime) -> int:
    """Every latest value past its point's three intervals is marked; returns how many."""
    limit = Coalesce("point__max_interval_s", "point__period_s")
    rows = _unmarked().annotate(interval_s=limit).filter(interval_s__isnull=False)
    shortest_s = rows.aggregate(shortest=Min("interval_s"))["shortest"]
    if shortest_s is None:
        return 0
    # Mostly none is left: the database leaves out what is too young for any point's limit.
    suspects = rows.filter(received_time__lt=now - timedelta(seconds=3 * shortest_s))
    received = suspects.values_list("point_id", "received_time", "interval_s")
    overdue = [point for point, moment, interval_s in received if now - moment > timedelta(seconds=3 * interval_s)]
    return _mark(ingest, LatestValue.objects.filter(point__in=overdue)) if overdue else 0


def mark_devices_old(ingest: Ingest, devices: Sequence[str]) -> int:
    """Every latest value of these devices is marked: nobody can renew them. Returns how many."""
    return _mark(ingest, _unmarked().filter(point__device__code__in=devices))


def _unmarked() -> QuerySet[LatestValue]:
    return LatestValue.objects.annotate(marked=F("quality").bitand(OLD_BIT)).filter(marked=0)


def _mark(ingest: Ingest, rows: Iterable[LatestValue]) -> int:
    newest = {
        row.point_id: Measurement(row.value, Quality.unpack(row.quality), row.source_time, row.received_time, row.text)
        for row in rows
    }
    try:
        ingest.mark_old(newest)
    except IngestFull:
        return 0  # the next round finds them again
    return len(newest)
