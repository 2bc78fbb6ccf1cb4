"""The process image: one row a point with its newest measurement."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.domain.interlock import Reading
from pilots.domain.quality import Flag, Quality, Source, Validity, aged
from pilots.models.plant import Point

_SILENT = Flag.OLD | Flag.COMM_FAILURE


class LatestValue(models.Model):
    """Newest measurement of a point, written by `acquisition.ingest` only."""

    point = models.OneToOneField(Point, models.CASCADE, primary_key=True, related_name="latest", verbose_name=_("point"))
    value = models.FloatField(_("value"), null=True)
    text = models.CharField(_("text"), max_length=200, null=True)
    quality = models.SmallIntegerField(_("quality"))
    source_time = models.DateTimeField(_("source time"))
    received_time = models.DateTimeField(_("received time"))

    class Meta:
        verbose_name = _("latest value")
        verbose_name_plural = _("latest values")

    def __str__(self) -> str:
        return f"{self.point_id}: {self.value if self.text is None else self.text}"

    @property
    def unpacked_quality(self) -> Quality:
        return Quality.unpack(self.quality)


def shown_quality(row: LatestValue, now: datetime) -> Quality:
    """The quality as a reader must take it now."""
    return aged(row.unpacked_quality, received=row.received_time, max_age_s=row.point.spec.max_age_s, now=now)


def reading_of(row: LatestValue, now: datetime) -> Reading:
    """The value as a limit or a condition may use it: good and renewed in time, else with what is wrong."""
    quality, age_s = shown_quality(row, now), (now - row.received_time).total_seconds()
    fault = ""
    if quality.flags & _SILENT:
        fault = f"is {age_s:.0f} s old"
    elif quality.source is Source.SUBSTITUTED:
        fault = "is a value by hand"
    elif quality.validity is not Validity.GOOD:
        fault = f"is {quality.validity.name.lower()}"
    whole = row.value is not None and row.value.is_integer()
    label = row.text or (row.point.labels.get(str(int(row.value or 0)), "") if whole else "")
    return Reading(row.value, label, fault)
