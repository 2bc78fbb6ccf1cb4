"""What is wrong at our own side: clocks of devices against ours, the outbox that waits, the disk that fills. [operation]"""

from __future__ import annotations

import shutil
from datetime import datetime

from django.conf import settings
from django.db.models import Min

from pilots.domain.alarm import AlarmKind
from pilots.models import AlarmRule, Device, OutboxMessage

GIB = 1024**3


class Ourselves:
    """What was found at the last look."""

    def __init__(self) -> None:
        self._skews: dict[int, float] = {}
        self._waiting: dict[int, datetime] = {}
        self._free_gib = float("inf")

    def look(self, now: datetime) -> None:
        skews = Device.objects.filter(clock_skew_s__isnull=False).values_list("pk", "clock_skew_s")
        self._skews = {key: skew for key, skew in skews if skew is not None}
        waiting = OutboxMessage.objects.filter(refused_at=None).order_by().values_list("pilot")
        self._waiting = dict(waiting.annotate(since=Min("created_at")))
        self._free_gib = shutil.disk_usage(settings.DATA_DIR).free / GIB

    def beyond(self, rule: AlarmRule, now: datetime) -> str:
        """The sentence of what is beyond the rule's limit; empty while it is not."""
        limit = rule.limit or 0.0
        if rule.kind == AlarmKind.DISK_FULL:
            return f"{self._free_gib:.1f} GiB free." if self._free_gib < limit else ""
        if rule.kind == AlarmKind.OUTBOX_WAITING:
            waits_s = (now - self._waiting.get(rule.pilot_id, now)).total_seconds()
            return "Messages wait in the outbox." if waits_s > limit else ""
        skew_s = self._skews.get(rule.device_id or 0, 0.0)
        return f"Its clock is {skew_s:+.0f} s off ours." if abs(skew_s) > limit else ""
