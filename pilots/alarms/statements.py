"""What every alarm that turns asks of the database, written by hand as in `control.statements`: pages wait for it. [operation]"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import connection

from pilots.models import Alarm
from pilots.models.raw import adapted, places

_OPEN = "SELECT * FROM pilots_alarm WHERE rule_id IN ({}) AND closed_at IS NULL"
_OPEN_OR_RECENT = "SELECT * FROM pilots_alarm WHERE rule_id IN ({}) AND (closed_at IS NULL OR returned_at > %s)"
_AROUND = """SELECT id, device_id, cause_id, led_by_id, raised_at FROM pilots_alarm
WHERE (pilot_id IN ({}) AND cause_id IS NULL AND device_id IS NOT NULL AND raised_at >= %s AND raised_at <= %s)
OR (device_id IN ({}) AND closed_at IS NULL) ORDER BY raised_at"""
_PARENTS = "SELECT id, parent_id FROM pilots_device WHERE pilot_id IN ({})"


def open_of(rules: Collection[int], *, returned_after: datetime | None = None) -> list[Alarm]:
    """The open occurrences of these rules, and the ended ones whose condition went after that moment."""
    if returned_after is None:
        return list(Alarm.objects.raw(_OPEN.format(places(rules)), list(rules)))
    return list(Alarm.objects.raw(_OPEN_OR_RECENT.format(places(rules)), [*rules, adapted(returned_after)]))


def known_around(pilots: Collection[int], devices: Collection[int], start: datetime, end: datetime) -> list[Alarm]:
    """What devices of the pilots told in [start, end] for no known cause, and the open alarms of these devices, oldest first."""
    sql = _AROUND.format(places(pilots), places(devices))
    return list(Alarm.objects.raw(sql, [*pilots, adapted(start), adapted(end), *devices]))


def parents_of(pilots: Collection[int]) -> dict[int, int | None]:
    """What each device of the pilots hangs from."""
    with connection.cursor() as cursor:
        cursor.execute(_PARENTS.format(places(pilots)), list(pilots))
        return dict(cursor.fetchall())
