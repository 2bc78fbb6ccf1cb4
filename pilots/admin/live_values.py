"""A point's newest value in words, for lists and read-only fields."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.translation import gettext as _

from pilots.domain.quality import Flag, Source, Validity, aged
from pilots.models import LatestValue, Point

#: Which points stand for a device in a list, in this order.
TELLING = ("active_power", "soc", "connector_state", "position", "state", "temperature", "irradiance")


def latest_of(point: Point) -> LatestValue | None:
    """The point's newest value; None when nothing was ever received."""
    return getattr(point, "latest", None)


def value_words(point: Point) -> str:
    """`1250 W`, the label of a status, the text, or a dash: unknown is not zero."""
    latest = latest_of(point)
    if latest is None:
        return "–"
    if latest.text is not None:
        return latest.text
    if latest.value is None:
        return _("not available")
    label = point.labels.get(str(int(latest.value))) if point.labels and latest.value == int(latest.value) else None
    return label or f"{latest.value:.6g} {point.unit}".strip()


def quality_words(point: Point) -> str:
    """`good, simulated` or `questionable: old`, judged now and not when it was received."""
    latest = latest_of(point)
    if latest is None:
        return _("never received")
    max_age_s = point.spec.max_age_s
    quality = aged(latest.unpacked_quality, received=latest.received_time, max_age_s=max_age_s, now=datetime.now(UTC))
    words = {Validity.GOOD: _("good"), Validity.QUESTIONABLE: _("questionable"), Validity.INVALID: _("invalid")}
    said = words[quality.validity]
    if quality.source is not Source.PROCESS:
        said += f", {quality.source.name.lower()}"
    flags = ", ".join(str(flag.name).lower().replace("_", " ") for flag in Flag if flag in quality.flags and flag)
    return f"{said}: {flags}" if flags else said


def age_words(moment: datetime | None) -> str:
    """`3 s ago`; a dash for never."""
    if moment is None:
        return "–"
    seconds = max(0, round((datetime.now(UTC) - moment).total_seconds()))
    for size, unit in ((86400, _("d")), (3600, _("h")), (60, _("min"))):
        if seconds >= 2 * size:
            return _("%(n)s %(unit)s ago") % {"n": seconds // size, "unit": unit}
    return _("%(n)s %(unit)s ago") % {"n": seconds, "unit": _("s")}


def telling_values(points: list[Point]) -> str:
    """The one to three values that tell most about a device; good ones bare, others with their quality."""
    named = {point.name: point for point in points}
    chosen = [named[name] for name in TELLING if name in named][:3]
    words = []
    for point in chosen:
        quality = quality_words(point)
        remark = "" if quality.startswith(_("good")) else f" ({quality})"
        words.append(f"{point.name} {value_words(point)}{remark}")
    return " · ".join(words) or "–"
