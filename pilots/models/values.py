"""The process image: one row a point with its newest measurement."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.domain.quality import Quality
from pilots.models.plant import Point


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
