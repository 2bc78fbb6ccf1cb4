"""How often a source may ask for set-points: a token bucket each, one row for all processes. [operation]

Kept as one number, the time when the bucket is full again (generic cell rate algorithm), taken by one conditional UPDATE.
What we send ourselves (schedules, fallbacks) is not counted.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Greatest

from pilots.domain.errors import SetpointRejected
from pilots.domain.setpoint import Issuer, RejectCode
from pilots.models import SourceRate

COUNTED = (Issuer.OPERATOR, Issuer.PLATFORM, Issuer.CONTROL_CENTRE)


def take_token(issuer: Issuer, requested_by: str, now: datetime) -> None:
    """The source has one wish less to spare. Raises SetpointRejected `rate_limited` with the seconds to wait."""
    if issuer not in COUNTED:
        return
    rate, burst = settings.SETPOINT_RATE, settings.SETPOINT_BURST
    wait_s = _take(f"{issuer}:{requested_by}"[:140], now.timestamp(), 1.0 / rate, burst)
    if wait_s > 0:
        sentence = (
            f"{requested_by} asks too often: {burst} set-points at once and {rate} a second are taken. Wait {wait_s:.1f} s."
        )
        raise SetpointRejected(RejectCode.RATE_LIMITED, sentence, wait_s=wait_s)


def _take(source: str, now_s: float, each_s: float, burst: int) -> float:
    """Seconds to wait; 0 when a token was taken."""
    latest_s = now_s + (burst - 1) * each_s
    rows = SourceRate.objects.filter(pk=source)
    taken = Greatest(F("full_at"), now_s) + each_s
    if rows.filter(full_at__lte=latest_s).update(full_at=taken):
        return 0.0
    row, first = SourceRate.objects.get_or_create(source=source, defaults={"full_at": now_s + each_s})
    if first:
        return 0.0
    # Beyond the fullest debt there is: our clock was set back, and the bucket with it.
    if rows.filter(full_at__gt=latest_s + each_s + 1.0).update(full_at=now_s + each_s):
        return 0.0
    # Made by another this moment, it has room for this one too.
    if row.full_at <= latest_s and rows.filter(full_at__lte=latest_s).update(full_at=taken):
        return 0.0
    return max(row.full_at - latest_s, 1e-3)
