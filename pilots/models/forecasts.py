"""Forecasts: runs of expected values. `pilots.history.forecasts` is their only writer; nothing takes one for a measurement."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from pilots.domain.forecast import ForecastKind, Run, Values
from pilots.models.plant import Pilot, Point, choices


class Forecast(models.Model):
    """One run (docs/api.md, forecasts): for a point, or of a price for its pilot. Lists have null where nothing is foreseen."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pilot = models.ForeignKey(Pilot, models.CASCADE, related_name="forecasts", verbose_name=_("pilot"))
    point = models.ForeignKey(Point, models.CASCADE, null=True, related_name="forecasts", verbose_name=_("point"))
    kind = models.CharField(_("kind"), max_length=16, choices=choices(ForecastKind))
    unit = models.CharField(_("unit"), max_length=16)
    start = models.DateTimeField(_("start"))
    end = models.DateTimeField(_("end"))
    resolution_s = models.PositiveIntegerField(_("resolution, s"), default=900)
    values = models.JSONField(_("values"), default=list)
    low = models.JSONField(_("lower bound"), null=True)
    high = models.JSONField(_("upper bound"), null=True)
    source = models.CharField(_("source"), max_length=120)
    issuer = models.CharField(_("issuer"), max_length=120, blank=True)
    issued_at = models.DateTimeField(_("issued"))
    received_at = models.DateTimeField(_("received"))

    class Meta:
        ordering = ["-issued_at"]
        verbose_name = _("forecast")
        verbose_name_plural = _("forecasts")
        indexes = [
            models.Index(fields=["point", "kind", "-issued_at"], name="forecast_by_point"),
            models.Index(fields=["issued_at"], name="forecast_by_time"),
            models.Index(fields=["received_at", "id"], name="forecast_by_arrival"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["source", "point", "kind", "issued_at"], name="forecast_once"),
            models.UniqueConstraint(fields=["source", "pilot", "issued_at"], condition=Q(point=None), name="price_once"),
            models.CheckConstraint(condition=Q(end__gt=models.F("start")), name="foreseen_for_some_time"),
            models.CheckConstraint(
                condition=Q(kind="price", point=None) | ~Q(kind="price") & Q(point__isnull=False), name="price_of_a_pilot"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.point or self.pilot}, issued {self.issued_at:%Y-%m-%d %H:%M}"

    @property
    def run(self) -> Run:
        """The run as the domain's own object."""
        return Run(
            kind=ForecastKind(self.kind),
            unit=self.unit,
            start=self.start,
            resolution_s=self.resolution_s,
            values=_numbers(self.values),
            low=None if self.low is None else _numbers(self.low),
            high=None if self.high is None else _numbers(self.high),
        )


def _numbers(column: list[float | None]) -> Values:
    # PostgreSQL's JSON tells a large whole number as an int, which no float equals.
    return tuple(None if value is None else float(value) for value in column)
