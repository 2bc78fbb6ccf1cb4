"""Values by hand as a faceplate shows and offers them."""

from __future__ import annotations

from datetime import datetime
from operator import itemgetter
from typing import Any

from django.urls import reverse
from django.utils import timezone

from pilots.control.substitutions import rows_of, substitutable
from pilots.models import Device, Pilot, Point, Substitution
from pilots.ui.quantities import point_name, shown_quantity, shown_unit


def substitution_context(device: Device, points: list[Point], pilot: Pilot, now: datetime) -> dict[str, Any]:
    """What a faceplate shows of values by hand: those in force, and which points may get one."""
    standing = rows_of(pilot, now).filter(point__device=device)
    return {
        "by_hand": [_row(made, pilot) for made in standing],
        "substitutable": sorted((_choice(point) for point in points if substitutable(point)), key=itemgetter("label")),
    }


def _choice(point: Point) -> dict[str, str]:
    labels = "; ".join(f"{code} {label}" for code, label in sorted(point.labels.items()))
    return {"name": point.name, "label": point_name(point.name), "takes": labels or shown_unit(point.unit)[0]}


def _row(made: Substitution, pilot: Pilot) -> dict[str, Any]:
    label = made.point.labels.get(f"{made.value:g}")
    return {
        "url": reverse("withdraw_substitution", args=[pilot.code, made.pk]),
        "label": point_name(made.point.name),
        "value": label or shown_quantity(made.value, made.point.unit),
        "owner": made.owner,
        "reason": made.reason,
        "since": timezone.localtime(made.set_at).strftime("%d %b %H:%M"),
        "until": timezone.localtime(made.until).strftime("%d %b %H:%M"),
    }
